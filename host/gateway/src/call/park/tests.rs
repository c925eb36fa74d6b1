use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tidegate_model::{Answer, CallId, Outcome, VmcpId};
use tidegate_wire::{
    client::{ClientCan, Exchange, Notification, Profile},
    mcp::method::Method,
};
use tokio::sync::mpsc;

use super::{
    live::{Live, Step},
    table::{Round, park},
    *,
};
use crate::{
    call::{Done, Reached},
    notices::stand::{Scripted, Setup, Stand, json},
};

const RECORD: &str = r#"{"tools":[{"name":"find","inputSchema":{"type":"object"}},
    {"name":"send","inputSchema":{"type":"object"}}]}"#;
const PATIENCE: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);

/// A gateway with one connector, a caller at it and a request.
struct Desk {
    stand: Stand,
    context: Context,
    vmcp: VmcpId,
    target: Target,
}

impl Desk {
    async fn new() -> Self {
        let stand = Stand::new().await;
        let setup = Setup {
            connectors: vec![(Scripted::new("crm"), RECORD.to_owned())],
            identity: true,
            anonymous: true,
            ..Setup::default()
        };
        stand.revise(&setup, &[]);
        let context = stand.context(Some("key"));
        Self { stand, context, vmcp: VmcpId::new("all").unwrap(), target: tool("find", "{}") }
    }

    fn round(&self) -> Round<'_> {
        let Self { context, vmcp, target, .. } = self;
        Round { context, vmcp, target, profile: Profile::ALL, patience: PATIENCE }
    }

    async fn park(&self, live: Live) -> Result<Json, Live> {
        park(&self.stand.gateway, self.round(), live).await
    }

    async fn read(&self, context: &Context, target: &Target, params: &str) -> Result<Resumed, i64> {
        let text = json(params);
        let vmcp = context.revision.snapshot.vmcp("all").unwrap();
        let params = (Some(Raw::from(&text)), &text);
        let read = read_given(&self.stand.gateway, context, vmcp, target, params).await;
        read.map_err(|rejection| rejection.code)
    }

    async fn resumed(&self, params: &str) -> Result<Resumed, i64> {
        self.read(&self.context, &self.target, params).await
    }

    /// The parked call behind an `input_required` result, as a client's next request gets it.
    async fn claim(&self, result: &Json) -> Option<Live> {
        match self.resumed(&again(&state(result), "{}")).await {
            Ok(Resumed::Parked(id, _)) => self.stand.gateway.parking.claim(id).await,
            other => panic!("{other:?}"),
        }
    }

    async fn outward(&self, profile: Profile, outcome: Outcome) -> Outcome {
        let connector = ConnectorId::new("crm").unwrap();
        let round = Round { profile, ..self.round() };
        let reached = Reached { connector: Some(connector), answered: None };
        outward(&self.stand.gateway, round, &reached, outcome).await
    }
}

fn tool(name: &str, arguments: &str) -> Target {
    Target::Tool { name: name.to_owned(), arguments: json(arguments), more: Vec::new() }
}

fn state(result: &Json) -> String {
    Raw::from(result).get("requestState").unwrap().string().unwrap().into_owned()
}

fn again(state: &str, responses: &str) -> String {
    format!(r#"{{"requestState":"{state}","inputResponses":{responses}}}"#)
}

/// The names and methods in an `input_required` result.
fn asked(result: &Json) -> Vec<(String, String)> {
    let raw = Raw::from(result);
    assert_eq!(raw.get("resultType").unwrap().string().unwrap(), "input_required");
    let requests = raw.get("inputRequests").unwrap();
    let method = |value: Raw<'_>| value.get("method").unwrap().string().unwrap().into_owned();
    requests.members().map(|one| (one.key.into_owned(), method(one.value))).collect()
}

/// Counts when it goes.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn done(text: &str) -> Option<Done> {
    let id = CallId::new(tidegate_model::Timestamp::from_millis(0), [0; 10]);
    Some(Done { id, outcome: Ok(Answer::Result(json(text))) })
}

