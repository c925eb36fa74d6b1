//! `Groups`: who belongs together, as the organisation's directory says.
//!
//! Policies name a group by its `displayName`: one that is renamed is another to them, and gives
//! its members what the new name gives. Only people are members here. Agents that an administrator put into a group stay in it
//! and are not shown.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use model::UserId;
use serde_json::{Map, Value, json};
use tidegate_model as model;

use super::{
    Answer, GROUP, Scim,
    error::ScimError,
    filter::{Filter, Path},
    form,
    patch::{self, Act, Operation},
    query::Query,
};
use crate::directory::{DirectoryError, Group, Kind};

/// Groups that are looked at in one step.
const STEP: usize = 100;
/// Members that a row of the audit log names.
const NAMED: usize = 20;

/// One change of a group. Each either decides of a member or leaves them as they are, so that a
/// change that is carried out in steps comes to the same.
enum Change {
    Rename(String),
    ExternalId(Option<String>),
    Add(BTreeSet<UserId>),
    Remove(BTreeSet<UserId>),
    RemoveWhere(Filter),
    Set(BTreeSet<UserId>),
}

impl Scim<'_> {
    fn found(&self, id: &str) -> Result<Arc<Group>, ScimError> {
        self.directory.group(id).ok_or_else(|| ScimError::missing("group", id))
    }

    pub(super) fn list_groups(&self, query: &Query) -> Result<Answer, ScimError> {
        let filter = query.filter.as_ref();
        if let Some(path) = filter.and_then(|filter| filter.find_path(&|path| !is_known(path))) {
            let words = format!("groups are not filtered by `{}`", path.attribute.escape_debug());
            return Err(ScimError::filter(words));
        }
        let (mut total, mut page) = (0, Vec::new());
        let mut look = |group: &Arc<Group>| {
            if filter.is_none_or(|filter| filter.holds(&|path| self.values_of(group, path))) {
                if total >= query.skip && page.len() < query.count {
                    page.push(query.shape(self.show_group(group, query)));
                }
                total += 1;
            }
        };
        // Names differ by case to policies, and the filter finds them in any.
        match filter.and_then(|filter| self.named_groups(filter)) {
            Some(found) => found.iter().for_each(look),
            None => {
                let mut after: Option<String> = None;
                loop {
                    let some = self.directory.groups(after.as_deref(), STEP);
                    let Some(last) = some.last() else { break };
                    after = Some(last.id.clone());
                    some.iter().for_each(&mut look);
                }
            }
        }
        Ok(Answer::list(total, query.skip, page))
    }

    /// The only groups that a filter can mean, where it names one or a member.
    fn named_groups(&self, filter: &Filter) -> Option<Vec<Arc<Group>>> {
        if let Some(id) = filter.must_equal(("id", None)) {
            return Some(self.directory.group(&id.to_lowercase()).into_iter().collect());
        }
        let member = filter.must_equal(("members", None));
        let member = member.or_else(|| filter.must_equal(("members", Some("value"))))?;
        let member = UserId::new(&member.to_lowercase()).ok();
        Some(member.map(|id| self.directory.groups_of(&id)).unwrap_or_default())
    }

    fn values_of(&self, group: &Group, path: &Path) -> Vec<String> {
        match path.names() {
            ("id", None) => vec![group.id.clone()],
            ("displayname", None) => vec![group.name.clone()],
            ("externalid", None) => group.external_id.iter().cloned().collect(),
            ("members", None | Some("value")) => {
                self.people(group).map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        }
    }

    fn people<'g>(&self, group: &'g Group) -> impl Iterator<Item = &'g UserId> {
        group.members.iter().filter(|id| self.is_person(id))
    }

    fn is_person(&self, id: &UserId) -> bool {
        self.directory.user(id).is_some_and(|person| person.user.kind == Kind::Person)
    }

    fn show_group(&self, group: &Group, query: &Query) -> Value {
        let mut shown = json!({
            "schemas": [GROUP],
            "id": group.id,
            "displayName": group.name,
            "meta": self.meta("Group", ("Groups", &group.id), group.created, group.version),
        });
        let Some(object) = shown.as_object_mut() else { return shown };
        if let Some(id) = &group.external_id {
            object.insert("externalId".to_owned(), json!(id));
        }
        if query.wants("members") {
            let member = |id: &UserId| json!({ "value": id, "type": "User" });
            let members: Vec<Value> = self.people(group).map(member).collect();
            object.insert("members".to_owned(), Value::Array(members));
        }
        shown
    }

    pub(super) fn group(&self, id: &str, query: &Query) -> Result<Answer, ScimError> {
        Ok(self.of_group(&*self.found(id)?, query))
    }

    fn of_group(&self, group: &Group, query: &Query) -> Answer {
        Answer {
            location: Some(self.location("Groups", &group.id)),
            version: Some(group.version),
            ..Answer::of(query.shape(self.show_group(group, query)))
        }
    }

    pub(super) async fn add_group(
        &self,
        body: Map<String, Value>,
        query: &Query,
    ) -> Result<Answer, ScimError> {
        let (mut name, mut external_id, mut members) = (None, None, BTreeSet::new());
        for change in self.whole(body)? {
            match change {
                Change::Rename(text) => name = Some(text),
                Change::ExternalId(id) => external_id = id,
                Change::Set(ids) | Change::Add(ids) => members = ids,
                Change::Remove(_) | Change::RemoveWhere(_) => {}
            }
        }
        let name = name.ok_or_else(nameless)?;
        let added = self.directory.add_group(&name, external_id, members).await;
        let group = added.map_err(in_group)?;
        let note = format!("group {:?} added with {}", group.name, listed(group.members.iter()));
        let status = http::StatusCode::CREATED;
        Ok(Answer { status, note: Some(note), ..self.of_group(&group, query) })
    }

    pub(super) async fn replace_group(
        &self,
        id: &str,
        body: Map<String, Value>,
        (query, expected): (&Query, Option<&str>),
    ) -> Result<Answer, ScimError> {
        let mut changes = self.whole(body)?;
        if !changes.iter().any(|change| matches!(change, Change::Rename(_))) {
            return Err(nameless());
        }
        // What is not said is not there.
        if !changes.iter().any(|change| matches!(change, Change::ExternalId(_))) {
            changes.push(Change::ExternalId(None));
        }
        if !changes.iter().any(|change| matches!(change, Change::Set(_))) {
            changes.push(Change::Set(BTreeSet::new()));
        }
        let (group, note) = self.edit_group(id, expected, &changes).await?;
        Ok(Answer { note: Some(note), ..self.of_group(&group, query) })
    }

    /// Answers nothing where nothing is asked of the answer: a group may be large.
    pub(super) async fn patch_group(
        &self,
        id: &str,
        body: Map<String, Value>,
        (query, expected): (&Query, Option<&str>),
    ) -> Result<Answer, ScimError> {
        let mut changes = Vec::new();
        for operation in patch::operations(&body)? {
            self.change(operation, &mut changes)?;
        }
        let (group, note) = self.edit_group(id, expected, &changes).await?;
        let whole = if query.is_shaped { self.of_group(&group, query) } else { Answer::empty() };
        Ok(Answer { version: Some(group.version), note: Some(note), ..whole })
    }

    pub(super) async fn remove_group(
        &self,
        id: &str,
        expected: Option<&str>,
    ) -> Result<Answer, ScimError> {
        let group = self.found(id)?;
        super::expect(expected, group.version)?;
        self.directory.remove_group(&group.id).await?;
        let note =
            format!("group {:?} removed, which had {}", group.name, listed(group.members.iter()));
        Ok(Answer { note: Some(note), ..Answer::empty() })
    }

    async fn edit_group(
        &self,
        id: &str,
        expected: Option<&str>,
        changes: &[Change],
    ) -> Result<(Arc<Group>, String), ScimError> {
        let old = self.found(id)?;
        let refused = Mutex::new(None);
        let mut is_first = true;
        let changed = self.directory.change_group(&old.id, |group| {
            // A large change is carried out in steps, each of which makes a version.
            if std::mem::take(&mut is_first)
                && let Err(error) = super::expect(expected, group.version)
            {
                *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Err(DirectoryError::Bad(String::new()));
            }
            changes.iter().for_each(|change| self.carry_out(change, group));
            Ok(())
        });
        let changed = changed.await;
        let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        let group = match (changed, refused) {
            (Ok(group), _) => group,
            (Err(_), Some(refused)) => return Err(refused),
            (Err(error), None) => return Err(in_group(error)),
        };
        let renamed = if old.name == group.name {
            format!("{:?}", group.name)
        } else {
            format!("{:?} -> {:?}", old.name, group.name)
        };
        let external = |group: &Group| group.external_id.clone().unwrap_or_default();
        let renamed = if old.external_id == group.external_id {
            renamed
        } else {
            format!("{renamed}, external id {:?} -> {:?}", external(&old), external(&group))
        };
        let note = format!(
            "group {renamed}: put in {}; took out {}; {} -> {} members",
            listed(group.members.difference(&old.members)),
            listed(old.members.difference(&group.members)),
            old.members.len(),
            group.members.len(),
        );
        Ok((group, note))
    }

    fn carry_out(&self, change: &Change, group: &mut Group) {
        match change {
            Change::Rename(name) => group.name.clone_from(name),
            Change::ExternalId(id) => group.external_id.clone_from(id),
            Change::Add(ids) => group.members.extend(ids.iter().cloned()),
            Change::Remove(ids) => ids.iter().for_each(|id| {
                group.members.remove(id);
            }),
            Change::RemoveWhere(filter) => group
                .members
                .retain(|id| !(filter.holds(&|path| of_member(path, id)) && self.is_person(id))),
            Change::Set(ids) => {
                group.members.retain(|id| ids.contains(id) || !self.is_person(id));
                group.members.extend(ids.iter().cloned());
            }
        }
    }

    fn whole(&self, body: Map<String, Value>) -> Result<Vec<Change>, ScimError> {
        let mut operations = Vec::new();
        patch::attributes(Act::Replace, body, &mut operations);
        let mut changes = Vec::new();
        for operation in operations {
            self.change(operation, &mut changes)?;
        }
        Ok(changes)
    }

    fn change(&self, operation: Operation, changes: &mut Vec<Change>) -> Result<(), ScimError> {
        let Operation { act, path, value, is_named } = operation;
        let is_gone = act == Act::Remove;
        match path.names() {
            ("displayname", None) => {
                let name = if is_gone { None } else { form::text("displayName", &value)? };
                changes.push(Change::Rename(name.ok_or_else(nameless)?));
            }
            ("externalid", None) => {
                let id = if is_gone { None } else { form::text("externalId", &value)? };
                changes.push(Change::ExternalId(id));
            }
            ("members", None | Some("value")) => {
                changes.push(self.change_members((act, path.filter), &value)?);
            }
            ("id" | "schemas" | "meta", _) => {}
            (name, _) if name.starts_with("urn:") || !is_named => {}
            (name, _) => {
                let words = format!("groups have no attribute `{}`", name.escape_debug());
                return Err(ScimError::path(words));
            }
        }
        Ok(())
    }

    fn change_members(
        &self,
        (act, filter): (Act, Option<Box<Filter>>),
        value: &Value,
    ) -> Result<Change, ScimError> {
        match (filter, act) {
            (Some(filter), Act::Remove) => {
                if filter.find_path(&|path| path.names() != ("value", None)).is_some() {
                    return Err(ScimError::filter("members are found by `value`"));
                }
                Ok(match filter.must_equal(("value", None)) {
                    Some(id) => Change::Remove(ids([id])),
                    None => Change::RemoveWhere(*filter),
                })
            }
            (Some(_), _) => Err(ScimError::path("members are added without a filter")),
            (None, Act::Remove) if value.is_null() => Ok(Change::Set(BTreeSet::new())),
            (None, Act::Remove) => Ok(Change::Remove(ids(members(value)?))),
            (None, act) => {
                let mut known = BTreeSet::new();
                for text in members(value)? {
                    let person = self.person(text).map_err(|_| {
                        let id = text.chars().take(120).collect::<String>();
                        let id = id.escape_debug();
                        ScimError::value(format!("there is no user `{id}` to be a member"))
                    })?;
                    known.insert(person.user.id.clone());
                }
                Ok(if act == Act::Add { Change::Add(known) } else { Change::Set(known) })
            }
        }
    }
}

