//! Which tokens were seen already.
//!
//! Tokens of one minter are numbered, so that a window of bits stands for all that can still
//! be good: memory has a bound that no traffic moves, and what falls behind the window is
//! refused like what was seen.

use std::collections::HashMap;

use tidegate_model::Timestamp;

/// How far a number may lag behind the highest of its minter.
const WINDOW: u64 = 1 << 16;
/// The most minters whose tokens can be good at one time.
const ORIGINS: usize = 64;

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was taken before, or is so far behind that nobody knows.
    Before,
    /// There are too many minters at once to remember another.
    Crowded,
}

/// The numbers seen; 8 KiB for each minter of the last two minutes.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<Box<str>, Window>);

#[derive(Debug)]
struct Window {
    highest: u64,
    bits: Box<[u64]>,
    /// When the last token that was taken cannot be good any more.
    until: Timestamp,
}

impl Numbers {
    /// Takes a token, once. `until` is when it cannot be good any more.
    pub(super) fn take(
        &mut self,
        origin: &str,
        number: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Seen> {
        if let Some(window) = self.0.get_mut(origin) {
            window.until = window.until.max(until);
            return if window.take(number) { Ok(()) } else { Err(Seen::Before) };
        }
        if self.0.len() >= ORIGINS {
            self.0.retain(|_, window| window.until >= now);
        }
        if self.0.len() >= ORIGINS {
            return Err(Seen::Crowded);
        }
        let bits = vec![0; usize::try_from(WINDOW / 64).unwrap_or_default()].into();
        let mut window = Window { highest: number, bits, until };
        window.set(number);
        self.0.insert(origin.into(), window);
        Ok(())
    }
}

impl Window {
    fn take(&mut self, number: u64) -> bool {
        if number > self.highest {
            if number - self.highest >= WINDOW {
                self.bits.fill(0);
            } else {
                for skipped in self.highest + 1..=number {
                    self.clear(skipped);
                }
            }
            self.highest = number;
        } else if self.highest - number >= WINDOW || self.has(number) {
            return false;
        }
        self.set(number);
        true
    }

    fn has(&mut self, number: u64) -> bool {
        self.word(number).is_none_or(|(word, bit)| *word & bit != 0)
    }

    fn set(&mut self, number: u64) {
        if let Some((word, bit)) = self.word(number) {
            *word |= bit;
        }
    }

    fn clear(&mut self, number: u64) {
        if let Some((word, bit)) = self.word(number) {
            *word &= !bit;
        }
    }

    fn word(&mut self, number: u64) -> Option<(&mut u64, u64)> {
        let at = usize::try_from(number % WINDOW / 64).ok()?;
        Some((self.bits.get_mut(at)?, 1 << (number % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_wherever_it_comes_in_the_window() {
        let at = Timestamp::from_millis;
        let mut numbers = Numbers::default();
        let mut take = |number| numbers.take("a", number, at(9), at(1));
        for (number, expected) in [
            (5, true),
            (5, false),
            (3, true),
            (3, false),
            (4, true),
            (70_000, true),
            // Fell out of the window.
            (6, false),
            (4_464, false),
            (4_465, true),
            (4_465, false),
            (70_000, false),
            (70_001, true),
            (u64::MAX, true),
            (70_001, false),
            (u64::MAX, false),
        ] {
            assert_eq!(take(number).is_ok(), expected, "{number}");
        }
    }

    #[test]
    fn every_number_of_a_shuffled_million_is_taken_once() {
        let mut numbers = Numbers::default();
        let at = Timestamp::from_millis;
        for block in 0..1_000_u64 {
            for number in 0..1_000_u64 {
                let number = block * 1_000 + (number * 617) % 1_000;
                assert_eq!(numbers.take("a", number, at(9), at(1)), Ok(()));
            }
            let again = block * 1_000 + 7;
            assert_eq!(numbers.take("a", again, at(9), at(1)), Err(Seen::Before));
        }
    }

    #[test]
    fn minters_are_kept_apart_and_forgotten_only_when_their_tokens_are_over() {
        let at = Timestamp::from_millis;
        let mut numbers = Numbers::default();
        for origin in 0..64 {
            assert_eq!(numbers.take(&origin.to_string(), 1, at(100 + origin), at(1)), Ok(()));
        }
        assert_eq!(numbers.take("more", 1, at(500), at(100)), Err(Seen::Crowded));
        assert_eq!(numbers.take("0", 1, at(100), at(100)), Err(Seen::Before));
        assert_eq!(numbers.take("more", 1, at(500), at(101)), Ok(()));
        assert_eq!(numbers.take("63", 1, at(100), at(100)), Err(Seen::Before));
    }
}
