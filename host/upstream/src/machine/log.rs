//! What a machine says, as far back as it is kept.
//!
//! A bounded ring of lines, from which the values of the program's secrets were taken out.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tidegate_model::{Clock, Secret, SystemClock, Timestamp};

/// The most lines that are kept.
const LINES: usize = 1_000;
/// The most bytes that are kept.
const BYTES: usize = 256 * 1024;
/// The longest line.
const LONGEST: usize = 4_000;
/// Values shorter than this are no secrets worth the harm that taking them out would do.
const SHORTEST_SECRET: usize = 6;
/// What stands in place of a secret.
const MASK: &str = "[masked]";

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// The server, on its standard error.
    Server,
    /// What runs the server.
    Machine,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub voice: Voice,
    /// What; without control characters.
    pub text: String,
}

/// The last lines of one machine.
pub struct MachineLog {
    secrets: Vec<Secret>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    bytes: usize,
    dropped: u64,
}

impl MachineLog {
    /// Without a line; the values of `secrets` will stand in none.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let long = |secret: &&Secret| secret.expose().len() >= SHORTEST_SECRET;
        let mut secrets: Vec<_> = secrets.into_iter().filter(long).cloned().collect();
        // One that holds another goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self { secrets, kept: Mutex::default() }
    }

    /// The lines that are kept, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.kept().lines.iter().cloned().collect()
    }

    /// The lines that are not kept any more.
    pub fn dropped(&self) -> u64 {
        self.kept().dropped
    }

    /// The last line, which is often why it ended.
    pub fn last(&self) -> Option<String> {
        self.kept().lines.back().map(|line| line.text.clone())
    }

    /// Keeps a line, and hands it back as it is kept.
    pub(super) fn take(&self, voice: Voice, text: &str) -> String {
        let mut shown = text.to_owned();
        for secret in &self.secrets {
            if shown.contains(secret.expose()) {
                shown = shown.replace(secret.expose(), MASK);
            }
        }
        let mut clean = String::with_capacity(shown.len().min(LONGEST));
        for c in shown.trim_end().chars() {
            if clean.len() >= LONGEST {
                clean.push('…');
                break;
            }
            match c {
                '\t' => clean.push(' '),
                c if c.is_control() => clean.extend(c.escape_unicode()),
                c => clean.push(c),
            }
        }
        let mut kept = self.kept();
        kept.bytes += clean.len();
        kept.lines.push_back(LogLine { at: SystemClock.now(), voice, text: clean.clone() });
        while kept.lines.len() > LINES || kept.bytes > BYTES {
            let Some(oldest) = kept.lines.pop_front() else { break };
            kept.bytes = kept.bytes.saturating_sub(oldest.text.len());
            kept.dropped += 1;
        }
        clean
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for MachineLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MachineLog({} lines)", self.kept().lines.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stand_in_no_line() {
        let secrets = ["s3cret", "s3cret-and-more", "a"].map(|text| Secret::new(text.to_owned()));
        let log = MachineLog::new(&secrets);
        for (said, kept) in [
            ("token s3cret!", "token [masked]!"),
            ("s3cret-and-more s3cret", "[masked] [masked]"),
            ("a line with a short one", "a line with a short one"),
            ("red \u{1b}[31m\r\n", "red \\u{1b}[31m"),
        ] {
            assert_eq!(log.take(Voice::Server, said), kept);
        }
        assert_eq!(log.lines().len(), 4);
        assert!(!format!("{log:?}").contains("s3cret"));
    }

    #[test]
    fn a_flood_is_bounded() {
        let log = MachineLog::new([]);
        for number in 0..LINES + 10 {
            log.take(Voice::Server, &number.to_string());
        }
        assert_eq!((log.lines().len(), log.dropped()), (LINES, 10));
        let wide = "x".repeat(1 << 20);
        for _ in 0..100 {
            log.take(Voice::Machine, &wide);
        }
        let bytes: usize = log.lines().iter().map(|line| line.text.len()).sum();
        assert!(bytes <= BYTES && log.last().is_some_and(|line| line.len() < LONGEST + 8));
    }
}
