//! Why a connector could not be opened, or did not carry out what it was asked.

use std::{sync::Arc, time::Duration};

use tidegate_model::{Refusal, RefusalCode};
use tidegate_wasm::Failure;
use tidegate_wire::client::{PeerError, egress::EgressError};

use crate::credential::CredentialError;

/// Why a description does not make a connector.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be dialled.
    #[error("{0}")]
    Url(#[source] EgressError),
    /// The credential cannot be used.
    #[error("{0}")]
    Credential(#[from] CredentialError),
    /// A configured header is no header, or one that the protocol sets itself.
    #[error("`{0}` cannot be set as a header of this connector")]
    Header(String),
    /// The command is empty or holds a NUL character.
    #[error("`{0}` is not a command that can be run")]
    Command(String),
    /// There is nothing to run machines with.
    #[error("nothing runs machines here: hosted connectors cannot be opened")]
    NoMachines,
    /// A name in the environment is empty or holds `=` or a NUL character.
    #[error("`{0}` cannot be set in the environment of this connector")]
    Environment(String),
}

/// Why a connector did not carry out what it was asked. Data for a [`Refusal`]; how its
/// code looks on the wire is the gateway's business.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// Its queue is full, or the wait for a turn took too long.
    #[error("the connector is busy")]
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// It failed several times in a row and is left alone for a while.
    #[error("the connector failed repeatedly and is left alone for now")]
    Open {
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The deadline passed.
    #[error("the connector did not answer in time")]
    Deadline,
    /// It is being closed.
    #[error("the connector is being closed")]
    Closed,
    /// The credential is bound to another origin.
    #[error("the credential is bound to another origin than the one dialled")]
    WrongOrigin,
    /// It has no usable credential for system work.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// Its process could not be started, or keeps ending; it is tried again after a pause.
    #[error("{error}")]
    Start {
        /// What happened last.
        #[source]
        error: Arc<PeerError>,
        /// When it is tried again.
        retry_after: Duration,
    },
    /// The machine that held what the client keeps is gone; the next call begins anew.
    #[error("the machine that held this session is gone")]
    MachineLost,
    /// The server could not be reached, went away or broke the protocol.
    #[error("{0}")]
    Peer(#[from] PeerError),
    /// The component failed.
    #[error("{0}")]
    Guest(#[from] Failure),
    /// One of its lists is larger than allowed.
    #[error("the connector's answer to `{method}` is too large: {what}")]
    TooMuch {
        /// The method of the list.
        method: &'static str,
        /// What there is too much of.
        what: &'static str,
    },
}

impl ConnectorError {
    /// The refusal code that fits.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Busy { .. } => RefusalCode::ConnectorBusy,
            Self::Deadline => RefusalCode::DeadlineExceeded,
            Self::WrongOrigin => RefusalCode::Internal,
            Self::Credential(_) => RefusalCode::CredentialMissing,
            Self::Open { .. } | Self::Closed | Self::Start { .. } | Self::MachineLost => {
                RefusalCode::ConnectorUnavailable
            }
            Self::Guest(_) | Self::TooMuch { .. } => RefusalCode::ConnectorProtocol,
            Self::Peer(error) => match error {
                PeerError::Protocol(_)
                | PeerError::TooLarge { .. }
                | PeerError::HeaderMismatch(_) => RefusalCode::ConnectorProtocol,
                PeerError::Unsendable(_) => RefusalCode::InvalidArguments,
                _ => RefusalCode::ConnectorUnavailable,
            },
        }
    }

    /// When it is worth trying again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after }
            | Self::Open { retry_after }
            | Self::Start { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether it is certain that the upstream never saw the call.
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Open { .. }
            | Self::Closed
            | Self::WrongOrigin
            | Self::Credential(_)
            | Self::MachineLost
            | Self::Start { .. } => true,
            Self::Peer(error) => error.nothing_sent(),
            Self::Deadline | Self::Guest(_) | Self::TooMuch { .. } => false,
        }
    }

    /// Whether it says that the connector is unwell, as opposed to this one call.
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(
            self,
            Self::Busy { .. }
                | Self::Open { .. }
                | Self::Closed
                | Self::WrongOrigin
                | Self::MachineLost
                // Each caller may have a credential of their own.
                | Self::Credential(_)
                | Self::Peer(
                    PeerError::Unauthorized { .. }
                        | PeerError::Unsendable(_)
                        | PeerError::HeaderMismatch(_)
                        // In words of the protocol, about the request.
                        | PeerError::Status { status: 400..=499, error: Some(_) }
                )
        )
    }

    /// The refusal for the caller: `connector` is named, addresses and internals are not.
    pub fn refusal(self, connector: &str) -> Refusal {
        let message = match &self {
            Self::Busy { .. } => format!("`{connector}` is busy"),
            Self::Open { .. } => format!("`{connector}` is unavailable after repeated failures"),
            Self::Deadline => format!("`{connector}` did not answer in time"),
            Self::Closed => format!("`{connector}` is being closed"),
            Self::WrongOrigin | Self::Credential(_) => {
                format!("the credential for `{connector}` cannot be used")
            }
            Self::Start { .. } => format!("`{connector}` cannot be started"),
            Self::MachineLost => {
                format!("the machine of `{connector}` that held this session is gone")
            }
            Self::Guest(_) => format!("`{connector}` failed"),
            Self::TooMuch { .. } => format!("`{connector}` offers too much"),
            Self::Peer(error) => peer_message(connector, error),
        };
        let next = match (self.retry_after(), &self) {
            (Some(after), _) => Some(format!("try again in {} s", after.as_secs().max(1))),
            (None, Self::Deadline | Self::Peer(_)) if !self.nothing_sent() => {
                Some("the call may have taken effect: check before you repeat it".to_owned())
            }
            (None, Self::MachineLost) => {
                Some("call again to begin anew: nothing that was kept there is left".to_owned())
            }
            (None, Self::Peer(PeerError::Unauthorized { .. })) => {
                Some("ask an administrator to renew its credential".to_owned())
            }
            _ => None,
        };
        let refusal = Refusal::new(self.code(), message);
        let refusal = match next {
            Some(next) => refusal.with_next(next),
            None => refusal,
        };
        refusal.with_cause(self)
    }
}

