//! The guard around a connector that does as it is told.

use std::sync::Mutex as StdMutex;

use tidegate_model::{Json, RefusalCode};
use tidegate_wire::{
    client::{ClientCan, PeerError, Profile},
    mcp::method::Method,
};

use super::*;
use crate::{armed::Duty, tests::a_call};

/// What a call does.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answer,
    Fail,
    Hang,
    /// Answers once released.
    Wait,
}

#[derive(Debug)]
struct Scripted {
    id: ConnectorId,
    credential: Credential,
    does: StdMutex<Does>,
    begun: AtomicUsize,
    ended: Arc<AtomicUsize>,
    released: Semaphore,
}

/// Counts its end, however it comes.
struct Ended(Arc<AtomicUsize>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Scripted {
    async fn act(&self) -> Result<(), ConnectorError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _ended = Ended(Arc::clone(&self.ended));
        let does = *self.does.lock().unwrap();
        match does {
            Does::Answer => Ok(()),
            Does::Fail => Err(PeerError::Closed.into()),
            Does::Hang => std::future::pending().await,
            Does::Wait => {
                self.released.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    }
}

impl Connector for Scripted {
    fn id(&self) -> &ConnectorId {
        &self.id
    }

    fn credential(&self) -> &Credential {
        &self.credential
    }

    fn list<'a>(
        &'a self,
        _proof: &'a Maintenance,
    ) -> BoxFuture<'a, Result<Listed, ConnectorError>> {
        async move { self.act().await.map(|()| Listed::default()) }.boxed()
    }

    fn call(
        &self,
        _armed: Armed,
        _exchange: Exchange,
    ) -> BoxFuture<'_, Result<Answer, ConnectorError>> {
        async move { self.act().await.map(|()| Answer::Result(Json::empty_object())) }.boxed()
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn updates(&self) -> broadcast::Receiver<Update> {
        broadcast::Sender::new(1).subscribe()
    }

    fn follow(&self, _wanted: Wanted) -> Round {
        Round::default()
    }

    fn release(&self, _affinity: Affinity) {}

    fn roots_changed(&self, _affinity: Affinity) {}

    fn close(&self) -> BoxFuture<'_, ()> {
        futures_util::future::ready(()).boxed()
    }
}

struct Stand {
    scripted: Arc<Scripted>,
    guarded: Arc<Guarded>,
}

impl Stand {
    fn new(does: Does) -> Self {
        Self::with(does, GuardSpec { open_for: Duration::from_secs(3600), ..quick() })
    }

    fn with(does: Does, spec: GuardSpec) -> Self {
        let id = ConnectorId::new("crm").unwrap();
        let scripted = Arc::new(Scripted {
            credential: Credential::none(id.clone()),
            id,
            does: StdMutex::new(does),
            begun: AtomicUsize::new(0),
            ended: Arc::default(),
            released: Semaphore::new(0),
        });
        let inner: Arc<dyn Connector> = Arc::<Scripted>::clone(&scripted);
        Self { scripted, guarded: Arc::new(Guarded::new(inner, &spec)) }
    }

    fn does(&self, does: Does) {
        *self.scripted.does.lock().unwrap() = does;
    }

    fn begun(&self) -> usize {
        self.scripted.begun.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.scripted.ended.load(Ordering::SeqCst)
    }

    fn call(&self) -> tokio::task::JoinHandle<Result<Answer, ConnectorError>> {
        self.call_within(Duration::from_secs(30))
    }

    fn call_within(
        &self,
        within: Duration,
    ) -> tokio::task::JoinHandle<Result<Answer, ConnectorError>> {
        let guarded = Arc::clone(&self.guarded);
        let mut call = a_call("crm", "echo", "{}");
        call.deadline = (Instant::now() + within).into_std();
        let injection = guarded.credential().inject_now(&call).unwrap();
        tokio::spawn(async move {
            guarded.call(Armed::for_test(call, injection), Exchange::default()).await
        })
    }

    async fn code(&self) -> Option<RefusalCode> {
        self.call().await.unwrap().err().map(|error| error.code())
    }
}

fn quick() -> GuardSpec {
    GuardSpec { concurrency: 2, queue: 3, ..GuardSpec::default() }
}

/// Until it holds; the test's own time limit ends it otherwise.
async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn more_calls_than_turns_wait_and_more_than_places_are_refused() {
    let stand = Stand::with(Does::Hang, GuardSpec { wait: Duration::from_millis(50), ..quick() });
    let calls: Vec<_> = (0..5).map(|_| stand.call()).collect();
    let health = || stand.guarded.health();
    until(|| (health().in_flight, health().waiting) == (2, 3)).await;
    assert_eq!(stand.code().await, Some(RefusalCode::ConnectorBusy), "the queue is full");

    until(|| health().waiting == 0).await;
    assert_eq!((stand.begun(), health().in_flight), (2, 2), "nobody waits longer than that");
    let error = stand.call().await.unwrap().unwrap_err();
    assert_eq!(error.code(), RefusalCode::ConnectorBusy);
    assert!(error.retry_after().is_some() && error.nothing_sent());

    for call in &calls {
        call.abort();
    }
    until(|| (health().in_flight, stand.ended()) == (0, 2)).await;
    stand.does(Does::Answer);
    assert_eq!(stand.code().await, None);
    assert_eq!(health().state, HealthState::Up, "being busy is no failure");
}