fn nameless() -> ScimError {
    ScimError::value("a group has a `displayName`")
}

/// A refusal of the directory that is about a member, not about the group in the path.
fn in_group(error: DirectoryError) -> ScimError {
    match error {
        DirectoryError::NoUser(id) => {
            ScimError::value(format!("there is no user `{id}` to be a member"))
        }
        other => other.into(),
    }
}

/// The ids of users that texts name; what is none names nobody.
fn ids<'a>(texts: impl IntoIterator<Item = &'a str>) -> BTreeSet<UserId> {
    texts.into_iter().filter_map(|text| UserId::new(&text.to_lowercase()).ok()).collect()
}

/// The texts by which a value names members.
fn members(value: &Value) -> Result<Vec<&str>, ScimError> {
    let all = match value {
        Value::Null => &[],
        Value::Array(all) => all.as_slice(),
        other => std::slice::from_ref(other),
    };
    let mut texts = Vec::with_capacity(all.len());
    for member in all {
        let text = match member {
            Value::Object(parts) => patch::member(parts, "value").and_then(Value::as_str),
            other => other.as_str(),
        };
        texts.push(text.ok_or_else(|| ScimError::value("a member is `{ \"value\": ID }`"))?);
    }
    Ok(texts)
}

fn of_member(path: &Path, id: &UserId) -> Vec<String> {
    if path.names() == ("value", None) { vec![id.to_string()] } else { Vec::new() }
}

fn is_known(path: &Path) -> bool {
    let names = path.names();
    let plain = matches!(names, ("id" | "displayname" | "externalid", None));
    path.filter.is_none() && (plain || matches!(names, ("members", None | Some("value"))))
}

/// The first of them, and how many there are.
fn listed<'a>(ids: impl Iterator<Item = &'a UserId>) -> String {
    let (mut named, mut more) = (Vec::new(), 0);
    for id in ids {
        if named.len() < NAMED {
            named.push(id.as_str());
        } else {
            more += 1;
        }
    }
    match more {
        0 => format!("[{}]", named.join(", ")),
        _ => format!("[{}, and {more} more]", named.join(", ")),
    }
}
