//! From the file to settings: what must fit, and what it comes to.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use tidegate_identity::settings::{AssertionIssuer, ROLES, Settings};

use super::{Fault, IdentityConfig, JoinSetting};
use crate::config::problem::nearest;

/// Everything that does not fit together.
pub(super) fn faults(config: &IdentityConfig) -> Vec<Fault> {
    let mut faults = Vec::new();
    sign_in(config, &mut faults);
    for (name, provider) in &config.providers {
        if !is_slug(name) {
            faults.push(no_slug("providers", name));
        }
        provider.faults(name, &mut faults);
        if config.sign_in.join == JoinSetting::Anyone && provider.is_anybodys() {
            faults.push((
                format!("`providers.{name}` would let in everybody with a Google account"),
                "write your `hosted_domain`, or `join = \"invited\"` in `[sign_in]`".to_owned(),
            ));
        }
    }
    for (id, client) in &config.clients {
        // Other clients' ids begin with these, or are URLs.
        if !is_slug(id) || id.starts_with("dyn_") || id == "tidegate-cli" {
            faults.push(no_slug("clients", id));
        }
        client.faults(id, &mut faults);
    }
    roles(config, &mut faults);
    assertions(config, &mut faults);
    if let Some(Err((message, help))) = config.scim.as_ref().map(|scim| digest(&scim.token)) {
        faults.push((format!("`scim.token` {message}"), help));
    }
    for host in &config.registration.document_hosts {
        let plain =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        if host.is_empty() || !host.bytes().all(plain) {
            let message =
                format!("`registration.document_hosts` holds `{}`", host.escape_default());
            faults.push((message, "write host names in lower case, without scheme".to_owned()));
        }
    }
    faults
}

fn sign_in(config: &IdentityConfig, faults: &mut Vec<Fault>) {
    let mut say = |message: String, help: &str| faults.push((message, help.to_owned()));
    let sign_in = &config.sign_in;
    if let Some(only) = &sign_in.provider
        && !config.providers.contains_key(only)
    {
        let known = config.providers.keys().map(String::as_str);
        let help = match nearest(only, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "add its `[providers.…]` table".to_owned(),
        };
        say(format!("`sign_in.provider` names `{only}`, which there is not"), &help);
    }
    if !sign_in.accounts && config.providers.is_empty() {
        say(
            "nobody could sign in: `sign_in.accounts` is false and there is no provider".to_owned(),
            "add a `[providers.…]` table, or leave `accounts` out",
        );
    }
    for (name, value, most) in [
        ("sign_in.idle_hours", sign_in.idle_hours, 24 * 30),
        ("sign_in.lifetime_days", sign_in.lifetime_days, 90),
        ("tokens.access_minutes", config.tokens.access_minutes, 60),
        ("tokens.idle_days", config.tokens.idle_days, 365),
    ] {
        if value == 0 || value > most {
            say(format!("`{name}` must be from 1 to {most}"), "leave it out to get the default");
        }
    }
}

fn roles(config: &IdentityConfig, faults: &mut Vec<Fault>) {
    for (role, groups) in &config.roles {
        if groups.iter().any(|group| group.trim().is_empty()) || role.trim().is_empty() {
            let message = format!("`roles.{role}` holds an empty name");
            faults.push((message, "write the names of groups".to_owned()));
        }
        // Other roles are the organisation's own; one letter beside a known one is a slip.
        let meant = nearest(role, ROLES).filter(|meant| meant != role);
        if let Some(meant) = meant {
            faults.push((format!("`roles.{role}` is no role"), format!("did you mean `{meant}`?")));
        }
    }
}

fn assertions(config: &IdentityConfig, faults: &mut Vec<Fault>) {
    for (issuer, assertion) in &config.assertions {
        let mut say = |message: String, help: &str| {
            faults.push((format!("`assertions.\"{issuer}\"` {message}"), help.to_owned()));
        };
        if !is_url(issuer) || !is_url(&assertion.jwks_uri) {
            say("holds what is no https URL".into(), "http is taken for this machine only");
        }
        if let Some(name) = &assertion.provider
            && !config.providers.contains_key(name)
        {
            say(format!("names provider `{name}`, which there is not"), "correct or remove it");
        }
    }
}

