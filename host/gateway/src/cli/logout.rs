//! `tidegate logout`: gives up what a sign-in gave, there and here.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use tidegate_identity::authorization::client::COMMAND_LINE;

use super::{
    block_on,
    credentials::{Credentials, Saved},
    say,
    web::Web,
};

#[derive(Debug, Args)]
pub(super) struct Logout {
    /// The gateway, as `tidegate login` named it; the last one where nothing is said.
    url: Option<String>,
}

pub(super) fn run(logout: &Logout) -> anyhow::Result<ExitCode> {
    let mut credentials = Credentials::load()?;
    let found = credentials.of(logout.url.as_deref());
    let (issuer, saved) = found.context("nobody is signed in there")?;
    let revoked = block_on(revoke(&saved));
    // What cannot be given up there is forgotten here all the same.
    credentials.gateways.remove(&issuer);
    if credentials.current.as_ref() == Some(&issuer) {
        credentials.current = credentials.gateways.keys().next().cloned();
    }
    credentials.store()?;
    if let Err(error) = revoked {
        eprintln!("tidegate: the gateway could not be told ({error:#}); end the grant there");
        return Ok(ExitCode::FAILURE);
    }
    say(&format!("signed out at {issuer}"));
    Ok(ExitCode::SUCCESS)
}

async fn revoke(saved: &Saved) -> anyhow::Result<()> {
    let endpoint = saved.revocation_endpoint.as_deref();
    let endpoint = endpoint.context("it has no way to give tokens up")?;
    let (token, hint) = match &saved.refresh_token {
        Some(token) => (token, "refresh_token"),
        None => (&saved.access_token, "access_token"),
    };
    let fields =
        [("token", token.as_str()), ("token_type_hint", hint), ("client_id", COMMAND_LINE)];
    let answer = Web::new()?.form(endpoint, &fields).await?;
    if !answer.status.is_success() {
        bail!("it answered with HTTP status {}", answer.status);
    }
    Ok(())
}
