//! Root keys in a key service: a program, or a Unix socket, that wraps and unwraps.
//!
//! Speaks lines of JSON, one request and one answer at a time, on the program's standard input
//! and output or on the socket; the words are in `host/store/FORMAT.md`. What the service gets to
//! wrap is a random key made for this one purpose, under which the real one is sealed with its
//! place: so it need not know of places, and two of its answers cannot be exchanged.
//!
//! Kept: `"CX" ‖ fmt u8 = 1 ‖ 0 ‖ root key id [8] ‖ length u16 ‖ what the service gave ‖ envelope`.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeyError, KeyProvider, unwrap_under, wrap_under};
use crate::{
    envelope::{EnvelopeError, KeyName, Place},
    seal::{self, Key},
};

mod conversation;

use conversation::Conversation;

const MAGIC: &[u8; 4] = b"CX\x01\0";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a service is reached.
#[derive(Debug, Clone)]
enum Reach {
    Program(PathBuf, Vec<OsString>),
    Socket(PathBuf),
}

/// Which service, and how patient we are with it.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    reach: Reach,
    /// How long one answer may take.
    pub patience: Duration,
}

impl ServiceOptions {
    /// A program with its arguments, divided by blanks; no shell is involved. It is started
    /// when it is needed, with the environment of this process.
    pub fn program(line: &str) -> Result<Self, KeyError> {
        let mut words = line.split_whitespace();
        let program = words.next().ok_or_else(|| KeyError::BadSource("exec:".to_owned()))?;
        let arguments = words.map(OsString::from).collect();
        Ok(Self { reach: Reach::Program(program.into(), arguments), patience: PATIENCE })
    }

    /// A Unix socket on which a service listens.
    pub fn socket(path: impl Into<PathBuf>) -> Self {
        Self { reach: Reach::Socket(path.into()), patience: PATIENCE }
    }

    /// What messages call it; arguments may hold what they should not show.
    fn name(&self) -> String {
        match &self.reach {
            Reach::Program(path, _) | Reach::Socket(path) => path.display().to_string(),
        }
    }

    fn fault(&self, fault: impl Into<String>) -> KeyError {
        KeyError::Service { service: self.name(), fault: fault.into() }
    }
}

/// The provider over a key service.
pub struct ServiceKeys {
    options: ServiceOptions,
    conversation: Mutex<Option<Conversation>>,
    known: RwLock<Arc<Known>>,
}

/// Which root keys the service said it has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    current: KeyName,
    ids: Vec<KeyName>,
}

#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request<'a> {
    Describe,
    Wrap { key: &'a str },
    Unwrap { id: String, wrapped: &'a str },
}

/// A text of an answer that may be a key.
type Said = Option<Zeroizing<String>>;

#[derive(Default)]
struct Answer {
    current: Option<String>,
    ids: Option<Vec<String>>,
    id: Option<String>,
    wrapped: Option<String>,
    key: Said,
}

#[derive(Deserialize)]
struct Spoken {
    current: Option<String>,
    ids: Option<Vec<String>>,
    id: Option<String>,
    wrapped: Option<String>,
    key: Option<String>,
    error: Option<String>,
}

impl ServiceKeys {
    /// Asks the service which keys it has. Blocks, as all that wraps and unwraps here does.
    pub fn open(options: ServiceOptions) -> Result<Self, KeyError> {
        let nothing = Known { current: KeyName([0; 8]), ids: Vec::new() };
        let known = RwLock::new(Arc::new(nothing));
        let this = Self { options, conversation: Mutex::default(), known };
        let described = this.describe()?;
        this.take(described);
        Ok(this)
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    fn describe(&self) -> Result<Known, KeyError> {
        let answer = self.ask(&Request::Describe)?;
        let lacks = || self.options.fault("did not say which keys it has: `current` and `ids`");
        let name = |text: &String| {
            let words = "names a key otherwise than with 16 hexadecimal digits";
            KeyName::parse(text).ok_or_else(|| self.options.fault(words))
        };
        let ids = answer.ids.as_ref().ok_or_else(lacks)?;
        let ids = ids.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let current = name(answer.current.as_ref().ok_or_else(lacks)?)?;
        if !ids.contains(&current) {
            return Err(self.options.fault("has a current key that is not among its keys"));
        }
        Ok(Known { current, ids })
    }

    /// One request, in the conversation that is under way or else in a new one.
    fn ask(&self, request: &Request<'_>) -> Result<Answer, KeyError> {
        let line = serde_json::to_string(request).map(Zeroizing::new);
        let line = line.map_err(|_| self.options.fault("cannot be asked"))?;
        let mut held = self.conversation.lock().unwrap_or_else(PoisonError::into_inner);
        // A service may end a conversation whenever nothing is asked.
        let went_on = held.as_mut().and_then(|it| it.ask(&line, self.options.patience).ok());
        let answer = match went_on {
            Some(answer) => answer,
            None => {
                *held = None;
                let fault = |error: std::io::Error| self.options.fault(told(&error));
                let mut fresh = Conversation::begin(&self.options.reach).map_err(fault)?;
                let answer = fresh.ask(&line, self.options.patience).map_err(fault)?;
                *held = Some(fresh);
                answer
            }
        };
        let spoken: Spoken = serde_json::from_str(&answer)
            .map_err(|_| self.options.fault("answered with something else than JSON"))?;
        let key = spoken.key.map(Zeroizing::new);
        if let Some(error) = spoken.error {
            return Err(self.options.fault(quoted(&error, request)));
        }
        let Spoken { current, ids, id, wrapped, .. } = spoken;
        Ok(Answer { current, ids, id, wrapped, key })
    }
}

/// What an input or output error means here.
fn told(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
            "did not answer in time".to_owned()
        }
        _ => format!("cannot be asked: {error}"),
    }
}

