//! The files that pages refer to: one style sheet, one picture.

use axum::{body::Body, extract::Path};
use http::{HeaderValue, Response, StatusCode, header};

const STYLE: &str = include_str!("../../../templates/tidegate.css");
const ICON: &str = include_str!("../../../templates/tidegate.svg");

/// Serves `/assets/{name}`; the same for everybody.
pub(in crate::http) async fn asset(Path(name): Path<String>) -> Response<Body> {
    let (kind, text) = match name.as_str() {
        "tidegate.css" => ("text/css; charset=utf-8", STYLE),
        "tidegate.svg" => ("image/svg+xml", ICON),
        _ => {
            let mut response = Response::new(Body::from("there is nothing here\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    let mut response = Response::new(Body::from(text));
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
