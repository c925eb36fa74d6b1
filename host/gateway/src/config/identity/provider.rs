//! A `[providers.NAME]` table: an OpenID provider that people sign in with.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_identity::settings::{ClaimNames, Preset, Provider};

use super::{Fault, settings::is_url};
use crate::config::{problem::sentence, reference::Reference};

/// Which kind of provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresetSetting {
    /// Okta.
    Okta,
    /// Google.
    Google,
    /// Microsoft Entra ID.
    Entra,
    /// Any OpenID provider.
    #[default]
    Oidc,
}

/// The names of the claims that say who somebody is; each may be a path (`realm.roles`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimsConfig {
    /// The e-mail address; `email` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The person's name; `name` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A list of groups; `groups` when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
    /// A list of roles; none are read when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<String>,
}

impl ClaimsConfig {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Which kind of provider: how its claims are read and checked.
    #[serde(default)]
    pub preset: PresetSetting,
    /// What its button says; the table's name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its issuer, as in its metadata and tokens. Google's and Entra's may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Who the gateway is to it.
    pub client_id: String,
    /// The gateway's secret there: `env:NAME` or `file:PATH`.
    pub client_secret: Reference,
    /// Scopes to ask for; those of the preset when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// `google`: only people of this domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_domain: Option<String>,
    /// `entra`: the tenant's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// `entra`: where groups are looked up, if not at Microsoft's public cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// Addresses beside the public internet where it may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_addresses: Vec<IpAddr>,
    /// Hosts beside the issuer's own where its endpoints may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoint_hosts: Vec<String>,
    /// Whether every e-mail address counts, also one that the provider does not vouch for: `true`
    /// only where nobody but your own administrators can give addresses. Otherwise one counts
    /// that comes with `email_verified`. Entra never says that; there one counts with
    /// `xms_edov` or in `verified_primary_email` (optional claims), or of a member, no guest, in
    /// the domain of their sign-in name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trust_email: bool,
    /// Where the answers are in its claims.
    #[serde(default, skip_serializing_if = "ClaimsConfig::is_default")]
    pub claims: ClaimsConfig,
}

impl ProviderConfig {
    /// Its issuer, where it is said or follows from the rest.
    fn issuer(&self) -> Option<String> {
        let said = self.issuer.clone();
        said.or_else(|| match (self.preset, &self.tenant) {
            (PresetSetting::Google, _) => Some("https://accounts.google.com".to_owned()),
            (PresetSetting::Entra, Some(tenant)) => {
                Some(format!("https://login.microsoftonline.com/{tenant}/v2.0"))
            }
            _ => None,
        })
    }

    /// Whether people whom nobody here knows have accounts there.
    pub(super) fn is_anybodys(&self) -> bool {
        self.preset == PresetSetting::Google && self.hosted_domain.is_none()
    }

    /// What does not fit together.
    pub(super) fn faults(&self, name: &str, faults: &mut Vec<Fault>) {
        let mut say = |message: &str, help: &str| {
            faults.push((format!("`providers.{name}` {message}"), help.to_owned()));
        };
        if self.preset == PresetSetting::Entra && self.tenant.as_deref().is_none_or(str::is_empty) {
            say("needs `tenant`", "write the id of your tenant: no other's people may come in");
        } else {
            match self.issuer() {
                None => say("needs `issuer`", "write it as it stands in the provider's metadata"),
                Some(issuer) if !is_url(&issuer) => {
                    say("`issuer` is no https URL", "http is taken for this machine only");
                }
                Some(_) => {}
            }
        }
        for (key, given, preset) in [
            ("hosted_domain", self.hosted_domain.is_some(), PresetSetting::Google),
            ("tenant", self.tenant.is_some(), PresetSetting::Entra),
            ("graph", self.graph.is_some(), PresetSetting::Entra),
        ] {
            if given && self.preset != preset {
                say(&format!("`{key}` belongs to another preset"), "remove it, or set `preset`");
            }
        }
        if self.graph.as_deref().is_some_and(|url| !is_url(url)) {
            say("`graph` is no https URL", "leave it out for Microsoft's public cloud");
        }
        if !self.scopes.is_empty() && !self.scopes.iter().any(|scope| scope == "openid") {
            say("`scopes` lacks `openid`", "without it nobody is signed in");
        }
        if self.client_id.trim().is_empty() {
            say("needs `client_id`", "the provider gave it when the gateway was registered");
        }
    }

    /// The provider that it describes, its secret fetched.
    pub(super) fn to_provider(&self, name: &str) -> Result<Provider, Fault> {
        let secret = self.client_secret.resolve();
        let secret = secret.map_err(|error| {
            let help = "set it, or correct `client_secret`".to_owned();
            (format!("`providers.{name}`: {}", sentence(&error)), help)
        })?;
        let scopes = if self.scopes.is_empty() { self.usual_scopes() } else { self.scopes.clone() };
        let usual = ClaimNames::default();
        let claims = self.claims.clone();
        let graph = || "https://graph.microsoft.com/v1.0".to_owned();
        Ok(Provider {
            title: self.title.clone().unwrap_or_else(|| name.to_owned()),
            preset: match self.preset {
                PresetSetting::Okta => Preset::Okta,
                PresetSetting::Google => {
                    Preset::Google { hosted_domain: self.hosted_domain.clone() }
                }
                PresetSetting::Entra => Preset::Entra {
                    tenant: self.tenant.clone().unwrap_or_default(),
                    graph: self.graph.clone().unwrap_or_else(graph),
                },
                PresetSetting::Oidc => Preset::Oidc,
            },
            issuer: self.issuer().unwrap_or_default(),
            client_id: self.client_id.clone(),
            client_secret: secret,
            scopes,
            claims: ClaimNames {
                email: claims.email.unwrap_or(usual.email),
                name: claims.name.unwrap_or(usual.name),
                groups: claims.groups.unwrap_or(usual.groups),
                roles: claims.roles.unwrap_or(usual.roles),
            },
            addresses: self.allow_addresses.clone(),
            endpoint_hosts: self.endpoint_hosts.clone(),
            trust_email: self.trust_email,
        })
    }

    fn usual_scopes(&self) -> Vec<String> {
        let usual: &[&str] = match self.preset {
            PresetSetting::Okta => &["openid", "email", "profile", "groups"],
            PresetSetting::Google | PresetSetting::Entra | PresetSetting::Oidc => {
                &["openid", "email", "profile"]
            }
        };
        usual.iter().map(|scope| (*scope).to_owned()).collect()
    }
}
