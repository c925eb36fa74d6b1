//! Tokens for codes, refresh tokens and clients' own proofs; and their revocation.
//!
//! The requests and answers are the crate `oauth2`'s; who is asked, as whom and for what is
//! said here. Knows no vault.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, header};
use oauth2::url::form_urlencoded::{Serializer, byte_serialize};
use oauth2::{
    AccessToken, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, RevocationErrorResponseType, Scope, StandardErrorResponse,
    StandardRevocableToken, StandardTokenIntrospectionResponse, StandardTokenResponse,
    TokenResponse, TokenUrl,
    basic::{BasicErrorResponse, BasicTokenType},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroizing;

use super::{
    discovery::{Server, cut},
    reach::{Reach, ReachError},
    registration::{Client, Proves},
};

/// Members of an answer that OpenID Connect adds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Extra {
    #[serde(default)]
    id_token: Option<IdToken>,
}

/// Not printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct IdToken(String);

impl std::fmt::Debug for IdToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl ExtraTokenFields for Extra {}

type Answer = StandardTokenResponse<Extra, BasicTokenType>;
type Bare = oauth2::Client<
    BasicErrorResponse,
    Answer,
    StandardTokenIntrospectionResponse<Extra, BasicTokenType>,
    StandardRevocableToken,
    StandardErrorResponse<RevocationErrorResponseType>,
>;

/// What a server has issued.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
    pub(crate) lives: Option<Duration>,
    /// What was granted; `None` where the server says nothing, which means what was asked for.
    pub(crate) scopes: Option<Vec<String>>,
    /// The account, as the server names it.
    pub(crate) account: Option<String>,
}

/// Why nothing was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    /// The grant is no good any more: somebody has to agree anew.
    #[error("the authorization server says `{0}`")]
    Dead(String),
    /// The server does not know the client any more.
    #[error("the authorization server says `{0}` of the gateway's registration")]
    Client(String),
    /// It may work again later.
    #[error("{0}")]
    Later(String),
}

/// Who is asked, as whom, for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) reach: &'a Reach,
    pub(crate) server: &'a Server,
    pub(crate) client: &'a Client,
    pub(crate) resource: &'a str,
}

/// Where a person is sent, and what has to be known when they come back.
pub(crate) struct Sent {
    pub(crate) url: String,
    pub(crate) state: String,
    pub(crate) verifier: PkceCodeVerifier,
}

impl Asking<'_> {
    fn bare(&self) -> Bare {
        let client = Bare::new(ClientId::new(self.client.id.clone()));
        let client = match &self.client.secret {
            Some(secret) if self.client.proves != Proves::Nothing => {
                client.set_client_secret(ClientSecret::new(secret.clone()))
            }
            _ => client,
        };
        client.set_auth_type(match self.client.proves {
            Proves::Basic => AuthType::BasicAuth,
            Proves::Nothing | Proves::Post => AuthType::RequestBody,
        })
    }

    fn token_url(&self) -> Result<TokenUrl, GrantError> {
        TokenUrl::new(self.server.token_endpoint.clone()).map_err(no_url)
    }

    /// Where a person agrees to `scopes`.
    pub(crate) fn send(&self, redirect_uri: &str, scopes: &[String]) -> Result<Sent, GrantError> {
        let url = AuthUrl::new(self.server.authorization_endpoint.clone()).map_err(no_url)?;
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(no_url)?;
        let client = self.bare().set_auth_uri(url).set_redirect_uri(redirect);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = scopes.iter().map(|scope| Scope::new(scope.clone()));
        let (url, state) = client
            .authorize_url(CsrfToken::new_random)
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .add_extra_param("resource", self.resource)
            .url();
        Ok(Sent { url: url.into(), state: state.secret().clone(), verifier })
    }

    /// For a code.
    pub(crate) async fn redeem(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<Issued, GrantError> {
        let redirect = RedirectUrl::new(redirect_uri.to_owned()).map_err(no_url)?;
        let client = self.bare().set_token_uri(self.token_url()?).set_redirect_uri(redirect);
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.to_owned()))
            .add_extra_param("resource", self.resource)
            .request_async(self.reach)
            .await;
        issued(answer)
    }

    /// For a refresh token.
    pub(crate) async fn refresh(&self, refresh: &str) -> Result<Issued, GrantError> {
        let client = self.bare().set_token_uri(self.token_url()?);
        let refresh = RefreshToken::new(refresh.to_owned());
        let asking = client.exchange_refresh_token(&refresh);
        let asking = asking.add_extra_param("resource", self.resource);
        issued(asking.request_async(self.reach).await)
    }

    /// Has a token work no more (RFC 7009); nothing is done where the server cannot be told.
    /// Ours, since the crate asks no server on loopback.
    pub(crate) async fn revoke(&self, token: &str, hint: &str) -> Result<(), GrantError> {
        let Some(url) = &self.server.revocation_endpoint else { return Ok(()) };
        let reply = self.reach.exchange(self.revocation(url, token, hint)?).await;
        let reply = reply.map_err(|error| GrantError::Later(cut(&error.to_string())))?;
        match reply.status().is_success() {
            true => Ok(()),
            false => Err(GrantError::Later(format!("HTTP status {}", reply.status().as_u16()))),
        }
    }

    fn revocation(
        &self,
        url: &str,
        token: &str,
        hint: &str,
    ) -> Result<oauth2::HttpRequest, GrantError> {
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token).append_pair("token_type_hint", hint);
        let secret = self.client.secret.as_deref().unwrap_or_default();
        match self.client.proves {
            Proves::Nothing => {
                form.append_pair("client_id", &self.client.id);
            }
            Proves::Post => {
                form.append_pair("client_id", &self.client.id).append_pair("client_secret", secret);
            }
            Proves::Basic => {}
        }
        let mut request = http::Request::new(form.finish().into_bytes());
        *request.uri_mut() = url.parse().map_err(no_url)?;
        *request.method_mut() = http::Method::POST;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.client.proves == Proves::Basic {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Zeroizing::new(format!("{}:{}", encoded(&self.client.id), encoded(secret)));
            let value = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
            let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(value));
            request.headers_mut().insert(header::AUTHORIZATION, value.map_err(no_url)?);
        }
        Ok(request)
    }
}

