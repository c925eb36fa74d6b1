//! The organisation's providers, as they describe themselves.
//!
//! Owns what is known of each: metadata and keys, fetched once for all who wait, kept for as
//! long as the provider says but no less than five minutes and no more than a day; keys are
//! fetched again, at most once in half a minute, when a token names one that is not there. A
//! failure is everybody's for five seconds.
//! Does not know who signs in.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::Timestamp;
use openidconnect::{
    AdditionalProviderMetadata, ClientId, DiscoveryError, EndSessionUrl, IdTokenVerifier,
    IssuerUrl, JsonWebKeySet, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType,
        CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
        CoreJwsSigningAlgorithm as Algorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use tidegate_model as model;

use super::{
    LoginRefused,
    provider::{Reach, ReachError},
};
use crate::{
    Ground, Settings,
    settings::{Preset, Provider},
};

/// The shortest and the longest time for which metadata and keys are kept.
const KEPT: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(86_400));
/// How long they are kept when the provider does not say.
const KEPT_UNSAID: Duration = Duration::from_secs(3_600);
/// How often keys are fetched at most because of a token that names an unknown one.
const REFETCH: Duration = Duration::from_secs(30);
/// How long nobody asks again after a failure, so that those who wait do not wait in turn.
const SPARED: Duration = Duration::from_secs(5);
/// The most providers remembered, over all changes of the settings.
const REMEMBERED: usize = 64;
/// Asymmetric signatures that can be checked. Never a shared secret, never none.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// Members of the metadata beyond OpenID Connect Discovery.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct More {
    /// Whether authorization responses carry `iss` (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
    /// Where people are signed out at the provider.
    #[serde(default)]
    pub(super) end_session_endpoint: Option<EndSessionUrl>,
}

impl AdditionalProviderMetadata for More {}

pub(super) type Metadata = ProviderMetadata<
    More,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// What is known of a provider.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) reach: Arc<Reach>,
    until: Timestamp,
    keys_fetched: Timestamp,
    /// When keys were last fetched because of a token, which is what is held to [`REFETCH`].
    refetched: Option<Timestamp>,
}

/// A provider that is asked by one at a time.
#[derive(Debug, Default)]
struct Slot {
    known: Mutex<Option<Arc<Known>>>,
    /// The last failure, and until when it counts.
    failed: Mutex<Option<(Timestamp, String)>>,
    asking: tokio::sync::Mutex<()>,
}

/// The providers of one organisation: signs people in and out with them.
#[derive(Debug)]
pub struct Providers {
    pub(super) ground: Ground,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Providers {
    /// None of them has been asked yet.
    pub fn new(ground: Ground) -> Self {
        Self { ground, slots: Mutex::default() }
    }

    /// A provider that may be used.
    pub(super) fn usable<'s>(
        &self,
        settings: &'s Settings,
        name: &str,
    ) -> Result<&'s Provider, LoginRefused> {
        let found = settings.usable_providers().find(|(usable, _)| *usable == name);
        let shown = || name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
        found.map(|(_, provider)| provider).ok_or_else(|| LoginRefused::NoProvider(shown()))
    }

    /// What is known of a provider, asked for if it is too old.
    pub(super) async fn known(
        &self,
        name: &str,
        provider: &Provider,
    ) -> Result<Arc<Known>, LoginRefused> {
        let slot = self.slot(provider);
        if let Some(known) = slot.fresh(self.ground.clock.now()) {
            return Ok(known);
        }
        let _turn = slot.asking.lock().await;
        if let Some(known) = slot.fresh(self.ground.clock.now()) {
            return Ok(known);
        }
        if let Some(why) = slot.spared(self.ground.clock.now()) {
            return Err(LoginRefused::Unavailable { provider: name.to_owned(), why });
        }
        match self.discover(provider).await {
            Ok(known) => Ok(slot.keep(known)),
            Err(why) => {
                slot.fail(self.ground.clock.now().after(SPARED), why.clone());
                Err(LoginRefused::unavailable(name, why))
            }
        }
    }

    /// The same with keys fetched anew, unless that was done or tried less than half a minute
    /// ago. The fetch of metadata and keys together does not count: keys may change right after it.
    pub(super) async fn with_new_keys(
        &self,
        name: &str,
        provider: &Provider,
        old: &Arc<Known>,
    ) -> Result<Arc<Known>, LoginRefused> {
        let slot = self.slot(provider);
        let _turn = slot.asking.lock().await;
        let now = self.ground.clock.now();
        let known = slot.fresh(now).unwrap_or_else(|| Arc::clone(old));
        let is_spared = known.refetched.is_some_and(|at| at.after(REFETCH) > now);
        if known.keys_fetched > old.keys_fetched || is_spared {
            return Ok(known);
        }
        let fetched = JsonWebKeySet::fetch_async(known.metadata.jwks_uri(), &*known.reach).await;
        let (keys, keys_fetched, failure) = match fetched {
            Ok(keys) => (keys, now, None),
            // A failure counts like any fetch: nobody makes the gateway knock again and again.
            Err(error) => (known.metadata.jwks().clone(), known.keys_fetched, Some(error)),
        };
        let metadata = known.metadata.clone().set_jwks(keys);
        let (reach, until) = (Arc::clone(&known.reach), known.until);
        let kept = slot.keep(Known { metadata, reach, until, keys_fetched, refetched: Some(now) });
        match failure {
            None => Ok(kept),
            Some(error) => {
                let why = format_args!("its keys: {}", sentence(error)).to_string();
                Err(LoginRefused::unavailable(name, why))
            }
        }
    }

    async fn discover(&self, provider: &Provider) -> Result<Known, String> {
        let reach = Reach::new(Arc::clone(&self.ground.egress), provider)
            .map_err(|error| error.to_string())?;
        let issuer = IssuerUrl::new(provider.issuer.clone()).map_err(|error| error.to_string())?;
        let metadata = Metadata::discover_async(issuer, &reach).await.map_err(sentence)?;
        endpoints(&metadata, &reach).map_err(|error| error.to_string())?;
        if metadata.token_endpoint().is_none() {
            return Err("its metadata name no token endpoint".into());
        }
        if algorithms(&metadata).next().is_none() {
            return Err("it signs with no algorithm that can be checked".into());
        }
        let kept = reach.max_age().map_or(KEPT_UNSAID, |age| age.clamp(KEPT.0, KEPT.1));
        let now = self.ground.clock.now();
        let (reach, until) = (Arc::new(reach), now.after(kept));
        Ok(Known { metadata, reach, until, keys_fetched: now, refetched: None })
    }

    /// Where a provider is remembered: by all that decides how it is reached.
    fn slot(&self, provider: &Provider) -> Arc<Slot> {
        let graph = match &provider.preset {
            Preset::Google { .. } => "google",
            Preset::Entra { graph, .. } => graph,
            Preset::Okta | Preset::Oidc => "",
        };
        let (addresses, hosts) = (&provider.addresses, &provider.endpoint_hosts);
        let place = format!("{:?} {graph:?} {addresses:?} {hosts:?}", provider.issuer);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REMEMBERED && !slots.contains_key(&place) {
            slots.clear();
        }
        Arc::clone(slots.entry(place).or_default())
    }
}

