//! Changing a few members of an object in place; every other byte stays as it was.
//!
//! Works by span on checked text: what is not named in an edit is copied, including white
//! space, order and number spelling. The edits themselves must be JSON text.

use tidegate_model::Json;

use crate::json::{Kind, Member, Raw, write_string};

/// One change to one object.
#[derive(Debug, Clone, Copy)]
pub struct Edit<'e> {
    /// The key, unescaped.
    pub key: &'e str,
    /// What happens to it.
    pub change: Change<'e>,
}

/// What happens to a member.
#[derive(Debug, Clone, Copy)]
pub enum Change<'e> {
    /// Its value becomes this JSON text; it is added at the end if it is missing.
    Set(Raw<'e>),
    /// It is taken out, if it is there.
    Remove,
    /// Its value is an object, to be edited itself; a missing one, or one that is no
    /// object, becomes `{}` first if anything is to be set in it.
    Within(&'e [Edit<'e>]),
}

/// The text to be changed is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only an object has members to change")]
pub struct NotAnObject;

impl<'e> Edit<'e> {
    /// Sets a member.
    pub const fn set(key: &'e str, value: Raw<'e>) -> Self {
        Self { key, change: Change::Set(value) }
    }

    /// Takes a member out.
    pub const fn remove(key: &'e str) -> Self {
        Self { key, change: Change::Remove }
    }

    /// Edits a member that is an object itself.
    pub const fn within(key: &'e str, edits: &'e [Edit<'e>]) -> Self {
        Self { key, change: Change::Within(edits) }
    }

    fn sets_anything(&self) -> bool {
        match self.change {
            Change::Set(_) => true,
            Change::Remove => false,
            Change::Within(edits) => edits.iter().any(Edit::sets_anything),
        }
    }
}

/// `object` with the edits applied, as new text.
///
/// Each key should be named by one edit at most; of several, the first counts.
pub fn object(object: Raw<'_>, edits: &[Edit<'_>]) -> Result<Json, NotAnObject> {
    let mut out = Vec::with_capacity(object.as_str().len() + 64 * edits.len());
    object_into(&mut out, object, edits)?;
    Ok(Json::from_checked(out.into()))
}

/// [`object`], appended to a buffer.
pub fn object_into(
    out: &mut Vec<u8>,
    object: Raw<'_>,
    edits: &[Edit<'_>],
) -> Result<(), NotAnObject> {
    if object.kind() != Kind::Object {
        return Err(NotAnObject);
    }
    let text = object.as_str();
    let mut copy = Copy { out, text, done: 0, cut: None, kept: false };
    for member in object.members() {
        match edits.iter().find(|edit| edit.key == member.key).map(|edit| edit.change) {
            None => copy.keep(&member, None),
            Some(Change::Set(value)) => copy.keep(&member, Some(value)),
            Some(Change::Remove) => copy.remove(&member),
            Some(Change::Within(inner)) if member.value.kind() == Kind::Object => {
                copy.up_to(&member, member.value_start);
                object_into(copy.out, member.value, inner)?;
                copy.done = member.value_end();
            }
            Some(Change::Within(inner)) if inner.iter().any(Edit::sets_anything) => {
                copy.up_to(&member, member.value_start);
                object_into(copy.out, EMPTY, inner)?;
                copy.done = member.value_end();
            }
            Some(Change::Within(_)) => copy.keep(&member, None),
        }
    }
    copy.cut_last();
    for edit in edits.iter().filter(|edit| edit.sets_anything()) {
        if object.get(edit.key).is_none() {
            copy.add(edit)?;
        }
    }
    copy.rest();
    Ok(())
}

const EMPTY: Raw<'static> = Raw::EMPTY_OBJECT;

/// A copy under way.
struct Copy<'c> {
    out: &'c mut Vec<u8>,
    text: &'c str,
    /// Up to here the text has been dealt with.
    done: usize,
    /// Members taken out since the last one kept: where the first begins, where the last ends.
    cut: Option<(usize, usize)>,
    kept: bool,
}

impl Copy<'_> {
    fn copy_to(&mut self, to: usize) {
        let part = self.text.get(self.done..to).unwrap_or_default();
        self.out.extend_from_slice(part.as_bytes());
        self.done = to;
    }

    /// Copies what leads to `member` and the member up to `to`.
    fn up_to(&mut self, member: &Member<'_>, to: usize) {
        if let Some((first, _)) = self.cut.take() {
            self.copy_to(first);
            self.done = member.key_start;
        }
        self.copy_to(to);
        self.kept = true;
    }

    fn keep(&mut self, member: &Member<'_>, value: Option<Raw<'_>>) {
        match value {
            None => self.up_to(member, member.value_end()),
            Some(value) => {
                self.up_to(member, member.value_start);
                self.out.extend_from_slice(value.as_str().as_bytes());
                self.done = member.value_end();
            }
        }
    }

    fn remove(&mut self, member: &Member<'_>) {
        let first = self.cut.map_or(member.key_start, |(first, _)| first);
        self.cut = Some((first, member.value_end()));
    }

    /// Leaves out members cut at the end, and the comma before them.
    fn cut_last(&mut self) {
        if let Some((first, last)) = self.cut.take() {
            if !self.kept {
                self.copy_to(first);
            }
            self.done = last;
        } else if !self.kept {
            self.copy_to(1);
        }
    }

    fn add(&mut self, edit: &Edit<'_>) -> Result<(), NotAnObject> {
        if self.kept {
            self.out.push(b',');
        }
        write_string(self.out, edit.key);
        self.out.push(b':');
        match edit.change {
            Change::Set(value) => self.out.extend_from_slice(value.as_str().as_bytes()),
            Change::Within(edits) => object_into(self.out, EMPTY, edits)?,
            Change::Remove => {}
        }
        self.kept = true;
        Ok(())
    }

    fn rest(&mut self) {
        self.copy_to(self.text.len());
    }
}

#[cfg(test)]
mod tests;
