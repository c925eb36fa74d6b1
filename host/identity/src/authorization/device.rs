//! Access for a device without a browser (RFC 8628).
//!
//! Rows of table `token`, `"device" ‖ 0 ‖ SHA-256 of the device code` and `"user-code" ‖ 0 ‖
//! SHA-256 of the user code`, which leads to the first and is gone once somebody has answered.
//! How fast a device asks is known to this process alone. Does not know who looks at the page.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{Secret, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_model as model;
use tidegate_store::{Expect, Op, Table};

use super::{
    AuthorizationServer, SignInFacts,
    client::GrantType,
    error::{AuthorizationError, ErrorCode, TokenRefused},
    grant::GrantId,
    pending::{Asking, Form},
    request::base_of,
    rows::Rows,
    spelling,
};
use crate::{
    Issuer, Resource, Scopes, Settings,
    directory::{Kind, Person},
};

const DEVICE: &[u8] = b"device\0";
const USER_CODE: &[u8] = b"user-code\0";
const WHAT: &str = "device code";

/// How long somebody has to answer.
pub(super) const LIFE: Duration = Duration::from_secs(600);
/// How long a code is remembered after that, to be told from one that never was.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How long a device waits between two questions, and how much longer after one too early.
const INTERVAL: Duration = Duration::from_secs(5);
/// How many devices are timed at once.
const TIMED: usize = 10_000;

/// No vowels, so that no words come out; nothing that looks like something else (section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LETTERS: usize = 8;

/// Who answered, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) user: UserId,
    #[serde(default)]
    pub(crate) kind: Kind,
    #[serde(with = "spelling::scopes")]
    pub(crate) scopes: Scopes,
    pub(crate) authenticated: Timestamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) amr: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    pub(crate) at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Waiting,
    Approved(Approval),
    Denied,
    Used(GrantId),
}

/// What a device asked for, as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeviceRow {
    pub(crate) client: String,
    pub(crate) client_name: String,
    #[serde(with = "spelling::resource")]
    pub(crate) resource: Resource,
    #[serde(with = "spelling::scopes")]
    pub(crate) scopes: Scopes,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) answer: Answer,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    device: String,
}

/// What a person who typed a user code is asked about. Texts are what the client wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The client, by its id.
    pub client_id: String,
    /// What the client calls itself.
    pub client_name: String,
    /// What the token is to be for.
    pub resource: Resource,
    /// The rights asked for.
    pub scopes: Scopes,
}

/// What a device is told first (section 3.2).
#[derive(Debug)]
pub struct DeviceReply {
    /// What the device asks with.
    pub device_code: Secret,
    /// What the person types.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// How long they have.
    pub expires_in: u64,
    /// How many seconds the device waits between two questions.
    pub interval: u64,
}

impl DeviceReply {
    /// The body of the answer.
    pub fn to_json(&self) -> Vec<u8> {
        let (uri, code) = (&self.verification_uri, &self.user_code);
        let body = json!({
            "device_code": self.device_code.expose(),
            "user_code": code,
            "verification_uri": uri,
            "verification_uri_complete": format!("{uri}?user_code={code}"),
            "expires_in": self.expires_in,
            "interval": self.interval,
        });
        body.to_string().into_bytes()
    }
}

/// The name of a device code among the rows.
pub(crate) fn key(device_code: &str) -> Vec<u8> {
    key_of(&spelling::digest(&[device_code.as_bytes()]))
}

fn key_of(digest: &[u8]) -> Vec<u8> {
    [DEVICE, digest].concat()
}

fn key_by_user_code(code: &str) -> Vec<u8> {
    [USER_CODE, &spelling::digest(&[code.as_bytes()])].concat()
}

/// The letters of a user code as a person typed it; `None` if it is none.
fn letters(typed: &str) -> Option<String> {
    if typed.len() > 64 {
        return None;
    }
    let is_kept = |c: &char| !matches!(c, '-' | ' ');
    let code: String = typed.trim().chars().filter(is_kept).collect();
    let code = code.to_ascii_uppercase();
    let is_code = code.len() == CODE_LETTERS && code.bytes().all(|b| LETTERS.contains(&b));
    is_code.then_some(code)
}

