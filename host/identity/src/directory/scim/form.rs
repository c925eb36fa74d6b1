//! What a request says of a user, and what becomes of the record by it.
//!
//! Keeps what the gateway has use for: names, one e-mail address, the external id, whether
//! they are active, roles. Other attributes of RFC 7643 are taken and not kept.

use model::Timestamp;
use serde_json::{Map, Value};
use tidegate_model as model;

use super::{
    error::ScimError,
    filter::Path,
    patch::{self, Act, Operation},
};
use crate::{
    Settings,
    directory::{OWNER, User},
    settings::ROLES,
};

/// The longest text, in bytes.
const LONGEST: usize = 512;
/// Roles that one user may be given.
const MOST_ROLES: usize = 100;

/// Attributes of RFC 7643 that are taken and not kept, or are ours to say.
const NOT_KEPT: [&str; 18] = [
    "addresses",
    "entitlements",
    "groups",
    "id",
    "ims",
    "locale",
    "meta",
    "nickname",
    "password",
    "phonenumbers",
    "photos",
    "preferredlanguage",
    "profileurl",
    "schemas",
    "timezone",
    "title",
    "usertype",
    "x509certificates",
];

/// What is said of a user.
#[derive(Debug, Clone, Default)]
pub(super) struct Form {
    pub(super) user_name: Option<String>,
    external_id: Option<String>,
    display: Option<String>,
    formatted: Option<String>,
    given: Option<String>,
    family: Option<String>,
    email: Option<String>,
    active: Option<bool>,
    roles: Option<Vec<String>>,
}

impl Form {
    /// A user as a whole, from nothing.
    pub(super) fn whole(body: Map<String, Value>) -> Result<Self, ScimError> {
        let mut operations = Vec::new();
        patch::attributes(Act::Replace, body, &mut operations);
        let mut form = Self::default();
        for operation in &operations {
            form.apply(operation)?;
        }
        if form.user_name.is_none() {
            return Err(ScimError::value("a user has a `userName`"));
        }
        Ok(form)
    }

    /// What the record says, to be patched.
    pub(super) fn of(user: &User) -> Self {
        Self {
            user_name: Some(user.id.to_string()),
            external_id: user.external_id.clone(),
            display: user.name.clone(),
            formatted: None,
            given: user.given_name.clone(),
            family: user.family_name.clone(),
            email: user.email.clone(),
            active: Some(user.active),
            roles: Some(user.roles.clone()),
        }
    }

    /// Carries out one operation.
    pub(super) fn apply(&mut self, operation: &Operation) -> Result<(), ScimError> {
        let Operation { act, path, value, .. } = operation;
        let is_gone = *act == Act::Remove;
        let text = |name: &str| if is_gone { Ok(None) } else { text(name, value) };
        match path.names() {
            ("username", None) => self.user_name = text("userName")?,
            ("externalid", None) => self.external_id = text("externalId")?,
            ("displayname", None) => self.display = text("displayName")?,
            ("active", None) if !is_gone => self.active = Some(boolean(value)?),
            ("active", None) => {
                return Err(ScimError::value("`active` is true or false: replace it"));
            }
            ("name", sub) => self.name(operation, sub)?,
            ("emails", _) => self.emails(operation)?,
            ("roles", _) => self.roles(operation)?,
            (name, _) if NOT_KEPT.contains(&name) || name.starts_with("urn:") => {}
            _ if !operation.is_named => {}
            (name, _) => {
                let words = format!("users have no attribute `{}`", name.escape_debug());
                return Err(ScimError::path(words));
            }
        }
        Ok(())
    }

    fn name(&mut self, operation: &Operation, sub: Option<&str>) -> Result<(), ScimError> {
        let Operation { act, value, .. } = operation;
        let is_gone = *act == Act::Remove;
        let Some(sub) = sub else {
            let parts = value.as_object();
            if is_gone || value.is_null() {
                (self.formatted, self.given, self.family) = (None, None, None);
                return Ok(());
            }
            let parts = parts.ok_or_else(|| ScimError::value("`name` is an object"))?;
            for (name, value) in parts {
                self.part(&name.to_ascii_lowercase(), text(name, value)?);
            }
            return Ok(());
        };
        let part = if is_gone { None } else { text(sub, value)? };
        self.part(sub, part);
        Ok(())
    }

