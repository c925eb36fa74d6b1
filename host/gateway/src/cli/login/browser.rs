//! Signing in with a browser on this machine: authorization code with PKCE, to a loopback port.
//!
//! Only an answer with our own state and from the issuer that was asked is taken (RFC 9207);
//! whatever else knocks at the port is told nothing and waited past.

use std::{convert::Infallible, net::Ipv4Addr, process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use oauth2::{
    AuthorizationCode, CsrfToken, PkceCodeChallenge, RedirectUrl, basic::BasicTokenResponse,
    url::form_urlencoded,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};

use super::{
    super::{shown, web::Web},
    discovery::Server,
    program, refused, scopes,
};
use crate::config::user;

/// How long somebody has to sign in.
const PATIENCE: Duration = Duration::from_secs(600);

/// How the browser came back.
type Came = Result<String, String>;

/// Signs in, and trades the code for tokens.
pub(super) async fn sign_in(web: &Web, server: &Server) -> anyhow::Result<BasicTokenResponse> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.context("no port of this machine can be listened on")?;
    let redirect = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
    let program = program(server.token_endpoint.clone())
        .set_auth_uri(server.authorization_endpoint.clone())
        .set_redirect_uri(RedirectUrl::new(redirect)?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state) = program
        .authorize_url(|| CsrfToken::new_random_len(32))
        .add_scopes(scopes())
        .set_pkce_challenge(challenge)
        .add_extra_param("resource", &server.resource)
        .url();
    eprintln!("open this in a browser to sign in:\n\n  {url}\n");
    if user::has_screen() {
        open(url.as_str());
    }
    let expected = Expected { state: state.into_secret(), issuer: server.issuer.clone() };
    let came = timeout(PATIENCE, wait(listener, Arc::new(expected)));
    let came = came.await.context("nobody signed in for ten minutes")??;
    let code = match came {
        Ok(code) => AuthorizationCode::new(code),
        Err(why) => bail!("the sign-in was refused: {}", shown(&why)),
    };
    let request = program.exchange_code(code).set_pkce_verifier(verifier);
    let request = request.add_extra_param("resource", &server.resource);
    request.request_async(web).await.map_err(refused)
}

/// Has the desktop open a page; the person can do it themselves where that fails.
fn open(url: &str) {
    let mut command = std::process::Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        tracing::debug!(%error, "no browser was opened");
    }
}

/// What tells our own answer from any other.
struct Expected {
    state: String,
    issuer: String,
}

/// Waits for the browser to come back.
async fn wait(listener: TcpListener, expected: Arc<Expected>) -> anyhow::Result<Came> {
    let (sender, mut came) = mpsc::channel(1);
    // Ends with this function, and lets the page be sent before.
    let mut connections = JoinSet::new();
    let found = loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let (expected, sender) = (Arc::clone(&expected), sender.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let came = expected.read(&request);
                    let sender = sender.clone();
                    async move {
                        let response = page(came.as_ref());
                        if let Some(came) = came {
                            // A second answer to the same request changes nothing.
                            let _ = sender.try_send(came);
                        }
                        Ok::<_, Infallible>(response)
                    }
                });
                connections.spawn(async move {
                    let mut server = http1::Builder::new();
                    let served = server.keep_alive(false).serve_connection(TokioIo::new(stream), service);
                    let _ = served.await;
                });
            }
            Some(found) = came.recv() => break found,
        }
    };
    let last = async { while connections.join_next().await.is_some() {} };
    // A browser that does not read its page does not hold up the sign-in.
    let _ = timeout(Duration::from_secs(2), last).await;
    Ok(found)
}

impl Expected {
    /// What a request says, if it is the browser coming back.
    fn read(&self, request: &Request<Incoming>) -> Option<Came> {
        (request.uri().path() == "/callback").then_some(())?;
        self.answer(request.uri().query().unwrap_or_default())
    }

    fn answer(&self, query: &str) -> Option<Came> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let one = |name: &str| {
            let mut found = pairs.iter().filter(|(known, _)| known == name);
            let first = found.next().map(|(_, value)| value.as_ref());
            first.filter(|_| found.next().is_none())
        };
        if one("state") != Some(&self.state) || one("iss") != Some(&self.issuer) {
            return None;
        }
        match (one("code"), one("error")) {
            (Some(code), None) => Some(Ok(code.to_owned())),
            (None, Some(error)) => {
                let words = one("error_description").unwrap_or(error);
                Some(Err(words.to_owned()))
            }
            _ => None,
        }
    }
}

/// What the browser shows.
fn page(came: Option<&Came>) -> Response<Full<Bytes>> {
    let (status, words) = match came {
        Some(Ok(_)) => (StatusCode::OK, "You are signed in. This page can be closed.\n"),
        Some(Err(_)) => (StatusCode::OK, "The sign-in was refused. This page can be closed.\n"),
        None => (StatusCode::NOT_FOUND, "There is nothing here.\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_answer_from_the_right_issuer_is_taken() {
        let expected = Expected { state: "s".into(), issuer: "http://127.0.0.1:1".into() };
        let iss = "iss=http%3A%2F%2F127.0.0.1%3A1";
        for (query, answer) in [
            (format!("code=c%2B1&state=s&{iss}"), Some(Ok("c+1"))),
            (format!("error=access_denied&state=s&{iss}"), Some(Err("access_denied"))),
            (
                format!("error=access_denied&error_description=not+you&state=s&{iss}"),
                Some(Err("not you")),
            ),
            (format!("code=c&state=t&{iss}"), None),
            (format!("code=c&{iss}"), None),
            ("code=c&state=s".to_owned(), None),
            ("code=c&state=s&iss=http%3A%2F%2Fevil".to_owned(), None),
            (format!("code=c&code=d&state=s&{iss}"), None),
            (format!("code=c&error=e&state=s&{iss}"), None),
            (format!("state=s&{iss}"), None),
            (format!("code=c&state=s&state=s&{iss}"), None),
            (String::new(), None),
        ] {
            let answer = answer.map(|it| it.map(str::to_owned).map_err(str::to_owned));
            assert_eq!(expected.answer(&query), answer, "{query}");
        }
    }
}
