//! Writing envelopes around parts that are text already.

use tidegate_model::Json;

use super::Id;
use crate::json::{Raw, write_string};

const OPEN: &[u8] = br#"{"jsonrpc":"2.0","#;

/// Appends a request.
pub fn request(out: &mut Vec<u8>, id: Id<'_>, method: &str, params: Option<Raw<'_>>) {
    open_with_id(out, Some(id), params.map_or(0, |params| params.as_str().len()));
    out.push(b',');
    call(out, method, params);
}

/// Appends a notification.
pub fn notification(out: &mut Vec<u8>, method: &str, params: Option<Raw<'_>>) {
    out.extend_from_slice(OPEN);
    call(out, method, params);
}

/// Appends a response with a result.
pub fn result(out: &mut Vec<u8>, id: Id<'_>, result: &Json) {
    open_with_id(out, Some(id), result.len());
    out.extend_from_slice(br#","result":"#);
    out.extend_from_slice(result.bytes());
    out.push(b'}');
}

/// Appends an error response; without an id it answers what could not be read.
pub fn error(out: &mut Vec<u8>, id: Option<Id<'_>>, code: i64, message: &str, data: Option<&Json>) {
    open_with_id(out, id, message.len() + data.map_or(0, Json::len));
    out.extend_from_slice(br#","error":{"code":"#);
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(br#","message":"#);
    write_string(out, message);
    if let Some(data) = data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.bytes());
    }
    out.extend_from_slice(b"}}");
}

/// Appends an error response around an error object that is passed on as it is.
pub fn error_raw(out: &mut Vec<u8>, id: Id<'_>, error: Raw<'_>) {
    open_with_id(out, Some(id), error.as_str().len());
    out.extend_from_slice(br#","error":"#);
    out.extend_from_slice(error.as_str().as_bytes());
    out.push(b'}');
}

fn open_with_id(out: &mut Vec<u8>, id: Option<Id<'_>>, room: usize) {
    let id = id.map_or("null", Id::as_str);
    out.reserve(OPEN.len() + id.len() + room + 64);
    out.extend_from_slice(OPEN);
    out.extend_from_slice(br#""id":"#);
    out.extend_from_slice(id.as_bytes());
}

fn call(out: &mut Vec<u8>, method: &str, params: Option<Raw<'_>>) {
    out.extend_from_slice(br#""method":"#);
    write_string(out, method);
    if let Some(params) = params {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params.as_str().as_bytes());
    }
    out.push(b'}');
}
