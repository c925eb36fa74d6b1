//! Hosts that are allowed, and every known way to make another look like one.

use proptest::prelude::*;

use super::*;

fn leads(url: &str, host: &str) -> bool {
    allowed(url, host, false)
}

fn allowed(url: &str, host: &str, private: bool) -> bool {
    let hosts = [host.to_owned()];
    leads_to(url, &Allowed { hosts: &hosts, schemes: &[], private }).is_ok()
}

#[test]
fn what_leads_there() {
    let table = [
        ("https://example.com", "example.com"),
        ("HTTPS://EXAMPLE.com/a?b#c", "Example.COM"),
        ("http://example.com:80/", "example.com"),
        ("https://example.com./", "example.com"),
        ("https://a.b.example.com/", "*.example.com"),
        ("https://example.com:8443/", "example.com:8443"),
        ("https://example.com:8443/", "example.com:*"),
        ("https://xn--bcher-kva.example/", "B\u{dc}CHER.example"),
        ("https://a.xn--bcher-kva.example/", "*.b\u{fc}cher.example"),
        ("https://example.com/@evil.com", "example.com"),
        ("https://example.com?u=http://evil.com", "example.com"),
        ("https://8.8.8.8/", "8.8.8.8"),
        ("https://0x8.8.2056/", "8.8.8.8"),
        ("https://[2606:4700::1111]/", "2606:4700::1111"),
        ("https://[2606:4700::1111]:444/", "[2606:4700::1111]:444"),
        ("https://anything.at.all/", "*"),
    ];
    for (url, host) in table {
        assert!(leads(url, host), "{url} to {host}");
    }
}

#[test]
fn what_does_not() {
    let table = [
        ("https://evil.com", "example.com"),
        ("https://example.com.evil.com", "example.com"),
        ("https://evilexample.com", "*.example.com"),
        ("https://example.com", "*.example.com"),
        ("https://example.com@evil.com/", "example.com"),
        ("https://evil.com@example.com/", "example.com"),
        ("https://example.com\\@evil.com/", "example.com"),
        ("https://evil.com\\.example.com/", "*.example.com"),
        ("https://evil.com%2f.example.com/", "*.example.com"),
        ("https://evil.com\u{ff0f}.example.com/", "*.example.com"),
        ("https://evil\u{2100}.example.com/", "*.example.com"),
        ("https://ex\u{ff41}mple.com/", "example.com"),
        ("https://exam\tple.com/", "example.com"),
        (" https://example.com", "example.com"),
        ("https:example.com", "example.com"),
        ("https:///example.com", "example.com"),
        ("//example.com", "example.com"),
        ("example.com", "example.com"),
        ("ftp://example.com/", "example.com"),
        ("javascript://example.com/%0aalert(1)", "example.com"),
        ("https://example.com:8443/", "example.com"),
        ("https://example.com:99999/", "example.com:*"),
        ("https://example.com:+443/", "example.com"),
        ("https://example..com/", "example.com"),
        ("https://[::1", "*"),
        ("https://8.8.8.999/", "*"),
        ("https://8.8.8.08/", "*"),
        ("https:///", "*"),
        ("https://b\u{fc}cher.example/", "b\u{fc}cher.example"),
        ("http://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}/", "*"),
        ("http://\u{661}\u{662}\u{667}.0.0.1/", "*"),
        ("http://\u{217c}ocalhost/", "*"),
        ("http://\u{1d425}ocalhost/", "*"),
    ];
    for (url, host) in table {
        assert!(!leads(url, host), "{url} to {host}");
    }
}

#[test]
fn private_addresses_in_every_form() {
    let forms = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for form in forms {
        let url = format!("http://{form}/");
        assert!(!allowed(&url, "*", false), "{url}");
        assert!(allowed(&url, "*", true), "{url}");
    }
    for open in ["8.8.8.8", "1.1.1.1", "[2606:4700::1111]", "172.32.0.1", "100.128.0.1"] {
        assert!(allowed(&format!("http://{open}/"), "*", false), "{open}");
    }
}

#[test]
fn punycode_is_that_of_the_standard() {
    // From section 7.1 of RFC 3492, and from the codec of another language.
    let table = [
        (
            "\u{4ed6}\u{4eec}\u{4e3a}\u{4ec0}\u{4e48}\u{4e0d}\u{8bf4}\u{4e2d}\u{6587}",
            "ihqwcrb4cv8a8dqg056pqjye",
        ),
        ("b\u{fc}cher", "bcher-kva"),
        ("\u{bc}", "zba"),
        ("\u{5d9}\u{5e9}\u{5e8}\u{5d0}\u{5dc}", "4dbrk0ce"),
        ("3\u{5e74}b\u{7d44}\u{91d1}\u{516b}\u{5148}\u{751f}", "3b-ww4c5e180e575a65lsy2b"),
    ];
    for (name, expected) in table {
        assert_eq!(punycode::encode(name).as_deref(), Some(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_allowed_url_names_its_host_plainly(
        url in "(https?:)?(//)?[a-z@:%\\\\./\u{ff0f}\u{2100}#? ]{0,8}(example\\.com)?[a-z@:.\\\\/]{0,6}"
    ) {
        if leads(&url, "example.com") {
            let rest = url.split_once("//").map_or("", |(_, rest)| rest);
            let after = rest.strip_prefix("example.com").unwrap_or("x");
            prop_assert!(after.is_empty() || after.starts_with(['/', '?', '#', ':', '.']), "{}", url);
        }
    }

    #[test]
    fn no_text_makes_it_panic(url in any::<String>(), host in any::<String>()) {
        leads(&url, &host);
        leads(&format!("https://{url}"), &host);
        leads(&format!("https://[{url}]"), &host);
    }
}
