//! What some changes of one space come to, before they are committed.
//!
//! Reads what it needs once, works the changes out one after another, and gives one batch. The
//! batch expects the row of what the space takes to be as it was read; every batch writes that
//! row, so nothing that was read can have changed when the batch goes through.

use std::collections::BTreeMap;

use bytes::Bytes;
use tidegate_model::OrgId;
use tidegate_store::{Batch, Expect, Store, Table};
use tidegate_wasm::capabilities::state::KeyValueError;

use super::{
    layout::{Head, Keys, Usage},
    space::{failed, unreadable},
};

/// Most keys of one space: each is a row of its own, whatever its size.
pub(super) const MOST_KEYS: u64 = 65_536;

/// One change of one key.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Sets a value, for milliseconds or for good.
    Set(Bytes, Option<u64>),
    /// Adds to a number; where there is none, for milliseconds or for good.
    Add(i64, Option<u64>),
    /// Forgets a key.
    Remove,
}

/// A key, as it is stored and as it is to be.
#[derive(Debug)]
struct Slot {
    stored: Option<Head>,
    /// What it is to be: with the bytes as far as its first part holds them.
    live: Option<(Head, Bytes)>,
    changed: bool,
}

/// Where drafts read and what they are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) org: &'a OrgId,
    pub(super) keys: &'a Keys,
    /// The moment of all of it.
    pub(super) now: u64,
}

/// Changes that belong together.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    ground: Ground<'a>,
    usage: Usage,
    expect: Expect,
    slots: BTreeMap<Box<str>, Slot>,
    /// Rows of ends that lead nowhere.
    strays: Vec<Vec<u8>>,
}

impl<'a> Draft<'a> {
    /// Changes nothing yet.
    pub(super) async fn new(ground: Ground<'a>) -> Result<Self, KeyValueError> {
        let row = ground.keys.usage();
        let found = ground.store.get(Table::PluginState, ground.org, &row).await;
        let (usage, expect) = match found.map_err(|error| failed(&error))? {
            None => (Usage::default(), Expect::Absent),
            Some(record) => {
                let usage = Usage::read(&record.value).ok_or_else(unreadable)?;
                (usage, Expect::Version(record.version))
            }
        };
        Ok(Self { ground, usage, expect, slots: BTreeMap::new(), strays: Vec::new() })
    }

    /// Works one change out; what `Add` comes to, else 0. After an error all is as before.
    pub(super) async fn change(
        &mut self,
        key: &str,
        change: &Change,
        quota: u64,
    ) -> Result<i64, KeyValueError> {
        self.load(key).await?;
        let now = self.ground.now;
        let Some(slot) = self.slots.get(key) else { return Err(unreadable()) };
        let ends = |lasts: &Option<u64>| lasts.map_or(0, |millis| now.saturating_add(millis));
        let (next, answer) = match change {
            Change::Remove => (None, 0),
            // What lasts for no time is not there.
            Change::Set(_, Some(0)) => (None, 0),
            Change::Set(value, lasts) => {
                (Some((Head { ends: ends(lasts), length: value.len() }, value.clone())), 0)
            }
            Change::Add(by, lasts) => {
                let before = slot.live.as_ref();
                let sum = number(before)?.checked_add(*by).ok_or_else(|| {
                    KeyValueError::Unavailable("the sum is beyond 64 bits".to_owned())
                })?;
                let text = Bytes::from(sum.to_string());
                let ends = before.map_or_else(|| ends(lasts), |(head, _)| head.ends);
                let next = (Head { ends, length: text.len() }, text);
                (Some(next).filter(|_| before.is_some() || *lasts != Some(0)), sum)
            }
        };
        self.put(key, next, quota)?;
        Ok(answer)
    }

    /// Takes a value whose time is up out; `row` is what said so.
    pub(super) async fn expire(
        &mut self,
        row: Vec<u8>,
        at: u64,
        key: &str,
    ) -> Result<(), KeyValueError> {
        self.load(key).await?;
        match self.slots.get_mut(key) {
            Some(slot) if slot.stored.is_some_and(|head| head.ends == at) => slot.changed = true,
            _ => self.strays.push(row),
        }
        Ok(())
    }

