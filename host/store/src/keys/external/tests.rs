//! A key service on a socket, made to behave in many ways.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use super::*;

const OLD: &str = "00112233445566aa";
const NEW: &str = "ffeeddccbbaa9988";

/// Answers as a service would that has these keys, the last one current.
fn service(request: &Value, keys: &[&str]) -> Value {
    let xor = |text: &Value, id: &str| {
        let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
        let mask = id.as_bytes().iter().cycle();
        bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        STANDARD.encode(bytes)
    };
    let current = *keys.last().unwrap();
    match request["op"].as_str().unwrap() {
        "describe" => json!({ "current": current, "ids": keys }),
        "wrap" => json!({ "id": current, "wrapped": xor(&request["key"], current) }),
        "unwrap" => {
            let id = request["id"].as_str().unwrap();
            assert!(keys.contains(&id));
            json!({ "key": xor(&request["wrapped"], id) })
        }
        other => panic!("{other}"),
    }
}

/// Listens on a socket; `answer` gives the line for each request, or nothing, which ends the
/// conversation.
fn listen(path: &Path, answer: impl Fn(&Value) -> Option<String> + Send + 'static) {
    drop(std::fs::remove_file(path));
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: UnixStream = stream.unwrap();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let request = serde_json::from_str(&line.unwrap()).unwrap();
                let Some(answer) = answer(&request) else { break };
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
    });
}

fn line(value: &Value) -> Option<String> {
    Some(format!("{value}\n"))
}

fn place(org: &str) -> Place<'_> {
    Place { kind: "key", org, version: 1, ..Place::default() }
}

#[test]
fn a_service_wraps_and_what_it_wrapped_opens_only_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.sock");
    let (on_offer, asked) = (Arc::new(Mutex::new(vec![OLD])), AtomicU32::new(0));
    let has = Arc::clone(&on_offer);
    // It ends every conversation after one answer, as it may.
    listen(&path, move |request| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        is_first.then(|| line(&service(request, &has.lock().unwrap()))).flatten()
    });
    let keys = ServiceKeys::open(ServiceOptions::socket(&path)).unwrap();
    assert_eq!(keys.current_id().to_string(), OLD);
    let wrapped = [[7; 32], [8; 32]].map(|key| keys.wrap(&key, &place("acme")).unwrap());
    assert_eq!(super::super::wrapped_under(&wrapped[0]), KeyName::parse(OLD));
    assert_eq!(*keys.unwrap(&wrapped[0], &place("acme")).unwrap(), [7; 32]);
    assert!(keys.unwrap(&wrapped[0], &place("other")).is_err());
    // What the service gave for one key does not open the envelope of another.
    let [a, b] = [&wrapped[0], &wrapped[1]].map(|wrapped| Wrapped::read(wrapped).unwrap());
    let mixed = Wrapped { root: a.root, given: a.given, envelope: b.envelope }.write().unwrap();
    assert!(keys.unwrap(&mixed, &place("acme")).is_err());
    for at in 0..wrapped[0].len() {
        let mut changed = wrapped[0].clone();
        changed[at] ^= 1;
        assert!(keys.unwrap(&changed, &place("acme")).is_err(), "byte {at}");
    }
    on_offer.lock().unwrap().push(NEW);
    assert_eq!(keys.renew().unwrap().to_string(), NEW);
    assert_eq!(*keys.unwrap(&wrapped[0], &place("acme")).unwrap(), [7; 32]);
    assert!(matches!(keys.renew(), Err(KeyError::Elsewhere { .. })));
    assert!(matches!(keys.retire(KeyName::parse(OLD).unwrap()), Err(KeyError::Elsewhere { .. })));
    on_offer.lock().unwrap().retain(|id| *id == NEW);
    keys.retire(KeyName::parse(OLD).unwrap()).unwrap();
    let error = keys.unwrap(&wrapped[0], &place("acme")).unwrap_err().to_string();
    assert!(error.contains(OLD) && error.contains(NEW), "{error}");
}

