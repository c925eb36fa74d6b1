//! The cookies of pages, and the proof that a form came from one of them.
//!
//! Owns names and attributes. What a cookie means is for whoever reads it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac};
use http::{HeaderMap, HeaderValue, header};
use sha2::Sha256;
use tidegate_identity::Issuer;
use tidegate_model::OrgId;

/// A cookie that the gateway sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// The browser session.
    Session,
    /// Ties what goes on before a sign-in to one browser.
    Flow,
}

impl Cookie {
    /// Its name. `__Host-` keeps other hosts and paths from setting it, where there is TLS.
    fn name(self, issuer: &Issuer) -> String {
        let kind = match self {
            Self::Session => "tidegate",
            Self::Flow => "tidegate-flow",
        };
        let prefix = if issuer.is_tls() { "__Host-" } else { "" };
        match issuer.org() {
            org if *org == OrgId::default_org() => format!("{prefix}{kind}"),
            org => format!("{prefix}{kind}.{org}"),
        }
    }

    /// Its value in a request. Two of one name are none: somebody put one there.
    pub(super) fn read<'h>(self, issuer: &Issuer, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = self.name(issuer);
        let pairs = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(known, _)| *known == name).map(|(_, value)| value);
        let value = values.next().filter(|value| !value.is_empty())?;
        values.next().is_none().then_some(value)
    }

    /// Sets it until the browser closes, or for so many seconds. `None` for a value that no
    /// cookie can have.
    pub(super) fn set(
        self,
        issuer: &Issuer,
        value: &str,
        seconds: Option<u64>,
    ) -> Option<HeaderValue> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        if !value.bytes().all(plain) {
            return None;
        }
        let secure = if issuer.is_tls() { "; Secure" } else { "" };
        let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let name = self.name(issuer);
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        HeaderValue::from_str(&text).ok()
    }

    /// Takes it away.
    pub(super) fn clear(self, issuer: &Issuer) -> Option<HeaderValue> {
        self.set(issuer, "", Some(0))
    }
}

/// A value for a new cookie: 256 random bits. `None` where the system has none.
pub(super) fn random() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// What a form carries to show that it came from our page in this browser: a MAC under
/// something that only this browser holds, or that was kept of its session.
pub(super) fn form_token(holds: &str, form: &str) -> String {
    URL_SAFE_NO_PAD.encode(mac(holds, form).finalize().into_bytes())
}

/// Whether a form's token is right; in constant time.
pub(super) fn is_form_token(holds: &str, form: &str, token: &str) -> bool {
    let token = URL_SAFE_NO_PAD.decode(token);
    !holds.is_empty() && token.is_ok_and(|token| mac(holds, form).verify_slice(&token).is_ok())
}

fn mac(holds: &str, form: &str) -> Hmac<Sha256> {
    // A key of any length is brought to one block.
    use sha2::Digest as _;
    let mut block = [0; 64];
    block.iter_mut().zip(Sha256::digest(holds.as_bytes())).for_each(|(to, from)| *to = from);
    Hmac::<Sha256>::new(&block.into()).chain_update(b"tidegate form\0").chain_update(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(url: &str, org: &str) -> Issuer {
        Issuer::new(url, OrgId::new(org).unwrap()).unwrap()
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_str(value).unwrap());
        values.map(|value| (header::COOKIE, value)).collect()
    }

    #[test]
    fn over_tls_a_cookie_is_kept_to_its_host() {
        let issuer = issuer("https://mcp.example.com", "default");
        let set = Cookie::Session.set(&issuer, "abc", Some(60)).unwrap();
        let expected = "__Host-tidegate=abc; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60";
        assert_eq!(set, expected);
        assert!(Cookie::Session.set(&issuer, "a;b", None).is_none());
        assert!(Cookie::Session.set(&issuer, "a\r\nb", None).is_none());
        let clear = Cookie::Flow.clear(&issuer).unwrap();
        assert!(clear.to_str().unwrap().starts_with("__Host-tidegate-flow=; "), "{clear:?}");
        // The name without the prefix is another's.
        let read = |values: &[&str]| {
            let headers = headers(values);
            Cookie::Session.read(&issuer, &headers).map(str::to_owned)
        };
        assert_eq!(read(&["tidegate=x"]), None);
        assert_eq!(read(&["a=b; __Host-tidegate=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(read(&["__Host-tidegate=x", "__Host-tidegate=y"]), None);
        assert_eq!(read(&["__Host-tidegate="]), None);
    }

    #[test]
    fn organisations_have_cookies_of_their_own() {
        let acme = issuer("http://127.0.0.1:1", "acme");
        let set = Cookie::Session.set(&acme, "abc", None).unwrap();
        assert_eq!(set, "tidegate.acme=abc; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(Cookie::Session.read(&acme, &headers(&["tidegate=abc"])), None);
    }

    #[test]
    fn a_form_token_is_good_for_one_browser_and_one_form() {
        let token = form_token("holds", "consent");
        assert!(is_form_token("holds", "consent", &token));
        assert!(!is_form_token("other", "consent", &token));
        assert!(!is_form_token("holds", "logout", &token));
        assert!(!is_form_token("holds", "consent", ""));
        assert!(!is_form_token("", "consent", &form_token("", "consent")));
    }
}
