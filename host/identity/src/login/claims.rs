//! What a provider says of a person, in the gateway's own words.
//!
//! Owns the mapping of claims by the settings' names, what each preset checks beside, and the
//! bounds. What is too much is refused and never cut: a group left out may be the one that a
//! policy forbids something. Knows no token: whoever calls has verified the claims.
//!
//! Who somebody is, is `sub` everywhere, also at Microsoft Entra ID: there it is another one for
//! each application, so a link does not outlive a new client id, and no other application's
//! token speaks of the same person.

use serde_json::{Map, Value};

use super::entra;
use crate::{
    directory::{Claimed, Link},
    settings::{Preset, Provider},
};

/// The most groups, and roles, that a token may name.
const NAMES: usize = 500;
/// The most groups that are taken from elsewhere.
pub(super) const LOOKED_UP: usize = 5_000;
/// The longest name of a group or role.
const NAME: usize = 256;
/// The longest subject.
const SUBJECT: usize = 255;
/// The longest e-mail address.
const EMAIL: usize = 254;
/// How deep a claim's path may lead.
const DEPTH: usize = 8;

/// Why the claims of a person cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsRefused {
    /// No usable subject.
    #[error("the sign-in provider does not say who you are: its `sub` cannot be used")]
    Subject,
    /// A list of names that is none.
    #[error("what the sign-in provider says in `{0}` is no list of names")]
    NoList(String),
    /// More groups or roles than can be taken.
    #[error(
        "the sign-in provider names too many groups or roles: let it send only those that this application needs"
    )]
    TooMany,
    /// Another Google Workspace domain, or a private account.
    #[error("only accounts of `{0}` can sign in here")]
    HostedDomain(String),
    /// Another Entra tenant.
    #[error("only accounts of the organisation's own Microsoft Entra tenant can sign in here")]
    Tenant,
}

/// All claims about somebody.
pub(super) type Claims = Map<String, Value>;

/// Reads the claims of somebody who signed in with the provider called `name`. `groups` are
/// those that were looked up elsewhere, in place of the claim.
pub(super) fn read(
    name: &str,
    provider: &Provider,
    claims: &Claims,
    groups: Option<Vec<String>>,
) -> Result<Claimed, ClaimsRefused> {
    check(&provider.preset, claims)?;
    let subject = text(claims, "sub").filter(|sub| is_plain(sub, SUBJECT));
    let subject = subject.ok_or(ClaimsRefused::Subject)?.to_owned();
    let names = &provider.claims;
    let groups = match groups {
        Some(found) => {
            let found = found.iter().map(|group| Some(group.as_str()));
            listed(found, &names.groups, LOOKED_UP)?
        }
        None => list(claims, &names.groups)?,
    };
    let roles = list(claims, &names.roles)?;
    Ok(Claimed {
        link: Link { provider: name.to_owned(), issuer: provider.issuer.clone(), subject },
        email: email(provider, claims),
        name: shown_name(claims, &names.name),
        groups,
        roles,
    })
}

/// What a preset asks of everybody.
fn check(preset: &Preset, claims: &Claims) -> Result<(), ClaimsRefused> {
    match preset {
        Preset::Google { hosted_domain: Some(domain) } => {
            let hosted = text(claims, "hd").is_some_and(|hd| hd.eq_ignore_ascii_case(domain));
            hosted.then_some(()).ok_or_else(|| ClaimsRefused::HostedDomain(domain.clone()))
        }
        Preset::Entra { tenant, .. } => {
            let same = text(claims, "tid").is_some_and(|tid| tid.eq_ignore_ascii_case(tenant));
            same.then_some(()).ok_or(ClaimsRefused::Tenant)
        }
        Preset::Google { hosted_domain: None } | Preset::Okta | Preset::Oidc => Ok(()),
    }
}

/// Whether something that the settings ask for is not among the claims.
pub(super) fn is_lacking(provider: &Provider, claims: &Claims) -> bool {
    let names = &provider.claims;
    let asked = [&names.email, &names.name, &names.groups, &names.roles];
    asked.into_iter().any(|path| !path.is_empty() && find(claims, path).is_none())
}

