//! The cookies of a browser.
//!
//! Owns which of them are taken and which are sent. Hosts are compared whole, ports not at all;
//! nothing expires by time but what is taken back.

use url::Url;

use super::origin::Site;

/// One cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// The host that set it.
    pub(crate) host: String,
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
    /// The paths that it is for.
    pub(crate) path: String,
    /// Its attributes, in lower case and in their order.
    pub(crate) attributes: Vec<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Jar(Vec<Cookie>);

impl Cookie {
    /// Whether it has an attribute: `secure`, `samesite=lax`.
    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|it| it == attribute)
    }

    fn is_over(&self) -> bool {
        let age = self.attributes.iter().find_map(|it| it.strip_prefix("max-age="));
        let past = self.attributes.iter().any(|it| it.starts_with("expires=thu, 01 jan 1970"));
        past || age.is_some_and(|seconds| seconds.parse::<i64>().unwrap() <= 0)
    }
}

impl Jar {
    pub(super) fn of(&self, host: &str) -> Vec<Cookie> {
        self.0.iter().filter(|cookie| cookie.host == host).cloned().collect()
    }

    pub(super) fn put(&mut self, cookie: Cookie) {
        let same = |it: &Cookie| {
            it.host == cookie.host && it.name == cookie.name && it.path == cookie.path
        };
        self.0.retain(|it| !same(it));
        if !cookie.is_over() {
            self.0.push(cookie);
        }
    }

    /// Takes a `Set-Cookie` line; one that a browser would not take fails the test.
    pub(super) fn set(&mut self, url: &Url, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let named = |part: &str| {
            let (name, value) = part.split_once('=')?;
            name.eq_ignore_ascii_case("path").then(|| value.to_owned())
        };
        let path = parts.clone().find_map(named);
        let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
        // Without one, it is the folder of what was asked for.
        let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = if folder.is_empty() { "/" } else { folder };
        let cookie = Cookie {
            host: url.host_str().unwrap().to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            path: path.clone().unwrap_or_else(|| folder.to_owned()),
            attributes,
        };
        let is_tls = url.scheme() == "https";
        assert!(is_tls || !cookie.has("secure"), "no secure cookie over http: {line}");
        if name.starts_with("__Host-") {
            let whole = cookie.has("secure") && path.as_deref() == Some("/");
            let bound = !cookie.attributes.iter().any(|it| it.starts_with("domain="));
            assert!(whole && bound, "a browser refuses this: {line}");
        }
        self.put(cookie);
    }

    /// The `Cookie` header of a navigation; `is_safe` when it only gets something.
    pub(super) fn header(&self, url: &Url, site: Site, is_safe: bool) -> Option<String> {
        let crosses = site == Site::Foreign;
        let sent = self.0.iter().filter(|cookie| {
            let path = cookie.path.trim_end_matches('/');
            let rest = url.path().strip_prefix(path);
            let same_path = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            // Lax is also what is meant when nothing is said.
            let kept = cookie.has("samesite=strict") || (!is_safe && !cookie.has("samesite=none"));
            Some(cookie.host.as_str()) == url.host_str()
                && same_path
                && !(crosses && kept)
                && (url.scheme() == "https" || !cookie.has("secure"))
        });
        let pairs: Vec<String> =
            sent.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}
