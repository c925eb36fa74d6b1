//! What plugins did, by organisation, plugin and version: kept across revisions, told to people
//! and metrics.
//!
//! A version is the component's hash, so a plugin that is rolled back goes on counting where
//! it stopped. What a guest used is the sandbox's to count; it is asked for here, and folded
//! in when a binding ends.

mod metrics;
mod version;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidegate_model::{OrgId, PluginId};

pub(crate) use metrics::PluginMetrics;
pub(crate) use version::{Running, VersionFigures};

/// Versions of one plugin that are remembered; those that run always are.
const VERSIONS: usize = 8;

/// The figures of one version, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// First bytes of the component's hash, in hexadecimal.
    pub(crate) version: String,
    /// Whether it is bound now.
    pub(crate) bound: bool,
    /// Hooks that ended.
    pub(crate) calls: u64,
    /// How they ended: verdicts, traps and failures by name.
    pub(crate) ended: BTreeMap<String, u64>,
    /// Mean time of a hook with its waiting, in microseconds.
    pub(crate) mean_micros: u64,
    /// Longest time of a hook, in microseconds.
    pub(crate) max_micros: u64,
    /// Most memory that one instance took, in bytes.
    pub(crate) memory_high_water: u64,
    /// Guest time, in ticks of 5 ms or part of one.
    pub(crate) ticks: u64,
}

/// All figures of one organisation.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    plugins: Mutex<BTreeMap<PluginId, Vec<Arc<VersionFigures>>>>,
}

/// All figures of the process. They are the organisations' own, and go with them.
#[derive(Debug, Default)]
pub(crate) struct AllFigures(Mutex<BTreeMap<OrgId, Weak<Figures>>>);

impl AllFigures {
    /// The figures of an organisation, from zero where nobody has them any more.
    pub(crate) fn of(&self, org: &OrgId) -> Arc<Figures> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, figures| figures.strong_count() > 0);
        if let Some(known) = all.get(org).and_then(Weak::upgrade) {
            return known;
        }
        let made = Arc::new(Figures::default());
        all.insert(org.clone(), Arc::downgrade(&made));
        made
    }

    /// Every version that ran, with its organisation and plugin.
    fn that_ran(&self) -> Vec<(OrgId, PluginId, Arc<VersionFigures>)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let live: Vec<(OrgId, Arc<Figures>)> =
            all.iter().filter_map(|(org, of)| Some((org.clone(), of.upgrade()?))).collect();
        drop(all);
        let of = |(org, figures): (OrgId, Arc<Figures>)| {
            let ran = figures.that_ran().into_iter();
            ran.map(move |(plugin, version)| (org.clone(), plugin, version))
        };
        live.into_iter().flat_map(of).collect()
    }
}

impl Figures {
    /// The figures of a version, where `hash` begins its component's hash.
    pub(crate) fn of(&self, plugin: &PluginId, hash: &str) -> Arc<VersionFigures> {
        let mut plugins = self.plugins();
        let versions = plugins.entry(plugin.clone()).or_default();
        if let Some(known) = versions.iter().find(|version| version.hash() == hash) {
            return Arc::clone(known);
        }
        if versions.len() >= VERSIONS
            && let Some(oldest) = versions.iter().position(|version| !version.is_bound())
        {
            versions.remove(oldest);
        }
        let made = Arc::new(VersionFigures::new(hash));
        versions.push(Arc::clone(&made));
        made
    }

    /// The readings of a plugin, the oldest version first.
    pub(crate) fn readings(&self, plugin: &PluginId) -> Vec<Reading> {
        let versions = self.plugins().get(plugin).cloned().unwrap_or_default();
        versions.iter().map(|version| version.read()).collect()
    }

    /// Every version that ran.
    fn that_ran(&self) -> Vec<(PluginId, Arc<VersionFigures>)> {
        let plugins = self.plugins();
        let all = plugins.iter().flat_map(|(plugin, versions)| {
            versions.iter().map(|version| (plugin.clone(), Arc::clone(version)))
        });
        all.filter(|(_, version)| version.calls() > 0).collect()
    }

    fn plugins(&self) -> MutexGuard<'_, BTreeMap<PluginId, Vec<Arc<VersionFigures>>>> {
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole microseconds, as far as they can be counted.
fn micros(spent: Duration) -> u64 {
    u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin() -> PluginId {
        PluginId::new("redact").unwrap()
    }

    #[test]
    fn a_version_goes_on_where_it_stopped() {
        let figures = Figures::default();
        figures.of(&plugin(), "aa").ended("proceed", Duration::from_micros(10));
        figures.of(&plugin(), "bb").ended("refuse", Duration::from_micros(10));
        let again = figures.of(&plugin(), "aa");
        again.ended("proceed", Duration::from_micros(30));
        again.ended("out_of_time", Duration::from_micros(50));
        let [aa, bb] = figures.readings(&plugin()).try_into().unwrap();
        assert_eq!(
            (aa.version.as_str(), aa.calls, aa.mean_micros, aa.max_micros),
            ("aa", 3, 30, 50)
        );
        let ended = [("out_of_time".to_owned(), 1), ("proceed".to_owned(), 2)];
        assert_eq!(aa.ended, BTreeMap::from(ended));
        assert_eq!((bb.calls, bb.bound), (1, false));
        assert!(figures.readings(&PluginId::new("other").unwrap()).is_empty());
    }

    #[test]
    fn plugins_of_one_name_are_counted_by_organisation() {
        let all = AllFigures::default();
        let (a, b) = (OrgId::new("a").unwrap(), OrgId::new("b").unwrap());
        let (of_a, of_b) = (all.of(&a), all.of(&b));
        of_a.of(&plugin(), "aa").ended("proceed", Duration::from_micros(10));
        assert!(of_b.readings(&plugin()).is_empty());
        assert_eq!(all.of(&a).readings(&plugin())[0].calls, 1, "the same as long as they live");
        let ran = |all: &AllFigures| -> Vec<String> {
            all.that_ran().into_iter().map(|(org, ..)| org.to_string()).collect()
        };
        assert_eq!(ran(&all), ["a"]);
        of_b.of(&plugin(), "aa").ended("refuse", Duration::from_micros(10));
        assert_eq!(ran(&all), ["a", "b"]);
        drop(of_a);
        assert_eq!(ran(&all), ["b"], "they go with their organisation");
    }

    #[test]
    fn versions_are_remembered_up_to_a_bound() {
        let figures = Figures::default();
        let first = figures.of(&plugin(), "0");
        let running = first.running(Box::new(Default::default));
        for version in 1..=20 {
            figures.of(&plugin(), &version.to_string());
        }
        let hashes = |figures: &Figures| -> Vec<String> {
            figures.readings(&plugin()).into_iter().map(|reading| reading.version).collect()
        };
        assert_eq!(hashes(&figures), ["0", "14", "15", "16", "17", "18", "19", "20"]);
        drop(running);
        figures.of(&plugin(), "21");
        assert_eq!(hashes(&figures)[0], "14");
    }
}
