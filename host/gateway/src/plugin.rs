//! Plugin chains: which interceptors run around what, in which order, and what they cause.
//!
//! Chains are worked out per virtual MCP when a revision is made ([`chains`]). On the way in
//! the plugins run in order, on the way back in reverse ([`passage`]); what a plugin asks the
//! person is in [`ask`], what connectors ask in [`questions`], what lists show in [`viewed`].
//! What a failing plugin does to its operation is decided here (closed or open); what a guest
//! may do at all is `wasm`'s.

mod ask;
pub(crate) mod chains;
mod form;
mod passage;
pub(crate) mod questions;
pub(crate) mod viewed;

use std::{sync::Arc, time::Instant};

use tidegate_governance::audit::{PluginNote, Record};
use tidegate_model::{PluginId, Refusal, RefusalCode};
use tidegate_wasm::{Failure, Interceptor, Interface};

use crate::{
    call::refusal,
    config::plugin::{FailSetting, ModeSetting},
    figures::{Running, VersionFigures},
};
pub(crate) use chains::{Chain, Chains};
pub(crate) use passage::{Interception, Passage};

/// One interceptor where it is bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The plugin.
    pub(crate) plugin: PluginId,
    /// First bytes of the component's hash, in hexadecimal.
    pub(crate) hash: String,
    /// Whether its verdict has an effect.
    pub(crate) mode: ModeSetting,
    /// What happens when it fails.
    pub(crate) fail: FailSetting,
    /// The guest.
    pub(crate) interceptor: Arc<Interceptor>,
    /// Where its hooks are counted.
    pub(crate) figures: Arc<VersionFigures>,
    /// Counts what the guest used for as long as this lives.
    pub(crate) _running: Running,
}

/// A hook that was run: which one, and since when.
#[derive(Debug, Clone, Copy)]
struct Ran {
    hook: Interface,
    began: Instant,
}

impl Ran {
    fn begin(hook: Interface) -> Self {
        Self { hook, began: Instant::now() }
    }
}

impl Bound {
    /// Records how a hook ended and turns it into what is to happen: `None` where that is
    /// nothing, since it is only observed or failed and is bound to fail open. A call that is
    /// over ends, however a failure is bound to count.
    fn settle<T>(
        &self,
        ran: Ran,
        said: Result<T, Failure>,
        word: impl FnOnce(&T) -> &'static str,
        record: &mut Record,
    ) -> Result<Option<T>, Refusal> {
        let observed = self.mode == ModeSetting::Observe;
        let word = match &said {
            Ok(verdict) => word(verdict),
            Err(failure) => failure.name(),
        };
        let spent = ran.began.elapsed();
        self.figures.ended(word, spent);
        record.plugin(PluginNote {
            event: ran.hook.name().replace('-', "_"),
            hash: self.hash.clone(),
            micros: u32::try_from(spent.as_micros()).unwrap_or(u32::MAX),
            plugin: self.plugin.clone(),
            verdict: if observed { format!("observed:{word}") } else { word.to_owned() },
        });
        match said {
            _ if observed => Ok(None),
            Ok(verdict) => Ok(Some(verdict)),
            // The call is over, and that is no fault of the plugin's.
            Err(failure @ Failure::Deadline { .. }) => Err(refusal::deadline().with_cause(failure)),
            Err(failure @ Failure::Cancelled { .. }) => {
                Err(refusal::cancelled().with_cause(failure))
            }
            Err(failure) if self.fail == FailSetting::Open => {
                tracing::warn!(plugin = %self.plugin, error = %failure, "a plugin failed and is bound to fail open");
                Ok(None)
            }
            Err(failure) => Err(failed(self).with_cause(failure)),
        }
    }
}

fn refused(words: String) -> Refusal {
    Refusal::new(RefusalCode::PluginRefused, words)
}

fn failed(bound: &Bound) -> Refusal {
    let words = format!("the plugin `{}` failed, so the call was not let through", bound.plugin);
    Refusal::new(RefusalCode::PluginFailed, words).with_next("ask an administrator to look at it")
}
