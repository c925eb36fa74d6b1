use super::*;

fn parse(text: &str) -> RedirectUri {
    RedirectUri::parse(text).unwrap_or_else(|bad| panic!("{text}: {bad}"))
}

#[test]
fn places_are_told_apart() {
    for (text, place, shown, source) in [
        ("https://app.example.com/cb", Place::Web, "app.example.com", "https://app.example.com"),
        ("https://app.example.com", Place::Web, "app.example.com", "https://app.example.com"),
        (
            "https://app.example.com:8443/cb?x=1",
            Place::Web,
            "app.example.com:8443",
            "https://app.example.com:8443",
        ),
        (
            "https://app.example.com:443/",
            Place::Web,
            "app.example.com",
            "https://app.example.com:443",
        ),
        (
            "https://xn--bcher-kva.example/",
            Place::Web,
            "xn--bcher-kva.example",
            "https://xn--bcher-kva.example",
        ),
        ("https://192.0.2.7/cb", Place::Web, "192.0.2.7", "https://192.0.2.7"),
        (
            "https://[2001:db8::1]:8443/cb",
            Place::Web,
            "[2001:db8::1]:8443",
            "https://[2001:db8::1]:8443",
        ),
        ("https://localhost/cb", Place::Web, "localhost", "https://localhost"),
        ("http://127.0.0.1/cb", Place::Loopback, "127.0.0.1", "http://127.0.0.1"),
        ("http://127.0.0.1:33418/", Place::Loopback, "127.0.0.1", "http://127.0.0.1:33418"),
        ("http://[::1]:1/cb", Place::Loopback, "[::1]", "http://[::1]:1"),
        (
            "http://localhost:6274/oauth/callback",
            Place::Loopback,
            "localhost",
            "http://localhost:6274",
        ),
        ("com.example.app:/cb", Place::App, "com.example.app:", "com.example.app:"),
        ("cursor://app.name/oauth/callback", Place::App, "cursor:", "cursor:"),
        ("com.example.app://cb/x", Place::App, "com.example.app:", "com.example.app:"),
    ] {
        let uri = parse(text);
        assert_eq!(uri.as_str(), text);
        assert_eq!((uri.place(), uri.host_for_people().as_str()), (place, shown), "{text}");
        assert_eq!(uri.csp_source(), source, "{text}");
        assert!(uri.matches(&uri));
    }
}

