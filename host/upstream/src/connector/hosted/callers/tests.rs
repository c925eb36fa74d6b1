//! Who gets which process, without any being started.

use super::*;

fn callers(most: usize) -> Arc<Callers> {
    let command =
        Command { program: "no-such".into(), args: Vec::new(), env: Vec::new(), cwd: None };
    let settings = StdioSettings {
        name: "files".into(),
        era: None,
        probe_timeout: Duration::from_secs(1),
        setup_timeout: Duration::from_secs(1),
        answer_limit: 1 << 20,
    };
    Callers::at_most(most, command, settings)
}

#[tokio::test]
async fn each_client_has_one_of_its_own() {
    let callers = callers(8);
    let (ann, bob) = (Affinity(1), Affinity(2));
    let first = callers.process(ann).unwrap();
    assert!(Arc::ptr_eq(&first, &callers.process(ann).unwrap()));
    assert!(!Arc::ptr_eq(&first, &callers.process(bob).unwrap()));
    callers.release(ann);
    assert!(callers.of(ann).is_none() && callers.of(bob).is_some());
    assert!(!Arc::ptr_eq(&first, &callers.process(ann).unwrap()));
    assert!(matches!(first.running().await, Err(ConnectorError::Closed)), "it has been ended");
    callers.close().await;
    assert!(matches!(callers.process(bob), Err(ConnectorError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn the_one_that_nobody_used_longest_makes_room() {
    let callers = callers(2);
    let (ann, bob, eve) = (Affinity(1), Affinity(2), Affinity(3));
    let anns = callers.process(ann).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let bobs = callers.process(bob).unwrap();
    let busy = callers.process(eve);
    assert!(matches!(busy, Err(ConnectorError::Busy { .. })), "both are in use");
    drop(bobs);
    drop(callers.process(eve).unwrap());
    assert!(callers.of(bob).is_none() && callers.of(ann).is_some(), "one in use stays");
    drop(anns);
    drop(callers.process(bob).unwrap());
    assert!(callers.of(ann).is_none() && callers.of(eve).is_some(), "the older one goes");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_ended_after_a_while() {
    let callers = callers(8);
    let (ann, bob) = (Affinity(1), Affinity(2));
    let anns = callers.process(ann).unwrap();
    drop(callers.process(bob).unwrap());
    tokio::time::sleep(IDLE + LOOK + LOOK).await;
    assert!(callers.of(bob).is_none() && callers.of(ann).is_some());
    drop(anns);
    tokio::time::sleep(LOOK).await;
    assert!(callers.of(ann).is_none());
}
