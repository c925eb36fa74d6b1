//! `tidegate login`: signing in to a gateway as a person, for the commands that follow.
//!
//! Everything is found by following links from the URL of the gateway. The browser comes back
//! to a port of this machine (RFC 8252), or another device is used (RFC 8628).

mod browser;
mod device;
mod discovery;

use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use serde::Deserialize;
use tidegate_identity::authorization::client::COMMAND_LINE;
use tidegate_model::{Clock, SystemClock};

use super::{
    block_on,
    credentials::{Credentials, Saved},
    say,
    web::{Answer, Web},
};
use discovery::Server;

/// Where a gateway listens when nobody has said anything.
pub(super) const DEFAULT: &str = "http://127.0.0.1:8787";
/// What is asked for: the admin API, and to stay signed in.
const SCOPE: &str = "admin offline_access";

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The gateway, with /o/NAME behind it for another organisation than `default`.
    #[arg(default_value = DEFAULT)]
    url: String,
    /// Show a code to type on another device instead of opening a browser here.
    #[arg(long)]
    device: bool,
}

/// What a token endpoint answers with.
#[derive(Deserialize)]
struct Reply {
    access_token: String,
    token_type: String,
    #[serde(default)]
    expires_in: u64,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// How it refuses (RFC 6749 section 5.2).
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl Refusal {
    fn of(answer: &Answer) -> Self {
        serde_json::from_slice(&answer.body).unwrap_or_else(|_| Self {
            error: format!("HTTP status {}", answer.status),
            error_description: None,
        })
    }

    fn words(&self) -> String {
        // What a server says is shown, not obeyed: no control characters reach the terminal.
        let text = self.error_description.as_deref().unwrap_or(&self.error);
        super::shown(text)
    }
}

pub(super) fn run(login: &Login) -> anyhow::Result<ExitCode> {
    block_on(async {
        let web = Web::new()?;
        let server = discovery::find(&web, &login.url).await?;
        let reply = if login.device {
            device::sign_in(&web, &server).await?
        } else {
            browser::sign_in(&web, &server).await?
        };
        keep(&server, reply)?;
        say(&format!("signed in at {}", server.issuer));
        Ok(ExitCode::SUCCESS)
    })
}

fn keep(server: &Server, reply: Reply) -> anyhow::Result<()> {
    let mut credentials = Credentials::load()?;
    let saved = Saved {
        resource: server.resource.clone(),
        token_endpoint: server.token_endpoint.clone(),
        revocation_endpoint: server.revocation_endpoint.clone(),
        expires: end(reply.expires_in),
        access_token: reply.access_token,
        refresh_token: reply.refresh_token,
    };
    credentials.gateways.insert(server.issuer.clone(), saved);
    credentials.current = Some(server.issuer.clone());
    credentials.store()
}

/// When a token ends that is good for so many seconds from now.
fn end(seconds: u64) -> u64 {
    SystemClock.now().as_millis().saturating_add(seconds.saturating_mul(1_000))
}

/// A new access token for a refresh token, kept for the next command.
pub(super) async fn refresh(web: &Web, issuer: &str, saved: &Saved) -> anyhow::Result<Saved> {
    let again = || format!("the sign-in at {issuer} has ended; run `tidegate login {issuer}`");
    let token = saved.refresh_token.as_deref().with_context(again)?;
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token),
        ("client_id", COMMAND_LINE),
        ("resource", &saved.resource),
    ];
    let reply = tokens(&web.form(&saved.token_endpoint, &fields).await?).with_context(again)?;
    let new = Saved {
        access_token: reply.access_token,
        refresh_token: reply.refresh_token.or_else(|| saved.refresh_token.clone()),
        expires: end(reply.expires_in),
        ..saved.clone()
    };
    let mut credentials = Credentials::load()?;
    credentials.gateways.insert(issuer.to_owned(), new.clone());
    credentials.store()?;
    Ok(new)
}

/// The tokens in an answer, or why there are none.
fn tokens(answer: &Answer) -> anyhow::Result<Reply> {
    if !answer.status.is_success() {
        bail!("the gateway gives no token: {}", Refusal::of(answer).words());
    }
    let reply: Reply = answer.json()?;
    if !reply.token_type.eq_ignore_ascii_case("bearer") {
        bail!("the gateway gives a token of an unknown type");
    }
    Ok(reply)
}

/// 256 random bits as text.
fn random() -> anyhow::Result<String> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(bytes.as_mut_slice()).context("the system has no randomness")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}