#[tokio::test]
async fn a_turn_that_is_given_back_goes_to_the_next() {
    let stand = Stand::new(Does::Wait);
    let calls: Vec<_> = (0..5).map(|_| stand.call()).collect();
    until(|| stand.guarded.health().waiting == 3).await;
    stand.scripted.released.add_permits(5);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!((stand.begun(), stand.ended()), (5, 5));
}

#[tokio::test]
async fn who_waits_for_a_person_keeps_nobody_else_waiting() {
    let stand = Stand::new(Does::Wait);
    let (events, _inbox) = tokio::sync::mpsc::channel(1);
    let can = ClientCan { profile: Profile::ROOTS, ..ClientCan::default() };
    let patience = Duration::from_secs(60);
    let asking = Exchange { can, events: Some(events), patience, ..Exchange::default() };
    let (guarded, server) = (Arc::clone(&stand.guarded), asking.clone());
    let call = a_call("crm", "echo", "{}");
    let injection = guarded.credential().inject_now(&call).unwrap();
    let first =
        tokio::spawn(async move { guarded.call(Armed::for_test(call, injection), asking).await });
    until(|| stand.guarded.health().in_flight == 1).await;
    let question =
        tokio::spawn(async move { server.ask(Method::ListRoots, Json::empty_object()).await });
    until(|| stand.guarded.health().in_flight == 0).await;
    // Both turns are there for others while the first call goes on.
    let others: Vec<_> = (0..2).map(|_| stand.call()).collect();
    until(|| stand.guarded.health().in_flight == 2).await;
    assert_eq!((stand.guarded.health().waiting, stand.begun()), (0, 3));
    stand.scripted.released.add_permits(3);
    for call in others.into_iter().chain([first]) {
        call.await.unwrap().unwrap();
    }
    assert_eq!(stand.guarded.health().state, HealthState::Up);
    question.abort();
}

#[tokio::test]
async fn a_waiting_call_that_is_dropped_frees_its_place() {
    let stand = Stand::new(Does::Hang);
    let _running: Vec<_> = (0..2).map(|_| stand.call()).collect();
    until(|| stand.guarded.health().in_flight == 2).await;
    let waiting: Vec<_> = (0..3).map(|_| stand.call()).collect();
    until(|| stand.guarded.health().waiting == 3).await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    until(|| stand.guarded.health().waiting == 0).await;
    assert_eq!(stand.begun(), 2);
}

#[tokio::test]
async fn the_deadline_ends_a_call_and_what_it_started() {
    let stand = Stand::new(Does::Hang);
    for _ in 0..2 {
        let late = stand.call_within(Duration::from_millis(20)).await.unwrap();
        assert!(matches!(late, Err(ConnectorError::Deadline)), "{late:?}");
    }
    assert_eq!((stand.begun(), stand.ended()), (2, 2));
    assert_eq!(stand.guarded.health().in_flight, 0);

    let _running: Vec<_> = (0..2).map(|_| stand.call()).collect();
    until(|| stand.guarded.health().in_flight == 2).await;
    let late = stand.call_within(Duration::from_millis(20)).await.unwrap();
    assert!(matches!(late, Err(ConnectorError::Deadline)), "in the queue too: {late:?}");
}

#[tokio::test]
async fn a_connector_that_fails_is_left_alone() {
    let stand = Stand::new(Does::Fail);
    for _ in 0..5 {
        assert_eq!(stand.code().await, Some(RefusalCode::ConnectorUnavailable));
    }
    assert_eq!(stand.begun(), 5, "each call is tried once and only once");
    for _ in 0..100 {
        let error = stand.call().await.unwrap().unwrap_err();
        assert!(matches!(error, ConnectorError::Open { .. }) && error.nothing_sent());
    }
    assert_eq!(stand.begun(), 5, "while open nothing reaches it");
    let health = stand.guarded.health();
    assert_eq!(health.state, HealthState::Down);
    assert!(health.retry_after.is_some() && health.last_error.is_some());
}

#[tokio::test]
async fn a_connector_that_failed_is_probed_once_at_a_time_and_comes_back() {
    let open_for = Duration::ZERO;
    let stand = Stand::with(Does::Fail, GuardSpec { open_for, open_at_most: open_for, ..quick() });
    for _ in 0..5 {
        stand.code().await;
    }
    stand.does(Does::Hang);
    let probe = stand.call();
    until(|| stand.begun() == 6).await;
    for _ in 0..10 {
        assert!(matches!(stand.call().await.unwrap(), Err(ConnectorError::Open { .. })));
    }
    assert_eq!(stand.begun(), 6, "one probe at a time");
    probe.abort();
    until(|| stand.ended() == 6).await;

    stand.does(Does::Answer);
    assert_eq!(stand.code().await, None);
    assert_eq!(stand.guarded.health().state, HealthState::Up);
    assert!(stand.guarded.health().last_error.is_none());
}

#[tokio::test]
async fn system_work_passes_an_open_breaker_and_closes_it() {
    let stand = Stand::new(Does::Fail);
    for _ in 0..5 {
        stand.code().await;
    }
    stand.does(Does::Answer);
    let within = |time| Maintenance::new(Duty::Sync, (Instant::now() + time).into_std());
    stand.guarded.list(&within(Duration::from_secs(5))).await.unwrap();
    assert_eq!(stand.code().await, None);

    stand.does(Does::Hang);
    let late = stand.guarded.list(&within(Duration::from_millis(20))).await;
    assert!(matches!(late, Err(ConnectorError::Deadline)));
}
