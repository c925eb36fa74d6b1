//! Authorization requests: all that is asked of one before anybody signs in.
//!
//! Owns the order of the questions: first who asks and where the answer would go, about which
//! a page speaks and nobody is sent anywhere (RFC 6749 section 4.1.2.1); then everything else,
//! which the client is told. Does not know who signs in or what policies say.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    client::{Client, ClientKind, GrantType},
    code,
    error::{ErrorCode, RequestRefused},
    location::Location,
    parameters::{Parameters, Repeated, is_scope},
    redirect::RedirectUri,
    spelling,
};
use crate::{Issuer, Resource, Scope, Scopes};

/// The longest `state` that is carried along.
const MAX_STATE: usize = 2_048;
const MAX_HINT: usize = 256;

/// An authorization request that may be put to a person. It travels through the browser,
/// sealed by whoever serves; nothing of it is stored. Texts are what the client wrote.
#[derive(Clone, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    /// The client, by its id.
    pub client_id: String,
    /// What the client calls itself.
    pub client_name: String,
    /// The client's own site, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_uri: Option<String>,
    /// How the client is known.
    #[serde(with = "spelling::client_kind")]
    pub client_kind: ClientKind,
    /// Whether any program on the person's machine could pretend to be it, which they should
    /// be told.
    pub is_loopback_only: bool,
    /// Where the answer goes.
    #[serde(with = "spelling::redirect")]
    pub redirect_uri: RedirectUri,
    /// What the token is to be for.
    #[serde(with = "spelling::resource")]
    pub resource: Resource,
    /// The rights asked for, as far as there are such.
    #[serde(with = "spelling::scopes")]
    pub scopes: Scopes,
    /// Whether nobody may be asked anything (`prompt=none`).
    pub is_silent: bool,
    /// Whether the person is to sign in anew (`prompt=login` or `select_account`).
    pub wants_sign_in: bool,
    /// Whether the person is to agree again (`prompt=consent`).
    pub wants_consent: bool,
    /// How many seconds ago the person may have signed in at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Who the client thinks will sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// Whether nobody but the client itself knows its id.
    pub(crate) is_known_to_itself_only: bool,
    state: Option<String>,
    pub(crate) challenge: String,
}

impl fmt::Debug for AuthorizationRequest {
    /// Without what belongs to the client alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationRequest({} for {:?})", self.client_id, self.resource)
    }
}

/// Why a person does not get what their client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenyReason {
    /// The person said no, or a policy does.
    AccessDenied,
    /// Nobody is signed in, and nobody may be asked.
    LoginRequired,
    /// Nobody has agreed, and nobody may be asked.
    ConsentRequired,
    /// This cannot be done at the moment.
    TemporarilyUnavailable,
    /// A fault of the gateway's own.
    ServerError,
}

impl DenyReason {
    const fn answer(self) -> (ErrorCode, &'static str) {
        match self {
            Self::AccessDenied => (ErrorCode::AccessDenied, "access was not granted"),
            Self::LoginRequired => {
                (ErrorCode::LoginRequired, "nobody is signed in: ask without prompt=none")
            }
            Self::ConsentRequired => {
                (ErrorCode::ConsentRequired, "nobody has agreed yet: ask without prompt=none")
            }
            Self::TemporarilyUnavailable => {
                (ErrorCode::TemporarilyUnavailable, "this is not possible now: try again")
            }
            Self::ServerError => {
                (ErrorCode::ServerError, "this failed here: ask the administrator of the gateway")
            }
        }
    }
}

impl AuthorizationRequest {
    /// What a person should look at: the host that the answer goes to.
    pub fn redirect_host(&self) -> String {
        self.redirect_uri.host_for_people()
    }

    /// Where the browser goes with a code.
    pub(crate) fn granted(&self, code: &str, issuer: &Issuer) -> Location {
        Location::new(&self.redirect_uri, &[("code", code)], self.state.as_deref(), issuer)
    }

    /// Where the browser goes without one.
    pub(crate) fn denied(&self, reason: DenyReason, issuer: &Issuer) -> Location {
        Location::refusal(&self.redirect_uri, reason.answer(), self.state.as_deref(), issuer)
    }
}

