//! Which gateway a command asks, and through which door.
//!
//! The admin socket of a data directory that was named or is here, else the gateway that
//! somebody signed in to. What both answer with is the same.

use anyhow::{anyhow, bail};
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use tidegate_model::{Clock, OrgId, SystemClock};

use super::{
    Of, Place,
    credentials::{Credentials, Saved},
    login, say, socket,
    web::{Web, encoded},
};
use crate::http::admin::{Failure, SOCKET};

/// An access token that ends sooner than this is exchanged first.
const MARGIN: u64 = 30_000;

/// Where to ask, and how to answer.
#[derive(Debug, Args)]
pub(super) struct Through {
    /// The gateway that `tidegate login` signed in to; the last one where nothing is said.
    #[arg(long, value_name = "URL", conflicts_with_all = ["data", "config", "org"])]
    gateway: Option<String>,
    #[command(flatten)]
    of: Of,
    /// As JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    place: Place,
}

/// A door to a gateway.
pub(super) enum Door {
    /// The socket in a data directory.
    Socket(socket::Door),
    /// A gateway that somebody signed in to, by its issuer.
    Login(Web, String, Box<Saved>),
}

impl Through {
    /// The door that was named, or that is there.
    pub(super) fn door(&self) -> anyhow::Result<Door> {
        let is_named = self.place.data.is_some() || self.place.config.is_some();
        let is_of_another = self.of.id() != OrgId::default_org();
        if is_named || is_of_another {
            return Ok(Door::Socket(self.place.door(&self.of)?));
        }
        if self.gateway.is_none()
            && let Ok(door) = self.place.door(&self.of)
            && door.data.join(SOCKET).exists()
        {
            return Ok(Door::Socket(door));
        }
        match Credentials::load()?.of(self.gateway.as_deref()) {
            Some((issuer, saved)) => Ok(Door::Login(Web::new()?, issuer, Box::new(saved))),
            None => match &self.gateway {
                Some(url) => bail!("nobody is signed in at {url}; run `tidegate login {url}`"),
                None => bail!(
                    "no gateway runs here and nobody is signed in to one: name a data directory \
                     with --data, or run `tidegate login URL`"
                ),
            },
        }
    }

    /// Whether this is the owner of a process, who names no organisation.
    pub(super) fn is_about_all(&self, door: &Door) -> bool {
        matches!(door, Door::Socket(_)) && self.of.org.is_none()
    }

    /// Says an answer: as JSON where that is wanted, else as `words` has it.
    pub(super) fn tell<T: Serialize>(
        &self,
        answer: &T,
        words: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(answer)? } else { words(answer) };
        say(text.trim_end());
        Ok(())
    }
}

impl Door {
    /// Asks for something.
    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    /// Asks for a list as a whole, page after page; `wanted` narrows it down.
    pub(super) async fn all<P: DeserializeOwned, T>(
        &mut self,
        path: &str,
        wanted: &[(&str, Option<&String>)],
        of: fn(P) -> (Vec<T>, Option<String>),
    ) -> anyhow::Result<Vec<T>> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("limit", "1000")];
            let more = wanted.iter().copied().chain([("after", after.as_ref())]);
            query.extend(more.filter_map(|(name, value)| Some((name, value?.as_str()))));
            let (some, next) = of(self.get(&format!("{path}?{}", encoded(&query))).await?);
            all.extend(some);
            if next.is_none() || next == after {
                return Ok(all);
            }
            after = next;
        }
    }

    /// Asks for something to be done, without more to say.
    pub(super) async fn order<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
    ) -> anyhow::Result<T> {
        self.ask(method, path, Vec::new()).await
    }

    /// Sends something.
    pub(super) async fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        self.ask(method, path, body).await
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<T> {
        match self {
            Self::Socket(door) => socket::ask(door, method, &format!("/api/v1{path}"), body).await,
            Self::Login(web, issuer, saved) => {
                if saved.expires <= SystemClock.now().as_millis().saturating_add(MARGIN) {
                    **saved = login::refresh(web, issuer, saved).await?;
                }
                let url = format!("{}{path}", saved.resource);
                let mut headers = HeaderMap::new();
                let token = format!("Bearer {}", saved.access_token);
                let mut token = HeaderValue::from_str(&token)
                    .map_err(|_| anyhow!("the kept credentials are damaged; sign in again"))?;
                token.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, token);
                let kind = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, kind);
                let answer = web.send(method, &url, headers, body).await?;
                if answer.status == StatusCode::OK {
                    return answer.json();
                }
                if answer.status == StatusCode::UNAUTHORIZED {
                    bail!("the sign-in at {issuer} has ended; run `tidegate login {issuer}`");
                }
                match serde_json::from_slice::<Failure>(&answer.body) {
                    Ok(failure) => bail!("{}", super::shown_lines(&failure.error)),
                    Err(_) => bail!("the gateway answered with HTTP status {}", answer.status),
                }
            }
        }
    }
}
