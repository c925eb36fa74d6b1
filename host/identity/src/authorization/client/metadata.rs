//! Client metadata (RFC 7591 section 2), as registrations and documents bring it.
//!
//! Owns what of it is looked at and what it may say. Members that are not known, and those
//! that would make the gateway show or fetch something of the client's choice (`logo_uri` and
//! its kin), are left out as if they were not there. Knows neither store nor network.

use tidegate_wire::json::{Limits, Raw, Violation, check};

use super::{ApplicationType, GrantType};
use crate::authorization::{
    jwks::PublicKeys,
    redirect::{Authority, BadRedirect, Place, RedirectUri, check_characters},
};

/// The most redirect URIs.
const MAX_REDIRECTS: usize = 10;
/// The most characters of a name.
const MAX_NAME: usize = 80;
/// The longest other text.
const MAX_TEXT: usize = 512;

/// Why metadata is not taken; the sentence is for the client's developer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    /// `invalid_redirect_uri`.
    #[error("{0}")]
    Redirect(String),
    /// `invalid_client_metadata`.
    #[error("{0}")]
    Metadata(String),
}

impl BadMetadata {
    /// The error code of RFC 7591 section 3.2.2.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Redirect(_) => "invalid_redirect_uri",
            Self::Metadata(_) => "invalid_client_metadata",
        }
    }

    pub(in crate::authorization) fn metadata(sentence: impl Into<String>) -> Self {
        Self::Metadata(sentence.into())
    }
}

/// How a client wants to prove who it is.
#[derive(Debug, Clone)]
pub enum WantedAuthentication {
    /// It does not say.
    Unsaid,
    /// `none`.
    None,
    /// `client_secret_basic`.
    SecretBasic,
    /// `client_secret_post`.
    SecretPost,
    /// `private_key_jwt`.
    PrivateKey,
}

/// What was read of it.
#[derive(Debug, Clone)]
pub struct ClientMetadata {
    /// `client_name`, where it has one.
    pub name: Option<String>,
    /// `redirect_uris`.
    pub redirect_uris: Vec<RedirectUri>,
    /// `application_type`, or what the redirect URIs say.
    pub application_type: ApplicationType,
    /// `token_endpoint_auth_method`.
    pub authentication: WantedAuthentication,
    /// `jwks`.
    pub jwks: Option<PublicKeys>,
    /// `jwks_uri`.
    pub jwks_uri: Option<String>,
    /// Those of `grant_types` that clients may take for themselves.
    pub grant_types: Vec<GrantType>,
    /// `client_uri`, where it is an `https` one.
    pub uri: Option<String>,
}

/// Metadata as text that is one JSON object with each member once, within `bytes`.
pub(in crate::authorization) fn object(text: &[u8], bytes: usize) -> Result<Raw<'_>, BadMetadata> {
    let limits = Limits { bytes, depth: 8, members: 100, nodes: 1_000, string: bytes, number: 32 };
    let no_json = |bad: Violation| BadMetadata::metadata(format!("the metadata: {bad}"));
    check(text, &limits).map_err(no_json)?;
    let raw = std::str::from_utf8(text).map(Raw::from_checked).unwrap_or(Raw::NULL);
    if !raw.as_str().starts_with('{') {
        return Err(BadMetadata::metadata("the metadata is a JSON object"));
    }
    Ok(raw)
}

impl ClientMetadata {
    /// Reads it, and refuses what contradicts itself.
    pub fn read(object: Raw<'_>) -> Result<Self, BadMetadata> {
        let grants = read_grants(object)?;
        let redirect_uris = read_redirects(object)?;
        if grants.contains(&GrantType::AuthorizationCode) && redirect_uris.is_empty() {
            let sentence = "`redirect_uris` must name where answers go: 1 to 10 of them";
            return Err(BadMetadata::Redirect(sentence.to_owned()));
        }
        let application_type = read_application_type(object, &redirect_uris)?;
        let authentication = read_authentication(object)?;
        let jwks = match member(object, "jwks") {
            None => None,
            Some(raw) => {
                let keys = PublicKeys::handed_over(raw.as_str().as_bytes());
                Some(keys.map_err(|bad| BadMetadata::metadata(format!("`jwks`: {bad}")))?)
            }
        };
        let jwks_uri = text(object, "jwks_uri")?;
        if jwks.is_some() && jwks_uri.is_some() {
            return Err(BadMetadata::metadata("send either `jwks` or `jwks_uri`, not both"));
        }
        let is_public =
            matches!(authentication, WantedAuthentication::Unsaid | WantedAuthentication::None);
        let grant_types: Vec<_> = grants
            .into_iter()
            .filter(|grant| !is_public || *grant != GrantType::JwtBearer)
            .collect();
        if !grant_types.iter().any(|grant| *grant != GrantType::RefreshToken) {
            return Err(BadMetadata::metadata(
                "`grant_types` names none that a client of this kind can use: use `authorization_code`",
            ));
        }
        Ok(Self {
            name: read_name(object)?,
            redirect_uris,
            application_type,
            authentication,
            jwks,
            jwks_uri,
            grant_types,
            uri: text(object, "client_uri")?.filter(|uri| is_page(uri)),
        })
    }

    /// What people are shown where it does not say: the place its answers go to.
    pub fn name_or_host(&self) -> String {
        let host = || self.redirect_uris.first().map(RedirectUri::host_for_people);
        let name = self.name.clone().or_else(host).unwrap_or_else(|| "a client".to_owned());
        name.chars().take(MAX_NAME).collect()
    }
}

