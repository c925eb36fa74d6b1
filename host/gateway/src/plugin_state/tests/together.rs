//! Many at once on one space.

use futures_util::future::join_all;

use super::*;

/// Handles of one space: two of one process, and one as another process would have it.
fn hands(bench: &Bench) -> (Vec<Arc<dyn KeyValue>>, PluginState) {
    let clock = Arc::clone(&bench.clock) as Arc<dyn Clock>;
    let elsewhere = PluginState::new(Arc::clone(&bench.store), clock);
    let far = elsewhere.space(&org(), plugin("a"), 1 << 20);
    (vec![bench.space("a"), bench.space("a"), far], elsewhere)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_addition_counts() {
    const TASKS: usize = 48;
    const EACH: i64 = 25;
    for bench in [Bench::memory(), Bench::sled()] {
        let (hands, _elsewhere) = hands(&bench);
        let tasks = (0..TASKS).map(|n| {
            let space = Arc::clone(&hands[n % hands.len()]);
            tokio::spawn(async move {
                let mut seen = 0;
                for _ in 0..EACH {
                    let now = space.add("all", 1, Some(3_600)).await.unwrap();
                    assert!(now > seen, "a counter only grows");
                    seen = now;
                    space.add(&format!("of-{n}"), 1, None).await.unwrap();
                }
            })
        });
        for task in join_all(tasks).await {
            task.unwrap();
        }
        let total = i64::try_from(TASKS).unwrap() * EACH;
        assert_eq!(hands[0].add("all", 0, None).await, Ok(total));
        for n in 0..TASKS {
            assert_eq!(hands[1].add(&format!("of-{n}"), 0, None).await, Ok(EACH));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_quota_holds_whoever_is_first() {
    const ROOM: usize = 37;
    for bench in [Bench::memory(), Bench::sled()] {
        // Ten bytes each: four of the key, six of the value. Some rows of before are over.
        let space = bench.state.space(&org(), plugin("a"), ROOM as u64 * 10 + 9);
        for n in 0..20 {
            space.set(&format!("o{n:03}"), bytes(&[0; 6]), Some(1)).await.unwrap();
        }
        bench.clock.set(2_000);
        let tasks = (0..100).map(|n| {
            let space = Arc::clone(&space);
            tokio::spawn(async move { space.set(&format!("k{n:03}"), bytes(&[1; 6]), None).await })
        });
        let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(done, ROOM);
        let refused = answers.iter().filter(|answer| **answer == Err(KeyValueError::Quota));
        assert_eq!(refused.count(), 100 - ROOM);
        for (n, answer) in answers.iter().enumerate() {
            let there = space.get(&format!("k{n:03}")).await.unwrap().is_some();
            assert_eq!(there, answer.is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_value_is_never_half_of_two() {
    let bench = Bench::memory();
    let (hands, _elsewhere) = hands(&bench);
    hands[0].set("k", bytes(&vec![0; VALUE]), None).await.unwrap();
    let writers = (1..=3_u8).map(|n| {
        let space = Arc::clone(&hands[usize::from(n) % hands.len()]);
        tokio::spawn(async move {
            for round in 0..20 {
                let length = if round % 2 == 0 { VALUE } else { 20_000 };
                space.set("k", bytes(&vec![n; length]), None).await.unwrap();
            }
        })
    });
    let writers = tokio::spawn(join_all(writers.collect::<Vec<_>>()));
    while !writers.is_finished() {
        let value = hands[1].get("k").await.unwrap().unwrap();
        assert!(value.iter().all(|byte| *byte == value[0]));
        assert!(value.len() == VALUE || value.len() == 20_000);
    }
    writers.await.unwrap().into_iter().for_each(|done| done.unwrap());
}

#[tokio::test]
async fn whoever_is_stopped_holds_nobody_up() {
    let bench = Bench::memory();
    let space = bench.space("a");
    for n in 0..50 {
        // Polled once, so that the change is on its way, and dropped.
        let mut change = space.add("n", 1, None);
        assert!(futures_util::poll!(&mut change).is_pending());
        drop(change);
        assert_eq!(space.add("other", 1, None).await, Ok(n + 1));
    }
    // Whether a stopped one counted is open; none counted twice.
    let count = space.add("n", 0, None).await.unwrap();
    assert!((0..=50).contains(&count), "{count}");
}
