//! Every event: what guests say arrives, and what they may not change fails the hook.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{BoxFuture, FutureExt, ready};
use tidegate_model::{Answer, Ask, Reply, Verdict};

use super::*;
use crate::{
    Asker, Customizer, Listing, Scope, Shown, Trap,
    capabilities::{
        facts::{Facts, FactsError},
        state::{KeyValue, KeyValueError},
    },
};

fn is_not_allowed<T: std::fmt::Debug>(said: Result<T, Failure>, part: &str) {
    let failure = said.unwrap_err();
    let Failure::Trap { trap: Trap::NotAllowed(why), .. } = &failure else { panic!("{failure:?}") };
    assert!(why.contains(part), "{part}: {why}");
    assert_eq!(failure.name(), "not_allowed");
}

fn first() -> Round {
    Round::default()
}

#[tokio::test]
async fn each_event_has_verdicts_of_its_own() {
    let component = load("hostile").await;
    let context = context("search");
    let argument = json(r#"{"name":"city","value":"K"}"#);
    let table = [
        (Event::Prompt, "replace", Verdict::Replace(json(r#"{"was":{}}"#))),
        (Event::Prompt, "proceed", Verdict::Proceed),
        (Event::Read, "refuse", Verdict::Refuse("not search".into())),
        (Event::Read, "answer", Verdict::Answer(json(r#"{"contents":[]}"#))),
        (Event::Completion, "replace", Verdict::Replace(json(r#"{"name":"city","value":"Kiel"}"#))),
    ];
    for (event, act, expected) in table {
        let plugin = hostile(&component, act, Limits::default());
        let given = if event == Event::Completion { &argument } else { &json("{}") };
        let said = plugin.before(event, &context, given, &first()).await.unwrap();
        assert_eq!(said.verdict, expected, "{event:?} {act}");
    }
    let result = Answer::Result(json("{}"));
    let error = Answer::Error(json(r#"{"code":1,"message":"no"}"#));
    let table = [
        (Event::Prompt, "replace", &result, Verdict::Replace(json(r#"{"messages":[]}"#))),
        (Event::Prompt, "refuse", &result, Verdict::Refuse("withheld".into())),
        (Event::Prompt, "refuse", &error, Verdict::Proceed),
        (Event::Read, "replace", &result, Verdict::Replace(json(r#"{"contents":[]}"#))),
        (
            Event::Completion,
            "replace",
            &result,
            Verdict::Replace(json(r#"{"completion":{"values":["Kiel"]}}"#)),
        ),
    ];
    for (event, act, answer, expected) in table {
        let plugin = hostile(&component, act, Limits::default());
        let said = plugin.after(event, &context, answer, None).await.unwrap();
        assert_eq!(said, expected, "{event:?} {act}");
    }
}

#[tokio::test]
async fn what_an_event_does_not_allow_fails_the_hook() {
    let component = load("hostile").await;
    let context = context("search");
    let argument = json(r#"{"name":"city","value":"K"}"#);
    let table = [
        (Event::Read, "replace", "no arguments"),
        (Event::Completion, "bad_result", "keeps the name"),
        (Event::Completion, "ask", "nobody is asked"),
        (Event::Call, "ask_badly", "`a` of a question's schema"),
    ];
    for (event, act, part) in table {
        let plugin = hostile(&component, act, Limits::default());
        is_not_allowed(plugin.before(event, &context, &argument, &first()).await, part);
        assert_eq!(plugin.counts().calls, 1);
    }
    let result = Answer::Result(json("{}"));
    let plugin = hostile(&component, "bad_result", Limits::default());
    for (event, part) in [
        (Event::Prompt, "`messages`"),
        (Event::Read, "`contents`"),
        (Event::Completion, "`completion`"),
    ] {
        is_not_allowed(plugin.after(event, &context, &result, None).await, part);
    }
    is_not_allowed(plugin.shown(&context, ListKind::Tools, &[json("{}")]).await, "`name`");
    let params = json(r#"{"message":"?","requestedSchema":{"type":"object","properties":{}}}"#);
    let asking = context.asking("elicitation/create", context.deadline);
    is_not_allowed(plugin.question(&asking, &params).await, "`requestedSchema`");
}

#[tokio::test]
async fn a_question_comes_back_with_its_reply_in_a_new_round() {
    let component = load("hostile").await;
    let plugin = hostile(&component, "ask", Limits::default());
    let context = context("search");
    for event in [Event::Call, Event::Prompt, Event::Read] {
        let said = plugin.before(event, &context, &json("{}"), &first()).await.unwrap();
        let schema = json(r#"{"type":"object","properties":{"why":{"type":"string"}}}"#);
        let asked = Ask { message: "Are you sure?".into(), schema };
        assert_eq!(said.verdict, Verdict::Ask(asked), "{event:?}");
        assert_eq!(said.state.as_deref(), Some(b"asked".as_slice()));
        let next = |reply| Round { number: 1, reply: Some(reply), state: said.state.clone() };
        let declined = plugin.before(event, &context, &json("{}"), &next(Reply::Decline)).await;
        assert_eq!(declined.unwrap().verdict, Verdict::Refuse("they said no".into()));
        if event != Event::Read {
            let accepted = next(Reply::Accept(json(r#"{"why":"so"}"#)));
            let said = plugin.before(event, &context, &json("{}"), &accepted).await.unwrap();
            let expected = json(r#"{"said":{"why":"so"},"state":"asked","round":1}"#);
            assert_eq!(said.verdict, Verdict::Replace(expected));
        }
    }
}

#[tokio::test]
async fn lists_are_judged_item_by_item() {
    let component = load("hostile").await;
    let call = call("search");
    let user = UserId::new("ae@example.com").unwrap();
    let connector = ConnectorId::new("crm").unwrap();
    let listing = Listing {
        id: call.id,
        org: &call.org,
        vmcp: &call.vmcp,
        connector: &connector,
        method: "tools/list",
        trace: &call.trace,
        deadline: call.deadline,
    };
    let asker = Asker { user: &user, groups: Arc::from([]), client: None, facts: None };
    let context = CallContext::of_listing(&listing, asker);
    let items = [json(r#"{"name":"a"}"#), json(r#"{"name":"b"}"#)];
    let relabel = |title: &str| Shown::Relabel(json(&format!(r#"{{"title":"{title}"}}"#)));
    let table = [
        ("proceed", ListKind::Tools, vec![Shown::Show, Shown::Show]),
        ("hide", ListKind::Prompts, vec![Shown::Hide, Shown::Show]),
        (
            "relabel",
            ListKind::Templates,
            vec![relabel("Kind::ResourceTemplates 0"), relabel("Kind::ResourceTemplates 1")],
        ),
    ];
    for (act, kind, expected) in table {
        let plugin = hostile(&component, act, Limits::default());
        assert_eq!(plugin.shown(&context, kind, &items).await.unwrap(), expected, "{act}");
    }
    let plugin = hostile(&component, "too_few", Limits::default());
    let failure = plugin.shown(&context, ListKind::Tools, &items).await.unwrap_err();
    assert_eq!(failure.name(), "bad_output");
    let blind = Interceptor::new(&binding(&load("bench-pass").await, &json("{}"))).unwrap();
    let said = blind.shown(&context, ListKind::Tools, &items).await.unwrap();
    assert_eq!((said, blind.counts().calls), (vec![Shown::Show, Shown::Show], 0));
}

#[tokio::test]
async fn questions_are_passed_on_reworded_declined_or_answered() {
    let component = load("hostile").await;
    let context = context("search");
    let params = json(r#"{"message":"?","requestedSchema":{"type":"object","properties":{}}}"#);
    let reworded =
        json(r#"{"message":"May I?","requestedSchema":{"type":"object","properties":{}}}"#);
    let table = [
        ("proceed", "elicitation/create", Verdict::Proceed),
        ("replace", "elicitation/create", Verdict::Replace(reworded)),
        ("replace", "sampling/createMessage", Verdict::Proceed),
        ("refuse", "sampling/createMessage", Verdict::Refuse("nobody is to be asked".into())),
        ("answer", "elicitation/create", Verdict::Answer(json(r#"{"action":"decline"}"#))),
    ];
    for (act, method, expected) in table {
        let plugin = hostile(&component, act, Limits::default());
        let asking = context.asking(method, context.deadline);
        assert_eq!(plugin.question(&asking, &params).await.unwrap(), expected, "{act} {method}");
    }
}

/// A space in memory.
#[derive(Debug, Default)]
struct Values(std::sync::Mutex<BTreeMap<String, Bytes>>);

impl KeyValue for Values {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, KeyValueError>> {
        ready(Ok(self.0.lock().unwrap().get(key).cloned())).boxed()
    }

    fn set<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        _seconds: Option<u32>,
    ) -> BoxFuture<'a, Result<(), KeyValueError>> {
        self.0.lock().unwrap().insert(key.to_owned(), value);
        ready(Ok(())).boxed()
    }

    fn add<'a>(
        &'a self,
        _key: &'a str,
        by: i64,
        _seconds: Option<u32>,
    ) -> BoxFuture<'a, Result<i64, KeyValueError>> {
        ready(Ok(40 + by)).boxed()
    }

    fn remove<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), KeyValueError>> {
        self.0.lock().unwrap().remove(key);
        ready(Ok(())).boxed()
    }
}

/// A session in memory.
#[derive(Debug, Default)]
struct Session(std::sync::Mutex<BTreeSet<String>>);

impl Facts for Session {
    fn add<'a>(&'a self, fact: &'a str) -> BoxFuture<'a, Result<(), FactsError>> {
        self.0.lock().unwrap().insert(fact.to_owned());
        ready(Ok(())).boxed()
    }

    fn has(&self, fact: &str) -> bool {
        self.0.lock().unwrap().contains(fact)
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

#[tokio::test]
async fn values_and_facts_are_what_the_host_keeps() {
    let component = load("hostile").await;
    let config = json(r#"{"do":"state_values"}"#);
    let values = Arc::new(Values::default());
    let reach = Reach { state: Some(values.clone()), ..Reach::default() };
    let plugin = Interceptor::new(&Binding { reach, ..binding(&component, &config) }).unwrap();
    let said = before(&plugin, &context("search"), &json("{}")).await.unwrap();
    let expected = json(
        r#"{"set":true,"count":42,"value":"v","too_large":true,"no_key":true,"removed":true}"#,
    );
    assert_eq!(said.verdict, Verdict::Answer(expected));
    assert!(values.0.lock().unwrap().is_empty(), "it was removed again");

    // Without a space behind it, the capability says so and harms nothing.
    let none = Interceptor::new(&binding(&component, &config)).unwrap();
    let said = before(&none, &context("search"), &json("{}")).await.unwrap();
    let Verdict::Answer(told) = said.verdict else { panic!("{said:?}") };
    assert!(told.as_str().contains(r#""set":false,"count":-1"#), "{told:?}");

    let session = Arc::new(Session::default());
    let call = call("search");
    let user = UserId::new("ae@example.com").unwrap();
    let facts = Some(Arc::clone(&session) as Arc<dyn Facts>);
    let asker = Asker { user: &user, groups: Arc::from([]), client: None, facts };
    let known = CallContext::of(&call, asker);
    let plugin = hostile(&component, "facts", Limits::default());
    let said = before(&plugin, &known, &json("{}")).await.unwrap();
    let expected = json(r#"{"has":true,"all":["read:customer-data"]}"#);
    assert_eq!(said.verdict, Verdict::Answer(expected));
    assert!(session.has("read:customer-data"));

    let bad = hostile(&component, "bad_fact", Limits::default());
    let failure = before(&bad, &known, &json("{}")).await.unwrap_err();
    assert_eq!(failure.name(), "bad_host_call");
    // Where there is no session, nothing may pass for a session without facts.
    for act in ["facts", "fact_has", "facts_all"] {
        let plugin = hostile(&component, act, Limits::default());
        assert!(before(&plugin, &known, &json("{}")).await.is_ok(), "{act}");
        let failure = before(&plugin, &context("search"), &json("{}")).await.unwrap_err();
        assert_eq!(failure.name(), "host", "{act}");
    }
    let config = json(r#"{"do":"fact_has"}"#);
    let customizer = Customizer::new(&binding(&component, &config)).unwrap();
    let scope =
        Scope { org: call.org, vmcp: call.vmcp, connector: ConnectorId::new("crm").unwrap() };
    assert_eq!(customizer.edits(&scope, &[]).await.unwrap_err().name(), "host");
}
