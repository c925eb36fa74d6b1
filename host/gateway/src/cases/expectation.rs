//! What a case expects, and how what happened falls short of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    difference::{differences, lines, plain, short},
    file::{Case, CaseEvent, Wanted},
    said::Said,
    stand::Tried,
    web::Asked,
};

/// Whether `expect` is something that the event can come to.
pub(super) fn check(event: CaseEvent, expect: &Value) -> Result<(), String> {
    use CaseEvent as E;
    let words: &[&str] = match event {
        E::BeforeCall | E::BeforePrompt => &["replace", "refuse", "answer", "ask", "failure"],
        E::BeforeRead => &["refuse", "answer", "ask", "failure"],
        E::BeforeCompletion | E::OnQuestion => &["replace", "refuse", "answer", "failure"],
        E::AfterCall | E::AfterPrompt | E::AfterRead | E::AfterCompletion => {
            &["replace", "refuse", "failure"]
        }
        E::Shown => &["failure"],
        _ => &["result", "failure"],
    };
    let is_verdict = !words.contains(&"result") && event != E::Shown;
    match expect {
        Value::String(word) if word == "proceed" && is_verdict => Ok(()),
        Value::Array(_) if event == E::Shown => Ok(()),
        Value::Object(members) if members.len() == 1 => {
            let word = members.keys().next().map(String::as_str).unwrap_or_default();
            match words.contains(&word) {
                true => Ok(()),
                false => Err(format!("`{event}` does not come to `{word}`; use {}", said(words))),
            }
        }
        _ if event == E::Shown => {
            Err("write a list with one of \"show\", \"hide\", {\"relabel\": …} for each item"
                .into())
        }
        _ if is_verdict => {
            Err(format!("write \"proceed\" or an object with one of {}", said(words)))
        }
        _ => Err(format!("write an object with one of {}", said(words))),
    }
}

fn said(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// How what happened falls short, in lines; empty where the case is met.
pub(super) fn unmet(case: &Case, tried: &Tried) -> Vec<String> {
    let mut short_of = Vec::new();
    if let Some(expect) = &case.expect {
        of_what_it_said(expect, &tried.said, &mut short_of);
    }
    if let Some(state) = &case.expect_state
        && tried.state.as_deref() != Some(state.as_bytes())
    {
        let handed = tried.state.as_deref().map(String::from_utf8_lossy);
        short_of.push(format!("it handed over the state {handed:?}, expected was {state:?}"));
    }
    if let Some(facts) = &case.expect_facts {
        let mut expected = facts.clone();
        expected.sort();
        if expected != tried.facts {
            let found = &tried.facts;
            short_of
                .push(format!("the session has the facts {found:?}, expected were {expected:?}"));
        }
    }
    for (key, expected) in case.expect_values.iter().flatten() {
        of_value(key, expected, &tried.values, &mut short_of);
    }
    for text in case.expect_lines.iter().flatten() {
        if !tried.lines.iter().any(|line| line.text.contains(text.as_str())) {
            short_of.push(format!("no line of its log holds {text:?}"));
        }
    }
    of_requests(case, &tried.requests, &mut short_of);
    short_of
}

fn of_what_it_said(expect: &Value, said: &Said, short_of: &mut Vec<String>) {
    let value = said.value();
    let is_met = match expect {
        any if any["refuse"] == true => value.get("refuse").is_some(),
        ask if ask.get("ask").is_some() => {
            let asked = ask["ask"].as_object();
            let members = asked.into_iter().flatten();
            value.get("ask").is_some_and(|question| {
                asked.is_some()
                    && members.into_iter().all(|(name, it)| question.get(name) == Some(it))
            })
        }
        failure if failure.get("failure").is_some() => match said {
            Said::Failure { name, words } => {
                failure["failure"] == true
                    || failure["failure"] == **name
                    || failure["failure"] == **words
            }
            _ => false,
        },
        edits if edits.get("result").is_some() && matches!(said, Said::Edits(_)) => {
            is_same_edits(&edits["result"], value.get("result"))
        }
        other => *other == value,
    };
    if is_met {
        return;
    }
    let kind = |value: &Value| match value {
        Value::Object(members) => members.keys().next().cloned().unwrap_or_default(),
        Value::Array(_) => "list".to_owned(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let (was, is) = (kind(expect), kind(&value));
    if was != is {
        short_of.push(format!("expected {}", short(expect)));
        short_of.push(format!("but it said {}", said.told()));
        return;
    }
    short_of.push(format!("its `{is}` is another than expected (-) in these places (+):"));
    short_of
        .extend(lines(&differences(expect, &value)).into_iter().map(|line| format!("  {line}")));
    if let Said::Failure { words, .. } = said {
        short_of.push(format!("  in its words: {}", plain(words)));
    }
}

/// Whether these are the same edits.
fn is_same_edits(expected: &Value, found: Option<&Value>) -> bool {
    expected.is_array() && Some(by_tool(expected)) == found.map(by_tool)
}

/// Edits in the order of their tools: the order in which they are given says nothing.
fn by_tool(edits: &Value) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = edits.as_array().into_iter().flatten().collect();
    sorted.sort_by_key(|edit| edit.get("tool").and_then(Value::as_str).unwrap_or_default());
    sorted
}

fn of_value(
    key: &str,
    expected: &Value,
    values: &BTreeMap<String, Option<String>>,
    short_of: &mut Vec<String>,
) {
    let found = values.get(key).cloned().flatten();
    let expected = match expected {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    if found != expected {
        let told = |value: &Option<String>| value.as_ref().map_or(json!(null), |text| json!(text));
        let (found, expected) = (told(&found), told(&expected));
        short_of.push(format!("its value of `{key}` is {found}, expected was {expected}"));
    }
}

fn of_requests(case: &Case, asked: &[Asked], short_of: &mut Vec<String>) {
    for one in asked.iter().filter(|one| !one.known) {
        let Asked { method, url, .. } = one;
        short_of.push(format!("it asked for {method} {url}, which no exchange in `http` answers"));
    }
    let Some(expected) = &case.expect_requests else { return };
    if asked.len() != expected.len() {
        let all: Vec<String> =
            asked.iter().map(|one| format!("{} {}", one.method, one.url)).collect();
        short_of.push(format!(
            "it sent {} requests, expected were {}: {}",
            asked.len(),
            expected.len(),
            all.join(", ")
        ));
    }
    for (place, (wanted, one)) in expected.iter().zip(asked).enumerate() {
        of_request(place, wanted, one, short_of);
    }
}

fn of_request(place: usize, wanted: &Wanted, one: &Asked, short_of: &mut Vec<String>) {
    let number = place + 1;
    if !one.is(&wanted.method, &wanted.url) {
        let (method, url) = (&wanted.method, &wanted.url);
        short_of.push(format!(
            "request {number} is {} {}, expected was {method} {url}",
            one.method, one.url
        ));
    }
    for (name, value) in &wanted.headers {
        let found = one.headers.get(&name.to_ascii_lowercase());
        if found != Some(value) {
            short_of.push(format!(
                "request {number}: header `{name}` is {found:?}, expected was {value:?}"
            ));
        }
    }
    if let Some(body) = &wanted.body
        && *body != one.body
    {
        short_of
            .push(format!("request {number}: the body is {:?}, expected was {body:?}", one.body));
    }
}
