//! What becomes of the values found in one message: the texts that take their place, the
//! refusal, and what is told of.
//!
//! Owns no finder and no JSON; the host makes the keyed hashes, so that no secret is here.

use std::collections::{BTreeMap, btree_map::Entry};

use tidegate_plugin::host::{self, CredentialError, Level};

use crate::{
    find::{Found, Kind, Kinds, find},
    settings::{Action, Settings},
};

/// One message under review. Texts are offered one after the other; the end says what is to
/// be done.
pub(crate) struct Review<'a> {
    settings: &'a Settings,
    wanted: Kinds,
    hashes: BTreeMap<(Kind, String), String>,
    alerts: BTreeMap<Kind, u32>,
    blocked: Option<Kind>,
    failed: Option<String>,
}

impl<'a> Review<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            wanted: settings.wanted(),
            hashes: BTreeMap::new(),
            alerts: BTreeMap::new(),
            blocked: None,
            failed: None,
        }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Looks at a text that can be changed; returns what it becomes.
    #[inline(never)]
    pub(crate) fn text(&mut self, text: &str) -> Option<String> {
        let found = self.found(text, |action| action);
        let mut out: Option<String> = None;
        let mut copied = 0;
        for one in found {
            let value = text.get(one.place.clone()).unwrap_or_default();
            let Some(instead) = self.instead(one.kind, value) else { continue };
            let out = out.get_or_insert_with(|| String::with_capacity(text.len() + 16));
            out.push_str(text.get(copied..one.place.start).unwrap_or_default());
            out.push_str(&instead);
            copied = one.place.end;
        }
        let mut out = out?;
        out.push_str(text.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// Looks at a text that cannot be changed: only `block` and `alert` have an effect.
    pub(crate) fn fixed(&mut self, text: &str) {
        let possible = |action| match action {
            Action::Hash | Action::Mask => Action::Ignore,
            other => other,
        };
        for one in self.found(text, possible) {
            match self.settings.action(one.kind) {
                Action::Block => self.blocked = self.blocked.or(Some(one.kind)),
                Action::Alert => *self.alerts.entry(one.kind).or_default() += 1,
                Action::Ignore | Action::Hash | Action::Mask => {}
            }
        }
    }

    /// Ends the review: tells what is to be told, and says whether the message may go on. The
    /// text of an error is for the caller and never holds a value.
    #[inline(never)]
    pub(crate) fn end(self, what: &str, target: &str) -> Result<(), String> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if !self.alerts.is_empty() {
            let kinds: Vec<String> = self
                .alerts
                .iter()
                .map(|(kind, count)| format!("{count} x {}", self.settings.name(*kind)))
                .collect();
            host::log(Level::Warn, &format!("{what} of {target}: {}", kinds.join(", ")));
            for kind in self.alerts.keys() {
                host::fact_add(&format!("redact:found:{}", self.settings.name(*kind)));
            }
        }
        match self.blocked {
            Some(kind) => Err(format!(
                "The {what} of `{target}` hold a value of the kind `{}`, which may not pass here.",
                self.settings.name(kind)
            )),
            None => Ok(()),
        }
    }

    /// What is found, in order, each place once. Where finds overlap they are one, and the
    /// strictest action, of those that are `possible`, holds for all of it.
    #[inline(never)]
    fn found(&self, text: &str, possible: fn(Action) -> Action) -> Vec<Found> {
        let mut found = find(text, self.wanted);
        for (kind, pattern) in &self.settings.patterns {
            let own = pattern.find_iter(text).filter(|one| !one.is_empty());
            let own = own.map(|one| Found { place: one.range(), kind: *kind }).collect();
            found = in_order(found, own);
        }
        if found.len() < 2 {
            return found;
        }
        let mut merged: Vec<Found> = Vec::with_capacity(found.len());
        for one in found {
            match merged.last_mut() {
                Some(last) if one.place.start < last.place.end => {
                    last.place.end = last.place.end.max(one.place.end);
                    let action = |kind| possible(self.settings.action(kind));
                    if action(one.kind) > action(last.kind) {
                        last.kind = one.kind;
                    }
                }
                _ => merged.push(one),
            }
        }
        merged
    }

    fn instead(&mut self, kind: Kind, value: &str) -> Option<String> {
        match self.settings.action(kind) {
            Action::Ignore => None,
            Action::Alert => {
                *self.alerts.entry(kind).or_default() += 1;
                None
            }
            Action::Mask => {
                Some(self.settings.replacement.replace("{kind}", self.settings.name(kind)))
            }
            Action::Hash => self.hash(kind, value),
            Action::Block => {
                self.blocked = self.blocked.or(Some(kind));
                None
            }
        }
    }

    fn hash(&mut self, kind: Kind, value: &str) -> Option<String> {
        let name = self.settings.name(kind);
        let place = match self.hashes.entry((kind, kind.normal(value))) {
            Entry::Occupied(known) => return Some(known.get().clone()),
            Entry::Vacant(place) => place,
        };
        let message = format!("redact\0{name}\0{}", place.key().1);
        let credential = self.settings.hash_key.as_deref().unwrap_or_default();
        match host::credential_hmac(credential, message.as_bytes()) {
            Ok(hash) => {
                let digits: String =
                    hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
                Some(place.insert(format!("[{name} {digits}]")).clone())
            }
            Err(error) => {
                let why = match error {
                    CredentialError::Unknown => "is not given to this plugin",
                    CredentialError::Unavailable => "cannot be had now",
                };
                self.failed = Some(format!(
                    "Values cannot be hashed: the credential `{credential}` {why}. Tell your administrator."
                ));
                None
            }
        }
    }
}

/// 64 bits: two values among a hundred million share a hash once in four thousand data sets.
const HASH_BYTES: usize = 8;

/// Two lists that are in order, as one.
fn in_order(one: Vec<Found>, other: Vec<Found>) -> Vec<Found> {
    if other.is_empty() {
        return one;
    }
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    let next = || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if second.place.start < first.place.start => other.next(),
        (Some(_), _) => one.next(),
        (None, _) => other.next(),
    };
    std::iter::from_fn(next).collect()
}