#[test]
fn a_service_that_misbehaves_is_named_and_no_key_is_shown() {
    type Answers = fn(&Value) -> Option<String>;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.sock");
    let cases: &[(&str, Answers, &str)] = &[
        ("silence", |_| Some(String::new()), "did not answer in time"),
        ("a line without an end", |_| Some("{".to_owned()), "did not answer in time"),
        ("hanging up", |_| None, "cannot be asked"),
        ("no JSON", |_| Some("hello\n".to_owned()), "something else than JSON"),
        ("nothing said", |_| Some("{}\n".to_owned()), "did not say which keys"),
        (
            "a bad name",
            |_| line(&json!({"current": "x", "ids": ["x"]})),
            "otherwise than with 16 hexadecimal digits",
        ),
        (
            "a current key of its own",
            |_| line(&json!({"current": NEW, "ids": [OLD]})),
            "not among its keys",
        ),
        ("a refusal", |_| line(&json!({"error": "sealed\u{1b}[2J"})), "refused: sealed[2J"),
        ("too much", |_| Some("x".repeat(2 << 20)), "too long"),
    ];
    for (what, answer, wanted) in cases {
        listen(&path, *answer);
        let patience = Duration::from_millis(200);
        let options = ServiceOptions { patience, ..ServiceOptions::socket(&path) };
        let error = ServiceKeys::open(options).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("keys.sock"), "{what}: {error}");
    }
    // Once it is known, it wraps badly.
    let cases: &[(&str, Answers, &str)] = &[
        ("an echo", |r| line(&json!({"id": OLD, "wrapped": r["key"]})), "as it was"),
        ("nothing", |_| line(&json!({"id": OLD, "wrapped": ""})), "wrapped nothing"),
        ("no id", |r| line(&json!({"wrapped": r["key"]})), "wrapped nothing"),
        (
            "the key in its complaint",
            |r| line(&json!({"error": format!("cannot wrap {}", r["key"].as_str().unwrap())})),
            "words that cannot be shown",
        ),
    ];
    for (what, answer, wanted) in cases {
        listen(&path, |request| match request["op"].as_str() {
            Some("describe") => line(&service(request, &[OLD])),
            _ => answer(request),
        });
        let keys = ServiceKeys::open(ServiceOptions::socket(&path)).unwrap();
        let error = keys.wrap(&[7; 32], &place("acme")).unwrap_err().to_string();
        assert!(error.contains(wanted), "{what}: {error}");
    }
}

#[test]
fn a_program_is_a_service_and_gets_no_key_as_an_argument() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("service.sh");
    // It keeps what it was called with, and knows two requests; keys are returned reversed.
    let text = r#"
echo "$0 $*" > "$1/called"
while IFS= read -r line; do
  echo "$line" >> "$1/lines"
  case "$line" in
    *describe*) echo '{"current":"00112233445566aa","ids":["00112233445566aa"]}' ;;
    *'"unwrap"'*) cat "$1/kept" ;;
    *'"wrap"'*)
      key=${line#*\"key\":\"}; key=${key%%\"*}
      echo "{\"key\":\"$key\"}" > "$1/kept"
      echo '{"id":"00112233445566aa","wrapped":"aGVsZCBoZXJl"}' ;;
  esac
done
"#;
    std::fs::write(&script, text).unwrap();
    let source = format!("exec:sh {} {}", script.display(), dir.path().display());
    let keys = super::super::provider(&source).unwrap();
    let wrapped = keys.wrap(&[7; 32], &place("acme")).unwrap();
    assert_eq!(*keys.unwrap(&wrapped, &place("acme")).unwrap(), [7; 32]);
    drop(keys);
    let called = std::fs::read_to_string(dir.path().join("called")).unwrap();
    assert_eq!(called.trim(), format!("{} {}", script.display(), dir.path().display()));
    let lines = std::fs::read_to_string(dir.path().join("lines")).unwrap();
    assert_eq!(lines.lines().count(), 3, "one conversation for all: {lines}");
    let error = super::super::provider("exec:/nowhere/at-all --token canary").unwrap_err();
    let error = error.to_string();
    assert!(error.contains("/nowhere/at-all") && !error.contains("canary"), "{error}");
}
