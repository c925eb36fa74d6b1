//! `tidegate login`: signing in to a gateway as a person, for the commands that follow.
//!
//! Everything is found by following links from the URL of the gateway. The browser comes back
//! to a port of this machine (RFC 8252), or another device is used (RFC 8628).

mod browser;
mod device;
mod discovery;

use std::{fmt::Display, process::ExitCode};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use oauth2::{
    ClientId, EndpointNotSet, EndpointSet, ErrorResponse, RefreshToken, RequestTokenError, Scope,
    TokenResponse, TokenUrl,
    basic::{BasicClient, BasicTokenResponse, BasicTokenType},
};
use tidegate_identity::authorization::client::COMMAND_LINE;
use tidegate_model::{Clock, SystemClock};

use super::{
    block_on,
    credentials::{Credentials, Saved},
    say, shown,
    web::{Unanswered, Web},
};
use discovery::Server;

/// Where a gateway listens when nobody has said anything.
pub(super) const DEFAULT: &str = "http://127.0.0.1:8787";
/// What is asked for: the admin API, and to stay signed in.
const SCOPES: [&str; 2] = ["admin", "offline_access"];

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The gateway, with /o/NAME behind it for another organisation than `default`.
    #[arg(default_value = DEFAULT)]
    url: String,
    /// Show a code to type on another device instead of opening a browser here.
    #[arg(long)]
    device: bool,
}

/// The command line as a client of some token endpoint.
type Program =
    BasicClient<EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>;

pub(super) fn run(login: &Login) -> anyhow::Result<ExitCode> {
    block_on(async {
        let web = Web::new()?;
        let server = discovery::find(&web, &login.url).await?;
        let reply = if login.device {
            device::sign_in(&web, &server).await?
        } else {
            browser::sign_in(&web, &server).await?
        };
        keep(&server, &reply)?;
        say(&format!("signed in at {}", server.issuer));
        Ok(ExitCode::SUCCESS)
    })
}

fn keep(server: &Server, reply: &BasicTokenResponse) -> anyhow::Result<()> {
    let mut credentials = Credentials::load()?;
    let saved = Saved {
        resource: server.resource.clone(),
        token_endpoint: server.token_endpoint.to_string(),
        revocation_endpoint: server.revocation_endpoint.clone(),
        expires: 0,
        access_token: String::new(),
        refresh_token: None,
    };
    credentials.gateways.insert(server.issuer.clone(), with(saved, reply)?);
    credentials.current = Some(server.issuer.clone());
    credentials.store()
}

/// The tokens of an answer in the place of those before.
fn with(saved: Saved, reply: &BasicTokenResponse) -> anyhow::Result<Saved> {
    if *reply.token_type() != BasicTokenType::Bearer {
        bail!("the gateway gives a token of an unknown type");
    }
    let lasts = reply.expires_in().unwrap_or_default().as_millis();
    let lasts = u64::try_from(lasts).unwrap_or(u64::MAX);
    Ok(Saved {
        access_token: reply.access_token().secret().clone(),
        refresh_token: reply.refresh_token().map(|it| it.secret().clone()).or(saved.refresh_token),
        expires: SystemClock.now().as_millis().saturating_add(lasts),
        ..saved
    })
}

/// A new access token for a refresh token, kept for the next command.
pub(super) async fn refresh(web: &Web, issuer: &str, saved: &Saved) -> anyhow::Result<Saved> {
    let again = || format!("the sign-in at {issuer} has ended; run `tidegate login {issuer}`");
    let token = saved.refresh_token.clone().map(RefreshToken::new).with_context(again)?;
    let program = program(TokenUrl::new(saved.token_endpoint.clone()).with_context(again)?);
    let request = program.exchange_refresh_token(&token);
    let request = request.add_extra_param("resource", &saved.resource);
    let reply = request.request_async(web).await.map_err(refused).with_context(again)?;
    let new = with(saved.clone(), &reply)?;
    let mut credentials = Credentials::load()?;
    credentials.gateways.insert(issuer.to_owned(), new.clone());
    credentials.store()?;
    Ok(new)
}

fn program(endpoint: TokenUrl) -> Program {
    BasicClient::new(ClientId::new(COMMAND_LINE.to_owned())).set_token_uri(endpoint)
}

fn scopes() -> impl Iterator<Item = Scope> {
    SCOPES.into_iter().map(|scope| Scope::new(scope.to_owned()))
}

/// Why there are no tokens. What a server says is shown, not obeyed: no control characters
/// reach the terminal.
fn refused<T>(error: RequestTokenError<Unanswered, T>) -> anyhow::Error
where
    T: ErrorResponse + Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(refusal) => {
            anyhow!("the sign-in was refused: {}", shown(&refusal.to_string()))
        }
        RequestTokenError::Request(Unanswered(error)) => error,
        RequestTokenError::Parse(error, _) => anyhow!(
            "the gateway's answer cannot be read ({}); are both of the same version?",
            shown(&error.to_string())
        ),
        RequestTokenError::Other(words) => anyhow!("the gateway gives no token: {}", shown(&words)),
    }
}
