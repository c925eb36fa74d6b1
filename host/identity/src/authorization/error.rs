//! What the authorization server answers when it does not do what was asked.
//!
//! Owns the error codes of the RFCs with their HTTP status, and keeps three things apart: a
//! refusal that a client is told, a request that a person is shown a page about, and a fault
//! of the gateway's own. Knows no HTTP type and no page.

use std::{borrow::Cow, fmt};

use serde_json::json;
use tidegate_model as model;
use tidegate_store::StoreError;

use super::{grant::GrantId, location::Location};

/// The error codes that clients see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A parameter is missing, repeated or malformed.
    InvalidRequest,
    /// Who the client is could not be established.
    InvalidClient,
    /// The code, refresh token or assertion is of no use, or not to this client.
    InvalidGrant,
    /// The client may not use this kind of grant.
    UnauthorizedClient,
    /// There is no such kind of grant here.
    UnsupportedGrantType,
    /// There is no such kind of authorization response here.
    UnsupportedResponseType,
    /// The scope is malformed, or more than was granted.
    InvalidScope,
    /// The resource is missing, or none that a token can be had for (RFC 8707).
    InvalidTarget,
    /// The person or a policy said no.
    AccessDenied,
    /// Nobody has signed in, and nobody was to be asked.
    LoginRequired,
    /// Nobody has agreed yet, and nobody was to be asked.
    ConsentRequired,
    /// Somebody would have to be asked something else.
    InteractionRequired,
    /// A parameter that names a request object is not taken.
    RequestNotSupported,
    /// A parameter that names the place of a request object is not taken.
    RequestUriNotSupported,
    /// A parameter that registers the client in passing is not taken.
    RegistrationNotSupported,
    /// Nobody has answered on the other device yet (RFC 8628).
    AuthorizationPending,
    /// The same, and the client asks too often.
    SlowDown,
    /// The device code has ended.
    ExpiredToken,
    /// It can be tried again in a moment.
    TemporarilyUnavailable,
    /// A fault of the gateway's own.
    ServerError,
}

impl ErrorCode {
    /// Its spelling on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InteractionRequired => "interaction_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }

    /// The HTTP status of an answer of the token endpoint.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::TemporarilyUnavailable => 503,
            Self::ServerError => 500,
            _ => 400,
        }
    }
}

/// Something that should make somebody look: it is audited, and what was granted has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What was presented a second time.
    pub what: Replayed,
    /// The grant that was revoked for it.
    pub grant: GrantId,
    /// Whose it was.
    pub user: model::UserId,
    /// The client it had been given to.
    pub client: String,
}

/// What was presented when it had been used, or by somebody else than whom it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// An authorization code.
    Code,
    /// A device code.
    DeviceCode,
    /// A refresh token.
    RefreshToken,
    /// A refresh token of another client.
    ForeignRefreshToken,
}

impl Replayed {
    /// Its spelling in audit rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code_replayed",
            Self::DeviceCode => "device_code_replayed",
            Self::RefreshToken => "refresh_token_replayed",
            Self::ForeignRefreshToken => "refresh_token_of_another_client",
        }
    }
}

/// A refusal at an endpoint that answers clients in JSON.
#[derive(Debug)]
pub struct TokenRefused {
    /// The code.
    pub code: ErrorCode,
    /// What is wrong and what to do, for whoever writes the client.
    pub sentence: Cow<'static, str>,
    /// Whether the answer is to name HTTP Basic, by which the client tried to authenticate.
    pub names_basic: bool,
    /// What else happened.
    pub incident: Option<Box<Incident>>,
    /// Why the gateway could not do it, for the log alone.
    pub fault: Option<AuthorizationError>,
}

impl TokenRefused {
    pub(crate) fn new(code: ErrorCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { code, sentence: sentence.into(), names_basic: false, incident: None, fault: None }
    }

    /// One answer for every code, token and assertion that is unknown, wrong, used or over.
    pub(crate) fn grant() -> Self {
        Self::new(
            ErrorCode::InvalidGrant,
            "what was presented is unknown, used, expired, or not yours: authorize again",
        )
    }

    pub(crate) fn after(incident: Incident) -> Self {
        Self { incident: Some(Box::new(incident)), ..Self::grant() }
    }

    /// The body of the answer (RFC 6749 section 5.2).
    pub fn to_json(&self) -> Vec<u8> {
        let body = json!({ "error": self.code.name(), "error_description": self.sentence });
        body.to_string().into_bytes()
    }
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.sentence)
    }
}

impl std::error::Error for TokenRefused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.as_ref().map(|fault| fault as _)
    }
}

impl From<AuthorizationError> for TokenRefused {
    fn from(fault: AuthorizationError) -> Self {
        let (code, sentence) = match &fault {
            AuthorizationError::Store(_) | AuthorizationError::Busy => {
                (ErrorCode::TemporarilyUnavailable, "this could not be recorded: try again")
            }
            AuthorizationError::Random | AuthorizationError::Damaged { .. } => {
                (ErrorCode::ServerError, "this failed here: ask the gateway's administrator")
            }
        };
        Self { fault: Some(fault), ..Self::new(code, sentence) }
    }
}

impl From<StoreError> for TokenRefused {
    fn from(error: StoreError) -> Self {
        AuthorizationError::from(error).into()
    }
}

/// A refusal of an authorization request, before or after somebody signed in.
#[derive(Debug)]
pub enum RequestRefused {
    /// Who asks, or where the answer would go, is not known: a page says so, and nobody is
    /// sent anywhere.
    Page(Cow<'static, str>),
    /// The client is told.
    Redirect(Location),
}

/// Why the authorization server could not do something at all.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others changed the same record again and again.
    #[error("the record was changed by others all the time: try again")]
    Busy,
    /// The system gave no random bytes.
    #[error("the system has no randomness for tokens")]
    Random,
    /// What is stored cannot be read.
    #[error(
        "the stored {what} cannot be read: use the version of the gateway again that wrote it, \
         or restore the store"
    )]
    Damaged {
        /// What it is.
        what: &'static str,
    },
}