/// Where an answer goes: the redirect URI of this request, one that the client has registered.
pub(super) fn destination(
    client: &Client,
    parameters: Parameters<'_>,
) -> Result<RedirectUri, RequestRefused> {
    let page = |sentence: &'static str| RequestRefused::Page(sentence.into());
    let given = parameters
        .get("redirect_uri")
        .map_err(|_| page("The address to return to (`redirect_uri`) was given more than once."))?
        .ok_or_else(|| page("The address to return to (`redirect_uri`) is missing."))?;
    let uri = RedirectUri::parse(given).map_err(|error| {
        RequestRefused::Page(format!("The address to return to cannot be used: {error}.").into())
    })?;
    if client.redirect_uris.iter().any(|registered| registered.matches(&uri)) {
        return Ok(uri);
    }
    Err(page(
        "The address to return to (`redirect_uri`) is none that this application has registered.",
    ))
}

/// What a client whose answers go to a good place asks for, or what it is told.
pub(super) struct Asked<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) client: &'a Client,
    pub(super) redirect: RedirectUri,
    pub(super) parameters: Parameters<'a>,
}

/// A refusal that the client is told.
type Told = (ErrorCode, std::borrow::Cow<'static, str>);

impl From<Repeated> for Told {
    fn from(Repeated(name): Repeated) -> Self {
        let code =
            if name == "resource" { ErrorCode::InvalidTarget } else { ErrorCode::InvalidRequest };
        (code, format!("the parameter `{name}` was given more than once").into())
    }
}

impl Asked<'_> {
    /// Asks everything else.
    pub(super) fn read(self) -> Result<AuthorizationRequest, RequestRefused> {
        let state = self.parameters.get("state");
        // A state that cannot be carried along is not half carried along.
        let carried = state.ok().flatten().filter(|state| state.len() <= MAX_STATE);
        let refused = |(code, sentence): Told| {
            let (uri, issuer) = (&self.redirect, self.issuer);
            RequestRefused::Redirect(Location::refusal(uri, (code, &sentence), carried, issuer))
        };
        let state = state.map_err(|repeated| refused(repeated.into()))?;
        if state.is_some() != carried.is_some() {
            let sentence = "the parameter `state` is longer than 2048 characters";
            return Err(refused((ErrorCode::InvalidRequest, sentence.into())));
        }
        self.build(state).map_err(refused)
    }

    fn build(&self, state: Option<&str>) -> Result<AuthorizationRequest, Told> {
        self.check_form()?;
        let challenge = self.challenge()?;
        let resource = self.resource()?;
        let scopes = self.scopes(&resource)?;
        let (is_silent, wants_sign_in, wants_consent) = self.prompts()?;
        let client = self.client;
        Ok(AuthorizationRequest {
            client_id: client.id.to_string(),
            client_name: client.name.clone(),
            client_uri: client.uri.clone(),
            client_kind: client.kind,
            is_loopback_only: client.is_loopback_only(),
            redirect_uri: self.redirect.clone(),
            resource,
            scopes,
            is_silent,
            wants_sign_in,
            wants_consent,
            max_age: self.max_age()?,
            login_hint: self
                .parameters
                .get("login_hint")?
                .filter(|hint| hint.len() <= MAX_HINT && !hint.contains(char::is_control))
                .map(str::to_owned),
            is_known_to_itself_only: client.kind == ClientKind::Registered,
            state: state.map(str::to_owned),
            challenge,
        })
    }

    fn check_form(&self) -> Result<(), Told> {
        let invalid = |sentence: &'static str| (ErrorCode::InvalidRequest, sentence.into());
        for (name, code) in [
            ("request", ErrorCode::RequestNotSupported),
            ("request_uri", ErrorCode::RequestUriNotSupported),
            ("registration", ErrorCode::RegistrationNotSupported),
        ] {
            if self.parameters.get(name)?.is_some() {
                return Err((code, format!("the parameter `{name}` is not taken").into()));
            }
        }
        match self.parameters.get("response_type")? {
            Some("code") => {}
            Some(_) => {
                let sentence = "the only `response_type` is `code`".into();
                return Err((ErrorCode::UnsupportedResponseType, sentence));
            }
            None => return Err(invalid("the parameter `response_type` is missing: send `code`")),
        }
        if self.parameters.get("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(invalid("the only `response_mode` is `query`"));
        }
        if !self.client.may(GrantType::AuthorizationCode) {
            let sentence = "this client is not registered for authorization codes".into();
            return Err((ErrorCode::UnauthorizedClient, sentence));
        }
        Ok(())
    }

    fn challenge(&self) -> Result<String, Told> {
        let invalid = |sentence: &'static str| (ErrorCode::InvalidRequest, sentence.into());
        let challenge = self.parameters.get("code_challenge")?.ok_or_else(|| {
            invalid("the parameter `code_challenge` is missing: PKCE with S256 is required")
        })?;
        // Without a method it would be `plain` (RFC 7636 section 4.3), which is not taken.
        if self.parameters.get("code_challenge_method")? != Some("S256") {
            return Err(invalid("the only `code_challenge_method` is `S256`: send it"));
        }
        if !code::is_challenge(challenge) {
            return Err(invalid("`code_challenge` is not the base64url of a SHA-256 digest"));
        }
        Ok(challenge.to_owned())
    }

    fn resource(&self) -> Result<Resource, Told> {
        let given = self.parameters.get("resource")?;
        target(self.issuer, self.client, given)
            .map_err(|sentence| (ErrorCode::InvalidTarget, sentence.into()))
    }

    fn scopes(&self, resource: &Resource) -> Result<Scopes, Told> {
        let given = self.parameters.get("scope")?;
        asked_scopes(resource, given)
            .ok_or((ErrorCode::InvalidScope, "the parameter `scope` is malformed".into()))
    }

    fn prompts(&self) -> Result<(bool, bool, bool), Told> {
        let words: Vec<&str> =
            self.parameters.get("prompt")?.unwrap_or_default().split(' ').collect();
        let has = |word: &str| words.contains(&word);
        if has("none") && words.len() > 1 {
            let sentence = "`prompt` is `none` and something else at once".into();
            return Err((ErrorCode::InvalidRequest, sentence));
        }
        Ok((has("none"), has("login") || has("select_account"), has("consent")))
    }

    fn max_age(&self) -> Result<Option<u64>, Told> {
        let given = self.parameters.get("max_age")?;
        given
            .map(str::parse)
            .transpose()
            .map_err(|_| (ErrorCode::InvalidRequest, "`max_age` is not a number of seconds".into()))
    }
}

