//! What a plugin said last, kept for whoever develops it.
//!
//! A ring per binding, beside the gateway's own log: bounded in lines and in bytes, in memory
//! only. Lines have numbers, so that a reader can go on where it stopped.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidegate_model::Timestamp;

const LINES: usize = 1_000;
const BYTES: usize = 256 << 10;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// For its developer.
    Debug,
    /// What happens.
    Info,
    /// What should not happen; also what was written to stderr.
    Warn,
    /// What went wrong.
    Error,
}

impl LogLevel {
    /// The spelling in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number, counted from 1 since the binding was made.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// The call that it was written for; none at start-up and when a catalogue is compiled.
    pub call: Option<String>,
    /// The text, without control characters.
    pub text: String,
}

impl Line {
    fn size(&self) -> usize {
        self.text.len() + self.call.as_ref().map_or(0, String::len)
    }
}

/// The last lines of one binding.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

impl Lines {
    /// Keeps a line; the oldest ones make room.
    pub(crate) fn push(&self, at: Timestamp, level: LogLevel, call: Option<&str>, text: String) {
        let mut kept = self.kept();
        kept.last += 1;
        let line = Line { number: kept.last, at, level, call: call.map(str::to_owned), text };
        kept.bytes += line.size();
        kept.lines.push_back(line);
        while kept.lines.len() > LINES || kept.bytes > BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes -= oldest.size();
        }
    }

    /// The kept lines whose number is above `since`, oldest first.
    pub(crate) fn since(&self, since: u64) -> Vec<Line> {
        let kept = self.kept();
        let from = kept.lines.partition_point(|line| line.number <= since);
        kept.lines.iter().skip(from).cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(lines: &Lines, text: String) {
        lines.push(Timestamp::from_millis(1), LogLevel::Info, Some("c"), text);
    }

    #[test]
    fn readers_go_on_where_they_stopped() {
        let lines = Lines::default();
        assert!(lines.since(0).is_empty());
        for number in 1..=3 {
            say(&lines, format!("line {number}"));
        }
        let texts = |since| -> Vec<(u64, String)> {
            lines.since(since).into_iter().map(|line| (line.number, line.text)).collect()
        };
        assert_eq!(texts(1), [(2, "line 2".to_owned()), (3, "line 3".to_owned())]);
        assert!(texts(3).is_empty() && texts(u64::MAX).is_empty());
    }

    #[test]
    fn lines_and_bytes_are_bounded() {
        let lines = Lines::default();
        for number in 0..LINES + 10 {
            say(&lines, number.to_string());
        }
        let kept = lines.since(0);
        assert_eq!((kept.len(), kept[0].number), (LINES, 11));

        for _ in 0..200 {
            say(&lines, "x".repeat(4 << 10));
        }
        let kept = lines.since(0);
        let bytes: usize = kept.iter().map(Line::size).sum();
        assert!(bytes <= BYTES && bytes > BYTES - (8 << 10), "{bytes}");
        assert_eq!(lines.kept().bytes, bytes);
        assert_eq!(kept.last().unwrap().number, (LINES + 210) as u64);
    }
}
