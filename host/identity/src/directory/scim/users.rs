//! `Users`: people, as the organisation's directory provisions them.

use std::sync::{Arc, Mutex, PoisonError};

use model::UserId;
use serde_json::{Map, Value, json};
use tidegate_model as model;

use super::{
    Answer, Scim, USER,
    error::ScimError,
    filter::{Filter, Path},
    form::Form,
    patch,
    query::Query,
};
use crate::directory::{DirectoryError, Kind, Person, User};

/// Users that are looked at in one step.
const STEP: usize = 500;

impl Scim<'_> {
    /// A person by the id of a path, in any case.
    pub(super) fn person(&self, id: &str) -> Result<Arc<Person>, ScimError> {
        let found = UserId::new(&id.to_lowercase()).ok().and_then(|id| self.directory.user(&id));
        let found = found.filter(|person| person.user.kind == Kind::Person);
        found.ok_or_else(|| ScimError::missing("user", id))
    }

    pub(super) fn list_users(&self, query: &Query) -> Result<Answer, ScimError> {
        let filter = query.filter.as_ref();
        if let Some(path) = filter.and_then(|filter| filter.find_path(&|path| !is_known(path))) {
            let words = format!("users are not filtered by `{}`", path.attribute.escape_debug());
            return Err(ScimError::filter(words));
        }
        let (mut total, mut page) = (0, Vec::new());
        let mut look = |person: &Arc<Person>| {
            let is_person = person.user.kind == Kind::Person;
            if is_person && filter.is_none_or(|it| it.holds(&|path| self.values(person, path))) {
                if total >= query.skip && page.len() < query.count {
                    page.push(query.shape(self.show_user(person, query)));
                }
                total += 1;
            }
        };
        match filter.and_then(|filter| self.named(filter)) {
            Some(found) => found.iter().for_each(look),
            None => {
                let mut after: Option<UserId> = None;
                loop {
                    let some = self.directory.users(after.as_ref(), STEP);
                    let Some(last) = some.last() else { break };
                    after = Some(last.user.id.clone());
                    some.iter().for_each(&mut look);
                }
            }
        }
        Ok(Answer::list(total, query.skip, page))
    }

    /// The only user whom a filter can mean, where it names one.
    fn named(&self, filter: &Filter) -> Option<Option<Arc<Person>>> {
        let by_name = |text: &str| {
            UserId::new(&text.to_lowercase()).ok().and_then(|id| self.directory.user(&id))
        };
        let name = filter.must_equal(("username", None)).or(filter.must_equal(("id", None)));
        name.map(by_name)
            .or_else(|| {
                let id = filter.must_equal(("externalid", None))?;
                Some(self.directory.by_external_id(id))
            })
            .or_else(|| {
                let address = ["value"].map(Some).into_iter().chain([None]);
                let email =
                    address.into_iter().find_map(|sub| filter.must_equal(("emails", sub)))?;
                Some(self.directory.by_email(email))
            })
    }

    /// What a filter finds at a path of a user.
    fn values(&self, person: &Person, path: &Path) -> Vec<String> {
        let user = &person.user;
        let one = |text: &Option<String>| text.iter().cloned().collect();
        match path.names() {
            ("id" | "username", None) => vec![user.id.to_string()],
            ("externalid", None) => one(&user.external_id),
            ("displayname", None) | ("name", Some("formatted")) => one(&user.name),
            ("name", Some("givenname")) => one(&user.given_name),
            ("name", Some("familyname")) => one(&user.family_name),
            ("active", None) => vec![user.active.to_string()],
            ("emails", sub) => {
                let Some(email) = &user.email else { return Vec::new() };
                let of = |sub: &str| match sub {
                    "value" => vec![email.clone()],
                    "type" => vec!["work".to_owned()],
                    "primary" => vec!["true".to_owned()],
                    _ => Vec::new(),
                };
                let inner = |path: &Path| of(&path.attribute);
                if path.filter.as_ref().is_some_and(|filter| !filter.holds(&inner)) {
                    return Vec::new();
                }
                of(sub.unwrap_or("value"))
            }
            ("roles", None | Some("value")) => user.roles.clone(),
            ("groups", None | Some("value")) => {
                self.directory.groups_of(&user.id).iter().map(|group| group.id.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn show_user(&self, person: &Person, query: &Query) -> Value {
        let user = &person.user;
        let mut shown = json!({
            "schemas": [USER],
            "id": user.id,
            "userName": user.id,
            "active": user.active,
            "meta": self.meta("User", ("Users", user.id.as_str()), user.created, person.version),
        });
        let mut put = |name: &str, value: Value| {
            if let Some(object) = shown.as_object_mut() {
                object.insert(name.to_owned(), value);
            }
        };
        if let Some(id) = &user.external_id {
            put("externalId", json!(id));
        }
        let mut name = Map::new();
        let parts = [
            ("formatted", &user.name),
            ("givenName", &user.given_name),
            ("familyName", &user.family_name),
        ];
        for (part, text) in parts {
            if let Some(text) = text {
                name.insert(part.to_owned(), json!(text));
            }
        }
        if let Some(text) = &user.name {
            put("displayName", json!(text));
        }
        if !name.is_empty() {
            put("name", Value::Object(name));
        }
        if let Some(email) = &user.email {
            put("emails", json!([{ "value": email, "type": "work", "primary": true }]));
        }
        if !user.roles.is_empty() {
            let roles: Vec<_> = user.roles.iter().map(|role| json!({ "value": role })).collect();
            put("roles", Value::Array(roles));
        }
        if query.wants("groups") {
            let groups = self.directory.groups_of(&user.id);
            if !groups.is_empty() {
                let group = |group: &Arc<crate::directory::Group>| json!({ "value": group.id, "display": group.name });
                put("groups", Value::Array(groups.iter().map(group).collect()));
            }
        }
        shown
    }

    pub(super) fn user(&self, person: &Person, query: &Query) -> Answer {
        Answer {
            location: Some(self.location("Users", person.user.id.as_str())),
            version: Some(person.version),
            ..Answer::of(query.shape(self.show_user(person, query)))
        }
    }

    pub(super) async fn add_user(
        &self,
        body: Map<String, Value>,
        query: &Query,
    ) -> Result<Answer, ScimError> {
        let form = Form::whole(body)?;
        let now = self.directory.now();
        let name = form.user_name.clone().unwrap_or_default().to_lowercase();
        let id = UserId::new(&name).map_err(|error| {
            ScimError::value(format!("the userName cannot be used, since {error}"))
        })?;
        let mut user = User::new(id, Kind::Person, now);
        form.write(&mut user, None, (self.settings, now))?;
        let person = self.directory.add(user).await?;
        let user = &person.user;
        let blank = User { active: true, ..User::new(user.id.clone(), Kind::Person, now) };
        let note = format!("user {} added: {}", user.id, difference(&blank, user));
        let status = http::StatusCode::CREATED;
        Ok(Answer { status, note: Some(note), ..self.user(&person, query) })
    }

    pub(super) async fn replace_user(
        &self,
        id: &str,
        body: Map<String, Value>,
        (query, expected): (&Query, Option<&str>),
    ) -> Result<Answer, ScimError> {
        let form = Form::whole(body)?;
        let edit = |user: &mut User| form.write(user, None, (self.settings, self.directory.now()));
        self.edit_user(id, (query, expected), edit).await
    }

    pub(super) async fn patch_user(
        &self,
        id: &str,
        body: Map<String, Value>,
        (query, expected): (&Query, Option<&str>),
    ) -> Result<Answer, ScimError> {
        let operations = patch::operations(&body)?;
        let edit = |user: &mut User| {
            let mut form = Form::of(user);
            for operation in &operations {
                form.apply(operation)?;
            }
            let before = user.clone();
            form.write(user, Some(&before), (self.settings, self.directory.now()))
        };
        self.edit_user(id, (query, expected), edit).await
    }

    /// Changes a user, on the condition that it is still the expected one.
    async fn edit_user(
        &self,
        id: &str,
        (query, expected): (&Query, Option<&str>),
        mut edit: impl FnMut(&mut User) -> Result<(), ScimError> + Send,
    ) -> Result<Answer, ScimError> {
        let id = self.person(id)?.user.id.clone();
        // A refusal leaves through the directory, which knows errors of its own.
        let refused = Mutex::new(None);
        let mut before: Option<Arc<Person>> = None;
        let changed = self.directory.change(&id, |user| {
            let done = self.person(id.as_str()).and_then(|person| {
                super::expect(expected, person.version)?;
                edit(user)?;
                before = Some(person);
                Ok(())
            });
            done.map_err(|error| {
                *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                DirectoryError::Bad(String::new())
            })
        });
        let changed = changed.await;
        let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        let person = match (changed, refused) {
            (Ok(person), _) => person,
            (Err(_), Some(refused)) => return Err(refused),
            (Err(error), None) => return Err(error.into()),
        };
        let mut note = before.map(|old| difference(&old.user, &person.user)).unwrap_or_default();
        if !person.user.active {
            // Also where they were not active before: what failed to end then is ended now.
            note.push_str(&self.end_access(&id).await?);
        }
        let note = format!("user {id}: {note}");
        Ok(Answer { note: Some(note), ..self.user(&person, query) })
    }

    pub(super) async fn remove_user(
        &self,
        id: &str,
        expected: Option<&str>,
    ) -> Result<Answer, ScimError> {
        let person = self.person(id)?;
        super::expect(expected, person.version)?;
        let id = &person.user.id;
        self.directory.deactivate(id).await?;
        let ended = self.end_access(id).await?;
        let keys = self.keys.revoke_of(id).await?.len();
        if self.key_holders.contains(id) {
            let note = format!(
                "user {id} deactivated, not removed: a key in a file names them{ended}, {keys} keys ended"
            );
            return Ok(Answer { note: Some(note), ..Answer::empty() });
        }
        self.directory.remove(id).await?;
        let blank = User::new(id.clone(), Kind::Person, person.user.created);
        let was = difference(&person.user, &blank);
        let note = format!("user {id} removed: {was}{ended}, {keys} keys ended");
        Ok(Answer { note: Some(note), ..Answer::empty() })
    }

    /// Ends the browser sessions and grants of somebody; keys rest while they are not active.
    async fn end_access(&self, id: &UserId) -> Result<String, ScimError> {
        let sessions = self.browsers.end_user(id).await?.len();
        let grants = self.server.revoke_user(id).await?;
        Ok(format!("; {sessions} sessions and {grants} grants ended"))
    }
}

fn is_known(path: &Path) -> bool {
    let within = |path: &Path| {
        path.filter.is_none() && matches!(path.names(), ("value" | "type" | "primary", None))
    };
    let is_plain = path.filter.is_none();
    match path.names() {
        ("id" | "username" | "externalid" | "displayname" | "active", None) => is_plain,
        ("name", Some("formatted" | "givenname" | "familyname")) => is_plain,
        ("emails", None | Some("value" | "type" | "primary")) => {
            path.filter.as_ref().is_none_or(|it| it.find_path(&|path| !within(path)).is_none())
        }
        ("roles" | "groups", None | Some("value")) => is_plain,
        _ => false,
    }
}

/// What of a user is different, in a few words.
fn difference(old: &User, new: &User) -> String {
    let text = |text: &Option<String>| format!("{:?}", text.as_deref().unwrap_or_default());
    let rows = [
        ("active", old.active.to_string(), new.active.to_string()),
        ("name", text(&old.name), text(&new.name)),
        ("given name", text(&old.given_name), text(&new.given_name)),
        ("family name", text(&old.family_name), text(&new.family_name)),
        ("e-mail", text(&old.email), text(&new.email)),
        ("external id", text(&old.external_id), text(&new.external_id)),
        ("roles", format!("{:?}", old.roles), format!("{:?}", new.roles)),
    ];
    let changed = rows.into_iter().filter(|(_, old, new)| old != new);
    let changed: Vec<_> =
        changed.map(|(what, old, new)| format!("{what} {old} -> {new}")).collect();
    if changed.is_empty() { "as before".to_owned() } else { changed.join(", ") }
}