/// Eight letters, each as likely as the others.
fn new_user_code() -> Result<String, AuthorizationError> {
    let mut code = String::with_capacity(CODE_LETTERS);
    while code.len() < CODE_LETTERS {
        let bytes = spelling::random::<32>()?;
        // 240 is the last multiple of 20 in a byte: above it, some letters would be likelier.
        let fair = bytes.iter().filter(|byte| **byte < 240);
        let letter = |byte: &u8| LETTERS.get(usize::from(byte % 20)).map(|b| char::from(*b));
        code.extend(fair.filter_map(letter).take(CODE_LETTERS - code.len()));
    }
    Ok(code)
}

/// Keeps what a device asks for, and names it.
pub(crate) async fn ask(
    rows: &Rows,
    issuer: &Issuer,
    row: DeviceRow,
) -> Result<DeviceReply, AuthorizationError> {
    let device_code = Secret::new(spelling::base64url(spelling::random::<32>()?.as_slice()));
    let digest = spelling::digest(&[device_code.expose().as_bytes()]);
    let pointer = Pointer { device: spelling::base64url(&digest) };
    let kept = Some(row.expires.after(REMEMBERED));
    // Another device may have the same user code at this moment.
    for _ in 0..8 {
        let code = new_user_code()?;
        let by_user_code = (Table::Token, key_by_user_code(&code));
        let ops = vec![
            rows.put((Table::Token, key_of(&digest)), &row, kept, Expect::Absent)?,
            rows.put(by_user_code, &pointer, Some(row.expires), Expect::Absent)?,
        ];
        if rows.commit(ops).await? {
            let (front, back) = code.split_at(CODE_LETTERS / 2);
            return Ok(DeviceReply {
                device_code,
                user_code: format!("{front}-{back}"),
                verification_uri: issuer.endpoint("/device"),
                expires_in: LIFE.as_secs(),
                interval: INTERVAL.as_secs(),
            });
        }
    }
    Err(AuthorizationError::Busy)
}

/// When what is asked for now ends.
pub(crate) fn end(now: Timestamp) -> Timestamp {
    now.after(LIFE)
}

/// What a device code stands for, answered or not, and the version of its row.
pub(crate) async fn read(
    rows: &Rows,
    device_code: &str,
) -> Result<Option<(DeviceRow, u64)>, AuthorizationError> {
    rows.read(Table::Token, &key(device_code), WHAT).await
}

/// What is behind a user code that nobody has answered yet.
pub(crate) struct Open {
    pub(crate) row: DeviceRow,
    version: u64,
    device: Vec<u8>,
    by_user_code: Vec<u8>,
}

/// What a person typed the code of, if it waits for an answer.
pub(crate) async fn open(rows: &Rows, typed: &str) -> Result<Option<Open>, AuthorizationError> {
    let Some(code) = letters(typed) else { return Ok(None) };
    let by_user_code = key_by_user_code(&code);
    let found = rows.read::<Pointer>(Table::Token, &by_user_code, WHAT).await?;
    let digest = found.and_then(|(pointer, _)| spelling::from_base64url(&pointer.device));
    let Some(device) = digest.map(|digest| key_of(&digest)) else { return Ok(None) };
    let Some((row, version)) = rows.read::<DeviceRow>(Table::Token, &device, WHAT).await? else {
        return Ok(None);
    };
    let is_open = matches!(row.answer, Answer::Waiting) && row.expires > rows.clock.now();
    Ok(is_open.then_some(Open { row, version, device, by_user_code }))
}

impl Open {
    /// Writes down the answer; `false` if somebody else was quicker.
    pub(crate) async fn answer(
        self,
        rows: &Rows,
        answer: Answer,
    ) -> Result<bool, AuthorizationError> {
        let kept = Some(self.row.expires.after(REMEMBERED));
        let row = DeviceRow { answer, ..self.row };
        let expect = Expect::Version(self.version);
        let ops = vec![
            rows.put((Table::Token, self.device), &row, kept, expect)?,
            rows.delete(Table::Token, self.by_user_code, Expect::Any),
        ];
        rows.commit(ops).await
    }
}