/// A member; one that is `null` counts as absent (RFC 7591 section 2).
fn member<'a>(object: Raw<'a>, name: &str) -> Option<Raw<'a>> {
    object.get(name).filter(|value| !value.is_null())
}

fn text(object: Raw<'_>, name: &str) -> Result<Option<String>, BadMetadata> {
    let Some(value) = member(object, name) else { return Ok(None) };
    let found = value.string().filter(|text| text.len() <= MAX_TEXT);
    let no_text =
        || BadMetadata::metadata(format!("`{name}` must be a string of at most {MAX_TEXT} bytes"));
    found.map(|text| Some(text.into_owned())).ok_or_else(no_text)
}

fn texts(object: Raw<'_>, name: &str) -> Result<Option<Vec<String>>, BadMetadata> {
    let Some(value) = member(object, name) else { return Ok(None) };
    let list = value.read::<Vec<String>>();
    let no_list = |_| BadMetadata::metadata(format!("`{name}` must be a list of strings"));
    list.map(Some).map_err(no_list)
}

fn read_name(object: Raw<'_>) -> Result<Option<String>, BadMetadata> {
    let Some(name) = text(object, "client_name")? else { return Ok(None) };
    let name = name.trim();
    if name.chars().count() > MAX_NAME || name.chars().any(is_deceptive) {
        return Err(BadMetadata::metadata(format!(
            "`client_name` has at most {MAX_NAME} visible characters"
        )));
    }
    Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
}

/// Characters that show nothing themselves and change how others look.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn read_redirects(object: Raw<'_>) -> Result<Vec<RedirectUri>, BadMetadata> {
    let bad = |sentence: String| BadMetadata::Redirect(sentence);
    let list = texts(object, "redirect_uris").map_err(|error| bad(error.to_string()))?;
    let list = list.unwrap_or_default();
    if list.len() > MAX_REDIRECTS {
        return Err(bad(format!("`redirect_uris` names at most {MAX_REDIRECTS} places")));
    }
    let mut uris = Vec::with_capacity(list.len());
    for (at, uri) in list.iter().enumerate() {
        let refused =
            |why: BadRedirect| bad(format!("number {} of `redirect_uris`: {why}", at + 1));
        uris.push(RedirectUri::parse(uri).map_err(refused)?);
    }
    Ok(uris)
}

fn read_application_type(
    object: Raw<'_>,
    redirect_uris: &[RedirectUri],
) -> Result<ApplicationType, BadMetadata> {
    let is_local = redirect_uris.iter().any(|uri| uri.place() != Place::Web);
    match (text(object, "application_type")?.as_deref(), is_local) {
        (Some("web"), true) => Err(BadMetadata::Redirect(
            "a client of the `application_type` `web` redirects to `https` only: say `native` if it runs on the person's machine".to_owned(),
        )),
        (Some("web"), false) | (None, false) => Ok(ApplicationType::Web),
        (Some("native"), _) | (None, true) => Ok(ApplicationType::Native),
        (Some(_), _) => Err(BadMetadata::metadata("`application_type` is `web` or `native`")),
    }
}

fn read_authentication(object: Raw<'_>) -> Result<WantedAuthentication, BadMetadata> {
    Ok(match text(object, "token_endpoint_auth_method")?.as_deref() {
        None => WantedAuthentication::Unsaid,
        Some("none") => WantedAuthentication::None,
        Some("client_secret_basic") => WantedAuthentication::SecretBasic,
        Some("client_secret_post") => WantedAuthentication::SecretPost,
        Some("private_key_jwt") => WantedAuthentication::PrivateKey,
        Some(_) => {
            return Err(BadMetadata::metadata(
                "`token_endpoint_auth_method` is `none`, `client_secret_basic`, `client_secret_post` or `private_key_jwt`",
            ));
        }
    })
}

/// The ones that clients may take for themselves; others are left out (RFC 7591 section 2).
/// Codes of devices are not among them: with those a person agrees on a page that nothing ties
/// to the program that waits, so somebody who knows it has to write the client down.
fn read_grants(object: Raw<'_>) -> Result<Vec<GrantType>, BadMetadata> {
    let own = [GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::JwtBearer];
    let named = texts(object, "grant_types")?;
    // The default would be the code alone, and its client back every ten minutes: what it may
    // take without asking is the server's to say (section 3.2.1).
    let usual = [GrantType::AuthorizationCode, GrantType::RefreshToken];
    let named = named.unwrap_or_else(|| usual.map(|grant| grant.name().to_owned()).to_vec());
    let is_named = |grant: &GrantType| named.iter().any(|name| name == grant.name());
    let grants: Vec<_> = own.into_iter().filter(is_named).collect();
    let answers = texts(object, "response_types")?;
    let answers = answers.unwrap_or_else(|| vec!["code".to_owned()]);
    if grants.contains(&GrantType::AuthorizationCode) && !answers.iter().any(|it| it == "code") {
        return Err(BadMetadata::metadata(
            "`response_types` must name `code`, the only one there is",
        ));
    }
    Ok(grants)
}

/// Whether it can be shown as the address of a web page.
fn is_page(uri: &str) -> bool {
    let rest = uri.strip_prefix("https:").filter(|_| check_characters(uri).is_ok());
    rest.is_some_and(|rest| Authority::read(rest).is_ok())
}
