//! Key sets that are fetched, and kept for a while.
//!
//! A token whose key is not known makes the set be fetched anew, but no set more than once in
//! 30 seconds, whoever asks and however often. All who wait for one fetch share it. While a
//! server is away, the keys last seen serve for a day at most.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidegate_model::{Clock, Timestamp};
use tidegate_wire::client::egress::{AddressPolicy, Egress};
use tokio::sync::OnceCell;

use super::{
    PublicKeys,
    keys::MAX_BYTES,
    verify::{Expected, Parts, TokenRefused, Verified},
};
use crate::authorization::fetch::{FetchRules, fetch};

/// No set is fetched twice within this time.
const PAUSE: Duration = Duration::from_secs(30);
/// How long keys serve that cannot be fetched anew.
const GRACE: Duration = Duration::from_secs(24 * 3_600);
/// For everything of one fetch.
const TIME: Duration = Duration::from_secs(5);
/// The most sets kept.
const MAX_SETS: usize = 256;

/// The key set at one URL.
#[derive(Debug)]
pub struct KeySet {
    url: String,
    allow: AddressPolicy,
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    round: Mutex<Option<Arc<Round>>>,
}

/// One fetch, and what it gave.
#[derive(Debug)]
struct Round {
    started: Timestamp,
    /// Keys of an earlier one, and when they were fetched.
    before: Option<(Arc<PublicKeys>, Timestamp)>,
    result: OnceCell<Got>,
}

#[derive(Debug, Clone)]
struct Got {
    keys: Result<(Arc<PublicKeys>, Timestamp), String>,
    /// When it is to be fetched anew.
    until: Timestamp,
}

/// What a new fetch is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Any keys that are not too old.
    Current,
    /// Keys newer than those of the last fetch.
    Newer,
}

impl KeySet {
    /// The set at `url`; nothing is fetched yet.
    pub fn new(
        egress: &Arc<Egress>,
        clock: &Arc<dyn Clock>,
        url: &str,
        allow: AddressPolicy,
    ) -> Arc<Self> {
        Arc::new(Self {
            url: url.to_owned(),
            allow,
            egress: Arc::clone(egress),
            clock: Arc::clone(clock),
            round: Mutex::default(),
        })
    }

    /// Judges a token by the keys in the set.
    pub async fn verify(
        &self,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<Verified, TokenRefused> {
        // What is wrong by its header alone costs no fetch.
        let parts = Parts::read(token, expected)?;
        let mut keys = self.keys(Want::Current).await?;
        if parts.is_unknown_to(&keys) {
            keys = self.keys(Want::Newer).await?;
        }
        parts.verify(&keys, expected, self.clock.now())
    }

    async fn keys(&self, want: Want) -> Result<Arc<PublicKeys>, TokenRefused> {
        let round = self.join(want);
        let got = round.result.get_or_init(|| self.fetch(&round)).await;
        got.keys.clone().map(|(keys, _)| keys).map_err(TokenRefused::Keys)
    }

    /// The fetch to wait for: the last one, or a new one where it is time.
    fn join(&self, want: Want) -> Arc<Round> {
        let now = self.clock.now();
        let mut last = self.round();
        if let Some(round) = &*last {
            let is_due = match (round.result.get(), want) {
                (None, _) => false,
                (Some(got), _) if got.until <= now => true,
                (Some(_), Want::Current) => false,
                (Some(_), Want::Newer) => round.started.after(PAUSE) <= now,
            };
            if !is_due {
                return Arc::clone(round);
            }
        }
        let got = last.as_ref().and_then(|round| round.result.get());
        let before = got.and_then(|got| got.keys.clone().ok());
        let round = Arc::new(Round { started: now, before, result: OnceCell::new() });
        *last = Some(Arc::clone(&round));
        round
    }

    async fn fetch(&self, round: &Round) -> Got {
        let rules = FetchRules { allow: self.allow.clone(), limit: MAX_BYTES, time: TIME };
        let read = match fetch(&self.egress, &self.url, &rules).await {
            Ok(got) => match PublicKeys::published(&got.body) {
                Ok(keys) => Ok((Arc::new(keys), got.keep)),
                Err(bad) => Err(bad.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        let now = self.clock.now();
        match read {
            Ok((keys, keep)) => Got { keys: Ok((keys, now)), until: now.after(keep) },
            Err(why) => {
                tracing::warn!(url = %self.url, %why, "a key set cannot be fetched");
                let kept = round.before.clone().filter(|(_, at)| now < at.after(GRACE));
                Got { keys: kept.ok_or(why), until: now.after(PAUSE) }
            }
        }
    }

    fn round(&self) -> MutexGuard<'_, Option<Arc<Round>>> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Key sets by URL, a bounded number of them.
#[derive(Debug, Default)]
pub struct KeySets(Mutex<HashMap<String, Arc<KeySet>>>);

impl KeySets {
    /// The set at `url`, the same one each time.
    pub fn at(
        &self,
        egress: &Arc<Egress>,
        clock: &Arc<dyn Clock>,
        url: &str,
        allow: AddressPolicy,
    ) -> Arc<KeySet> {
        let mut sets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.get(url)
            && set.allow == allow
        {
            return Arc::clone(set);
        }
        if sets.len() >= MAX_SETS && !sets.contains_key(url) {
            let oldest = sets.iter().min_by_key(|(_, set)| {
                set.round().as_ref().map(|round| round.started).unwrap_or_default()
            });
            let oldest = oldest.map(|(url, _)| url.clone());
            oldest.and_then(|url| sets.remove(&url));
        }
        let set = KeySet::new(egress, clock, url, allow);
        sets.insert(url.to_owned(), Arc::clone(&set));
        set
    }
}
