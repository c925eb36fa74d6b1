//! A sign-in with a provider: begun here, finished with what the browser brings back.
//!
//! OpenID Connect's authorization code flow with PKCE. Whatever has to be remembered in between
//! travels as `state`: sealed for this organisation and provider, bound to the browser's flow
//! cookie, good for ten minutes and once. So nothing is stored for somebody who has not signed
//! in. Knows no cookie's name and no page; makes no session.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Secret, Timestamp, UserId};
use openidconnect::{
    AuthenticationFlow, CsrfToken, Nonce, PkceCodeChallenge, PkceCodeVerifier, Scope,
    core::CoreResponseType,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tidegate_model as model;
use tidegate_store::Place;

use super::{
    LoginRefused, NewSession, Providers,
    claims::{self, Claims},
    discovery::Known,
    entra,
    exchange::{self, Exchanged, Sent},
};
use crate::{
    Settings,
    authorization::spent::spend,
    directory::Claimed,
    settings::{Preset, Provider},
};

/// How long a sign-in may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest text that may travel along.
const CARRIED: usize = 4 << 10;
/// The longest `state` and `code` that are looked at.
const ANSWER: usize = 12 << 10;
/// The most methods of authentication that are kept.
const METHODS: usize = 8;

/// A sign-in on its way.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes now: the provider.
    pub url: String,
}

/// Somebody whom a provider vouches for.
#[derive(Debug)]
pub struct Finished {
    /// Who it is, for the directory.
    pub claimed: Claimed,
    /// The provider's name for its own session, by which it may end ours.
    pub sid: Option<String>,
    /// When they proved who they are.
    pub auth_time: Timestamp,
    /// How they proved it (`amr`), in the provider's words.
    pub amr: Vec<String>,
    /// The ID token, which signing out at the provider asks for.
    pub id_token: Secret,
    /// What was given along when the sign-in was begun.
    pub carried: String,
}

impl Finished {
    /// The browser session of `user`, as whom the directory knows them.
    pub fn into_session(self, user: UserId) -> NewSession {
        NewSession {
            user,
            link: Some(self.claimed.link),
            sid: self.sid,
            auth_time: self.auth_time,
            amr: self.amr,
            id_token: Some(self.id_token),
        }
    }
}

/// What is remembered of a sign-in on its way.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// Names this sign-in, so that it is finished once.
    id: String,
    /// SHA-256 of the browser's flow cookie.
    browser: String,
    nonce: String,
    verifier: String,
    begun: Timestamp,
    carried: String,
}

impl Providers {
    /// Begins a sign-in with `provider` for the browser that holds the flow cookie `browser`,
    /// 256 random bits that nobody else knows. `carried` comes back when it is finished.
    pub async fn begin(
        &self,
        settings: &Settings,
        provider: &str,
        browser: &str,
        carried: &str,
    ) -> Result<Begun, LoginRefused> {
        let name = provider;
        let provider = self.usable(settings, name)?;
        if browser.is_empty() || carried.len() > CARRIED {
            return Err(LoginRefused::NotBegun);
        }
        let known = self.known(name, provider).await?;
        let verifier = PkceCodeVerifier::new(random()?);
        let nonce = random()?;
        let remembered = Remembered {
            id: random()?,
            browser: digest(browser),
            nonce: nonce.clone(),
            verifier: verifier.secret().clone(),
            begun: self.ground.clock.now(),
            carried: carried.to_owned(),
        };
        let state = self.seal(name, &remembered)?;
        let client = exchange::client(&self.ground.issuer, name, provider, &known)?;
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let scopes = provider.scopes.iter().filter(|scope| *scope != "openid");
        let request = client
            .authorize_url(flow, move || CsrfToken::new(state), move || Nonce::new(nonce))
            .add_scopes(scopes.map(|scope| Scope::new(scope.clone())))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let request = match &provider.preset {
            // Only a hint for its page: what counts is the claim.
            Preset::Google { hosted_domain: Some(domain) } => {
                request.add_extra_param("hd", domain.clone())
            }
            _ => request,
        };
        let (url, ..) = request.url();
        Ok(Begun { url: url.into() })
    }

    /// Finishes a sign-in with what came back to `/login/{provider}/callback`, in the browser
    /// that holds the flow cookie `browser`. The provider is asked nothing for an answer that
    /// belongs to no sign-in.
    pub async fn finish(
        &self,
        settings: &Settings,
        provider: &str,
        answer: &[(String, String)],
        browser: &str,
    ) -> Result<Finished, LoginRefused> {
        let name = provider;
        let provider = self.usable(settings, name)?;
        let answer = Answer::read(answer)?;
        let remembered = self.remembered(name, answer.state, browser)?;
        self.spend(name, &remembered).await?;
        let known = self.known(name, provider).await?;
        answer.check_issuer(&known)?;
        let code = answer.code()?;
        let sent = Sent { nonce: remembered.nonce, verifier: remembered.verifier };
        let exchanged = self.exchange((name, provider), &known, code, sent).await?;
        let groups = groups(provider, &known, &exchanged).await?;
        let claimed = claims::read(name, provider, &exchanged.claims, groups)?;
        let claims = &exchanged.claims;
        Ok(Finished {
            claimed,
            sid: plain(claims.get("sid")),
            auth_time: self.auth_time(claims),
            amr: methods(claims),
            id_token: exchanged.id_token,
            carried: remembered.carried,
        })
    }

