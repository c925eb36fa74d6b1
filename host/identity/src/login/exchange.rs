//! The code for a person: what is asked of a provider once the browser is back.
//!
//! Owns the token request, every check of an ID token and the userinfo request. Every claim
//! that leaves here has been verified. Knows no browser.

use std::time::Duration;

use chrono::{DateTime, Utc};
use model::{Secret, Timestamp};
use openidconnect::{
    AccessToken, AccessTokenHash, AdditionalClaims, AuthType, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdToken, IdTokenFields, IdTokenVerifier, Nonce,
    OAuth2TokenResponse, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, SubjectIdentifier,
    TokenResponse as _, UserInfoClaims, UserInfoError,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType,
        CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_model as model;

use super::{
    LoginRefused, Providers,
    claims::{self, Claims},
    discovery::Known,
    provider::ReachError,
};
use crate::{Issuer, settings::Provider};

/// How far the provider's clock and ours may differ.
pub(super) const SKEW: Duration = Duration::from_secs(60);
/// How old an ID token may be that answers a code.
const AGE: Duration = Duration::from_secs(600);
/// The longest access token that is used.
const ACCESS_TOKEN: usize = 16 << 10;

/// All claims beside those that OpenID Connect names.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Others {
    #[serde(flatten)]
    all: Claims,
}

impl AdditionalClaims for Others {}

pub(super) type ProviderIdToken =
    IdToken<Others, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;

type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

pub(super) type Client = openidconnect::Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the code was good for.
pub(super) struct Exchanged {
    /// Every claim, verified.
    pub(super) claims: Claims,
    /// For what else is to be asked in the person's name.
    pub(super) access_token: Secret,
    /// The ID token as it came.
    pub(super) id_token: Secret,
}

/// What was sent along when the sign-in was begun.
pub(super) struct Sent {
    pub(super) nonce: String,
    pub(super) verifier: String,
}

/// The gateway as a client of the provider.
pub(super) fn client(
    issuer: &Issuer,
    name: &str,
    provider: &Provider,
    known: &Known,
) -> Result<Client, LoginRefused> {
    let redirect = issuer.endpoint(&format!("/login/{name}/callback"));
    let redirect = RedirectUrl::new(redirect)
        .map_err(|_| LoginRefused::Untrusted("the way back has no address"))?;
    let secret = provider.client_secret.expose();
    let secret = (!secret.is_empty()).then(|| ClientSecret::new(secret.to_owned()));
    let id = ClientId::new(provider.client_id.clone());
    let methods = known.metadata.token_endpoint_auth_methods_supported();
    let basic = methods.is_none_or(|all| all.contains(&CoreClientAuthMethod::ClientSecretBasic));
    let method = if basic { AuthType::BasicAuth } else { AuthType::RequestBody };
    let client = Client::from_provider_metadata(known.metadata.clone(), id, secret);
    Ok(client.set_redirect_uri(redirect).set_auth_type(method))
}