    fn part(&mut self, name: &str, text: Option<String>) {
        match name {
            "formatted" => self.formatted = text,
            "givenname" => self.given = text,
            "familyname" => self.family = text,
            // Titles, middle names: not kept.
            _ => {}
        }
    }

    /// Of all addresses we keep the first: the one called primary, else the one for work.
    fn emails(&mut self, operation: &Operation) -> Result<(), ScimError> {
        let Operation { act, path, value, .. } = operation;
        let current = self.email.clone().unwrap_or_default();
        let ours = |path: &Path| match path.names() {
            ("type", None) => vec!["work".to_owned()],
            ("primary", None) => vec!["true".to_owned()],
            ("value", None) => vec![current.clone()],
            _ => Vec::new(),
        };
        let is_ours = path.filter.as_ref().is_none_or(|filter| filter.holds(&ours));
        let is_address = path.sub.as_deref().is_none_or(|sub| sub == "value");
        if !is_ours || !is_address {
            return Ok(());
        }
        if *act == Act::Remove {
            self.email = None;
            return Ok(());
        }
        let mut best: Option<(u8, String)> = None;
        for one in list(value) {
            let (rank, address) = match one {
                Value::Object(parts) => {
                    let is_primary = patch::member(parts, "primary");
                    let is_primary = is_primary.is_some_and(|it| boolean(it).is_ok_and(|it| it));
                    let kind = patch::member(parts, "type").and_then(Value::as_str);
                    let is_work = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("work"));
                    let rank = if is_primary { 2 } else { u8::from(is_work) };
                    (rank, patch::member(parts, "value").unwrap_or(&Value::Null))
                }
                other => (1, other),
            };
            if let Some(address) = text("emails.value", address)?
                && best.as_ref().is_none_or(|(known, _)| *known < rank)
            {
                best = Some((rank, address));
            }
        }
        // A second address that is added takes the place of none.
        let is_second = *act == Act::Add && self.email.is_some() && path.filter.is_none();
        match best {
            Some((0, _)) if is_second => {}
            Some((_, address)) => self.email = Some(address),
            None if *act == Act::Replace => self.email = None,
            None => {}
        }
        Ok(())
    }

    fn roles(&mut self, operation: &Operation) -> Result<(), ScimError> {
        let Operation { act, path, value, .. } = operation;
        let roles = self.roles.get_or_insert_default();
        let mut given = Vec::new();
        for one in list(value) {
            let one = match one {
                Value::Object(parts) => patch::member(parts, "value").unwrap_or(&Value::Null),
                other => other,
            };
            given.extend(text("roles.value", one)?);
        }
        match (&path.filter, act) {
            (Some(filter), act) => {
                roles.retain(|role| !filter.holds(&|path| of_role(path, role)));
                if *act != Act::Remove {
                    roles.extend(given);
                }
            }
            (None, Act::Add) => roles.extend(given),
            (None, Act::Replace) => *roles = given,
            (None, Act::Remove) if given.is_empty() => roles.clear(),
            (None, Act::Remove) => roles.retain(|role| !given.contains(role)),
        }
        roles.sort_unstable();
        roles.dedup();
        if roles.len() > MOST_ROLES {
            return Err(ScimError::value(format!("a user has at most {MOST_ROLES} roles")));
        }
        Ok(())
    }

    /// Writes it into a record; `before` is what the patched names were.
    pub(super) fn write(
        &self,
        user: &mut User,
        before: Option<&User>,
        (settings, now): (&Settings, Timestamp),
    ) -> Result<(), ScimError> {
        let name = self.user_name.as_deref().unwrap_or_default();
        if name.to_lowercase() != user.id.as_str() {
            return Err(ScimError::mutability(format!(
                "the userName of `{}` cannot change, since policies name people by it: remove \
                 the user and provision another, or keep the name",
                user.id
            )));
        }
        let roles = match &self.roles {
            None => user.roles.clone(),
            Some(roles) => permitted(roles, user, settings)?,
        };
        let address = user.id.as_str().contains('@').then(|| user.id.to_string());
        let email =
            if before.is_some() { self.email.clone() } else { self.email.clone().or(address) };
        let email = email.map(|email| email.trim().to_lowercase());
        // Whoever has the address that is their name is them anyway.
        let is_moved = email.as_deref().is_some_and(|email| email != user.id.as_str());
        if is_moved && user.email != email && is_made_owner(user, settings) {
            return Err(ScimError::mutability(format!(
                "`{}` is an owner: whoever has their address can sign in as them, so an \
                 administrator of the gateway changes it",
                user.id
            )));
        }
        user.name = self.called(before);
        (user.given_name, user.family_name) = (self.given.clone(), self.family.clone());
        (user.email, user.external_id, user.roles) = (email, self.external_id.clone(), roles);
        match self.active {
            Some(true) => user.active = true,
            Some(false) => {
                if user.active {
                    user.not_before = user.not_before.max(now);
                }
                user.active = false;
            }
            None => {}
        }
        Ok(())
    }

    /// The name to show: what is said, else what follows from its parts.
    fn called(&self, before: Option<&User>) -> Option<String> {
        let parts = || joined(self.given.as_deref(), self.family.as_deref());
        let Some(old) = before else {
            return self.display.clone().or_else(|| self.formatted.clone()).or_else(parts);
        };
        let from_parts = joined(old.given_name.as_deref(), old.family_name.as_deref());
        if self.display != old.name {
            self.display.clone()
        } else if self.formatted.is_some() {
            self.formatted.clone()
        } else if old.name == from_parts {
            parts()
        } else {
            old.name.clone()
        }
    }
}

