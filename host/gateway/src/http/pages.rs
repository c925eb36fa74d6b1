//! Pages for people: templates, the headers that every page carries, and the few assets.
//!
//! Owns how a page looks; what is on it is for whoever asks for it. Pages work without
//! scripts. An answer to a form never redirects: browsers hold redirects after a form to
//! `form-action`, and where a client sends people on to is nobody's to list. It is a page that
//! goes on by itself instead.

mod assets;
mod said;
pub(super) mod view;

use askama::Template;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

pub(super) use assets::asset;
pub(super) use said::Said;

/// What a page may do: nothing but show itself and send its forms here.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

/// On every page. The referrer stays within the gateway, and is not withheld altogether, since
/// browsers then withhold the origin of forms as well.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
];

/// A page as an answer.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response<Body> {
    let mut response = match template.render() {
        Ok(text) => Response::new(Body::from(text)),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            let mut response = Response::new(Body::from("The gateway failed.\n"));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
    };
    *response.status_mut() = status;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Some sentences under a heading.
pub(super) fn notice(
    base: &str,
    status: StatusCode,
    title: &str,
    sentences: &[&str],
) -> Response<Body> {
    let sentences = sentences.iter().map(|it| Said::new(it)).collect();
    page(status, &view::Notice { base, title, sentences, link: None })
}

/// The same with somewhere to go on to.
pub(super) fn notice_with(
    base: &str,
    status: StatusCode,
    (title, sentences): (&str, &[&str]),
    link: (&str, &str),
) -> Response<Body> {
    let sentences = sentences.iter().map(|it| Said::new(it)).collect();
    page(status, &view::Notice { base, title, sentences, link: Some(link) })
}

/// A page that goes on to `target` by itself; the answer to a form.
pub(super) fn onward(base: &str, title: &str, target: &str) -> Response<Body> {
    page(StatusCode::OK, &view::Onward { base, title, target })
}

/// Sends a browser on, where no form was sent.
pub(super) fn redirect(target: &str) -> Option<Response<Body>> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(target).ok()?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(response)
}

/// Adds a cookie to an answer.
pub(super) fn with_cookie(
    mut response: Response<Body>,
    cookie: Option<HeaderValue>,
) -> Response<Body> {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(response: Response<Body>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn what_comes_from_elsewhere_is_escaped() {
        let evil = "<script>alert(1)</script>\"'&";
        let sentences = [evil];
        let response = notice("", StatusCode::BAD_REQUEST, evil, &sentences);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = text(response).await;
        assert!(!text.contains("<script"), "{text}");
        assert!(!text.contains("\"'&<"), "{text}");
    }

    #[tokio::test]
    async fn a_page_onward_names_its_target_once_for_browsers_and_once_for_people() {
        let target = "http://127.0.0.1:1/cb?code=a&state=\"><script>";
        let response = onward("", "Connected", target);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
        let text = text(response).await;
        assert!(!text.contains("<script"), "{text}");
        assert_eq!(text.matches("http://127.0.0.1:1/cb?code=a").count(), 2, "{text}");
    }

    #[test]
    fn a_target_that_is_no_header_is_no_redirect() {
        assert!(redirect("/\r\nSet-Cookie: a=b").is_none());
        assert_eq!(redirect("/x").unwrap().headers()[header::LOCATION], "/x");
    }
}