impl Slot {
    fn fresh(&self, now: Timestamp) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| now < known.until).cloned()
    }

    fn spared(&self, now: Timestamp) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(until, _)| now < *until).map(|(_, why)| why.clone())
    }

    fn fail(&self, until: Timestamp, why: String) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, why));
    }

    fn keep(&self, known: Known) -> Arc<Known> {
        let known = Arc::new(known);
        let mut kept = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::clone(&known));
        known
    }
}

impl Known {
    /// What checks ID tokens for `client`: issuer, audience, signature, and nothing of time yet.
    pub(super) fn verifier(&self, client: &str) -> IdTokenVerifier<'static, CoreJsonWebKey> {
        let issuer = self.metadata.issuer().clone();
        let keys = self.metadata.jwks().clone();
        IdTokenVerifier::new_public_client(ClientId::new(client.to_owned()), issuer, keys)
            .set_allowed_algs(algorithms(&self.metadata))
    }
}

/// The signatures that are taken from a provider: those it names that can be checked.
pub(super) fn algorithms(metadata: &Metadata) -> impl Iterator<Item = Algorithm> {
    let named = metadata.id_token_signing_alg_values_supported().clone();
    ALGORITHMS.into_iter().filter(move |algorithm| named.contains(algorithm))
}

fn endpoints(metadata: &Metadata, reach: &Reach) -> Result<(), ReachError> {
    let more = metadata.additional_metadata();
    let named = [
        Some(metadata.authorization_endpoint().as_str()),
        metadata.token_endpoint().map(|url| url.as_str()),
        metadata.userinfo_endpoint().map(|url| url.as_str()),
        more.end_session_endpoint.as_ref().map(|url| url.as_str()),
        Some(metadata.jwks_uri().as_str()),
    ];
    named.into_iter().flatten().try_for_each(|url| reach.check(url))
}

/// What went wrong, without a word of what the provider sent.
fn sentence(error: DiscoveryError<ReachError>) -> String {
    match error {
        DiscoveryError::Request(error) => error.to_string(),
        DiscoveryError::Response(status, ..) if status != http::StatusCode::OK => {
            format!("it answered with status {}", status.as_u16())
        }
        DiscoveryError::Response(..) => "its answer is no JSON".into(),
        DiscoveryError::Parse(_) => "its answer is not what OpenID Connect asks for".into(),
        DiscoveryError::Validation(_) => "its metadata are those of another issuer".into(),
        _ => "its metadata cannot be asked for".into(),
    }
}