fn joined(given: Option<&str>, family: Option<&str>) -> Option<String> {
    let parts: Vec<&str> = given.into_iter().chain(family).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The values by which a filter tells one role from another.
fn of_role(path: &Path, role: &str) -> Vec<String> {
    match path.names() {
        ("value" | "display", None) => vec![role.to_owned()],
        ("primary", None) => vec!["true".to_owned()],
        _ => Vec::new(),
    }
}

/// The roles that somebody is to have: those that are known, and `owner` where an administrator
/// gave it, which is neither given nor taken here.
fn permitted(roles: &[String], user: &User, settings: &Settings) -> Result<Vec<String>, ScimError> {
    let known = |role: &str| {
        ROLES.contains(&role) || settings.roles.contains_key(role) || has(&user.roles, role)
    };
    let is_owner = has(&user.roles, OWNER);
    if has(roles, OWNER) && !is_owner {
        let words = "the role `owner` is given by an owner of the gateway, never by provisioning";
        return Err(ScimError::value(words));
    }
    if let Some(role) = roles.iter().find(|role| !known(role)) {
        let names = ROLES.into_iter().filter(|name| *name != OWNER);
        let names: Vec<&str> = names
            .chain(settings.roles.keys().map(String::as_str).filter(|name| *name != OWNER))
            .collect();
        let words =
            format!("there is no role `{}`; there are {}", role.escape_debug(), names.join(", "));
        return Err(ScimError::value(words));
    }
    let mut roles = roles.to_vec();
    if is_owner && !has(&roles, OWNER) {
        roles.push(OWNER.to_owned());
    }
    roles.sort_unstable();
    Ok(roles)
}

fn has(roles: &[String], role: &str) -> bool {
    roles.iter().any(|one| one == role)
}

/// Whether an administrator made them an owner, by role or by group.
fn is_made_owner(user: &User, settings: &Settings) -> bool {
    let groups = settings.roles.get(OWNER);
    let by_group = groups.is_some_and(|groups| groups.iter().any(|it| user.groups.contains(it)));
    by_group || has(&user.roles, OWNER)
}

/// The values of what may be one or several.
fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        Value::Null => &[],
        other => std::slice::from_ref(other),
    }
}

/// A text without what surrounds it; none where it is empty. An older dialect wraps it in a
/// list of one object.
pub(super) fn text(name: &str, value: &Value) -> Result<Option<String>, ScimError> {
    let bad = |what: &str| ScimError::value(format!("`{}` is no {what}", name.escape_debug()));
    match single(value) {
        Value::Null => Ok(None),
        Value::String(text) => {
            let text = text.trim();
            if text.len() > LONGEST {
                return Err(ScimError::value(format!("a text has at most {LONGEST} bytes")));
            }
            if text.chars().any(char::is_control) {
                return Err(bad("text of one line"));
            }
            Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
        }
        _ => Err(bad("text")),
    }
}

/// True or false, also as a text in any case.
fn boolean(value: &Value) -> Result<bool, ScimError> {
    match single(value) {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ScimError::value("true or false is expected")),
    }
}

fn single(value: &Value) -> &Value {
    match value {
        Value::Array(values) => match values.as_slice() {
            [Value::Object(parts)] => patch::member(parts, "value").unwrap_or(value),
            _ => value,
        },
        _ => value,
    }
}
