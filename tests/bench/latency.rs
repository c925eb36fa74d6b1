//! Latencies of one run, kept whole and sorted once.
//!
//! Owns quantiles. Nanoseconds inside, microseconds outside.

use std::time::Duration;

/// The latencies of calls that succeeded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    /// Room for `calls` latencies, so that recording does not allocate.
    pub(crate) fn with_capacity(calls: usize) -> Self {
        Self(Vec::with_capacity(calls))
    }

    /// Adds one.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The latency in microseconds below which the share `quantile` (0 to 1) of all lies;
    /// 0 where nothing was recorded.
    pub(crate) fn quantile_us(&mut self, quantile: f64) -> f64 {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let rank = (last as f64 * quantile).round() as usize;
        self.0.get(rank).map_or(0.0, |&nanos| nanos as f64 / 1_000.0)
    }
}