fn exchange() -> (Exchange, mpsc::Receiver<tidegate_wire::client::Event>) {
    let (events, inbox) = mpsc::channel(8);
    let exchange = Exchange {
        can: ClientCan { profile: Profile::ALL, ..ClientCan::default() },
        events: Some(events),
        patience: HOUR,
        progress: true,
        ..Exchange::default()
    };
    (exchange, inbox)
}

/// A call that asks these at once, and whose result is the array of the answers.
fn asking(questions: usize, gone: &Arc<AtomicUsize>) -> Live {
    let (exchange, inbox) = exchange();
    let gone = Gone(Arc::clone(gone));
    let call = async move {
        let _gone = gone;
        let note = r#"{"progressToken":1,"progress":1}"#;
        let method = Method::Progress.name().to_owned();
        exchange.tell(Notification { method, params: json(note) });
        let ask = || exchange.ask(Method::ListRoots, Json::empty_object());
        let answers = futures_util::future::join_all((0..questions).map(|_| ask())).await;
        let texts: Vec<&str> = answers.iter().map(|one| one.json().as_str()).collect();
        done(&format!("[{}]", texts.join(",")))
    };
    Live::new(Box::pin(call), inbox)
}

fn result_of(step: Step) -> String {
    let Step::Ended(Some(done)) = step else { panic!("{step:?}") };
    done.outcome.unwrap().json().as_str().to_owned()
}

