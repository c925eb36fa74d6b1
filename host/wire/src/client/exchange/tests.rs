use std::time::Duration;

use super::*;

fn read(text: &str) -> Profile {
    Profile::read(Raw::from(&Json::parse(text.to_owned()).unwrap()))
}

#[test]
fn capabilities_of_every_era_are_read_and_written() {
    for (text, profile, written) in [
        ("{}", Profile::NONE, ""),
        (r#"{"sampling":{}}"#, Profile::SAMPLING, r#""sampling":{}"#),
        (r#"{"elicitation":{}}"#, Profile::FORM, r#""elicitation":{"form":{}}"#),
        (r#"{"elicitation":{"url":{}}}"#, Profile::URL, r#""elicitation":{"url":{}}"#),
        (
            r#"{"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true},"x":{}}"#,
            Profile::FORM.with(Profile::URL).with(Profile::ROOTS).with(Profile::ROOTS_CHANGED),
            r#""elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}"#,
        ),
        (r#"{"sampling":true,"roots":null,"elicitation":[]}"#, Profile::NONE, ""),
    ] {
        assert_eq!(read(text), profile, "{text}");
        let mut out = String::new();
        profile.write(&mut out, true);
        assert_eq!(out, written);
        assert_eq!(read(&format!("{{{out}}}")), profile);
    }
}

#[test]
fn a_client_is_asked_only_what_it_declared() {
    let params = Json::parse(r#"{"mode":"url"}"#).unwrap();
    let raw = Raw::from(&params);
    assert!(Profile::URL.allows(Method::Elicit, raw).is_ok());
    assert_eq!(Profile::FORM.allows(Method::Elicit, raw).unwrap_err().0, code::INVALID_PARAMS);
    assert_eq!(Profile::NONE.allows(Method::Elicit, raw).unwrap_err().0, code::METHOD_NOT_FOUND);
    assert!(Profile::ALL.allows(Method::ListTools, raw).is_err());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_person_moves_the_deadline() {
    let (events, mut inbox) = mpsc::channel(4);
    let exchange = Exchange {
        can: ClientCan { profile: Profile::ROOTS, ..ClientCan::default() },
        events: Some(events),
        patience: Duration::from_secs(600),
        ..Exchange::default()
    };
    let pause = exchange.pause.clone();
    let deadline = std::time::Instant::now() + Duration::from_secs(1);
    let person = tokio::spawn(async move {
        let Some(Event::Question(question)) = inbox.recv().await else { panic!("no question") };
        tokio::time::sleep(Duration::from_secs(300)).await;
        question.reply.send(Answer::Result(Json::empty_object())).unwrap();
    });
    let asked = exchange.ask(Method::ListRoots, Json::empty_object());
    let answer = within(deadline, &pause, asked).await;
    assert_eq!(answer, Some(Answer::Result(Json::empty_object())));
    person.await.unwrap();
    let left = pause.given().as_secs();
    assert!((299..=301).contains(&left), "{left}");
    let never = within(deadline, &Pause::default(), std::future::pending::<()>()).await;
    assert_eq!(never, None);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_withdrawn_gives_its_time_back() {
    let (events, mut inbox) = mpsc::channel(4);
    let exchange = Exchange {
        can: ClientCan { profile: Profile::ROOTS, ..ClientCan::default() },
        events: Some(events),
        patience: Duration::from_secs(600),
        ..Exchange::default()
    };
    let asked = exchange.ask(Method::ListRoots, Json::empty_object());
    let withdrawn = tokio::time::timeout(Duration::from_secs(20), asked).await;
    assert!(withdrawn.is_err() && inbox.recv().await.is_some());
    assert_eq!(exchange.pause.given().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn questions_side_by_side_share_their_time() {
    let (events, _inbox) = mpsc::channel(16);
    let exchange = Exchange {
        can: ClientCan { profile: Profile::ROOTS, ..ClientCan::default() },
        events: Some(events),
        patience: Duration::from_secs(100),
        ..Exchange::default()
    };
    let ask = || exchange.ask(Method::ListRoots, Json::empty_object());
    let late = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        ask().await
    };
    // Nobody answers: two for a hundred seconds, one from thirty on.
    tokio::join!(ask(), ask(), late);
    assert_eq!(exchange.pause.given().as_secs(), 130);
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_an_answer_too() {
    let exchange = Exchange {
        can: ClientCan { profile: Profile::ALL, ..ClientCan::default() },
        patience: Duration::from_secs(5),
        ..Exchange::default()
    };
    let roots = |exchange: Exchange| async move {
        match exchange.ask(Method::ListRoots, Json::empty_object()).await {
            Answer::Error(error) => error.as_str().to_owned(),
            Answer::Result(_) => panic!("an answer out of nothing"),
        }
    };
    assert!(roots(exchange.clone()).await.contains("takes no questions"));
    let (events, inbox) = mpsc::channel(1);
    let mute = Exchange { events: Some(events), ..exchange.clone() };
    assert!(roots(mute.clone()).await.contains("in time"));
    drop(inbox);
    assert!(roots(mute).await.contains("gone"));
    let mute = Exchange { can: ClientCan::default(), ..exchange };
    assert!(roots(mute).await.contains("does not support roots"));
}
