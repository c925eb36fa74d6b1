//! Error codes of JSON-RPC 2.0 and of MCP.

/// The text is no JSON (JSON-RPC 2.0, 5.1).
pub const PARSE_ERROR: i64 = -32_700;
/// The JSON is no JSON-RPC message.
pub const INVALID_REQUEST: i64 = -32_600;
/// No such method.
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// The parameters do not fit the method; also an unknown tool, prompt or resource.
pub const INVALID_PARAMS: i64 = -32_602;
/// A fault of the server's own.
pub const INTERNAL_ERROR: i64 = -32_603;
/// A server error without a code of its own.
pub const SERVER_ERROR: i64 = -32_000;
/// Legacy: no such session (the SDKs' code for HTTP 404).
pub const SESSION_NOT_FOUND: i64 = -32_001;
/// Legacy: no such resource. Modern servers say [`INVALID_PARAMS`].
pub const RESOURCE_NOT_FOUND: i64 = -32_002;
/// Modern: a mirrored header and the body disagree (SEP-2243).
pub const HEADER_MISMATCH: i64 = -32_020;
/// Modern: the client did not declare a capability that the request needs (SEP-2575).
pub const MISSING_CLIENT_CAPABILITY: i64 = -32_021;
/// Modern: the server does not speak that revision (SEP-2575).
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32_022;
/// 2025-11-25: the client has to visit a URL first (SEP-1036).
pub const URL_ELICITATION_REQUIRED: i64 = -32_042;
/// Legacy: the user refused, for example a sampling request.
pub const USER_REJECTED: i64 = -1;

/// Whether only a server of the modern era answers with `code`: the sign not to fall back
/// to `initialize` while probing.
pub const fn is_modern(code: i64) -> bool {
    matches!(code, HEADER_MISMATCH | MISSING_CLIENT_CAPABILITY | UNSUPPORTED_PROTOCOL_VERSION)
}