/// What the file says, its secrets fetched; all that cannot be fetched otherwise.
pub(super) fn made(config: &IdentityConfig) -> Result<Settings, Vec<Fault>> {
    let mut faults = faults(config);
    let mut take = |fault: Fault| faults.push(fault);
    let mut providers = BTreeMap::new();
    for (name, provider) in &config.providers {
        match provider.to_provider(name) {
            Ok(provider) => drop(providers.insert(name.clone(), provider)),
            Err(fault) => take(fault),
        }
    }
    let mut clients = BTreeMap::new();
    for (id, client) in &config.clients {
        match client.to_client(id) {
            Ok(client) => drop(clients.insert(id.clone(), client)),
            Err(fault) => take(fault),
        }
    }
    let scim_token = config.scim.as_ref().and_then(|scim| digest(&scim.token).ok());
    if !faults.is_empty() {
        return Err(faults);
    }
    let (sign_in, registration) = (&config.sign_in, &config.registration);
    let hours = |hours: u32| Duration::from_secs(u64::from(hours) * 3_600);
    let assertion_issuers = config.assertions.iter().map(|(issuer, assertion)| {
        let issued = AssertionIssuer {
            jwks_uri: assertion.jwks_uri.clone(),
            addresses: assertion.allow_addresses.clone(),
            provider: assertion.provider.clone(),
        };
        (issuer.clone(), issued)
    });
    Ok(Settings {
        accounts: sign_in.accounts,
        enforced: sign_in.provider.clone(),
        open_join: sign_in.join == JoinSetting::Anyone,
        session_idle: hours(sign_in.idle_hours),
        session_lifetime: hours(sign_in.lifetime_days.saturating_mul(24)),
        providers,
        roles: config.roles.clone(),
        clients,
        dynamic_registration: registration.dynamic,
        client_documents: registration.documents,
        document_hosts: registration.document_hosts.clone(),
        document_addresses: registration.allow_addresses.clone(),
        access_lifetime: Duration::from_secs(u64::from(config.tokens.access_minutes) * 60),
        grant_idle: hours(config.tokens.idle_days.saturating_mul(24)),
        assertion_issuers: assertion_issuers.collect(),
        scim_token,
    })
}

/// Reads `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(text: &str) -> Result<[u8; 32], Fault> {
    let bad = || {
        let help = "write `sha256:` and the 64 hexadecimal digits of its SHA-256";
        ("is no digest of a secret".to_owned(), help.to_owned())
    };
    let digits = text.strip_prefix("sha256:").ok_or_else(bad)?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return Err(bad()) };
    let mut digest = [0_u8; 32];
    if pairs.len() != digest.len() {
        return Err(bad());
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let value = |digit: u8| (digit as char).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let (high, low) = value(*high).zip(value(*low)).ok_or_else(bad)?;
        *byte = high << 4 | low;
    }
    Ok(digest)
}

/// Whether it is an https URL with a host, or an http one of this machine.
pub(super) fn is_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost"
        || bare.parse::<Ipv4Addr>().is_ok_and(|it| it.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|it| it.is_loopback());
    let has_user = uri.authority().is_some_and(|it| it.as_str().contains('@'));
    !has_user
        && match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback,
            _ => false,
        }
}

fn is_slug(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    !name.is_empty() && name.len() <= 64 && name.bytes().all(fits)
}

fn no_slug(table: &str, name: &str) -> Fault {
    let message = format!("`{table}.{}` has a name that cannot be used", name.escape_default());
    (message, "use up to 64 of the letters a-z, digits, `-` and `_`; `dyn_…` is taken".to_owned())
}
