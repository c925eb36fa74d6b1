//! Signing in with another device: a code is shown here and typed there (RFC 8628).

use std::time::Duration;

use anyhow::Context;
use oauth2::{StandardDeviceAuthorizationResponse, basic::BasicTokenResponse};
use tokio::time::sleep;

use super::{
    super::{shown, web::Web},
    discovery::Server,
    program, refused, scopes,
};

/// The shortest and the longest time between two questions, whatever the gateway says.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest time for somebody to type the code.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Shows a code, and asks until somebody has answered.
pub(super) async fn sign_in(web: &Web, server: &Server) -> anyhow::Result<BasicTokenResponse> {
    let endpoint = server.device_authorization_endpoint.clone();
    let endpoint = endpoint.context("this gateway has no sign-in with another device")?;
    let program = program(server.token_endpoint.clone()).set_device_authorization_url(endpoint);
    let asked = program.exchange_device_code().add_scopes(scopes());
    let asked = asked.add_extra_param("resource", &server.resource);
    let codes: StandardDeviceAuthorizationResponse =
        asked.request_async(web).await.map_err(refused)?;
    eprintln!(
        "open {} on any device and type the code\n\n  {}\n",
        shown(codes.verification_uri()),
        shown(codes.user_code().secret())
    );
    let (shortest, longest) = INTERVAL;
    let asked = program.exchange_device_access_token(&codes);
    let asked = asked.add_extra_param("resource", &server.resource);
    let pause = |interval: Duration| sleep(interval.clamp(shortest, longest));
    let patience = codes.expires_in().min(PATIENCE);
    asked.request_async(web, pause, Some(patience)).await.map_err(refused)
}
