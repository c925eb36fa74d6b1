//! The configuration: whom to ask, about what, how long, and how to prove who asks.

use outgoing::{Error, Request};
use serde::Deserialize;
use tidegate_plugin::{
    Context,
    host::{self, CredentialError},
};

use crate::{message::Event, sign};

/// All of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    url: String,
    /// Methods and phases to ask about; all where empty.
    #[serde(default)]
    events: Vec<About>,
    /// The credential whose secret signs.
    #[serde(default)]
    signing_key: Option<String>,
    /// The credential that is sent as a bearer token.
    #[serde(default)]
    token: Option<String>,
    /// What happens when it cannot be asked, or gives no decision.
    #[serde(default)]
    pub(crate) unanswered: Unanswered,
    #[serde(default = "usual_time_out")]
    time_out_ms: u32,
    #[serde(default = "usual_most")]
    max_request_kib: usize,
    #[serde(default = "usual_most")]
    max_response_kib: usize,
}

/// What becomes of an operation without a decision.
#[derive(Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unanswered {
    /// It is refused, and the caller is told why.
    #[default]
    Refuse,
    /// The hook fails, and the binding's `fail` says what follows.
    Fail,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    method: String,
    #[serde(default)]
    phase: Option<String>,
}

/// Milliseconds that are kept back of the hook's time: whoever waits to its end is stopped, and
/// what `unanswered` says would not be heard.
const MARGIN: u32 = 50;

fn usual_time_out() -> u32 {
    800
}

fn usual_most() -> usize {
    1024
}

impl Settings {
    pub(crate) fn read(config: &str) -> Result<Self, String> {
        let settings: Self = tidegate_plugin::read(config)?;
        if settings.signing_key.is_none() && settings.token.is_none() {
            return Err(
                "configuration: set `signing_key`, `token` or both: anybody could ask the \
                        service otherwise, and it would answer"
                    .to_owned(),
            );
        }
        Ok(settings)
    }

    /// Whether the service is asked about this.
    pub(crate) fn wants(&self, event: Event) -> bool {
        self.events.is_empty()
            || self.events.iter().any(|about| {
                about.method == event.method
                    && about.phase.as_deref().is_none_or(|phase| phase == event.phase)
            })
    }

    /// Bytes that may be sent.
    pub(crate) fn most_sent(&self) -> usize {
        self.max_request_kib.saturating_mul(1024)
    }

    /// The request with everything that proves who asks; none where no time is left for it.
    pub(crate) fn request(
        &self,
        event: Event,
        context: &Context,
        body: String,
    ) -> Result<Option<Request>, String> {
        let mut headers = vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ];
        if let Some(name) = &self.token {
            let handle = host::credential_handle(name).map_err(|error| credential(name, error))?;
            headers.push(("authorization".to_owned(), format!("Bearer {handle}")));
        }
        if let Some(name) = &self.signing_key {
            // One operation is asked about twice: once for each phase.
            let id = format!("{}-{}", context.call_id, event.phase);
            let signed = sign::headers(name, &id, host::now() / 1000, &body);
            headers.extend(signed.map_err(|error| credential(name, error))?);
        }
        // Asked last: a credential may take its time.
        let left = self.time_out_ms.min(host::remaining().saturating_sub(MARGIN));
        if left == 0 {
            return Ok(None);
        }
        Ok(Some(Request {
            method: "POST".to_owned(),
            url: self.url.clone(),
            headers,
            body: Some(body.into_bytes()),
            most: self.max_response_kib.saturating_mul(1024),
            time_out: Some(left),
            within: Some(left),
        }))
    }

    /// What the caller is told when the service could not be asked.
    pub(crate) fn unasked(&self, error: &Error) -> String {
        let next = match error {
            Error::Denied => {
                "Tell your administrator to add its host to this plugin's `http.hosts`."
            }
            Error::Url => "Tell your administrator that its `url` is wrong.",
            Error::TimedOut | Error::TooLarge | Error::Failed(_) => "Try again later.",
        };
        format!("The decision service could not be asked: {error}. {next}")
    }
}

fn credential(name: &str, error: CredentialError) -> String {
    let why = match error {
        CredentialError::Unknown => "is not given to this plugin",
        CredentialError::Unavailable => "cannot be had now",
    };
    format!(
        "The decision service could not be asked: the credential `{name}` {why}. Tell your \
         administrator."
    )
}