impl Providers {
    /// Redeems a code. All that comes back is checked before it is believed.
    pub(super) async fn exchange(
        &self,
        (name, provider): (&str, &Provider),
        known: &std::sync::Arc<Known>,
        code: &str,
        sent: Sent,
    ) -> Result<Exchanged, LoginRefused> {
        let client = client(&self.ground.issuer, name, provider, known)?;
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|_| LoginRefused::Untrusted("it names no token endpoint"))?
            .set_pkce_verifier(PkceCodeVerifier::new(sent.verifier));
        let answer = request.request_async(&*known.reach).await;
        let answer = answer.map_err(|error| token_refused(name, error))?;
        let id_token = answer.id_token();
        let id_token = id_token.ok_or(LoginRefused::Untrusted("it gave no ID token"))?;
        let access_token = answer.access_token();
        // It will be a header's value.
        let is_sound = access_token.secret().bytes().all(|byte| byte.is_ascii_graphic())
            && access_token.secret().len() <= ACCESS_TOKEN;
        if *answer.token_type() != CoreTokenType::Bearer || !is_sound {
            return Err(LoginRefused::Untrusted("its access token is none"));
        }
        let nonce = Nonce::new(sent.nonce);
        let mut claims = match self.verified(provider, known, id_token, access_token, &nonce) {
            Err(Failed::NoKey) => {
                let known = self.with_new_keys(name, provider, known).await?;
                self.verified(provider, &known, id_token, access_token, &nonce)
            }
            other => other,
        }
        .map_err(LoginRefused::from)?;
        if claims::is_lacking(provider, &claims) && known.metadata.userinfo_endpoint().is_some() {
            self.ask_more((name, provider), known, &client, access_token, &mut claims).await?;
        }
        Ok(Exchanged {
            claims,
            access_token: Secret::new(access_token.secret().clone()),
            id_token: Secret::new(id_token.to_string()),
        })
    }

    /// The claims of an ID token, if it is one for this gateway, this sign-in and this moment.
    fn verified(
        &self,
        provider: &Provider,
        known: &Known,
        id_token: &ProviderIdToken,
        access_token: &AccessToken,
        nonce: &Nonce,
    ) -> Result<Claims, Failed> {
        let verifier = timed(known.verifier(&provider.client_id), self.ground.clock.now());
        let claims = id_token.claims(&verifier, nonce)?;
        if claims.authorized_party().is_some_and(|azp| **azp != provider.client_id) {
            return Err(Failed::Untrue("its ID token was made for another client"));
        }
        if let Some(expected) = claims.access_token_hash()
            && let Ok(algorithm) = id_token.signing_alg()
            && let Ok(key) = id_token.signing_key(&verifier)
            && AccessTokenHash::from_token(access_token, algorithm, key)
                .is_ok_and(|actual| actual != *expected)
        {
            return Err(Failed::Untrue("its ID token belongs to another access token"));
        }
        let Ok(Value::Object(claims)) = serde_json::to_value(claims) else {
            return Err(Failed::Untrue("its ID token cannot be read"));
        };
        let soon = self.ground.clock.now().after(SKEW);
        let is_good = |from: f64| Timestamp::from_millis((from * 1_000.0) as u64) <= soon;
        if !claims.get("nbf").is_none_or(|from| from.as_f64().is_some_and(is_good)) {
            return Err(Failed::Untrue("its ID token is not good yet"));
        }
        Ok(claims)
    }

    /// Fills in from userinfo what the settings ask for and the ID token does not say.
    async fn ask_more(
        &self,
        (name, provider): (&str, &Provider),
        known: &Known,
        client: &Client,
        access_token: &AccessToken,
        claims: &mut Claims,
    ) -> Result<(), LoginRefused> {
        let unread = LoginRefused::Untrusted("what it says of you cannot be read");
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let subject = SubjectIdentifier::new(subject.to_owned());
        let Ok(request) = client.user_info(access_token.clone(), Some(subject)) else {
            return Err(unread);
        };
        let answer: Result<UserInfoClaims<Others, CoreGenderClaim>, _> =
            request.request_async(&*known.reach).await;
        let more = answer.map_err(|error| match error {
            UserInfoError::Request(why) => LoginRefused::unavailable(name, why),
            UserInfoError::ClaimsVerification(_) => {
                LoginRefused::Untrusted("what it says of you is of somebody else")
            }
            _ => LoginRefused::Untrusted("what it says of you cannot be read"),
        })?;
        let Ok(Value::Object(more)) = serde_json::to_value(more) else { return Err(unread) };
        claims::fill(provider, claims, &more);
        Ok(())
    }
}

/// Why an ID token is not believed.
enum Failed {
    /// It is signed with a key that is not known.
    NoKey,
    /// It is not for us, not for now, or not what it says.
    Untrue(&'static str),
}

impl From<ClaimsVerificationError> for Failed {
    fn from(error: ClaimsVerificationError) -> Self {
        use ClaimsVerificationError as Error;
        match error {
            Error::SignatureVerification(SignatureVerificationError::NoMatchingKey) => Self::NoKey,
            Error::SignatureVerification(_) => {
                Self::Untrue("its ID token has no signature that holds")
            }
            Error::Expired(_) => Self::Untrue("its ID token is not of now: compare the clocks"),
            Error::InvalidAudience(_) => Self::Untrue("its ID token was made for another client"),
            Error::InvalidIssuer(_) => Self::Untrue("its ID token was made by another issuer"),
            Error::InvalidNonce(_) => Self::Untrue("its ID token belongs to another sign-in"),
            _ => Self::Untrue("its ID token cannot be read"),
        }
    }
}

impl From<Failed> for LoginRefused {
    fn from(failed: Failed) -> Self {
        Self::Untrusted(match failed {
            Failed::NoKey => "its ID token is signed with an unknown key",
            Failed::Untrue(why) => why,
        })
    }
}

/// The verifier, told the time: what ended a minute ago still counts, what begins in a minute
/// counts already.
fn timed(
    verifier: IdTokenVerifier<'static, CoreJsonWebKey>,
    now: Timestamp,
) -> IdTokenVerifier<'static, CoreJsonWebKey> {
    let early = date(Timestamp::from_millis(before(now, SKEW)));
    let (oldest, newest) =
        (date(Timestamp::from_millis(before(now, AGE + SKEW))), date(now.after(SKEW)));
    verifier.set_time_fn(move || early).set_issue_time_verifier_fn(move |issued| {
        if issued < oldest || issued > newest { Err("not of now".into()) } else { Ok(()) }
    })
}

fn before(now: Timestamp, by: Duration) -> u64 {
    now.as_millis().saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX))
}

/// The moment as the verifier's library has it; one beyond its reach is its last.
fn date(at: Timestamp) -> DateTime<Utc> {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

type TokenError = RequestTokenError<ReachError, StandardErrorResponse<CoreErrorResponseType>>;

fn token_refused(name: &str, error: TokenError) -> LoginRefused {
    match error {
        RequestTokenError::Request(why) => LoginRefused::unavailable(name, why),
        RequestTokenError::ServerResponse(answer) => {
            let code = answer.error().as_ref();
            tracing::warn!(provider = name, code = %super::flow::plain_code(code), "a sign-in provider does not take its own code");
            LoginRefused::Denied(super::flow::plain_code(code))
        }
        _ => LoginRefused::Untrusted("its answer to the code cannot be read"),
    }
}
