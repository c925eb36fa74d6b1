//! The figures of plugins in OpenMetrics text. Only versions that ran have series, so their
//! number is bounded by what an administrator put to use.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet},
    metrics::MetricType,
};
use tidegate_model::{OrgId, PluginId};

use super::AllFigures;

/// Which plugin and version, and of which organisation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    org: String,
    plugin: String,
    version: String,
}

/// The same, and how a hook ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    org: String,
    plugin: String,
    version: String,
    end: &'static str,
}

/// Reads the figures whenever metrics are asked for.
#[derive(Debug)]
pub(crate) struct PluginMetrics(pub(crate) Arc<AllFigures>);

impl Collector for PluginMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.0.that_ran();
        if all.is_empty() {
            return Ok(());
        }
        let of = |org: &OrgId, plugin: &PluginId, version: &str| Of {
            org: org.to_string(),
            plugin: plugin.to_string(),
            version: version.to_owned(),
        };
        let help = "Hooks of plugins by how they ended";
        let mut hooks =
            encoder.encode_descriptor("plugin_hooks", help, None, MetricType::Counter)?;
        for (org, plugin, figures) in &all {
            for (end, count) in figures.ends() {
                let Of { org, plugin, version } = of(org, plugin, figures.hash());
                let labels = Ended { org, plugin, version, end };
                hooks.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let (name, help) = ("plugin_hook_duration_seconds", "Time of a hook, waiting included");
        let mut times = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (org, plugin, figures) in &all {
            let (sum, buckets) = figures.times();
            let count = buckets.iter().map(|(_, count)| count).sum();
            times
                .encode_family(&of(org, plugin, figures.hash()))?
                .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        let (name, help) = ("plugin_memory_bytes", "Most memory that one instance took");
        let mut memory = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (org, plugin, figures) in &all {
            let (bytes, _) = figures.used();
            memory.encode_family(&of(org, plugin, figures.hash()))?.encode_gauge(&bytes)?;
        }
        let (name, help) = ("plugin_guest_ticks", "Guest time in ticks of 5 ms");
        let mut ticks = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (org, plugin, figures) in &all {
            let (_, count) = figures.used();
            ticks
                .encode_family(&of(org, plugin, figures.hash()))?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }
}