    fn seal(&self, name: &str, remembered: &Remembered) -> Result<String, LoginRefused> {
        let plain = serde_json::to_vec(remembered).map_err(|_| LoginRefused::NotBegun)?;
        let keyring = self.ground.store.keyring();
        let sealed = keyring.seal(self.ground.issuer.org(), place(name), &plain)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// What is remembered of the sign-in that `state` names: one of this organisation, this
    /// provider and this browser, in time.
    fn remembered(
        &self,
        name: &str,
        state: &str,
        browser: &str,
    ) -> Result<Remembered, LoginRefused> {
        let not_begun = || LoginRefused::NotBegun;
        let sealed = URL_SAFE_NO_PAD.decode(state).map_err(|_| not_begun())?;
        let keyring = self.ground.store.keyring();
        let opened = keyring.open(self.ground.issuer.org(), place(name), &sealed);
        let plain = opened.map_err(|_| not_begun())?;
        let remembered: Remembered = serde_json::from_slice(&plain).map_err(|_| not_begun())?;
        let same = remembered.browser.as_bytes().ct_eq(digest(browser).as_bytes());
        let in_time = self.ground.clock.now() < remembered.begun.after(PATIENCE);
        if browser.is_empty() || !bool::from(same) || !in_time {
            return Err(not_begun());
        }
        Ok(remembered)
    }

    /// Notes that a sign-in was finished, whatever becomes of it.
    async fn spend(&self, name: &str, remembered: &Remembered) -> Result<(), LoginRefused> {
        let until = remembered.begun.after(PATIENCE);
        let first = spend(&self.ground, "sign-in", (name, &remembered.id), until).await?;
        first.then_some(()).ok_or(LoginRefused::Repeated)
    }

    /// When somebody proved who they are: what the provider says, but never later than now.
    fn auth_time(&self, claims: &Claims) -> Timestamp {
        let now = self.ground.clock.now();
        let said = claims.get("auth_time").and_then(Value::as_u64);
        said.map_or(now, |seconds| Timestamp::from_millis(seconds.saturating_mul(1_000)).min(now))
    }
}

/// The parameters that came back, each at most once.
struct Answer<'a> {
    state: &'a str,
    code: Option<&'a str>,
    error: Option<&'a str>,
    issuer: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn read(answer: &'a [(String, String)]) -> Result<Self, LoginRefused> {
        let one = |name: &str| {
            let mut found = answer.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
            let first = found.next().map(String::as_str);
            let sound = found.next().is_none() && first.is_none_or(|text| text.len() <= ANSWER);
            sound.then_some(first).ok_or(LoginRefused::NotBegun)
        };
        let state = one("state")?.ok_or(LoginRefused::NotBegun)?;
        Ok(Self { state, code: one("code")?, error: one("error")?, issuer: one("iss")? })
    }

    /// Refuses an answer of another provider (RFC 9207).
    fn check_issuer(&self, known: &Known) -> Result<(), LoginRefused> {
        let said = known.metadata.additional_metadata();
        let must = said.authorization_response_iss_parameter_supported;
        let holds = match self.issuer {
            Some(issuer) => issuer == known.metadata.issuer().as_str(),
            None => !must,
        };
        holds.then_some(()).ok_or(LoginRefused::Untrusted("it comes from another issuer"))
    }

    fn code(&self) -> Result<&'a str, LoginRefused> {
        match (self.error, self.code) {
            (Some(error), _) => Err(LoginRefused::Denied(plain_code(error))),
            (None, Some(code)) if !code.is_empty() => Ok(code),
            _ => Err(LoginRefused::Untrusted("it holds no code")),
        }
    }
}

/// Groups that do not come in the token.
async fn groups(
    provider: &Provider,
    known: &Known,
    exchanged: &Exchanged,
) -> Result<Option<Vec<String>>, LoginRefused> {
    match &provider.preset {
        Preset::Entra { graph, .. }
            if entra::is_over(&exchanged.claims, &provider.claims.groups) =>
        {
            let token = exchanged.access_token.expose();
            entra::groups(&known.reach, graph, token).await.map(Some)
        }
        _ => Ok(None),
    }
}

/// An error code of a provider, as far as it is one.
pub(super) fn plain_code(code: &str) -> String {
    let known = |c: &char| c.is_ascii_lowercase() || *c == '_';
    Some(code.chars().filter(known).take(64).collect::<String>())
        .filter(|code| !code.is_empty())
        .unwrap_or_else(|| "error".to_owned())
}

/// A short text without control characters.
pub(super) fn plain(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    (!text.is_empty() && text.len() <= 256 && !text.contains(char::is_control))
        .then(|| text.to_owned())
}

fn methods(claims: &Claims) -> Vec<String> {
    let named = claims.get("amr").and_then(Value::as_array);
    let is_sound =
        |method: &&str| method.len() <= 32 && method.bytes().all(|byte| byte.is_ascii_graphic());
    let methods = named.into_iter().flatten().filter_map(Value::as_str).filter(is_sound);
    methods.take(METHODS).map(str::to_owned).collect()
}

/// What a sign-in on its way is sealed for.
fn place(provider: &str) -> Place<'_> {
    Place { kind: "login", key: provider.as_bytes(), schema: 1, ..Place::default() }
}

/// 256 random bits, as text.
pub(super) fn random() -> Result<String, LoginRefused> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|_| LoginRefused::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}
