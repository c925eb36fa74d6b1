//! Questions of servers of both eras, to a legacy client and past a modern one.

use tidegate_model::{Operation, Prompt, PromptCall, PromptName, ResourceRef};
use tidegate_wire::{
    client::{Affinity, ClientCan, Profile},
    mcp::method::Method,
};

use super::*;

/// A client that accepts every question with its method, and counts them.
fn client(profile: Profile) -> (Exchange, tokio::task::JoinHandle<Vec<Method>>) {
    let (events, mut questions) = mpsc::channel(8);
    let answering = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some(event) = questions.recv().await {
            let Event::Question(question) = event else { continue };
            asked.push(question.method);
            let said = json!({"action": "accept", "to": question.method.name()});
            drop(question.reply.send(Answer::Result(Json::of(&said).unwrap())));
        }
        asked
    });
    let can = ClientCan { profile, ..ClientCan::default() };
    let patience = Duration::from_secs(60);
    let affinity = Some(Affinity(7));
    let exchange =
        Exchange { affinity, can, events: Some(events), patience, ..Exchange::default() };
    (exchange, answering)
}

fn modern() -> impl Iterator<Item = stand::Kind> {
    KINDS.into_iter().filter(|kind| !kind.is_legacy())
}

async fn ask(
    stand: &Stand,
    tool: &str,
    arguments: &str,
    exchange: Exchange,
) -> Result<Answer, ConnectorError> {
    let armed = armed(&stand.connector, tool, arguments, Duration::from_secs(20));
    stand.connector.call(armed, exchange).await
}

const BOTH: &str = r#"{"methods":["elicitation/create","roots/list"]}"#;

#[tokio::test]
async fn a_legacy_client_is_asked_what_a_modern_server_wants_to_know() {
    for kind in modern() {
        let stand = Stand::open(kind).await;
        let (exchange, asked) = client(Profile::ALL);
        let answer = value(&ask(&stand, "needy", BOTH, exchange).await.unwrap());
        let expected = json!({
            "k0": {"action": "accept", "to": "elicitation/create"},
            "k1": {"action": "accept", "to": "roots/list"},
        });
        assert_eq!(answer["given"], expected, "{kind:?}");
        assert_eq!(answer["state"], "opaque \"state\"", "{kind:?}");
        assert_eq!(asked.await.unwrap(), [Method::Elicit, Method::ListRoots]);

        let prompt = Prompt {
            connector: stand.connector.id().clone(),
            name: PromptName::new("needy").unwrap(),
            definition: Json::empty_object(),
        };
        let resource = ResourceRef { connector: prompt.connector.clone(), uri: "needy:".into() };
        for operation in [
            Operation::GetPrompt(PromptCall { prompt: Arc::new(prompt), arguments: None }),
            Operation::ReadResource(resource),
        ] {
            let call = Call { operation, ..a_call("crm", "needy", "{}") };
            let (exchange, asked) = client(Profile::ALL);
            let call = arm(&stand.connector, call);
            let answer = value(&stand.connector.call(call, exchange).await.unwrap());
            assert_eq!(answer["given"]["k0"]["to"], "roots/list", "{kind:?}");
            assert_eq!(asked.await.unwrap(), [Method::ListRoots]);
        }
    }
}

#[tokio::test]
async fn a_modern_client_gets_the_questions_themselves() {
    for kind in modern() {
        let stand = Stand::open(kind).await;
        let (exchange, asked) = client(Profile::ALL);
        let exchange = Exchange { relays_input: true, ..exchange };
        let answer = value(&ask(&stand, "needy", BOTH, exchange).await.unwrap());
        assert_eq!(answer["resultType"], "input_required", "{kind:?}");
        assert_eq!(answer["inputRequests"]["k1"]["method"], "roots/list");
        assert!(asked.await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_client_that_cannot_answer_fails_the_tool_and_not_the_connector() {
    for kind in modern() {
        let stand = Stand::open(kind).await;
        let (exchange, _asked) = client(Profile::FORM);
        let answer = value(&ask(&stand, "needy", BOTH, exchange).await.unwrap());
        assert_eq!(answer["isError"], true, "{kind:?}");
        let text = answer["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("`roots/list`") && text.contains("does not support roots"), "{text}");
        assert_eq!(stand.connector.health().state, HealthState::Up);
    }
}

#[tokio::test]
async fn a_server_that_asks_without_sense_or_end_is_stopped() {
    let many = vec!["roots/list"; 65];
    let many = json!({"methods": many}).to_string();
    for kind in modern() {
        let stand = Stand::open(kind).await;
        for (tool, arguments, relays, part) in [
            ("endless", "{}", false, "more than 16 times"),
            ("vague", "{}", false, "says not which"),
            ("vague", "{}", true, "says not which"),
            ("needy", r#"{"methods":["tools/call"]}"#, false, "no client can be asked"),
            ("needy", &many, false, "more than 64 questions"),
        ] {
            let (exchange, asked) = client(Profile::ALL);
            let exchange = Exchange { relays_input: relays, ..exchange };
            let error = ask(&stand, tool, arguments, exchange).await.unwrap_err();
            assert!(error.to_string().contains(part), "{kind:?} {tool}: {error}");
            assert_eq!(error.code(), RefusalCode::ConnectorProtocol);
            assert!(!error.nothing_sent());
            assert!(asked.await.unwrap().is_empty(), "{tool}");
            call(&stand.connector, "echo", "{}").await.unwrap();
        }
        let calls = value(&call(&stand.connector, "seen", "{}").await.unwrap())["calls"].clone();
        assert_eq!(calls, 17 + 4 + 5 + 1, "each call was sent once, but for the rounds");
    }
}

#[tokio::test]
async fn questions_of_a_legacy_server_reach_the_client_of_the_call() {
    for kind in KINDS.into_iter().filter(|kind| kind.is_legacy()) {
        let stand = Stand::open(kind).await;
        let (exchange, asked) = client(Profile::FORM);
        ask(&stand, "consult", "{}", exchange).await.unwrap();
        assert_eq!(asked.await.unwrap(), [Method::Elicit], "{kind:?}");
        let seen = value(&call(&stand.connector, "seen", "{}").await.unwrap());
        let replies = seen["replies"].as_array().unwrap();
        assert_eq!(replies.len(), 1, "{kind:?}: {seen}");
        let expected = json!({"action": "accept", "to": "elicitation/create"});
        assert_eq!((&replies[0]["id"], &replies[0]["result"]), (&json!("c1"), &expected));
    }
}
