//! The figures of one run: the table for people, `summary.json` for machines.
//!
//! Owns the targets and how a person reads the figures. The names in the summary are a
//! contract: they do not change.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Result;

/// Figures by name; the unit is the last part of the name.
#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<String, f64>);

/// Bounds one figure computed from the run.
enum Bound {
    Below(f64),
    AtLeast(f64),
}

impl Report {
    /// Adds a figure.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), (value * 10.0).round() / 10.0);
    }

    /// Writes all of them as one flat object.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(&self.0)?;
        text.push('\n');
        fs::write(path, text)?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }

    /// Prints the table, the other figures and the targets.
    pub(crate) fn print(&self) {
        self.print_table();
        println!();
        for (name, value) in &self.0 {
            println!("  {name:<26} {value:>12.1}");
        }
        self.print_targets();
    }

    /// A figure of this run.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// What the whole pipeline adds to a kind of call.
    fn added(&self, what: &str) -> Option<f64> {
        difference(
            self.get(&format!("full_process_{what}_p50_us")),
            self.get(&format!("direct_{what}_p50_us")),
        )
    }

    fn print_table(&self) {
        println!(
            "\n{:<14} {:>9} {:>9} {:>9} {:>7} {:>10} {:>10} {:>7}",
            "", "p50 µs", "p99 µs", "added", "ratio", "16 rps", "64 rps", "share"
        );
        let direct = self.get("direct_p50_us");
        let direct_rate = self.get("direct_c16_rps");
        for name in ["direct", "auth", "cedar", "plugins1", "plugins3", "full_process", "full_disk"]
        {
            let p50 = self.get(&format!("{name}_p50_us"));
            if p50.is_none() {
                continue;
            }
            let rate = self.get(&format!("{name}_c16_rps"));
            println!(
                "{name:<14} {:>9} {:>9} {:>9} {:>7} {:>10} {:>10} {:>7}",
                cell(p50, 1),
                cell(self.get(&format!("{name}_p99_us")), 1),
                cell(difference(p50, direct), 1),
                cell(ratio(p50, direct), 2),
                cell(rate, 0),
                cell(self.get(&format!("{name}_c64_rps")), 0),
                cell(ratio(rate, direct_rate), 2),
            );
        }
    }

    fn print_targets(&self) {
        println!();
        for (what, value, bound) in self.targets() {
            let Some(value) = value else { continue };
            let (met, sign, limit) = match bound {
                Bound::Below(limit) => (value < limit, "<", limit),
                Bound::AtLeast(limit) => (value >= limit, ">=", limit),
            };
            let verdict = if met { "met   " } else { "MISSED" };
            println!("  {verdict}  {what}: {value:.1} {sign} {limit:.1}");
        }
    }

    fn targets(&self) -> Vec<(&'static str, Option<f64>, Bound)> {
        let added = |name: &str, quantile: &str| {
            let direct = self.get(&format!("direct_{quantile}_us"));
            difference(self.get(&format!("{name}_{quantile}_us")), direct)
        };
        // What the disk setting adds is told by the same set-up with the other setting.
        let of_disk = |name: &str| difference(self.get(name), self.get("full_process_p50_us"));
        let flush = self.get("fdatasync_p50_us").unwrap_or_default();
        let half = self.get("full_process_c64_rps").unwrap_or_default() / 2.0;
        vec![
            (
                "everything, process audit: added p50 µs",
                added("full_process", "p50"),
                Bound::Below(250.0),
            ),
            (
                "everything, process audit: added p99 µs",
                added("full_process", "p99"),
                Bound::Below(1_000.0),
            ),
            (
                "everything, process audit: rps at 16",
                self.get("full_process_c16_rps"),
                Bound::AtLeast(9_000.0),
            ),
            ("authentication alone: rps at 16", self.get("auth_c16_rps"), Bound::AtLeast(18_000.0)),
            (
                "disk audit over process audit, reading tool: p50 µs",
                of_disk("full_disk_p50_us"),
                Bound::Below(flush * 1.5),
            ),
            (
                "disk audit over process audit, writing tool: p50 µs",
                of_disk("full_disk_write_p50_us"),
                Bound::Below(flush * 2.5),
            ),
            (
                "disk audit: rps at 64, half of process",
                self.get("full_disk_c64_rps"),
                Bound::AtLeast(half),
            ),
            (
                "one interceptor call, fresh instance µs",
                self.get("plugin_fresh_p50_us"),
                Bound::Below(15.0),
            ),
            ("the same with 10 KB µs", self.get("plugin_10kb_p50_us"), Bound::Below(30.0)),
            ("a hook that is not there ns", self.get("plugin_absent_ns"), Bound::Below(100.0)),
            (
                "a guest that never ends, ended late by ms",
                self.get("plugin_loop_late_p99_ms"),
                Bound::Below(20.0),
            ),
            (
                "p99 beside 8 such plugins over p99 alone",
                self.get("plugin_spinners_p99_ratio"),
                Bound::Below(1.5),
            ),
            ("JavaScript, fresh µs", self.get("plugin_js_fresh_p50_us"), Bound::Below(1_000.0)),
            ("JavaScript, spare µs", self.get("plugin_js_spare_p50_us"), Bound::Below(150.0)),
            ("JavaScript, from the cache ms", self.get("plugin_js_cached_ms"), Bound::Below(50.0)),
            ("Python, fresh µs", self.get("plugin_python_fresh_p50_us"), Bound::Below(2_000.0)),
            ("Python, spare µs", self.get("plugin_python_spare_p50_us"), Bound::Below(150.0)),
            (
                "Cedar decision at 1,000 policies µs",
                self.get("cedar_1000_p50_us"),
                Bound::Below(30.0),
            ),
            ("tools/list of 1,000 tools µs", self.get("list_1000_p50_us"), Bound::Below(3_000.0)),
            ("added to a 1 MiB result µs", self.added("1mib"), Bound::Below(3_000.0)),
            ("added per relayed event µs", self.get("sse_added_per_event_us"), Bound::Below(20.0)),
            ("tools/list of 84 KB µs", self.get("list_84kb_p50_us"), Bound::Below(610.0)),
            (
                "added by the bridge to a stdio call, p50 µs",
                self.get("bridge_added_p50_us"),
                Bound::Below(200.0),
            ),
            ("bytes per idle session", self.get("session_idle_bytes"), Bound::Below(10_240.0)),
            ("judging an access token µs", self.get("identity_token_p50_us"), Bound::Below(20.0)),
            ("sign-ins per second", self.get("identity_sign_ins_per_s"), Bound::AtLeast(200.0)),
            (
                "the same among many grants",
                self.get("identity_full_sign_ins_per_s"),
                Bound::AtLeast(200.0),
            ),
            (
                "from revoking to being refused ms",
                self.get("identity_revoked_ms"),
                Bound::Below(1_000.0),
            ),
            ("resident memory idle MiB", self.get("rss_idle_mib"), Bound::Below(45.0)),
            ("resident memory under load MiB", self.get("rss_load_mib"), Bound::Below(70.0)),
            ("ready with a warm cache ms", self.get("ready_warm_ms"), Bound::Below(300.0)),
        ]
    }
}

fn difference(value: Option<f64>, from: Option<f64>) -> Option<f64> {
    Some(value? - from?)
}

fn ratio(value: Option<f64>, to: Option<f64>) -> Option<f64> {
    let to = to?;
    (to > 0.0).then_some(value? / to)
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
