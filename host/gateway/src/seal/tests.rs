use tidegate_identity::method::{anonymous, api_key};
use tidegate_model::{Clock, KeyId, OrgId, UserId};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000);
const SOON: Timestamp = Timestamp::from_millis(2_000);
const REQUEST: [u8; 32] = [7; 32];

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

fn caller(user: &str) -> Caller {
    let org = OrgId::default_org();
    let id = KeyId::new("key").unwrap();
    let (key, hash) = api_key::generate(&id).unwrap();
    let record = api_key::KeyRecord {
        id,
        org: org.clone(),
        hash,
        user: UserId::new(user).unwrap(),
        kind: tidegate_identity::directory::Kind::Person,
        groups: Vec::new(),
        roles: Vec::new(),
        vmcps: Vec::new(),
        expires: None,
    };
    let keys = api_key::ApiKeys::new([record]);
    keys.authenticate(&org, key.expose(), &Still).unwrap()
}

fn seals() -> Seals {
    Seals::new(&[3; 32])
}

fn vmcp(name: &str) -> VmcpId {
    VmcpId::new(name).unwrap()
}

#[test]
fn a_handle_opens_for_what_it_was_made_for() {
    let (seals, alice, main) = (seals(), caller("alice"), vmcp("main"));
    for purpose in [Purpose::RequestState, Purpose::TaskId] {
        for request in [None, Some(&REQUEST)] {
            for payload in [b"".as_slice(), b"x", &[0xff; 10_000]] {
                let binding = Binding { caller: &alice, vmcp: &main, request };
                let handle = seals.seal(purpose, &binding, payload, Some(SOON)).unwrap();
                assert_eq!(seals.open(purpose, &binding, &handle, NOW).as_deref(), Some(payload));
                let forever = seals.seal(purpose, &binding, payload, None).unwrap();
                let late = Timestamp::from_millis(u64::MAX - 1);
                assert_eq!(seals.open(purpose, &binding, &forever, late).as_deref(), Some(payload));
            }
        }
    }
}

#[test]
fn a_handle_of_somebody_or_something_else_does_not_open() {
    let (seals, alice, main) = (seals(), caller("alice"), vmcp("main"));
    let (bob, side) = (caller("bob"), vmcp("side"));
    let stranger = anonymous::anonymous(OrgId::new("elsewhere").unwrap()).unwrap();
    let own = Binding { caller: &alice, vmcp: &main, request: Some(&REQUEST) };
    let state = seals.seal(Purpose::RequestState, &own, b"state", Some(SOON)).unwrap();
    let task = seals.seal(Purpose::TaskId, &own, b"state", Some(SOON)).unwrap();
    for (why, binding) in [
        ("another user", Binding { caller: &bob, ..own }),
        ("another organisation", Binding { caller: &stranger, ..own }),
        ("another virtual MCP", Binding { vmcp: &side, ..own }),
        ("another request", Binding { request: Some(&[8; 32]), ..own }),
        ("no request", Binding { request: None, ..own }),
    ] {
        assert_eq!(seals.open(Purpose::RequestState, &binding, &state, NOW), None, "{why}");
        assert_eq!(seals.open(Purpose::TaskId, &binding, &task, NOW), None, "{why}");
    }
    assert_eq!(seals.open(Purpose::TaskId, &own, &state, NOW), None);
    assert_eq!(seals.open(Purpose::RequestState, &own, &task, NOW), None);
    assert_eq!(Seals::new(&[4; 32]).open(Purpose::RequestState, &own, &state, NOW), None);
}

#[test]
fn a_late_handle_does_not_open() {
    let (seals, alice, main) = (seals(), caller("alice"), vmcp("main"));
    let own = Binding { caller: &alice, vmcp: &main, request: None };
    let handle = seals.seal(Purpose::RequestState, &own, b"state", Some(SOON)).unwrap();
    let open = |millis| {
        seals.open(Purpose::RequestState, &own, &handle, Timestamp::from_millis(millis)).is_some()
    };
    assert_eq!([1_999, 2_000, 2_001].map(open), [true, false, false]);
}

#[test]
fn no_handle_with_a_changed_bit_opens() {
    let (seals, alice, main) = (seals(), caller("alice"), vmcp("main"));
    let own = Binding { caller: &alice, vmcp: &main, request: Some(&REQUEST) };
    for purpose in [Purpose::RequestState, Purpose::TaskId] {
        let handle = seals.seal(purpose, &own, b"state", Some(SOON)).unwrap();
        let opens = |handle: &str| seals.open(purpose, &own, handle, NOW).is_some();
        assert!(opens(&handle));
        let bytes = URL_SAFE_NO_PAD.decode(&handle).unwrap();
        for place in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[place / 8] ^= 1 << (place % 8);
            assert!(!opens(&URL_SAFE_NO_PAD.encode(bytes)), "bit {place}");
        }
        // The text itself: another spelling of the same bytes would be a second handle.
        for place in 0..handle.len() {
            for bit in 0..7 {
                let mut text = handle.clone().into_bytes();
                text[place] ^= 1 << bit;
                assert!(!opens(&String::from_utf8(text).unwrap()), "character {place}, bit {bit}");
            }
        }
        for cut in 0..handle.len() {
            assert!(!opens(&handle[..cut]), "cut to {cut}");
        }
        assert!(!opens(&format!("{handle}A")) && !opens(&format!("{handle}=")));
    }
}

#[test]
fn task_ids_stay_and_request_states_do_not() {
    let (seals, alice, main) = (seals(), caller("alice"), vmcp("main"));
    let bob = caller("bob");
    let own = Binding { caller: &alice, vmcp: &main, request: None };
    let seal = |purpose, binding: &Binding<'_>, payload: &[u8]| {
        seals.seal(purpose, binding, payload, None).unwrap()
    };
    assert_eq!(seal(Purpose::TaskId, &own, b"a"), seal(Purpose::TaskId, &own, b"a"));
    assert_ne!(seal(Purpose::TaskId, &own, b"a"), seal(Purpose::TaskId, &own, b"b"));
    let foreign = Binding { caller: &bob, ..own };
    assert_ne!(seal(Purpose::TaskId, &own, b"a"), seal(Purpose::TaskId, &foreign, b"a"));
    assert_ne!(seal(Purpose::RequestState, &own, b"a"), seal(Purpose::RequestState, &own, b"a"));
}
