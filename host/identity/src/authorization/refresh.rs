//! Refresh tokens: one per grant is valid, each use makes the next.
//!
//! A token is `tgr_{grant}_{generation}_{MAC}`, the MAC made with a key of its grant, so that
//! none is stored and a row of the grant says which generation counts. The one before counts
//! for ten seconds more and gives the *same* successor, so that a client which lost the answer
//! can go on; whatever is older was stolen from somebody, and ends the grant (RFC 9700 section
//! 4.14).

use std::time::Duration;

use model::{Secret, Timestamp};
use subtle::ConstantTimeEq as _;
use tidegate_model as model;

use super::{
    grant::{GrantId, GrantRow},
    spelling,
};

const PREFIX: &str = "tgr_";
/// How long the token before may be presented again.
const GRACE: Duration = Duration::from_secs(10);
/// No token of ours is longer.
const MAX: usize = 128;

/// A presented refresh token, taken apart. Whether it is genuine only its grant can tell.
#[derive(Clone)]
pub(crate) struct Presented {
    pub(crate) grant: GrantId,
    generation: u32,
    mac: [u8; 32],
}

/// What a genuine token is at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The valid one.
    Current,
    /// The one before, soon after its use.
    JustUsed,
    /// Used long ago.
    Stale,
}

fn mac(id: GrantId, family: &[u8; 32], generation: u32) -> [u8; 32] {
    let parts: [&[u8]; 3] = [b"refresh 1\0", id.as_bytes(), &generation.to_be_bytes()];
    spelling::hmac(family, &parts)
}

/// The token of a grant's present generation.
pub(crate) fn token(id: GrantId, row: &GrantRow) -> Secret {
    let mac = spelling::base64url(&mac(id, &row.family, row.generation));
    Secret::new(format!("{PREFIX}{id}_{}_{mac}", row.generation))
}

impl Presented {
    /// Takes a text apart; `None` for whatever we never wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX)?;
        let mut parts = rest.splitn(3, '_');
        let grant = parts.next()?.parse().ok()?;
        let number = parts.next()?;
        let generation: u32 = number.parse().ok()?;
        let mac = spelling::from_base64url(parts.next()?)?.try_into().ok()?;
        // `+1` and `01` would be other spellings of one token.
        (generation.to_string() == number).then_some(Self { grant, generation, mac })
    }

    /// What it is; `None` if it is none of this grant.
    pub(crate) fn standing(&self, row: &GrantRow, now: Timestamp) -> Option<Standing> {
        let made = mac(self.grant, &row.family, self.generation);
        if !bool::from(made.ct_eq(&self.mac)) || self.generation == 0 {
            return None;
        }
        if self.generation == row.generation {
            return Some(Standing::Current);
        }
        let is_previous = self.generation.checked_add(1) == Some(row.generation);
        if is_previous && now <= row.rotated.after(GRACE) {
            return Some(Standing::JustUsed);
        }
        Some(Standing::Stale)
    }
}
