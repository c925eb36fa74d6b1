//! Authorization codes: good once, for a minute, for the client that asked.
//!
//! Rows of table `token`: `"code" ‖ 0 ‖ SHA-256 of the code`. A code that was used stays, marked
//! with the grant that came of it, so that a second use can end that grant (RFC 9700 section
//! 4.5). The code itself is nowhere.

use std::time::Duration;

use model::{Secret, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};

use super::{error::AuthorizationError, grant::GrantId, rows::Rows, spelling};
use crate::{Resource, Scopes, directory::Kind};

const PREFIX: &[u8] = b"code\0";
const WHAT: &str = "authorization code";
/// How long a code can be redeemed.
const LIFE: Duration = Duration::from_secs(60);
/// How long one that was used is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// What a code stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CodeRow {
    pub(crate) user: UserId,
    #[serde(default)]
    pub(crate) kind: Kind,
    pub(crate) client: String,
    /// Where it was sent, byte for byte.
    pub(crate) redirect_uri: String,
    #[serde(with = "spelling::resource")]
    pub(crate) resource: Resource,
    #[serde(with = "spelling::scopes")]
    pub(crate) scopes: Scopes,
    /// The PKCE challenge, always S256.
    pub(crate) challenge: String,
    pub(crate) authenticated: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<GrantId>,
}

fn key(code: &str) -> Vec<u8> {
    [PREFIX, &spelling::digest(&[code.as_bytes()])].concat()
}

/// When a code that is made now can no longer be redeemed.
pub(crate) fn end(now: Timestamp) -> Timestamp {
    now.after(LIFE)
}

/// Makes a code and keeps what it stands for.
pub(crate) async fn make(rows: &Rows, row: &CodeRow) -> Result<Secret, AuthorizationError> {
    let code = Secret::new(spelling::base64url(spelling::random::<32>()?.as_slice()));
    let place = (Table::Token, key(code.expose()));
    let put = rows.put(place, row, Some(row.expires), Expect::Absent)?;
    if rows.commit(vec![put]).await? { Ok(code) } else { Err(AuthorizationError::Busy) }
}

/// What a code stands for, used or not, and the version of its row.
pub(crate) async fn read(
    rows: &Rows,
    code: &str,
) -> Result<Option<(CodeRow, u64)>, AuthorizationError> {
    rows.read(Table::Token, &key(code), WHAT).await
}

/// The step that marks a code as used, once.
pub(crate) fn spend(
    rows: &Rows,
    code: &str,
    (row, version): (&CodeRow, u64),
    grant: GrantId,
) -> Result<Op, AuthorizationError> {
    let used = CodeRow { used: Some(grant), ..row.clone() };
    let until = rows.clock.now().after(REMEMBERED);
    rows.put((Table::Token, key(code)), &used, Some(until), Expect::Version(version))
}

/// Whether this is a PKCE verifier or S256 challenge in form: for a challenge 43 characters
/// of base64url, for a verifier 43 to 128 unreserved ones (RFC 7636 section 4).
pub(crate) fn is_challenge(text: &str) -> bool {
    spelling::from_base64url(text).is_some_and(|bytes| bytes.len() == 32)
}

/// Whether the verifier is the one that the challenge was made of.
pub(crate) fn is_verified(challenge: &str, verifier: &str) -> bool {
    let is_unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
        return false;
    }
    let made = spelling::base64url(&Sha256::digest(verifier.as_bytes()));
    made.as_bytes().ct_eq(challenge.as_bytes()).into()
}
