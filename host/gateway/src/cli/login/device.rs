//! Signing in with another device: a code is shown here and typed there (RFC 8628).

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tidegate_identity::authorization::client::COMMAND_LINE;
use tokio::time::{Instant, sleep};

use super::{
    super::{shown, web::Web},
    Refusal, Reply, SCOPE,
    discovery::Server,
    tokens,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// How much longer to wait after a question that came too early (section 3.5).
const LONGER: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Codes {
    device_code: String,
    user_code: String,
    verification_uri: String,
    expires_in: u64,
    #[serde(default = "five")]
    interval: u64,
}

fn five() -> u64 {
    5
}

/// Shows a code, and asks until somebody has answered.
pub(super) async fn sign_in(web: &Web, server: &Server) -> anyhow::Result<Reply> {
    let endpoint = server.device_authorization_endpoint.as_deref();
    let endpoint = endpoint.context("this gateway has no sign-in with another device")?;
    let fields = [("client_id", COMMAND_LINE), ("scope", SCOPE), ("resource", &server.resource)];
    let answer = web.form(endpoint, &fields).await?;
    if !answer.status.is_success() {
        bail!("the gateway gives no code: {}", Refusal::of(&answer).words());
    }
    let codes: Codes = answer.json()?;
    eprintln!(
        "open {} on any device and type the code\n\n  {}\n",
        shown(&codes.verification_uri),
        shown(&codes.user_code)
    );
    let mut interval = Duration::from_secs(codes.interval.clamp(1, 60));
    let end = Instant::now() + Duration::from_secs(codes.expires_in.min(3_600));
    let fields = [
        ("grant_type", GRANT),
        ("device_code", &codes.device_code),
        ("client_id", COMMAND_LINE),
        ("resource", &server.resource),
    ];
    while Instant::now() < end {
        sleep(interval).await;
        let answer = web.form(&server.token_endpoint, &fields).await?;
        if answer.status.is_success() {
            return tokens(&answer);
        }
        let refusal = Refusal::of(&answer);
        match refusal.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval += LONGER,
            _ => bail!("the sign-in was refused: {}", refusal.words()),
        }
    }
    bail!("nobody typed the code in time")
}
