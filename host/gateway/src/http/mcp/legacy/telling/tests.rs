use serde_json::{Value, json};

use super::*;

fn told(revision: Revision, method: Method, params: &Value) -> Value {
    let params = Json::of(params).unwrap();
    serde_json::from_str(of_revision(revision, method, params, 9).as_str()).unwrap()
}

#[test]
fn a_question_is_put_as_the_client_knows_it() {
    let form = json!({ "message": "m", "mode": "form", "requestedSchema": {} });
    let old_form = json!({ "message": "m", "requestedSchema": {} });
    let url = json!({ "message": "m", "mode": "url", "url": "https://x.example/" });
    let mut own_id = url.clone();
    own_id["elicitationId"] = json!("theirs");
    let mut added = url.clone();
    added["elicitationId"] = json!("tidegate-9");
    let sampling = json!({ "messages": [], "mode": "url", "_meta": { "x": 1 } });
    let (now, before) = (Revision::V2025_11_25, Revision::V2025_06_18);
    let table = [
        (now, Method::Elicit, &form, &form),
        (before, Method::Elicit, &form, &old_form),
        (before, Method::Elicit, &old_form, &old_form),
        (now, Method::Elicit, &url, &added),
        (now, Method::Elicit, &own_id, &own_id),
        (now, Method::CreateMessage, &sampling, &sampling),
        (before, Method::CreateMessage, &sampling, &sampling),
        (now, Method::ListRoots, &json!({}), &json!({})),
    ];
    for (revision, method, params, expected) in table {
        assert_eq!(&told(revision, method, params), expected, "{revision} {params}");
    }
}

#[test]
fn what_need_not_change_keeps_its_bytes() {
    let text = r#"{ "message" : "é","mode":"form", "requestedSchema":{"b":1e2,"a":1} }"#;
    let params = Json::parse(text).unwrap();
    let put = of_revision(Revision::V2025_11_25, Method::Elicit, params, 1);
    assert_eq!(put.as_str(), text);
}

#[tokio::test]
async fn an_answer_goes_to_who_asked_and_its_loss_is_noticed() {
    let questions = crate::session::questions::Questions::default();
    let waiting = questions.ask().unwrap();
    let id = waiting.id();
    let (reply, asker) = oneshot::channel();
    let stopping = CancellationToken::new();
    let handed = tokio::spawn(answer(waiting, reply, stopping.clone()));
    assert!(questions.answer(id, Answer::Result(Json::empty_object())));
    assert_eq!(handed.await.unwrap(), (id, false));
    assert_eq!(asker.await.unwrap().json().as_str(), "{}");

    let waiting = questions.ask().unwrap();
    let id = waiting.id();
    let (reply, asker) = oneshot::channel();
    let handed = tokio::spawn(answer(waiting, reply, stopping.clone()));
    drop(asker);
    assert_eq!(handed.await.unwrap(), (id, true));
    assert!(!questions.answer(id, Answer::Result(Json::empty_object())));

    let waiting = questions.ask().unwrap();
    let id = waiting.id();
    let (reply, asker) = oneshot::channel();
    let handed = tokio::spawn(answer(waiting, reply, stopping.clone()));
    stopping.cancel();
    assert_eq!(handed.await.unwrap(), (id, true));
    assert!(asker.await.unwrap().json().as_str().contains("stopping"));
}