/// What a `resource` parameter names, if this client can have a token for it.
pub(super) fn target(
    issuer: &Issuer,
    client: &Client,
    given: Option<&str>,
) -> Result<Resource, &'static str> {
    let resource = match given {
        Some(uri) => issuer.resource(uri).ok_or(
            "the parameter `resource` names nothing of this gateway: send the URL of the \
             virtual MCP server as it stands in its protected resource metadata",
        )?,
        None if client.kind == ClientKind::BuiltIn => Resource::Admin,
        None => {
            return Err("the parameter `resource` is missing: send the URL of the virtual MCP \
                        server (RFC 8707)");
        }
    };
    if may_reach(client, &resource) { Ok(resource) } else { Err(NOT_FOR_CLIENT) }
}

pub(super) const NOT_FOR_CLIENT: &str =
    "this client can have no token for this resource: an administrator would have to allow it";

/// Whether this client can have tokens for it at all, whoever asks. The admin API is for
/// clients that an administrator knows: no stranger gets to ask an owner for it.
pub(super) fn may_reach(client: &Client, resource: &Resource) -> bool {
    match resource {
        Resource::Vmcp(vmcp) => client.vmcps.is_empty() || client.vmcps.contains(vmcp),
        Resource::Admin => client.is_vouched_for() && client.vmcps.is_empty(),
    }
}

/// The scopes that there are for a resource.
pub(super) fn scopes_of(resource: &Resource) -> Scopes {
    let of: &[Scope] = match resource {
        Resource::Vmcp(_) => {
            &[Scope::Mcp, Scope::Write, Scope::Destructive, Scope::OpenWorld, Scope::Offline]
        }
        Resource::Admin => &[Scope::Admin, Scope::Offline],
    };
    of.iter().copied().collect()
}

/// The scope that every token for a resource has.
pub(super) fn base_of(resource: &Resource) -> Scopes {
    let base = match resource {
        Resource::Vmcp(_) => Scope::Mcp,
        Resource::Admin => Scope::Admin,
    };
    [base].into_iter().collect()
}

/// What a `scope` parameter asks for; without one the least. `None` if it is none.
pub(super) fn asked_scopes(resource: &Resource, given: Option<&str>) -> Option<Scopes> {
    let Some(text) = given else { return Some(base_of(resource)) };
    let asked = is_scope(text).then(|| Scopes::parse(text))?;
    Some(asked.both(scopes_of(resource)).with(base_of(resource)))
}
