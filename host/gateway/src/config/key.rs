//! `keys/NAME.toml`: one API key, as its digest.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_identity::{directory::Kind, method::api_key::KeyRecord};
use tidegate_model::{KeyId, OrgId, Timestamp, UserId, VmcpId};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// The person it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent it stands for, instead of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Groups of that user or agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Roles of that user or agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Virtual MCPs it is good for; all when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vmcps: Vec<String>,
    /// `sha256:…` of the key; `tidegate key new` makes it.
    pub hash: String,
    /// The last day it works (`2027-12-31`, UTC), or a moment (`2027-12-31T12:00:00Z`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

impl KeyConfig {
    /// The record it describes, or what is wrong.
    pub fn to_record(&self, org: OrgId, id: KeyId) -> Result<KeyRecord, String> {
        let vmcps: Result<Vec<VmcpId>, _> =
            self.vmcps.iter().map(|name| VmcpId::new(name)).collect();
        if let Some(empty) =
            self.groups.iter().chain(&self.roles).find(|name| name.trim().is_empty())
        {
            return Err(format!("`{empty}` is no name of a group or role"));
        }
        let (name, kind) = match (&self.user, &self.agent) {
            (Some(user), None) => (user, Kind::Person),
            (None, Some(agent)) => (agent, Kind::Agent),
            _ => return Err("a key stands for one: write either `user` or `agent`".to_owned()),
        };
        Ok(KeyRecord {
            id,
            org,
            hash: self
                .hash
                .parse()
                .map_err(|bad: tidegate_identity::method::api_key::BadKeyHash| bad.to_string())?,
            user: UserId::new(name).map_err(|bad| bad.to_string())?,
            kind,
            groups: self.groups.clone(),
            roles: self.roles.clone(),
            vmcps: vmcps.map_err(|bad| bad.to_string())?,
            expires: self.expires.as_deref().map(moment).transpose()?,
        })
    }
}

/// The first key that gives a person a name that another key, or a client (`agents`), gives to
/// an agent: sessions and records know callers by their names.
pub fn mistaken<'a>(
    records: &'a [KeyRecord],
    agents: impl Iterator<Item = &'a str>,
) -> Option<&'a KeyRecord> {
    let by_key = records.iter().filter(|it| it.kind == Kind::Agent).map(|it| it.user.as_str());
    let agents: BTreeSet<&str> = by_key.chain(agents).collect();
    records.iter().find(|it| it.kind == Kind::Person && agents.contains(it.user.as_str()))
}

/// The end of a day, or a moment, in UTC.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let bad = || {
        format!(
            "`{text}` is neither a day like `2027-12-31` nor a moment like `2027-12-31T12:00:00Z`"
        )
    };
    let millis = if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        moment.as_millisecond()
    } else {
        let day: jiff::civil::Date = text.parse().map_err(|_| bad())?;
        let next = day.tomorrow().map_err(|_| bad())?;
        next.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?.timestamp().as_millisecond()
    };
    u64::try_from(millis).map(Timestamp::from_millis).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<KeyRecord, String> {
        let hash = format!("hash = \"sha256:{}\"\n{text}", "0".repeat(64));
        let config: KeyConfig = toml::from_str(&hash).unwrap();
        config.to_record(OrgId::default_org(), KeyId::new("k").unwrap())
    }

    #[test]
    fn a_key_stands_for_a_person_or_an_agent() {
        let (person, agent) = (key("user = 'bot'").unwrap(), key("agent = 'bot'").unwrap());
        assert_eq!((person.kind, agent.kind), (Kind::Person, Kind::Agent));
        for bad in ["", "user = 'a'\nagent = 'a'", "agent = 'a b'"] {
            assert!(key(bad).is_err(), "{bad}");
        }
        let none = std::iter::empty;
        assert!(mistaken(&[person.clone(), person.clone()], none()).is_none());
        assert!(mistaken(std::slice::from_ref(&agent), ["bot"].into_iter()).is_none());
        let both = [agent, person.clone()];
        assert_eq!(mistaken(&both, none()).unwrap().kind, Kind::Person);
        assert!(mistaken(&[person], ["bot"].into_iter()).is_some());
    }

    #[test]
    fn a_day_lasts_until_its_end_in_utc() {
        assert_eq!(moment("1970-01-01"), Ok(Timestamp::from_millis(86_400_000)));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Timestamp::from_millis(1_000)));
        for bad in ["", "soon", "2027-13-01", "1960-01-01T00:00:00Z"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