#[test]
fn bad_ones_are_refused_with_the_rule() {
    use BadRedirect::{
        Character, Encoding, Fragment, Host, Length, Path, Plain, Port, Query, Scheme, UserInfo,
    };
    let long = format!("https://a.example/{}", "x".repeat(MAX));
    for (text, expected) in [
        ("", Length),
        (long.as_str(), Length),
        ("/cb", Scheme),
        ("//app.example.com/cb", Scheme),
        ("app.example.com", Scheme),
        ("javascript:alert(1)", Scheme),
        ("javascript://app.example.com/%0aalert(1)", Encoding),
        ("java.script:alert(1)", Scheme),
        ("data:text/html,x", Scheme),
        ("vbscript:x", Scheme),
        ("file:///etc/passwd", Scheme),
        ("about:blank", Scheme),
        ("blob:https://app.example.com/x", Scheme),
        ("ftp://app.example.com/", Scheme),
        ("cursors://x/cb", Scheme),
        ("com.example.app:cb", Scheme),
        (".example:/cb", Scheme),
        ("com..example:/cb", Scheme),
        ("Com.example.app:/cb", Scheme),
        ("com.example.app://user@host/cb", UserInfo),
        ("HTTPS://app.example.com/cb", Scheme),
        ("https:/app.example.com/cb", Host),
        ("https:app.example.com/cb", Host),
        ("https:///cb", Host),
        ("https://", Host),
        ("https://App.example.com/cb", Host),
        ("https://app.example.com./cb", Host),
        ("https://app..example.com/cb", Host),
        ("https://.example.com/cb", Host),
        ("https://-app.example.com/cb", Host),
        ("https://app%2eexample.com/cb", Host),
        ("https://127.1/cb", Host),
        ("https://2130706433/cb", Host),
        ("https://0x7f000001/cb", Host),
        ("https://0x7f.0.0.0x1/cb", Host),
        ("https://0177.0.0.1/cb", Host),
        ("https://[::1/cb", Port),
        ("https://[::1]x/cb", Host),
        ("https://[fe80::1%25eth0]/cb", Host),
        ("https://[0:0:0:0:0:0:0:1]/cb", Host),
        ("https://b\u{fc}cher.example/cb", Character),
        ("https://app.example.com\u{2024}evil.example/", Character),
        ("https://user@app.example.com/cb", UserInfo),
        ("https://user:pw@app.example.com/cb", UserInfo),
        ("https://app.example.com@evil.example/cb", UserInfo),
        ("https://app.example.com:/cb", Port),
        ("https://app.example.com:0/cb", Port),
        ("https://app.example.com:0443/cb", Port),
        ("https://app.example.com:99999/cb", Port),
        ("https://app.example.com:+443/cb", Port),
        ("https://app.example.com/cb#x", Fragment),
        ("https://app.example.com/cb#", Fragment),
        ("https://app.example.com\\@evil.example/", Character),
        ("https:\\\\app.example.com/cb", Character),
        ("https://*.example.com/cb", Character),
        ("https://app.example.com/*", Character),
        ("https://app.example.com/cb ", Character),
        (" https://app.example.com/cb", Character),
        ("https://app.example.com/\tcb", Character),
        ("https://app.example.com/c\r\nSet-Cookie:x", Character),
        ("https://app.example.com/\"><script>", Character),
        ("https://app.example.com/cb%", Encoding),
        ("https://app.example.com/cb%zz", Encoding),
        ("https://app.example.com/cb%0d%0aLocation:x", Encoding),
        ("https://app.example.com/cb%00", Encoding),
        ("https://app.example.com/../cb", Path),
        ("https://app.example.com/a/./cb", Path),
        ("https://app.example.com/a/%2e%2E/cb", Path),
        ("https://app.example.com/a/.%2e/cb", Path),
        ("https://app.example.com/a%2fcb", Path),
        ("https://app.example.com/a%5Ccb", Path),
        ("https://app.example.com/cb?code=mine", Query),
        ("https://app.example.com/cb?x=1&st%61te=2", Query),
        ("http://app.example.com/cb", Plain),
        ("http://127.0.0.2/cb", Plain),
        ("http://127.0.0.1.nip.io/cb", Plain),
        ("http://localhost.evil.example/cb", Plain),
        ("http://0.0.0.0/cb", Plain),
        ("http://LOCALHOST/cb", Host),
        ("http://localhost./cb", Host),
        ("http://127.0.0.1@evil.example/cb", UserInfo),
    ] {
        assert_eq!(RedirectUri::parse(text).unwrap_err(), expected, "{text:?}");
    }
}