    /// All of it as one batch; `None` where there is nothing to do.
    pub(super) fn batch(self) -> Option<Batch> {
        let Ground { org, keys, .. } = self.ground;
        let put = |batch: Batch, key: Vec<u8>, value: Vec<u8>| {
            batch.put(Table::PluginState, org, &key, value)
        };
        let delete = |batch: Batch, key: Vec<u8>| batch.delete(Table::PluginState, org, &key);
        let is_idle = self.strays.is_empty() && self.slots.values().all(|slot| !slot.changed);
        if is_idle {
            return None;
        }
        let mut batch = self.strays.into_iter().fold(Batch::new(), delete);
        for (key, slot) in self.slots.into_iter().filter(|(_, slot)| slot.changed) {
            let old_end = slot.stored.map_or(0, |head| head.ends);
            let new_end = slot.live.as_ref().map_or(0, |(head, _)| head.ends);
            let kept = slot.live.as_ref().map_or(0, |(head, _)| head.parts());
            for number in kept..slot.stored.map_or(0, Head::parts) {
                batch = delete(batch, keys.part(number, &key));
            }
            if old_end != 0 && old_end != new_end {
                batch = delete(batch, keys.end(old_end, &key));
            }
            if new_end != 0 && old_end != new_end {
                batch = put(batch, keys.end(new_end, &key), Vec::new());
            }
            match &slot.live {
                None => batch = delete(batch, keys.first(&key)),
                Some((head, value)) => {
                    let (first, rest) = head.written(value);
                    batch = put(batch, keys.first(&key), first);
                    for (number, part) in (0..).zip(rest) {
                        batch = put(batch, keys.part(number, &key), part.to_vec());
                    }
                }
            }
        }
        let place = (org, keys.usage());
        let place = (place.0, place.1.as_slice());
        Some(batch.put_if(Table::PluginState, place, self.usage.written(), self.expect))
    }

    /// Reads how a key is stored, unless that is known. What is over no longer counts.
    async fn load(&mut self, key: &str) -> Result<(), KeyValueError> {
        if self.slots.contains_key(key) {
            return Ok(());
        }
        let Ground { store, org, keys, now } = self.ground;
        let record = store.get(Table::PluginState, org, &keys.first(key)).await;
        let slot = match record.map_err(|error| failed(&error))? {
            None => Slot { stored: None, live: None, changed: false },
            Some(record) => {
                let (head, bytes) = Head::read(&record.value).ok_or_else(unreadable)?;
                let bytes = Bytes::copy_from_slice(bytes);
                let live = (!head.is_over(now)).then_some((head, bytes));
                if live.is_none() {
                    self.usage.bytes = self.usage.bytes.saturating_sub(cost(key, head.length));
                    self.usage.keys = self.usage.keys.saturating_sub(1);
                }
                // It no longer counts, so its rows must go together with what does.
                let changed = live.is_none();
                Slot { stored: Some(head), live, changed }
            }
        };
        self.slots.insert(key.into(), slot);
        Ok(())
    }

    fn put(
        &mut self,
        key: &str,
        next: Option<(Head, Bytes)>,
        quota: u64,
    ) -> Result<(), KeyValueError> {
        let Some(slot) = self.slots.get_mut(key) else { return Err(unreadable()) };
        let cost =
            |of: &Option<(Head, Bytes)>| of.as_ref().map_or(0, |(head, _)| cost(key, head.length));
        let (old, new) = (cost(&slot.live), cost(&next));
        let keys = self.usage.keys + u64::from(next.is_some());
        let usage = Usage {
            bytes: self.usage.bytes.saturating_sub(old).saturating_add(new),
            keys: keys.saturating_sub(u64::from(slot.live.is_some())),
        };
        // With a quota that was lowered, what grows is refused and what shrinks is not.
        let grows = new > old && usage.bytes > quota;
        if grows || (usage.keys > self.usage.keys && usage.keys > MOST_KEYS) {
            return Err(KeyValueError::Quota);
        }
        self.usage = usage;
        slot.changed |= slot.live.is_some() || next.is_some();
        slot.live = next;
        Ok(())
    }
}

/// The number that a value is; 0 where there is none.
fn number(value: Option<&(Head, Bytes)>) -> Result<i64, KeyValueError> {
    let Some((_, bytes)) = value else { return Ok(0) };
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 20);
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| KeyValueError::Unavailable("the value is no number".to_owned()))
}

/// What counts of a key with a value of that length.
fn cost(key: &str, length: usize) -> u64 {
    u64::try_from(key.len().saturating_add(length)).unwrap_or(u64::MAX)
}