/// Takes from `more`, what userinfo says, the claims that the settings ask for and that are not
/// there; an e-mail address comes with whether it is verified, from the same hand.
pub(super) fn fill(provider: &Provider, claims: &mut Claims, more: &Claims) {
    let names = &provider.claims;
    for path in [&names.email, &names.name, &names.groups, &names.roles] {
        if path.is_empty() || find(claims, path).is_some() || find(more, path).is_none() {
            continue;
        }
        let whole = more.contains_key(path.as_str());
        let top = if whole { path } else { path.split('.').next().unwrap_or(path) };
        if let Some(value) = more.get(top) {
            absorb(claims, top, value, DEPTH);
        }
        if path == "email" {
            for vouching in ["email_verified", "xms_edov"] {
                claims.remove(vouching);
                let said = more.get(vouching).cloned();
                claims.extend(said.map(|it| (vouching.to_owned(), it)));
            }
        }
    }
}

/// Adds what is missing below `key`, and replaces nothing.
fn absorb(into: &mut Claims, key: &str, value: &Value, depth: usize) {
    match (into.get_mut(key), value) {
        (None | Some(Value::Null), _) => {
            into.insert(key.to_owned(), value.clone());
        }
        (Some(Value::Object(into)), Value::Object(from)) if depth > 0 => {
            from.iter().for_each(|(key, value)| absorb(into, key, value, depth - 1));
        }
        _ => {}
    }
}

/// The claim of that name, or at the end of that path: names of claims hold dots, too.
pub(super) fn find<'c>(claims: &'c Claims, path: &str) -> Option<&'c Value> {
    let found = claims.get(path).or_else(|| {
        let mut steps = path.split('.').take(DEPTH);
        let first = claims.get(steps.next()?)?;
        path.contains('.').then_some(())?;
        steps.try_fold(first, |at, step| at.as_object()?.get(step))
    });
    found.filter(|value| !value.is_null())
}

fn text<'c>(claims: &'c Claims, path: &str) -> Option<&'c str> {
    find(claims, path)?.as_str()
}

/// The e-mail address in lower case, and whether it counts.
fn email(provider: &Provider, claims: &Claims) -> Option<(String, bool)> {
    let address = text(claims, &provider.claims.email)?;
    let (user, host) = address.split_once('@')?;
    let is_address = is_plain(address, EMAIL)
        && !address.contains(char::is_whitespace)
        && !user.is_empty()
        && host.contains(|c: char| c.is_alphanumeric())
        && !host.contains('@');
    // A claim of another name has no `email_verified` that speaks of it.
    let is_verified = provider.claims.email == "email"
        && match claims.get("email_verified") {
            Some(Value::Bool(verified)) => *verified,
            Some(Value::String(verified)) => verified == "true",
            _ => false,
        };
    let is_verified = is_verified || provider.trust_email;
    let is_verified = is_verified
        || match &provider.preset {
            Preset::Entra { tenant, .. } => entra::vouches(tenant, claims, address),
            _ => false,
        };
    is_address.then(|| (address.to_lowercase(), is_verified))
}

/// A name for people: one that cannot be shown is no reason to keep somebody out.
fn shown_name(claims: &Claims, path: &str) -> Option<String> {
    let shown = text(claims, path)?.chars().filter(|c| !c.is_control()).take(NAME);
    let name: String = shown.collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The names in a claim: a list, or one name alone. None are there when there is no claim.
fn list(claims: &Claims, path: &str) -> Result<Vec<String>, ClaimsRefused> {
    match find(claims, path) {
        _ if path.is_empty() => Ok(Vec::new()),
        None => Ok(Vec::new()),
        Some(Value::String(name)) if name.is_empty() => Ok(Vec::new()),
        Some(Value::String(name)) => listed([Some(name.as_str())], path, NAMES),
        Some(Value::Array(names)) => listed(names.iter().map(Value::as_str), path, NAMES),
        Some(_) => Err(ClaimsRefused::NoList(path.to_owned())),
    }
}

fn listed<'n>(
    names: impl IntoIterator<Item = Option<&'n str>>,
    path: &str,
    most: usize,
) -> Result<Vec<String>, ClaimsRefused> {
    let mut list = Vec::new();
    for name in names {
        let name = name.filter(|name| is_plain(name, NAME));
        let name = name.ok_or_else(|| ClaimsRefused::NoList(path.to_owned()))?;
        if list.len() >= most {
            return Err(ClaimsRefused::TooMany);
        }
        list.push(name.to_owned());
    }
    list.sort();
    list.dedup();
    Ok(list)
}

/// Text with something in it, of at most so many bytes, and no control among them.
fn is_plain(text: &str, longest: usize) -> bool {
    !text.trim().is_empty() && text.len() <= longest && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests;
