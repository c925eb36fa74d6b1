use tidegate_identity::method::anonymous;

use super::*;

fn somebody() -> (Caller, VmcpId) {
    let caller = anonymous::anonymous(OrgId::default_org()).unwrap();
    (caller, VmcpId::new("main").unwrap())
}

fn open(sessions: &Sessions, revision: Revision, profile: Profile, at: u64) -> Arc<Session> {
    let (caller, vmcp) = somebody();
    let can = ClientCan { profile, ..ClientCan::default() };
    let at = Timestamp::from_millis(at);
    let id = sessions.open(&caller, &vmcp, revision, (None, can), at).unwrap();
    sessions.find(&id, &caller, &vmcp, at).unwrap()
}

#[test]
fn a_client_is_asked_what_its_revision_knows() {
    let all = Profile::ALL;
    let sampling = Profile::SAMPLING;
    let roots = Profile::ROOTS.with(Profile::ROOTS_CHANGED);
    let url = Profile::URL;
    let old = sampling.with(roots);
    let table = [
        (Revision::V2025_11_25, all, all),
        (Revision::V2025_11_25, url, url),
        (Revision::V2025_06_18, all, old.with(Profile::FORM)),
        (Revision::V2025_06_18, url, Profile::FORM),
        (Revision::V2025_06_18, Profile::ROOTS, Profile::ROOTS),
        (Revision::V2025_03_26, all, old),
        (Revision::V2025_03_26, url, Profile::NONE),
        (Revision::V2025_03_26, Profile::NONE, Profile::NONE),
    ];
    let sessions = Sessions::new(100);
    for (revision, declared, expected) in table {
        let session = open(&sessions, revision, declared, 0);
        assert_eq!(session.can.profile, expected, "{revision}: {declared:?}");
    }
}

#[test]
fn the_end_of_a_session_reaches_what_began_before_and_after() {
    let sessions = Sessions::new(1);
    let (caller, vmcp) = somebody();
    let at = Timestamp::from_millis(0);
    let can = ClientCan::default();
    let id = sessions.open(&caller, &vmcp, Revision::V2025_11_25, (None, can), at).unwrap();
    let session = sessions.find(&id, &caller, &vmcp, at).unwrap();
    let before = session.begin(1.into()).unwrap();
    assert!(!before.is_cancelled());
    assert!(sessions.close(&id, &caller, &vmcp, at).is_some());
    assert!(sessions.close(&id, &caller, &vmcp, at).is_none());
    assert!(before.is_cancelled() && session.ended().is_cancelled());
    // A request that had found the session just before.
    assert!(session.begin(2.into()).unwrap().is_cancelled());
    assert_eq!(sessions.count(), 0);
}

#[test]
fn idle_sessions_end_and_busy_ones_stay() {
    let sessions = Sessions::new(10);
    let revision = Revision::V2025_11_25;
    let idle = open(&sessions, revision, Profile::NONE, 0);
    let calling = open(&sessions, revision, Profile::NONE, 0);
    let listening = open(&sessions, revision, Profile::NONE, 0);
    let fresh = open(&sessions, revision, Profile::NONE, 900);
    calling.begin(1.into()).unwrap();
    let (reader, writer) = listening.own_stream();
    let reap = |at| sessions.reap(Timestamp::from_millis(at), Duration::from_millis(500));
    let gone = reap(1_000);
    assert_eq!(gone.len(), 1);
    assert!(Arc::ptr_eq(&gone[0], &idle) && idle.ended().is_cancelled());
    calling.end(&1.into());
    drop(reader);
    // The time of those that were busy counts from when they last were.
    assert_eq!(reap(1_400).len(), 1, "`fresh`");
    assert!(fresh.ended().is_cancelled() && !calling.ended().is_cancelled());
    assert_eq!(reap(1_501).len(), 2);
    assert!(listening.ended().is_cancelled());
    assert_eq!(sessions.count(), 0);
    drop(writer);
}

#[test]
fn there_is_one_stream_that_belongs_to_no_request() {
    let session = open(&Sessions::new(1), Revision::V2025_11_25, Profile::NONE, 0);
    let (mut first, writer) = session.own_stream();
    let writer = writer.unwrap();
    let (mut second, other) = session.own_stream();
    assert!(other.is_none());
    writer.put(b"a");
    assert!(first.ready().is_none());
    let event = second.ready().unwrap();
    let text = std::str::from_utf8(&event).unwrap();
    let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    assert!(session.is_own_event(id));
    // Once it is gone the next connection begins a new one.
    writer.forget();
    assert!(session.resume(id).is_none() && session.is_own_event(id));
    assert!(session.own_stream().1.is_some());
    assert!(!session.is_own_event(id), "that was another");
}