/// Drives a call to where it asks; what was told before.
async fn to_question(live: &mut Live) -> usize {
    let mut told = 0;
    loop {
        match live.next(HOUR).await {
            Step::Told(_) => told += 1,
            Step::Asks => return told,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_at_once_is_asked_together_and_answered_by_name() {
    let (desk, gone) = (Desk::new().await, Arc::default());
    let mut live = asking(3, &gone);
    assert_eq!(to_question(&mut live).await, 1, "what was told before comes before");
    let result = desk.park(live).await.unwrap();
    let names = ["question-1", "question-2", "question-3"];
    let all = names.map(|name| (name.to_owned(), "roots/list".to_owned()));
    assert_eq!(asked(&result), all);

    // One answer, one of a wrong shape, one to nothing: two are asked again.
    let mut live = desk.claim(&result).await.unwrap();
    live.answer(&json(r#"{"question-2":{"a":1},"question-3":"no","question-9":{}}"#));
    assert_eq!(to_question(&mut live).await, 0);
    let second = desk.park(live).await.unwrap();
    assert_eq!(asked(&second), [all[0].clone(), all[2].clone()]);

    // The first state is used up, whoever has the call now.
    assert!(desk.claim(&result).await.is_none());
    let mut live = desk.claim(&second).await.unwrap();
    assert!(desk.claim(&second).await.is_none(), "one at a time");
    live.answer(&json(r#"{"question-1":{"b":2},"question-3":{"c":3}}"#));
    assert_eq!(result_of(live.next(HOUR).await), r#"[{"b":2},{"a":1},{"c":3}]"#);
    assert!(desk.claim(&second).await.is_none());
    assert_eq!(gone.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_and_the_call_is_given_up() {
    let (desk, gone) = (Desk::new().await, Arc::default());
    let mut live = asking(1, &gone);
    to_question(&mut live).await;
    let result = desk.park(live).await.unwrap();
    assert_eq!((gone.load(Ordering::SeqCst), desk.stand.gateway.parking.waiting()), (0, 1));
    tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
    assert_eq!((gone.load(Ordering::SeqCst), desk.stand.gateway.parking.waiting()), (1, 0));
    assert!(desk.claim(&result).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_while_it_waits_keeps_its_end() {
    let desk = Desk::new().await;
    let (mut impatient, inbox) = exchange();
    impatient.patience = Duration::from_secs(5);
    let call = async move {
        let answer = impatient.ask(Method::ListRoots, Json::empty_object()).await;
        let Answer::Error(_) = answer else { panic!("an answer from nobody") };
        done(r#"{"ended":true}"#)
    };
    let mut live = Live::new(Box::pin(call), inbox);
    to_question(&mut live).await;
    let result = desk.park(live).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut live = desk.claim(&result).await.unwrap();
    live.answer(&json(r#"{"question-1":{}}"#));
    assert_eq!(result_of(live.next(HOUR).await), r#"{"ended":true}"#);
}

#[tokio::test(start_paused = true)]
async fn a_question_the_server_let_go_is_asked_no_more() {
    let desk = Desk::new().await;
    let (exchange, inbox) = exchange();
    let call = async move {
        let first = exchange.ask(Method::ListRoots, Json::empty_object());
        let gave_up = tokio::time::timeout(Duration::from_secs(5), first).await.is_err();
        assert!(gave_up);
        let second = exchange.ask(Method::CreateMessage, json(r#"{"x":1}"#)).await;
        done(second.json().as_str())
    };
    let mut live = Live::new(Box::pin(call), inbox);
    to_question(&mut live).await;
    let result = desk.park(live).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut live = desk.claim(&result).await.unwrap();
    live.answer(&json("{}"));
    to_question(&mut live).await;
    let result = desk.park(live).await.unwrap();
    assert_eq!(asked(&result), [("question-2".to_owned(), "sampling/createMessage".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_it_can_do_less_is_asked_less() {
    let (desk, gone) = (Desk::new().await, Arc::default());
    let mut live = asking(2, &gone);
    to_question(&mut live).await;
    let result = desk.park(live).await.unwrap();
    let mut live = desk.claim(&result).await.unwrap();
    live.answer(&json(r#"{"question-1":{}}"#));
    to_question(&mut live).await;
    let round = Round { profile: Profile::FORM, ..desk.round() };
    let mut live = park(&desk.stand.gateway, round, live).await.unwrap_err();
    let answers = result_of(live.next(HOUR).await);
    assert!(answers.contains("the client does not support roots"), "{answers}");
}

#[tokio::test(start_paused = true)]
async fn one_person_parks_so_many_and_then_the_server_is_refused() {
    let (desk, gone) = (Desk::new().await, Arc::default());
    let mut results = Vec::new();
    for _ in 0..16 {
        let mut live = asking(1, &gone);
        to_question(&mut live).await;
        results.push(desk.park(live).await.unwrap());
    }
    let mut live = asking(1, &gone);
    to_question(&mut live).await;
    let mut live = desk.park(live).await.unwrap_err();
    let refused = result_of(live.next(HOUR).await);
    assert!(refused.contains("too many calls wait"), "{refused}");
    drop(live);

    // A call that goes on keeps its place until it ends.
    let mut live = desk.claim(&results[0]).await.unwrap();
    live.answer(&json(r#"{"question-1":{}}"#));
    let mut other = asking(1, &gone);
    to_question(&mut other).await;
    let other = desk.park(other).await.unwrap_err();
    assert_eq!(result_of(live.next(HOUR).await), "[{}]");
    drop((live, other));
    let mut live = asking(1, &gone);
    to_question(&mut live).await;
    assert!(desk.park(live).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_gateway_that_stops() {
    let (desk, gone) = (Desk::new().await, Arc::default());
    let mut live = asking(1, &gone);
    to_question(&mut live).await;
    desk.park(live).await.unwrap();
    let gateway = &desk.stand.gateway;
    gateway.stopping.cancel();
    gateway.detached.close();
    gateway.detached.wait().await;
    assert_eq!((gone.load(Ordering::SeqCst), gateway.parking.waiting()), (1, 0));
    let mut live = asking(1, &gone);
    to_question(&mut live).await;
    let mut live = desk.park(live).await.unwrap_err();
    assert!(result_of(live.next(HOUR).await).contains("stopping"));
}

#[tokio::test]
async fn a_state_is_good_for_one_request_of_one_person_in_time() {
    let desk = Desk::new().await;
    let asks = json(
        r#"{"resultType": "input_required","inputRequests":{},"requestState":"own \"state\"","x": [1 ]}"#,
    );
    let sealed = desk.outward(Profile::NONE, Ok(Answer::Result(asks))).await.unwrap();
    let handle = state(sealed.json());
    assert_eq!(
        sealed.json().as_str(),
        format!(
            r#"{{"resultType": "input_required","inputRequests":{{}},"requestState":"{handle}","x": [1 ]}}"#
        ),
        "all else stays as it was written"
    );
    let params = again(&handle, r#"{"a":  {"action":"accept"}}"#);
    match desk.resumed(&params).await {
        Ok(Resumed::Given(given)) => {
            assert_eq!(given.state.as_deref(), Some("own \"state\""));
            assert_eq!(given.responses.unwrap().as_str(), r#"{"a":  {"action":"accept"}}"#);
        }
        other => panic!("{other:?}"),
    }
    let prompt = Target::Prompt { name: "find".to_owned(), arguments: Some(json("{}")) };
    let more = vec![("task".into(), json("{}"))];
    let more = Target::Tool { name: "find".to_owned(), arguments: json("{}"), more };
    for other in [tool("send", "{}"), tool("find", r#"{"a":1}"#), tool("find", "{ }"), prompt, more]
    {
        let read = desk.read(&desk.context, &other, &params).await;
        assert_eq!(read.unwrap_err(), code::INVALID_PARAMS, "{other:?}");
    }
    let nobody = desk.stand.context(None);
    let read = desk.read(&nobody, &desk.target, &params).await;
    assert_eq!(read.unwrap_err(), code::INVALID_PARAMS);
    let used = desk.resumed(&params).await;
    assert_eq!(used.unwrap_err(), code::INVALID_PARAMS, "what a server said is told to it once");
    let mut unused = Vec::new();
    for _ in 0..2 {
        let asks = json(r#"{"resultType":"input_required","requestState":"own"}"#);
        let sealed = desk.outward(Profile::NONE, Ok(Answer::Result(asks))).await.unwrap();
        unused.push(again(&state(sealed.json()), "{}"));
    }
    desk.stand.at(599_999);
    assert!(desk.resumed(&unused[0]).await.is_ok());
    desk.stand.at(600_000);
    assert_eq!(desk.resumed(&unused[1]).await.unwrap_err(), code::INVALID_PARAMS);
}

#[tokio::test]
async fn a_question_is_one_however_it_is_spelled() {
    let desk = Desk::new().await;
    let asks = json(r#"{"resultT\u0079pe":"input\u005frequired","requestState":"own"}"#);
    let sealed = desk.outward(Profile::NONE, Ok(Answer::Result(asks))).await.unwrap();
    assert_ne!(state(sealed.json()), "own", "it left as it was");
}

#[tokio::test]
async fn no_changed_state_is_taken() {
    let desk = Desk::new().await;
    let asks = json(r#"{"resultType":"input_required","requestState":"own"}"#);
    let sealed = desk.outward(Profile::NONE, Ok(Answer::Result(asks))).await.unwrap();
    let handle = state(sealed.json());
    assert!(desk.resumed(&again(&handle, "{}")).await.is_ok());
    for place in 0..handle.len() {
        let old = handle.as_bytes()[place];
        let new = if old == b'A' { 'B' } else { 'A' };
        let mut changed = handle.clone();
        changed.replace_range(place..=place, &new.to_string());
        let read = desk.resumed(&again(&changed, "{}")).await;
        assert_eq!(read.unwrap_err(), code::INVALID_PARAMS, "character {place}");
    }
    for bad in ["", "own", "=", "AQ"] {
        let read = desk.resumed(&again(bad, "{}")).await;
        assert_eq!(read.unwrap_err(), code::INVALID_PARAMS, "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_state_or_response_is_refused_and_without_either_it_is_new() {
    let desk = Desk::new().await;
    for text in [
        r#"{"requestState":7}"#,
        r#"{"requestState":{}}"#,
        r#"{"inputResponses":[]}"#,
        r#"{"inputResponses":"x"}"#,
    ] {
        assert_eq!(desk.resumed(text).await.unwrap_err(), code::INVALID_PARAMS, "{text}");
    }
    for text in ["{}", r#"{"requestState":null,"inputResponses":null}"#] {
        assert!(matches!(desk.resumed(text).await, Ok(Resumed::Fresh)), "{text}");
    }
    match desk.resumed(r#"{"inputResponses":{"a":{}}}"#).await {
        Ok(Resumed::Given(given)) => assert_eq!(given.state, None),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_asks_only_what_the_client_can_answer() {
    let desk = Desk::new().await;
    let asks = |requests: &str| {
        let text = format!(r#"{{"resultType":"input_required","inputRequests":{requests}}}"#);
        Ok(Answer::Result(json(&text)))
    };
    let form = r#"{"a":{"method":"elicitation/create","params":{"message":"?"}}}"#;
    let url = r#"{"a":{"method":"elicitation/create","params":{"mode":"url"}}}"#;
    let roots = r#"{"a":{"method":"roots/list"}}"#;
    for (requests, profile, good) in [
        (form, Profile::FORM, true),
        (form, Profile::URL, false),
        (url, Profile::URL, true),
        (url, Profile::FORM, false),
        (roots, Profile::ROOTS, true),
        (roots, Profile::NONE, false),
        (r#"{"a":{"method":"tools/call"}}"#, Profile::ALL, false),
        (r#"{"a":{}}"#, Profile::ALL, false),
        ("[]", Profile::ALL, false),
    ] {
        let outcome = desk.outward(profile, asks(requests)).await;
        assert_eq!(outcome.is_ok(), good, "{requests} {profile:?}");
        if let Err(refused) = outcome {
            assert_eq!(refused.code, RefusalCode::ConnectorProtocol);
        }
    }
    let round = Round { profile: Profile::ALL, ..desk.round() };
    let by_plugin = outward(&desk.stand.gateway, round, &Reached::default(), asks(roots)).await;
    assert_eq!(by_plugin.unwrap_err().code, RefusalCode::PluginFailed);
    let many: Vec<String> =
        (0..65).map(|number| format!(r#""{number}":{{"method":"roots/list"}}"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    assert!(desk.outward(Profile::ALL, asks(&many)).await.is_err());
    let text = r#"{"content":[{"type":"text","text":"input_required"}],"resultType":"complete"}"#;
    let plain = desk.outward(Profile::NONE, Ok(Answer::Result(json(text)))).await.unwrap();
    assert_eq!(plain.json().as_str(), text);
}

#[tokio::test]
async fn a_demand_for_urls_becomes_a_question_where_it_can() {
    let desk = Desk::new().await;
    let text = r#"{"code":-32042,"message":"sign in first","data":{"elicitations":[
        {"mode":"url","elicitationId":"e1","url":"https://a.example/1","message":"One"},
        {"mode":"url","elicitationId":"e2","url":"https://a.example/2","message":"Two"}]}}"#;
    let error = || Ok(Answer::Error(json(text)));
    let plain = desk.outward(Profile::FORM, error()).await.unwrap();
    assert_eq!(plain, Answer::Error(json(text)));

    let asks = desk.outward(Profile::URL, error()).await.unwrap();
    let result = asks.json();
    let elicit = "elicitation/create".to_owned();
    assert_eq!(asked(result), [("url-1".to_owned(), elicit.clone()), ("url-2".to_owned(), elicit)]);
    assert!(!result.as_str().contains("elicitationId"), "{}", result.as_str());
    assert!(result.as_str().contains("https://a.example/2"), "{}", result.as_str());

    let handle = state(result);
    let all = r#"{"url-1":{"action":"accept"},"url-2":{"action":"accept"}}"#;
    assert!(matches!(desk.resumed(&again(&handle, all)).await, Ok(Resumed::Fresh)));
    for some in [
        r#"{"url-1":{"action":"accept"},"url-2":{"action":"decline"}}"#,
        r#"{"url-1":{"action":"cancel"},"url-2":{"action":"accept"}}"#,
        r#"{"url-1":{"action":"accept"}}"#,
        "{}",
    ] {
        match desk.resumed(&again(&handle, some)).await {
            Ok(Resumed::Declined(result)) => {
                let text = result.as_str();
                assert!(text.contains("sign in first") && text.contains(r#""isError":true"#));
            }
            other => panic!("{some}: {other:?}"),
        }
    }

    for odd in [
        r#"{"code":-32042,"message":"m"}"#,
        r#"{"code":-32042,"message":"m","data":{"elicitations":[]}}"#,
        r#"{"code":-32042,"message":"m","data":{"elicitations":[{"url":7,"message":"m"}]}}"#,
        r#"{"code":-32000,"message":"m","data":{"elicitations":[{"url":"u","message":"m"}]}}"#,
    ] {
        let same = desk.outward(Profile::ALL, Ok(Answer::Error(json(odd)))).await.unwrap();
        assert_eq!(same, Answer::Error(json(odd)));
    }
}