fn no_url(error: impl std::fmt::Display) -> GrantError {
    GrantError::Later(format!("an endpoint of the authorization server is no URL: {error}"))
}

fn issued(
    answer: Result<Answer, RequestTokenError<ReachError, BasicErrorResponse>>,
) -> Result<Issued, GrantError> {
    let answer = answer.map_err(|error| refused(&error))?;
    if *answer.token_type() != BasicTokenType::Bearer {
        return Err(GrantError::Dead("a token that is no Bearer token".to_owned()));
    }
    let token = answer.access_token().secret();
    if token.is_empty() || token.len() > 12 << 10 || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(GrantError::Later("the token is none that a header can carry".to_owned()));
    }
    let scopes = answer.scopes().map(|all| all.iter().map(|scope| scope.to_string()).collect());
    let id_token = answer.extra_fields().id_token.as_ref();
    Ok(Issued {
        access: answer.access_token().clone(),
        refresh: answer.refresh_token().cloned(),
        lives: answer.expires_in(),
        scopes,
        account: id_token.and_then(|token| account(&token.0)),
    })
}

fn refused(error: &RequestTokenError<ReachError, BasicErrorResponse>) -> GrantError {
    use oauth2::basic::BasicErrorResponseType as Said;
    let RequestTokenError::ServerResponse(answer) = error else {
        return GrantError::Later(words(error));
    };
    match answer.error() {
        Said::InvalidGrant => GrantError::Dead(words(error)),
        Said::InvalidClient | Said::UnauthorizedClient => GrantError::Client(words(error)),
        Said::InvalidScope | Said::UnsupportedGrantType | Said::InvalidRequest => {
            GrantError::Dead(words(error))
        }
        Said::Extension(code) => match code.as_str() {
            "invalid_target"
            | "access_denied"
            | "interaction_required"
            | "login_required"
            | "consent_required" => GrantError::Dead(words(error)),
            _ => GrantError::Later(words(error)),
        },
    }
}

/// What is said of an error: the server's own code and description, never a body.
fn words<T>(error: &RequestTokenError<ReachError, StandardErrorResponse<T>>) -> String
where
    T: oauth2::ErrorResponseType + std::fmt::Display + 'static,
{
    match error {
        RequestTokenError::ServerResponse(answer) => {
            let about = answer.error_description().map(|about| format!(": {about}"));
            cut(&format!("{}{}", answer.error(), about.unwrap_or_default()))
        }
        RequestTokenError::Request(error) => cut(&error.to_string()),
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            "the authorization server's answer is none that OAuth knows".to_owned()
        }
    }
}

/// Whose account an ID token is about: a label for people, taken from an answer that came over
/// TLS from the server itself, and nothing that anything depends on.
fn account(id_token: &str) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    #[derive(Deserialize)]
    struct Claims {
        email: Option<String>,
        preferred_username: Option<String>,
        name: Option<String>,
    }
    let payload = id_token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let label = claims.email.or(claims.preferred_username).or(claims.name)?;
    let label: String = label.chars().filter(|c| !c.is_control()).take(100).collect();
    (!label.is_empty()).then_some(label)
}
