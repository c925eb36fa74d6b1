//! Calls that were under way when the process died: an intent on record and no outcome.
//!
//! They are closed as abandoned when the log is opened again, so that every intent has its
//! end. Whether the upstream carried such a call out is not known, and the row says so.

use std::{collections::HashSet, time::Duration};

use tidegate_model::{CallId, Timestamp};
use tidegate_store::log::{Log, LogError};

use super::{Phase, Row};

/// Rows that are read at a time, going back.
const STEP: u64 = 2_000;

/// The intents among the first `size` rows that have no outcome, oldest first. A call lasts
/// for `longest` at most, so older rows need not be looked at.
pub fn unfinished(log: &Log, size: u64, longest: Duration) -> Result<Vec<Row>, LogError> {
    let mut outcomes = HashSet::<CallId>::new();
    let mut intents: Vec<Row> = Vec::new();
    let mut end = size;
    let mut newest: Option<Timestamp> = None;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut reader = log.reader();
        reader.seek(start);
        let mut oldest: Option<Timestamp> = None;
        let mut here = Vec::new();
        while let Some(entry) = reader.next()? {
            if entry.seq >= end {
                break;
            }
            let Ok(row) = Row::from_bytes(&entry.bytes) else { continue };
            oldest = Some(oldest.map_or(row.ts, |known| known.min(row.ts)));
            newest = Some(newest.map_or(row.ts, |known| known.max(row.ts)));
            match row.phase {
                Phase::Outcome => {
                    outcomes.insert(row.id);
                }
                Phase::Intent => here.push(row),
            }
        }
        here.append(&mut intents);
        intents = here;
        end = start;
        // Twice as long, since rows carry the time at which their call began.
        let is_far =
            |oldest: Timestamp| newest.is_some_and(|newest| oldest.after(longest * 2) < newest);
        if oldest.is_some_and(is_far) {
            break;
        }
    }
    intents.retain(|row| !outcomes.contains(&row.id));
    Ok(intents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::OrgId;
    use tidegate_store::log::{LogKeys, LogOptions};

    fn row(millis: u64, call: u8, phase: Phase) -> Row {
        let at = Timestamp::from_millis(millis);
        let id = CallId::new(Timestamp::from_millis(0), [call; 10]);
        let mut row = Row::new(id, at, OrgId::default_org(), "tools/call");
        row.phase = phase;
        row
    }

    #[test]
    fn intents_without_an_outcome_are_found_as_far_back_as_a_call_can_last() {
        let dir = tempfile::tempdir().unwrap();
        let options = LogOptions::new(dir.path(), "test/log");
        let (log, _) = Log::open(options, &LogKeys { signing: [1; 32], tip: [2; 32] }).unwrap();
        let append = |row: Row| log.append(&row.to_bytes().unwrap()).unwrap();
        append(row(1_000, 1, Phase::Intent));
        append(row(1_000, 2, Phase::Intent));
        append(row(1_001, 1, Phase::Outcome));
        for _ in 0..STEP {
            append(row(1_002, 3, Phase::Outcome));
        }
        append(row(1_003, 4, Phase::Intent));
        append(row(1_003, 5, Phase::Intent));
        append(row(1_004, 4, Phase::Outcome));
        let size = log.size();
        append(row(1_005, 5, Phase::Outcome));

        let ids = |longest: u64, size: u64| {
            let found = unfinished(&log, size, Duration::from_millis(longest)).unwrap();
            found.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let id = |call: u8| CallId::new(Timestamp::from_millis(0), [call; 10]);
        assert_eq!(ids(60_000, size), [id(2), id(5)]);
        assert_eq!(ids(60_000, log.size()), [id(2)]);
        assert_eq!(ids(0, log.size()), []);
    }
}
