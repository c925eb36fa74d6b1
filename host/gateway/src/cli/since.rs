//! `--since`: a moment, or how long ago.

use std::str::FromStr;

use tidegate_model::{Clock, SystemClock, Timestamp};

/// The earliest moment that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Since(Ago);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ago {
    Millis(u64),
    Moment(u64),
}

impl Since {
    /// As a moment.
    pub(super) fn moment(self) -> Timestamp {
        Timestamp::from_millis(match self.0 {
            Ago::Millis(ago) => SystemClock.now().as_millis().saturating_sub(ago),
            Ago::Moment(at) => at,
        })
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is no time: write `30m`, `12h`, `7d` or 2026-11-21T08:00:00Z");
        let unit = text.chars().next_back().ok_or_else(bad)?;
        let millis: Option<u64> = match unit {
            's' => Some(1_000),
            'm' => Some(60_000),
            'h' => Some(3_600_000),
            'd' => Some(86_400_000),
            'w' => Some(604_800_000),
            _ => None,
        };
        if let Some(millis) = millis {
            let count = text.strip_suffix(unit).and_then(|count| count.parse::<u64>().ok());
            let ago = count.and_then(|count| count.checked_mul(millis)).ok_or_else(bad)?;
            return Ok(Self(Ago::Millis(ago)));
        }
        let moment = text.parse::<jiff::Timestamp>().map_err(|_| bad())?;
        let at = u64::try_from(moment.as_millisecond()).map_err(|_| bad())?;
        Ok(Self(Ago::Moment(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_lengths_of_time_are_told_apart() {
        let since = |text: &str| text.parse::<Since>().map(|since| since.0);
        assert_eq!(since("90s"), Ok(Ago::Millis(90_000)));
        assert_eq!(since("2w"), Ok(Ago::Millis(1_209_600_000)));
        assert_eq!(since("2026-11-21T08:00:00Z"), Ok(Ago::Moment(1_795_248_000_000)));
        for bad in ["", "d", "-1d", "7", "7y", "1.5h", "99999999999999999999d", "yesterday", "é"] {
            assert!(since(bad).is_err(), "{bad}");
        }
        let now = SystemClock.now().as_millis();
        let moment = "1h".parse::<Since>().unwrap().moment().as_millis();
        assert!((now - 3_700_000..now).contains(&moment), "{moment} {now}");
    }
}
