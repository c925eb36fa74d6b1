//! Answers on their way to a modern client that ask it something first.
//!
//! A modern server's own `input_required` is passed on with its state sealed; a legacy
//! server's demand to visit URLs becomes one. Everything else passes untouched.

use serde_json::json;
use tidegate_model::{Answer, ConnectorId, Json, Outcome, Refusal, RefusalCode};
use tidegate_wire::{
    client::Profile,
    json::{Kind, Raw},
    mcp::{
        code,
        method::Method,
        peek::{ErrorObject, ResultPeek, ResultType},
        splice::{self, Edit},
    },
};

use super::{
    question,
    state::{self, State},
    table::Round,
    words_of,
};
use crate::{
    call::{Reached, refusal},
    gateway::Gateway,
    seal::NoRandomness,
};

/// Most questions in one result.
const MOST: usize = 64;
/// Most URLs that one refusal may demand.
const MOST_URLS: usize = 16;

/// The outcome of a call as its modern client is to see it. Each question in it
/// is on record when this returns.
pub(crate) async fn outward(
    gateway: &Gateway,
    round: Round<'_>,
    reached: &Reached,
    outcome: Outcome,
) -> Outcome {
    let connector = reached.connector.as_ref();
    match outcome {
        Ok(Answer::Result(result)) if asks(&result) => {
            relayed(gateway, round, reached, &result).await.map(Answer::Result)
        }
        Ok(Answer::Error(error)) => {
            let asked = urls(&error).filter(|_| round.profile.has(Profile::URL));
            match asked {
                Some(urls) => demanded(gateway, round, connector, &error, urls).await,
                None => Ok(Answer::Error(error)),
            }
        }
        other => other,
    }
}

/// Whether a result asks for input first.
fn asks(result: &Json) -> bool {
    let raw = Raw::from(result);
    raw.may_say("input_required")
        && ResultPeek::read(raw).is_ok_and(|peek| peek.result_type == ResultType::InputRequired)
}

/// A server's own question, with its state sealed.
async fn relayed(
    gateway: &Gateway,
    round: Round<'_>,
    reached: &Reached,
    result: &Json,
) -> Result<Json, Refusal> {
    let Some(connector) = &reached.connector else { return Err(asked_by_plugin()) };
    let raw = Raw::from(result);
    let requests = raw.get("inputRequests").unwrap_or(Raw::EMPTY_OBJECT);
    let methods = methods(requests, round.profile).ok_or_else(unfit)?;
    let state = match raw.get("requestState").filter(|state| !state.is_null()) {
        None => None,
        Some(state) => Some(state.string().ok_or_else(unfit)?.into_owned()),
    };
    record(gateway, round, Some(connector), &methods).await?;
    let answered = reached.answered.as_ref().map(|answered| answered.as_str().to_owned());
    let state = State::Upstream { connector: connector.clone(), state, answered };
    let sealed = seal(gateway, round, &state)?;
    let sealed = Json::of(&sealed).unwrap_or_default();
    let edits = [Edit::set("requestState", Raw::from_checked(sealed.as_str()))];
    splice::object(raw, &edits).map_err(refusal::internal)
}

/// What is asked; `None` where this client cannot be asked one of it.
fn methods(requests: Raw<'_>, profile: Profile) -> Option<Vec<Method>> {
    if requests.kind() != Kind::Object || requests.members().count() > MOST {
        return None;
    }
    let method = |request: Raw<'_>| {
        let method = Method::parse(&request.get("method")?.string()?)?;
        let params = request.get("params").unwrap_or(Raw::EMPTY_OBJECT);
        profile.allows(method, params).is_ok().then_some(method)
    };
    requests.members().map(|member| method(member.value)).collect()
}

/// The URLs that a legacy server wants visited first, as parameters of elicitations.
fn urls(error: &Json) -> Option<Vec<Json>> {
    let error = ErrorObject::read(Raw::from(error))?;
    if error.code != code::URL_ELICITATION_REQUIRED {
        return None;
    }
    let wanted = error.data?.get("elicitations")?;
    let one = |wanted: Raw<'_>| {
        let text = |name| wanted.get(name).and_then(Raw::string);
        let (url, message) = (text("url")?, text("message")?);
        Json::of(&json!({"mode": "url", "message": message, "url": url})).ok()
    };
    let urls: Vec<Json> = wanted.elements().take(MOST_URLS + 1).map(one).collect::<Option<_>>()?;
    (1..=MOST_URLS).contains(&urls.len()).then_some(urls)
}

/// The question that a demand to visit URLs becomes.
async fn demanded(
    gateway: &Gateway,
    round: Round<'_>,
    connector: Option<&ConnectorId>,
    error: &Json,
    urls: Vec<Json>,
) -> Outcome {
    record(gateway, round, connector, &vec![Method::Elicit; urls.len()]).await?;
    let keys: Vec<String> = (1..=urls.len()).map(|number| format!("url-{number}")).collect();
    let mut requests = vec![b'{'];
    for (key, params) in keys.iter().zip(&urls) {
        question::entry(&mut requests, key, Method::Elicit, params);
    }
    requests.push(b'}');
    let sealed = seal(gateway, round, &State::Again { keys, words: words_of(error) })?;
    Ok(Answer::Result(question::input_required(&requests, &sealed)))
}

async fn record(
    gateway: &Gateway,
    round: Round<'_>,
    connector: Option<&ConnectorId>,
    methods: &[Method],
) -> Result<(), Refusal> {
    let asker = question::Asker { connector, by: None };
    for method in methods {
        question::on_record(gateway, round.context, round.vmcp, asker, *method).await?;
    }
    Ok(())
}

fn seal(gateway: &Gateway, round: Round<'_>, state: &State) -> Result<String, Refusal> {
    state::seal(gateway, round.context, round.vmcp, round.target, state)
        .map_err(|error: NoRandomness| refusal::internal(error))
}

/// A plugin has no state of its own and is not there in the next round.
fn asked_by_plugin() -> Refusal {
    Refusal::new(RefusalCode::PluginFailed, "a plugin wants to ask something, which it cannot")
        .with_next("ask an administrator to look at the plugins")
}

fn unfit() -> Refusal {
    let words = "the server asks what this client did not say it can answer";
    Refusal::new(RefusalCode::ConnectorProtocol, words)
        .with_next("ask an administrator to look at the connector")
}