fn peer_message(connector: &str, error: &PeerError) -> String {
    match error {
        PeerError::Egress(_) | PeerError::Silent(_) => format!("`{connector}` cannot be reached"),
        PeerError::Spawn { .. } => format!("`{connector}` cannot be started"),
        PeerError::Unauthorized { .. } => format!("`{connector}` refused the gateway's credential"),
        PeerError::HeaderMismatch(_) => {
            format!("`{connector}` expects other headers than its last list asks for")
        }
        PeerError::Status { status, .. } | PeerError::NotStreamable(status) => {
            format!("`{connector}` answered with HTTP status {status}")
        }
        PeerError::Protocol(_) => format!("`{connector}` gave an answer that is not valid"),
        PeerError::TooLarge { limit } => {
            format!("the answer of `{connector}` is larger than {} MiB", limit >> 20)
        }
        PeerError::Closed => format!("`{connector}` went away before it answered"),
        PeerError::Revision(_) | PeerError::Refused { .. } => {
            format!("no session with `{connector}` can be set up")
        }
        PeerError::Unsendable(why) => format!("the call cannot be sent to `{connector}`: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::Json;

    use super::*;

    #[test]
    fn what_a_server_says_of_one_request_is_no_failure_of_its_own() {
        let said = Some(Json::empty_object());
        for (status, error, expected) in [
            (400, said.clone(), false),
            (422, said.clone(), false),
            (400, None, true),
            (503, said, true),
            (503, None, true),
        ] {
            let error = ConnectorError::from(PeerError::Status { status, error });
            assert_eq!(error.is_failure(), expected, "{error:?}");
        }
    }
}
