//! Where a request comes from, and what a browser says of it.
//!
//! Owns sites, `Origin`, `Referer` and the `Sec-Fetch-` headers of navigations. On loopback all
//! ports of one host are one site, as the standards have it.

use hyper::Method;
use url::Url;

/// How two places are related; further is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Site {
    /// Nobody sent the browser there.
    None,
    /// The same scheme, host and port.
    SameOrigin,
    /// The same scheme and host.
    Neighbour,
    /// Another.
    Foreign,
}

/// One way through any number of redirects.
#[derive(Debug)]
pub(super) struct Step {
    from: Option<Url>,
    hides: bool,
    site: Site,
    at: Url,
    hops: usize,
    /// A redirect over another origin takes the origin away.
    tainted: bool,
}

impl Step {
    /// Somebody typed it.
    pub(super) fn typed(url: &Url) -> Self {
        let at = url.clone();
        Self { from: None, hides: false, site: Site::None, at, hops: 0, tainted: false }
    }

    /// A page with this referrer policy sent the browser there.
    pub(super) fn from(page: &Url, policy: &str, next: &Url) -> Self {
        let hides = policy == "no-referrer";
        let (from, at) = (Some(page.clone()), next.clone());
        Self { from, hides, site: Site::SameOrigin, at, hops: 0, tainted: false }
    }

    /// The next request on the way.
    pub(super) fn to(&mut self, url: &Url) {
        if let Some(from) = &self.from {
            self.site = self.site.max(between(from, url));
            let leaves = self.hops > 0 && self.at.origin() != url.origin();
            self.tainted |= leaves && self.at.origin() != from.origin();
        }
        self.hops += 1;
        self.at = url.clone();
    }

    pub(super) fn site(&self) -> Site {
        self.site
    }

    /// The headers that say so.
    pub(super) fn headers(&self, method: &Method) -> Vec<(&'static str, String)> {
        let site = match self.site {
            Site::None => "none",
            Site::SameOrigin => "same-origin",
            Site::Neighbour => "same-site",
            Site::Foreign => "cross-site",
        };
        let mut headers = vec![
            ("sec-fetch-site", site.to_owned()),
            ("sec-fetch-mode", "navigate".to_owned()),
            ("sec-fetch-dest", "document".to_owned()),
            ("sec-fetch-user", "?1".to_owned()),
        ];
        let Some(from) = &self.from else { return headers };
        if *method == Method::POST {
            // A page that wants no referrer sent gives no origin either.
            let named = !self.hides && !self.tainted;
            let origin = from.origin().ascii_serialization();
            headers.push(("origin", if named { origin } else { "null".to_owned() }));
        }
        if !self.hides {
            let same = from.origin() == self.at.origin();
            let origin = format!("{}/", from.origin().ascii_serialization());
            headers.push(("referer", if same { from.as_str().to_owned() } else { origin }));
        }
        headers
    }
}

fn between(from: &Url, to: &Url) -> Site {
    if from.origin() == to.origin() {
        Site::SameOrigin
    } else if from.scheme() == to.scheme() && from.host_str() == to.host_str() {
        Site::Neighbour
    } else {
        Site::Foreign
    }
}

/// Whether a source expression of a page's policy takes in `target`.
pub(super) fn matches(source: &str, page: &Url, target: &Url) -> bool {
    if source == "'self'" {
        return page.origin() == target.origin();
    }
    if let Some(scheme) = source.strip_suffix(':') {
        return target.scheme() == scheme;
    }
    let Ok(allowed) = source.replace(":*", ":0").parse::<Url>() else { return false };
    let any_port = source.contains(":*");
    allowed.scheme() == target.scheme()
        && allowed.host_str() == target.host_str()
        && (any_port || allowed.port_or_known_default() == target.port_or_known_default())
}
