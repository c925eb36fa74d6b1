//! What went wrong on the way out, in the words of `wasi:http`.

use std::{error::Error as _, io};

use tidegate_wire::client::egress::EgressError;
use wasmtime_wasi_http::Error;

/// The code for an error of the guard. Texts stay on this side: they name addresses.
pub(super) fn code(error: &EgressError) -> Error {
    match error {
        EgressError::Url(_) => Error::HttpRequestUriInvalid,
        EgressError::Forbidden { .. } => Error::DestinationIpProhibited,
        EgressError::Plain(_) => Error::HttpRequestDenied,
        EgressError::Resolve { .. } => Error::DnsError { rcode: None, info_code: None },
        EgressError::Connect { source, .. } => match source.kind() {
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            io::ErrorKind::InvalidData => Error::TlsCertificateError,
            _ => Error::DestinationUnavailable,
        },
        EgressError::Broken { source, .. } => match own(source) {
            Some(error) => again(error),
            None if source.is_parse() => Error::HttpProtocolError,
            None if source.is_incomplete_message() => Error::HttpResponseIncomplete,
            None => Error::ConnectionTerminated,
        },
        EgressError::Head(_) => Error::HttpResponseTimeout,
        EgressError::TooLarge { .. } => Error::HttpResponseBodySize(None),
        EgressError::Roots(_) => Error::ConfigurationError,
        EgressError::Redirect { .. } => Error::HttpProtocolError,
    }
}

/// The error with which our own side ended the request's body, where it did.
fn own(error: &hyper::Error) -> Option<&Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(own) = error.downcast_ref() {
            return Some(own);
        }
        source = error.source();
    }
    None
}

/// The same once more: the type cannot be cloned.
fn again(error: &Error) -> Error {
    match error {
        Error::HttpRequestDenied => Error::HttpRequestDenied,
        Error::HttpRequestBodySize(size) => Error::HttpRequestBodySize(*size),
        Error::HttpRequestTrailerSectionSize(size) => Error::HttpRequestTrailerSectionSize(*size),
        _ => Error::HttpProtocolError,
    }
}