/// The step that marks a device code as used, once.
pub(crate) fn spend(
    rows: &Rows,
    device_code: &str,
    (row, version): (&DeviceRow, u64),
    grant: GrantId,
) -> Result<Op, AuthorizationError> {
    let used = DeviceRow { answer: Answer::Used(grant), ..row.clone() };
    let kept = Some(row.expires.after(REMEMBERED));
    rows.put((Table::Token, key(device_code)), &used, kept, Expect::Version(version))
}

impl AuthorizationServer {
    /// Begins access for a device without a browser.
    pub async fn device_authorization(
        &self,
        settings: &Settings,
        form: Form<'_>,
    ) -> Result<DeviceReply, TokenRefused> {
        let client = self.authenticate(settings, form).await?;
        if !client.may(GrantType::DeviceCode) {
            let sentence = "this client is not registered for device codes";
            return Err(TokenRefused::new(ErrorCode::UnauthorizedClient, sentence));
        }
        let (parameters, now) = (form.parameters(), self.ground.clock.now());
        let asking =
            Asking { server: self, settings, client: Arc::clone(&client), parameters, now };
        let resource = asking.named_resource()?;
        let scopes = asking.asked(&resource)?.unwrap_or(base_of(&resource));
        let row = DeviceRow {
            client: client.id.to_string(),
            client_name: client.name.clone(),
            resource,
            scopes,
            created: now,
            expires: end(now),
            answer: Answer::Waiting,
        };
        Ok(ask(&self.rows, &self.ground.issuer, row).await?)
    }

    /// What a device asks for whose code a person has typed; `None` where none waits by it.
    pub async fn device(
        &self,
        user_code: &str,
    ) -> Result<Option<DeviceRequest>, AuthorizationError> {
        let open = open(&self.rows, user_code).await?;
        Ok(open.map(|open| DeviceRequest {
            client_id: open.row.client,
            client_name: open.row.client_name,
            resource: open.row.resource,
            scopes: open.row.scopes,
        }))
    }

    /// Lets a device in with these of the rights that it asked for; `false` where none waits by
    /// this code any more.
    pub async fn approve_device(
        &self,
        who: &Person,
        at: SignInFacts,
        user_code: &str,
        granted: Scopes,
    ) -> Result<bool, AuthorizationError> {
        let Some(open) = open(&self.rows, user_code).await? else { return Ok(false) };
        let base = base_of(&open.row.resource);
        let approval = Approval {
            user: who.user.id.clone(),
            kind: who.user.kind,
            scopes: granted.both(open.row.scopes).with(base),
            authenticated: at.auth_time,
            amr: at.few_ways(),
            session: at.session,
            at: self.ground.clock.now(),
        };
        open.answer(&self.rows, Answer::Approved(approval)).await
    }

    /// Turns a device away; `false` where none waits by this code any more.
    pub async fn deny_device(&self, user_code: &str) -> Result<bool, AuthorizationError> {
        match open(&self.rows, user_code).await? {
            Some(open) => open.answer(&self.rows, Answer::Denied).await,
            None => Ok(false),
        }
    }
}

/// How fast devices ask.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<HashMap<Vec<u8>, Timed>>);

#[derive(Debug, Clone, Copy)]
struct Timed {
    /// When the next question is welcome.
    next: Timestamp,
    interval: Duration,
    /// When the code ends.
    end: Timestamp,
}

impl Pace {
    /// Whether a device asks in time. One that does not is to wait five seconds longer from
    /// then on (section 3.5).
    pub(crate) fn is_kept(&self, device_code: &str, end: Timestamp, now: Timestamp) -> bool {
        let mut timed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if timed.len() >= TIMED {
            timed.retain(|_, one| one.end > now);
        }
        if timed.len() >= TIMED {
            // Better to serve everybody at any pace than to time a few for good.
            timed.clear();
        }
        let first = Timed { next: now, interval: INTERVAL, end };
        let one = timed.entry(key(device_code)).or_insert(first);
        let is_kept = one.next <= now;
        if !is_kept {
            one.interval = one.interval.saturating_add(INTERVAL);
        }
        one.next = now.after(one.interval);
        is_kept
    }
}