/// What a service said of a fault, without what could be a key.
fn quoted(error: &str, request: &Request<'_>) -> String {
    let sent = match request {
        Request::Wrap { key } => Some(*key),
        Request::Describe | Request::Unwrap { .. } => None,
    };
    if sent.is_some_and(|sent| error.contains(sent)) {
        return "refused, with words that cannot be shown".to_owned();
    }
    let words: String = error.chars().filter(|c| !c.is_control()).take(200).collect();
    format!("refused: {words}")
}

impl KeyProvider for ServiceKeys {
    fn wrap(&self, key: &[u8; 32], place: &Place<'_>) -> Result<Vec<u8>, KeyError> {
        let inner = Key::new(seal::random()?);
        let sent = Zeroizing::new(STANDARD.encode(inner.as_slice()));
        let answer = self.ask(&Request::Wrap { key: &sent })?;
        let id = answer.id.as_deref().and_then(KeyName::parse);
        let given = answer.wrapped.and_then(|text| STANDARD.decode(text).ok());
        let (Some(root), Some(given)) = (id, given.filter(|given| !given.is_empty())) else {
            return Err(self.options.fault("wrapped nothing: `id` and `wrapped` are wanted"));
        };
        if given.windows(inner.len()).any(|part| part == inner.as_slice()) {
            return Err(self.options.fault("gave the key back as it was"));
        }
        let envelope = wrap_under(root, &inner, key, place)?;
        let wrapped = Wrapped { root, given: &given, envelope: &envelope };
        wrapped.write().ok_or_else(|| self.options.fault("gave more than 65,535 bytes"))
    }

    fn unwrap(&self, wrapped: &[u8], place: &Place<'_>) -> Result<Key, KeyError> {
        let damaged = || KeyError::Damaged(EnvelopeError::NoEnvelope);
        let Some(Wrapped { root, given, envelope }) = Wrapped::read(wrapped) else {
            // Wrapped by another kind of provider: the id says which key would be needed.
            let wanted = super::wrapped_under(wrapped).ok_or_else(damaged)?;
            return Err(KeyError::Unknown { wanted, offered: self.ids() });
        };
        if !self.ids().contains(&root) {
            return Err(KeyError::Unknown { wanted: root, offered: self.ids() });
        }
        let given = STANDARD.encode(given);
        let answer = self.ask(&Request::Unwrap { id: root.to_string(), wrapped: &given })?;
        let key = answer.key.and_then(|text| STANDARD.decode(text.as_bytes()).ok());
        let key = Zeroizing::new(key.unwrap_or_default());
        let Ok(inner) = <[u8; 32]>::try_from(key.as_slice()) else {
            return Err(self.options.fault("unwrapped nothing: `key` is wanted, 32 bytes"));
        };
        unwrap_under(&Key::new(inner), envelope, place)
    }

    fn current_id(&self) -> KeyName {
        self.known().current
    }

    fn ids(&self) -> Vec<KeyName> {
        self.known().ids.clone()
    }

    fn renew(&self) -> Result<KeyName, KeyError> {
        let (found, had) = (self.describe()?, self.known());
        if found.current == had.current {
            let place = format!("in the key service `{}`", self.options.name());
            let remedy = "make a new key current there, and do this again".to_owned();
            return Err(KeyError::Elsewhere { what: "making a root key", place, remedy });
        }
        if let Some(wanted) = had.ids.iter().find(|id| !found.ids.contains(id)) {
            return Err(KeyError::Unknown { wanted: *wanted, offered: found.ids });
        }
        let current = found.current;
        self.take(found);
        Ok(current)
    }

    fn retire(&self, id: KeyName) -> Result<(), KeyError> {
        let found = self.describe()?;
        if found.ids.contains(&id) {
            let place = format!("in the key service `{}`", self.options.name());
            let remedy = "nothing is wrapped under it any more: disable it there".to_owned();
            return Err(KeyError::Elsewhere { what: "removing a root key", place, remedy });
        }
        self.take(found);
        Ok(())
    }
}

impl std::fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, known) = (self.options.name(), self.known());
        f.debug_struct("ServiceKeys").field("service", &name).field("known", &known).finish()
    }
}

/// A key that a service has wrapped, in its parts.
pub(super) struct Wrapped<'a> {
    pub(super) root: KeyName,
    given: &'a [u8],
    envelope: &'a [u8],
}

impl<'a> Wrapped<'a> {
    /// The parts; `None` for other bytes.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (root, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (given, envelope) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        Some(Self { root: KeyName(*root), given, envelope })
    }

    fn write(&self) -> Option<Vec<u8>> {
        let length = u16::try_from(self.given.len()).ok()?;
        let length = length.to_le_bytes();
        Some([MAGIC, &self.root.0[..], &length, self.given, self.envelope].concat())
    }
}

#[cfg(test)]
mod tests;
