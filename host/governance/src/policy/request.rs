//! What surrounds a request, as far as policies can see it.
//!
//! Builds the `context` record: only those attributes that a policy in question mentions.

use std::{net::IpAddr, sync::Arc};

use cedar_policy::{Context, RestrictedExpression as Value};
use identity::Caller;
use model::Timestamp;
use tidegate_identity as identity;
use tidegate_model as model;

use super::{
    mention::{Mentions, part},
    value::{self, Unfit},
    world::{KnownTool, Types, uid},
};

/// The circumstances of one request.
#[derive(Debug, Clone, Default)]
pub struct RequestContext<'a> {
    /// When it is judged.
    pub at: Timestamp,
    /// Where it came from, where that is known.
    pub source: Option<IpAddr>,
    /// The client program, where that is known.
    pub client: Option<&'a str>,
    /// What plugins noted of the caller's session at this virtual MCP. `None` where that is not
    /// known: a policy that looks at it then cannot be evaluated, and refuses.
    pub facts: Option<Arc<[String]>>,
}

/// Why a context could not be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoContext {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("the time `{0:?}` is out of range")]
    Time(Timestamp),
    #[error("what plugins noted of the session is not known")]
    Facts,
    #[error("the request does not fit the policy schema: {0}")]
    Cedar(String),
}

/// Everything a context is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) types: &'a Types,
    pub(super) caller: &'a Caller,
    /// Name and value of `context.vmcp`, where there is one.
    pub(super) vmcp: Option<&'a cedar_policy::EntityUid>,
    pub(super) request: &'a RequestContext<'a>,
    /// The arguments as text and the tool that declares them, where there are any.
    pub(super) input: Option<(&'a str, &'a KnownTool)>,
}

impl Given<'_> {
    /// The context, with what is mentioned.
    pub(super) fn context(&self, mentions: &Mentions) -> Result<Context, NoContext> {
        let wants = |bit: u16| mentions.context & bit != 0;
        let mut pairs = self.fixed(mentions.context);
        if wants(part::CLIENT)
            && let Some(client) = self.request.client
        {
            let client = uid(&self.types.client, client);
            pairs.push(("client".to_owned(), Value::new_entity_uid(client)));
        }
        if wants(part::SOURCE)
            && let Some(source) = self.request.source
        {
            let source = source.to_canonical().to_string();
            pairs.push(("source".to_owned(), Value::new_ip(source)));
        }
        if wants(part::TIME | part::WEEKDAY) {
            let (time, weekday) = clock(self.request.at)?;
            pairs.push(("time".to_owned(), Value::new_datetime(time)));
            pairs.push(("weekday".to_owned(), Value::new_string(weekday.to_owned())));
        }
        if wants(part::INPUT)
            && let Some((text, tool)) = self.input
        {
            let input = value::input(text, tool.input(), &mentions.input)?;
            pairs.push(("input".to_owned(), input));
        }
        // Left out, they would look like a session without any to a policy that asks by `has`.
        if wants(part::FACTS) && self.vmcp.is_some() {
            let facts = self.request.facts.as_ref().ok_or(NoContext::Facts)?;
            let facts = facts.iter().map(|fact| Value::new_string(fact.clone()));
            pairs.push(("facts".to_owned(), Value::new_set(facts)));
        }
        Context::from_pairs(pairs).map_err(|e| NoContext::Cedar(e.to_string()))
    }

    /// The context with what is the same for every request of this caller through this
    /// virtual MCP; the rest is unknown. Holds only for policies that do not mention
    /// [`part::OPTIONAL`], which may be absent altogether.
    pub(super) fn partly_known(&self) -> Result<Context, NoContext> {
        let mut pairs = self.fixed(part::ALL);
        let mut unknown = |name: &str| {
            pairs.push((name.to_owned(), Value::new_unknown(name)));
        };
        unknown("time");
        unknown("weekday");
        // As the schema has it: there is no session without a virtual MCP.
        if self.vmcp.is_some() {
            unknown("facts");
        }
        if self.input.is_some() {
            unknown("input");
        }
        Context::from_pairs(pairs).map_err(|e| NoContext::Cedar(e.to_string()))
    }

    fn fixed(&self, wanted: u16) -> Vec<(String, Value)> {
        let mut pairs = Vec::with_capacity(8);
        if wanted & part::AUTH != 0 {
            let auth = Value::new_string(self.caller.sign_in().name().to_owned());
            pairs.push(("auth".to_owned(), auth));
        }
        if wanted & part::VMCP != 0
            && let Some(vmcp) = self.vmcp
        {
            pairs.push(("vmcp".to_owned(), Value::new_entity_uid(vmcp.clone())));
        }
        if wanted & part::SESSION != 0
            && let Ok(empty) = Value::new_record([])
        {
            pairs.push(("session".to_owned(), empty));
        }
        pairs
    }
}

/// A moment in Cedar's spelling, and its weekday, in UTC.
fn clock(at: Timestamp) -> Result<(String, &'static str), NoContext> {
    use jiff::civil::Weekday;
    let out_of_range = || NoContext::Time(at);
    let millis = i64::try_from(at.as_millis()).map_err(|_| out_of_range())?;
    let moment = jiff::Timestamp::from_millisecond(millis).map_err(|_| out_of_range())?;
    let moment = moment.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let weekday = match moment.weekday() {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    };
    let (date, time) = (moment.date(), moment.time());
    let text = format!(
        "{date}T{:02}:{:02}:{:02}.{:03}Z",
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    );
    Ok((text, weekday))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spelled_as_cedar_reads_them() {
        for (millis, expected) in [
            (0, ("1970-01-01T00:00:00.000Z", "thu")),
            (1_795_228_245_678, ("2026-11-21T02:30:45.678Z", "sat")),
            (253_402_128_000_000, ("9999-12-30T00:00:00.000Z", "thu")),
        ] {
            let (text, day) = clock(Timestamp::from_millis(millis)).unwrap();
            assert_eq!((text.as_str(), day), expected);
        }
        assert!(clock(Timestamp::from_millis(u64::MAX)).is_err());
    }
}
