use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, header, uri::PathAndQuery};
use tidegate_wire::client::egress::Origin;

use super::{exchange::Misplaced, *};

const CANARY: &str = "can/ary+1";

fn keyring() -> Keyring {
    let hosts = Hosts::parse(["api.example.com", "127.0.0.1"]).unwrap();
    let key =
        CredentialHandle::new("key", hosts.clone(), || Some(Secret::new(format!("{CANARY}\n"))));
    let gone = CredentialHandle::new("gone", hosts.clone(), || None);
    let odd = CredentialHandle::new("odd", hosts, || Some(Secret::new("a\nb".into())));
    Keyring::new(&Arc::from([key, gone, odd]))
}

struct Sent {
    headers: HeaderMap,
    path: PathAndQuery,
    carries: bool,
}

fn exchange(keyring: &Keyring, url: &str, header: &str) -> Result<Sent, Misplaced> {
    let (origin, mut path) = Origin::split(url).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(header).unwrap());
    let carries = keyring.exchange(&origin, &Method::GET, &mut headers, &mut path)?;
    Ok(Sent { headers, path, carries })
}

#[test]
fn a_secret_takes_the_place_of_its_handle() {
    let keyring = keyring();
    let handle = keyring.handle("key").unwrap();
    assert_eq!((handle.len(), keyring.handle("key").unwrap()), (HANDLE, handle.clone()));
    let url = format!("https://api.example.com/x?a={handle}&b={handle}");
    let sent = exchange(&keyring, &url, &format!("Bearer {handle};{handle}")).unwrap();
    let value = &sent.headers[header::AUTHORIZATION];
    assert!(sent.carries && value.is_sensitive());
    assert_eq!(value, &format!("Bearer {CANARY};{CANARY}"));
    assert_eq!(sent.path, "/x?a=can%2Fary%2B1&b=can%2Fary%2B1");
    assert!(!format!("{:?}", sent.headers).contains(CANARY));
}

#[test]
fn a_handle_within_basic_is_exchanged_there() {
    let keyring = keyring();
    let handle = keyring.handle("key").unwrap();
    let api = "https://api.example.com/";
    for (inside, expected) in [
        (format!("ae:{handle}"), format!("ae:{CANARY}")),
        (format!("{handle}:"), format!("{CANARY}:")),
        (handle.clone(), CANARY.to_owned()),
        (format!("{handle}:{handle}"), format!("{CANARY}:{CANARY}")),
    ] {
        let expected = format!("Basic {}", STANDARD.encode(expected));
        for header in [
            format!("Basic {}", STANDARD.encode(&inside)),
            format!("basic  {}", STANDARD.encode(&inside)),
            format!("BASIC {}", STANDARD.encode(&inside).trim_end_matches('=')),
        ] {
            let sent = exchange(&keyring, api, &header).unwrap();
            let value = &sent.headers[header::AUTHORIZATION];
            assert!(sent.carries && value.is_sensitive(), "{header}");
            assert_eq!(value, &expected, "{header}");
        }
    }
    // What stands there in the open is exchanged as in any header.
    let sent = exchange(&keyring, api, &format!("Basic {handle}")).unwrap();
    assert_eq!(sent.headers[header::AUTHORIZATION], format!("Basic {CANARY}"));

    let other = self::keyring().handle("key").unwrap();
    let odd = keyring.handle("odd").unwrap();
    let basic = |inside: &str| format!("Basic {}", STANDARD.encode(inside));
    for (url, header, expected) in [
        ("https://evil.org/", basic(&format!("ae:{handle}")), Misplaced::Host("key".into())),
        (api, basic(&format!("ae:{other}")), Misplaced::Stranger),
        (api, basic(&format!("ae:{odd}")), Misplaced::Unfit("odd".into())),
        (api, basic(&format!("a\ne:{handle}")), Misplaced::Unfit("key".into())),
    ] {
        let found = exchange(&keyring, url, &header).map(|sent| sent.path);
        assert_eq!(found, Err(expected), "{url} {header}");
    }
    for header in ["Basic", "Basic ", "Basic !", "Basic YTpi", "Bearer YTpi"] {
        let sent = exchange(&keyring, api, header).unwrap();
        assert_eq!(
            (sent.carries, &sent.headers[header::AUTHORIZATION]),
            (false, &header.parse().unwrap())
        );
    }
}

#[test]
fn what_holds_no_handle_stays_as_it_is() {
    let url = "https://other.example.com/tgh_?tgh_0123456789";
    let sent = exchange(&keyring(), url, "tgh_short").unwrap();
    assert!(!sent.carries);
    assert_eq!(sent.headers[header::AUTHORIZATION], "tgh_short");
    assert_eq!(sent.path, "/tgh_?tgh_0123456789");
}

#[test]
fn a_handle_is_refused_where_it_does_not_belong() {
    let keyring = keyring();
    let handle = keyring.handle("key").unwrap();
    let other = self::keyring().handle("key").unwrap();
    let odd = keyring.handle("odd").unwrap();
    let beginning = keyring.beginning().unwrap();
    let (gone, beyond) = (format!("{beginning}00000001"), format!("{beginning}00000003"));
    let api = "https://api.example.com";
    for (url, header, expected) in [
        (format!("{api}/{handle}"), "x".to_owned(), Misplaced::Place("path")),
        (format!("https://{handle}.example.com/"), "x".to_owned(), Misplaced::Place("host")),
        (format!("https://evil.org/?{handle}"), "x".to_owned(), Misplaced::Host("key".into())),
        ("https://evil.org/".to_owned(), handle.clone(), Misplaced::Host("key".into())),
        (format!("{api}:8443/"), handle.clone(), Misplaced::Host("key".into())),
        (format!("{api}/"), other, Misplaced::Stranger),
        (format!("{api}/"), beyond, Misplaced::Stranger),
        (format!("{api}/"), gone, Misplaced::Unavailable("gone".into())),
        (format!("{api}/"), odd, Misplaced::Unfit("odd".into())),
    ] {
        let found = exchange(&keyring, &url, &header).map(|sent| sent.path);
        assert_eq!(found, Err(expected), "{url}");
    }
    let (origin, mut path) = Origin::split(&format!("{api}/")).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(handle.parse::<header::HeaderName>().unwrap(), HeaderValue::from_static("x"));
    let found = keyring.exchange(&origin, &Method::GET, &mut headers, &mut path);
    assert_eq!(found, Err(Misplaced::Place("name of a header")));
    let method = Method::from_bytes(handle.as_bytes()).unwrap();
    let found = keyring.exchange(&origin, &method, &mut HeaderMap::new(), &mut path);
    assert_eq!(found, Err(Misplaced::Place("method")));
}

#[test]
fn handles_differ_from_instance_to_instance() {
    assert_ne!(keyring().handle("key").unwrap(), keyring().handle("key").unwrap());
    let keyring = keyring();
    assert_eq!(keyring.handle("none"), Err(CredentialError::Unknown));
    assert_eq!(keyring.handle("gone"), Err(CredentialError::Unavailable));
    assert!(Keyring::new(&Arc::default()).mask().is_none());
    assert!(!format!("{keyring:?}").contains(CANARY));
}
