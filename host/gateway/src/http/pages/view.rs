//! What is on each page. Templates escape everything; a [`Said`] has done so itself.

use askama::Template;

use super::Said;

/// A client that asks for access, as people are told of it.
#[derive(Debug, Clone)]
pub(in crate::http) struct Asking {
    /// What it calls itself.
    pub(in crate::http) client: String,
    /// How far that is known: who vouches for the name.
    pub(in crate::http) known: String,
    /// Where it sends people on to.
    pub(in crate::http) host: String,
    /// What it wants to use.
    pub(in crate::http) what: String,
    /// Whether it sends people on to their own computer only.
    pub(in crate::http) is_local: bool,
}

/// A provider to sign in with.
#[derive(Debug)]
pub(in crate::http) struct ProviderButton<'a> {
    pub(in crate::http) name: &'a str,
    pub(in crate::http) title: &'a str,
}

/// The sign-in page.
#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub(in crate::http) struct SignIn<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) asking: Option<Asking>,
    pub(in crate::http) problem: Option<Said>,
    pub(in crate::http) providers: Vec<ProviderButton<'a>>,
    pub(in crate::http) accounts: bool,
    pub(in crate::http) csrf: &'a str,
    pub(in crate::http) return_to: &'a str,
    pub(in crate::http) email: &'a str,
}

/// May this client connect?
#[derive(Debug, Template)]
#[template(path = "consent.html")]
pub(in crate::http) struct Consent<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) asking: Asking,
    pub(in crate::http) who: &'a str,
    pub(in crate::http) scopes: Vec<&'static str>,
    pub(in crate::http) csrf: &'a str,
    pub(in crate::http) logout_csrf: &'a str,
    pub(in crate::http) request: &'a str,
}

/// A virtual MCP on the start page.
#[derive(Debug)]
pub(in crate::http) struct VmcpCard {
    pub(in crate::http) id: String,
    pub(in crate::http) title: String,
    pub(in crate::http) url: String,
}

/// A connected client on the start page.
#[derive(Debug)]
pub(in crate::http) struct ClientCard {
    pub(in crate::http) id: String,
    pub(in crate::http) name: String,
    pub(in crate::http) what: String,
    pub(in crate::http) created: String,
    pub(in crate::http) used: String,
}

/// The start page of somebody who is signed in.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub(in crate::http) struct Home<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) name: &'a str,
    pub(in crate::http) who: &'a str,
    pub(in crate::http) roles: &'a [String],
    pub(in crate::http) vmcps: Vec<VmcpCard>,
    pub(in crate::http) clients: Vec<ClientCard>,
    pub(in crate::http) csrf: &'a str,
}

/// Sign out?
#[derive(Debug, Template)]
#[template(path = "sign_out.html")]
pub(in crate::http) struct SignOut<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) who: &'a str,
    pub(in crate::http) csrf: &'a str,
}

/// A first password, or the first account of a gateway.
#[derive(Debug, Template)]
#[template(path = "welcome.html")]
pub(in crate::http) struct Welcome<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) token: &'a str,
    pub(in crate::http) problem: Option<Said>,
    pub(in crate::http) csrf: &'a str,
    pub(in crate::http) email: &'a str,
    /// Whom the link is for, where it is not for the first owner.
    pub(in crate::http) who: Option<&'a str>,
}

/// Where the code of a device goes.
#[derive(Debug, Template)]
#[template(path = "device.html")]
pub(in crate::http) struct Device<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) problem: Option<Said>,
    pub(in crate::http) csrf: &'a str,
    pub(in crate::http) code: &'a str,
}

/// May this device connect?
#[derive(Debug, Template)]
#[template(path = "device_confirm.html")]
pub(in crate::http) struct DeviceConfirm<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) client: &'a str,
    /// How far that name is known.
    pub(in crate::http) known: &'a str,
    pub(in crate::http) what: &'a str,
    pub(in crate::http) who: &'a str,
    pub(in crate::http) code: &'a str,
    pub(in crate::http) scopes: Vec<&'static str>,
    pub(in crate::http) csrf: &'a str,
}

/// Sentences under a heading.
#[derive(Debug, Template)]
#[template(path = "notice.html")]
pub(in crate::http) struct Notice<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) title: &'a str,
    pub(in crate::http) sentences: Vec<Said>,
    pub(in crate::http) link: Option<(&'a str, &'a str)>,
}

/// A page that goes on by itself.
#[derive(Debug, Template)]
#[template(path = "onward.html")]
pub(in crate::http) struct Onward<'a> {
    pub(in crate::http) base: &'a str,
    pub(in crate::http) title: &'a str,
    pub(in crate::http) target: &'a str,
}
