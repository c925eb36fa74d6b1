//! One session: its facts in memory, and what of them is on disk.
//!
//! Memory comes first: a fact counts for policies from the moment it is noted, also where the
//! store then fails, since facts are there to refuse. Whoever noted it learns only then whether
//! it is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tidegate_model::{Clock, Timestamp};
use tidegate_store::{Batch, Expect, Store, StoreError, Table};
use tidegate_wasm::capabilities::facts::{FACTS, Facts, FactsError, is_fact};
use tokio::sync::OnceCell;

use super::{IDLE, REFRESH, Who, row};

/// How often writing is tried. Another attempt is due only when another write of the same
/// session went through in between; there are at most so many facts, and a refresh.
const ATTEMPTS: usize = FACTS * 2;

/// The facts of one session. Whoever holds it sees what others add.
#[derive(Debug)]
pub(crate) struct SessionFacts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    who: Who,
    /// Set once the store was asked.
    is_read: OnceCell<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Sorted.
    facts: Arc<[String]>,
    /// When the session was used last.
    used: Timestamp,
    /// The use that was written down last.
    written: Timestamp,
    /// Grows with each change of the facts.
    change: u64,
    /// The last change that is on disk.
    saved: u64,
    /// The version of the row.
    version: Option<u64>,
}

impl SessionFacts {
    pub(super) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, who: Who) -> Self {
        Self { store, clock, who, is_read: OnceCell::new(), state: Mutex::default() }
    }

    /// All facts, as policies see them now; without any, nothing is allocated.
    pub(crate) fn held(&self) -> Arc<[String]> {
        self.current(&self.state())
    }

    /// Asks the store, unless that was done.
    pub(super) async fn read(&self) -> Result<(), FactsError> {
        let ask = || async {
            let key = row::key(&self.who);
            let found = self.store.get(Table::Session, &self.who.org, &key).await;
            let mut state = self.state();
            state.used = self.clock.now();
            if let Some(record) = found.map_err(|error| failed(&error))? {
                state.facts = row::read(&record.value).ok_or_else(unreadable)?.into();
                state.version = Some(record.version);
            }
            Ok(())
        };
        self.is_read.get_or_try_init(ask).await.map(drop)
    }

    /// The session is in use. What lapsed before is forgotten; now and then the use is written
    /// down, which nobody waits for.
    pub(super) async fn touch(self: &Arc<Self>) -> Result<(), FactsError> {
        let now = self.clock.now();
        let is_due = {
            let mut state = self.state();
            if is_over(&state, now) {
                None
            } else {
                state.used = state.used.max(now);
                let is_due = !state.facts.is_empty() && state.written.after(REFRESH) <= now;
                if is_due {
                    state.written = now;
                }
                Some(is_due)
            }
        };
        match is_due {
            None => self.settle(now).await?,
            Some(false) => {}
            Some(true) => {
                let session = Arc::clone(self);
                tokio::spawn(async move {
                    // Said in the log; the next use in a while tries again.
                    let _ = session.save().await;
                });
            }
        }
        Ok(())
    }

    /// Whether memory and disk say the same, and nothing has lapsed.
    pub(super) fn is_settled(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.change == state.saved && (state.facts.is_empty() || !is_over(&state, now))
    }

    /// Forgets what has lapsed, in memory first, and writes what is not on disk.
    pub(super) async fn settle(&self, now: Timestamp) -> Result<(), FactsError> {
        {
            let mut state = self.state();
            if is_over(&state, now) {
                state.used = now;
                if !state.facts.is_empty() {
                    state.facts = Arc::default();
                    state.change += 1;
                }
            }
            if state.change == state.saved {
                return Ok(());
            }
        }
        self.save().await
    }

    /// Whether there are no facts, and nobody used it for that long.
    pub(super) fn is_blank(&self, now: Timestamp, quiet: std::time::Duration) -> bool {
        let state = self.state();
        state.facts.is_empty() && state.change == state.saved && state.used.after(quiet) <= now
    }

    /// When it was used last, if all of it is on disk.
    pub(super) fn kept_since(&self) -> Option<Timestamp> {
        let state = self.state();
        (state.change == state.saved).then_some(state.used)
    }

    /// Writes what is in memory; done when everything that was there at the call is on disk.
    async fn save(&self) -> Result<(), FactsError> {
        for _ in 0..ATTEMPTS {
            let (op, change, used) = {
                let state = self.state();
                let expect = state.version.map_or(Expect::Absent, Expect::Version);
                let op = row::write(&self.who, &state.facts, state.used, expect);
                (op, state.change, state.used)
            };
            let is_there = matches!(op, tidegate_store::Op::Put(_));
            match self.store.commit(Batch::new().with(op)).await {
                Ok(done) => {
                    let mut state = self.state();
                    state.version = is_there.then_some(done.version);
                    state.saved = state.saved.max(change);
                    state.written = state.written.max(used);
                    return Ok(());
                }
                // Another write of this session was faster; what it wrote was in memory, too.
                Err(StoreError::Conflict { found, .. }) => self.state().version = found,
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(FactsError::Unavailable("they are changed by too many at once".to_owned()))
    }

    fn current(&self, state: &State) -> Arc<[String]> {
        let is_over = !state.facts.is_empty() && is_over(state, self.clock.now());
        if is_over { Arc::default() } else { Arc::clone(&state.facts) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts for SessionFacts {
    fn add<'a>(&'a self, fact: &'a str) -> BoxFuture<'a, Result<(), FactsError>> {
        Box::pin(async move {
            if !is_fact(fact) {
                return Err(FactsError::Malformed);
            }
            {
                let mut state = self.state();
                let facts = self.current(&state);
                match facts.binary_search_by(|known| known.as_str().cmp(fact)) {
                    Ok(_) if state.change == state.saved => return Ok(()),
                    // It is being written, or could not be.
                    Ok(_) => {}
                    Err(_) if facts.len() >= FACTS => return Err(FactsError::TooMany),
                    Err(place) => {
                        let mut more = facts.to_vec();
                        more.insert(place, fact.to_owned());
                        state.facts = more.into();
                        state.used = state.used.max(self.clock.now());
                        state.change += 1;
                    }
                }
            }
            self.save().await
        })
    }

    fn has(&self, fact: &str) -> bool {
        self.held().binary_search_by(|known| known.as_str().cmp(fact)).is_ok()
    }

    fn all(&self) -> Vec<String> {
        self.held().to_vec()
    }
}

fn is_over(state: &State, now: Timestamp) -> bool {
    state.used.after(IDLE) <= now
}

fn failed(error: &StoreError) -> FactsError {
    tracing::error!(%error, "the facts of a session cannot be kept or read");
    FactsError::Unavailable("the store failed; the gateway's log says how".to_owned())
}

fn unreadable() -> FactsError {
    let words = "what is stored cannot be read; was it written by a newer version?";
    FactsError::Unavailable(words.to_owned())
}