/// Whatever is asked for instead of what is registered, no answer goes there.
#[test]
fn nothing_else_matches_what_is_registered() {
    let registered = [
        "https://app.example.com/cb",
        "https://app.example.com:8443/a?x=1",
        "http://127.0.0.1/cb",
        "http://localhost:3000/cb",
        "com.example.app:/cb",
    ]
    .map(parse);
    let tricks = [
        "https://app.example.com/cb/",
        "https://app.example.com/CB",
        "https://app.example.com/cb?",
        "https://app.example.com/cb?x=1",
        "https://app.example.com/cb&x=1",
        "https://app.example.com/cb;x",
        "https://app.example.com//cb",
        "https://app.example.com/cb/../cb",
        "https://app.example.com/%63b",
        "https://app.example.com/cb%20",
        "https://app.example.com/c%62",
        "https://app.example.com/cb#",
        "https://app.example.com/cb#x",
        "https://app.example.com:443/cb",
        "https://app.example.com:8443/cb",
        "https://app.example.com:8444/a?x=1",
        "https://app.example.com:8443/a?x=2",
        "https://app.example.com:8443/a?x=1&y=2",
        "https://app.example.com:8443/a",
        "https://app.example.com./cb",
        "https://APP.example.com/cb",
        "HTTPS://app.example.com/cb",
        "http://app.example.com/cb",
        "//app.example.com/cb",
        "https:app.example.com/cb",
        "https:///app.example.com/cb",
        "https:\\\\app.example.com\\cb",
        "https://app.example.com\\@evil.example/cb",
        "https://app.example.com@evil.example/cb",
        "https://evil.example@app.example.com/cb",
        "https://app.example.com.evil.example/cb",
        "https://evil.example/https://app.example.com/cb",
        "https://evil.example?https://app.example.com/cb",
        "https://evil.example/app.example.com/cb",
        "https://app-example.com/cb",
        "https://example.com/cb",
        "https://sub.app.example.com/cb",
        "https://\u{430}pp.example.com/cb",
        "https://xn--pp-6kc.example.com/cb",
        " https://app.example.com/cb",
        "https://app.example.com/cb\t",
        "https://app.example.com/cb\r\nx: y",
        "https://app.example.com/cb%0d%0ax: y",
        "javascript:alert(document.cookie)",
        "javascript://app.example.com/cb",
        "data:text/html,<script>",
        "http://127.0.0.1/cb/",
        "http://127.0.0.1:80/other",
        "http://127.0.0.2/cb",
        "http://127.0.0.1:3000/cb?x",
        "http://[::1]/cb",
        "http://localhost:3000/cb/x",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1:1@evil.example/cb",
        "https://127.0.0.1/cb",
        "https://localhost:3000/cb",
        "com.example.app:/cb/",
        "com.example.app:/CB",
        "com.example.app://cb",
        "com.example.app2:/cb",
        "com.example:/cb",
    ];
    assert!(tricks.len() >= 48);
    for trick in tricks {
        let Ok(asked) = RedirectUri::parse(trick) else { continue };
        for uri in &registered {
            assert!(!uri.matches(&asked), "{trick:?} for {uri}");
        }
    }
    // Not every one of them is refused before it is compared.
    assert!(tricks.iter().filter(|trick| RedirectUri::parse(trick).is_ok()).count() > 20);
}

#[test]
fn only_the_port_of_a_loopback_one_may_vary() {
    for (registered, asked, expected) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:33418/cb", true),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true),
        ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true),
        ("http://[::1]/cb", "http://[::1]:8080/cb", true),
        ("http://localhost", "http://localhost:80", true),
        ("http://localhost/cb?a=1", "http://localhost:9/cb?a=1", true),
        ("http://localhost/cb", "http://127.0.0.1/cb", false),
        ("http://localhost/cb", "http://localhost:9/cb?a=1", false),
        ("https://localhost/cb", "https://localhost:9/cb", false),
        ("https://a.example:1/cb", "https://a.example:2/cb", false),
    ] {
        assert_eq!(parse(registered).matches(&parse(asked)), expected, "{registered} {asked}");
    }
}

#[test]
fn parameters_are_added_and_encoded() {
    for (uri, expected) in [
        ("https://a.example/cb", "https://a.example/cb?code=x+y&state=%26%3D%23"),
        ("https://a.example/cb?", "https://a.example/cb?code=x+y&state=%26%3D%23"),
        ("https://a.example/cb?k=v", "https://a.example/cb?k=v&code=x+y&state=%26%3D%23"),
        ("com.example.app:/cb", "com.example.app:/cb?code=x+y&state=%26%3D%23"),
    ] {
        assert_eq!(parse(uri).with_parameters(&[("code", "x y"), ("state", "&=#")]), expected);
    }
}
