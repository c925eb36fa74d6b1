//! The organisation's identity provider: npm `oidc-provider`, unmodified, in a process of its
//! own.
//!
//! Owns starting it and the commands it takes; what it is made to look like is in
//! `tests/peers/sign_in/provider.mjs`. Knows a gateway only by the URLs that it has there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Browser, Page, Script, installed};

/// Who the gateway is to every provider.
const CLIENT: &str = "tidegate";
/// The variable in which the gateway finds its secret there.
pub(crate) const SECRET_VARIABLE: &str = "TIDEGATE_TEST_PROVIDER_SECRET";
/// What is in it.
pub(crate) const SECRET: &str = "a-secret-between-the-gateway-and-its-provider";
/// The tenant that the provider is when it looks like Entra ID.
pub(crate) const TENANT: &str = "8f1f4c2e-3c53-4a40-9c1f-2f2b5a0f2f11";

/// A provider; ends when dropped.
#[derive(Debug)]
pub(crate) struct Provider {
    /// Its issuer.
    pub(crate) issuer: String,
    /// Where it lists groups when it looks like Entra ID.
    pub(crate) graph: String,
    /// What it looks like.
    pub(crate) preset: &'static str,
    script: Script,
}

impl Provider {
    /// One that looks like `okta`, `google`, `entra` or `keycloak`. Knows nobody yet.
    pub(crate) async fn start(preset: &'static str) -> Self {
        let packages = installed("sign-in");
        let script = Script::start("provider.mjs", &[packages.to_str().unwrap(), preset]);
        let ready = script.next().await;
        let text = |name: &str| ready[name].as_str().unwrap().to_owned();
        Self { issuer: text("issuer"), graph: text("graph"), preset, script }
    }

    /// The `[providers.NAME]` table that leads here.
    pub(crate) fn table(&self, name: &str) -> String {
        let preset = match self.preset {
            "okta" => "preset = \"okta\"\n".to_owned(),
            "google" => "preset = \"google\"\nhosted_domain = \"example.com\"\n".to_owned(),
            "entra" => {
                format!("preset = \"entra\"\ntenant = \"{TENANT}\"\ngraph = \"{}\"\n", self.graph)
            }
            _ => "preset = \"oidc\"\nscopes = [\"openid\", \"email\", \"profile\", \"roles\"]\n\
                  [providers.NAME.claims]\ngroups = \"realm_access.groups\"\n\
                  roles = \"realm_access.roles\"\n"
                .replace("NAME", name),
        };
        format!(
            "[providers.{name}]\ntitle = \"Acme single sign-on\"\nissuer = \"{}\"\n\
             client_id = \"{CLIENT}\"\nclient_secret = \"env:{SECRET_VARIABLE}\"\n\
             allow_addresses = [\"127.0.0.1\"]\n{preset}\n",
            self.issuer
        )
    }

    /// Makes a gateway known that serves a provider of this name at `base`.
    pub(crate) async fn register(&self, base: &str, name: &str) {
        let own = format!("{base}/login/{name}");
        self.client(json!({
            "redirect_uris": [format!("{own}/callback")],
            "backchannel_logout_uri": format!("{own}/backchannel"),
            "backchannel_logout_session_required": true,
            "post_logout_redirect_uris": [format!("{base}/"), format!("{base}/login")],
        }))
        .await;
    }

    /// Makes a relying party known, by what it says of itself.
    pub(crate) async fn client(&self, mut metadata: Value) {
        metadata["client_id"] = CLIENT.into();
        metadata["client_secret"] = SECRET.into();
        self.command(json!({ "do": "client", "metadata": metadata })).await;
    }

    /// Makes somebody known who signs in as `login`, with these claims about them.
    pub(crate) async fn person(&self, login: &str, claims: Value) {
        self.command(json!({ "do": "person", "login": login, "claims": claims })).await;
    }

    /// The same with these groups, which are too many for a token.
    pub(crate) async fn person_of_many(&self, login: &str, claims: Value, groups: &[&str]) {
        let command = json!({ "do": "person", "login": login, "claims": claims, "over": groups });
        self.command(command).await;
    }

    /// Signs with new keys from now on, and forgets the old ones.
    pub(crate) async fn rotate(&self) {
        self.command(json!({ "do": "rotate" })).await;
    }

    /// Signs somebody out and tells all who want to know; how many were told.
    pub(crate) async fn sign_out(&self, login: &str) -> u64 {
        self.command(json!({ "do": "logout", "login": login })).await["told"].as_u64().unwrap()
    }

    /// Signs somebody out by pages that load `notice` of a gateway; what they load. A browser gets
    /// them at `/signed-out`.
    pub(crate) async fn sign_out_by_pages(&self, login: &str, notice: &str) -> Vec<String> {
        let command = json!({ "do": "front", "login": login, "notice": notice });
        serde_json::from_value(self.command(command).await["notices"].take()).unwrap()
    }

    /// How many requests came to a path of its own since all of them were asked for last.
    pub(crate) async fn hits(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(self.command(json!({ "do": "hits" })).await).unwrap()
    }

    /// Fills in the page on which a browser has arrived here, and follows wherever that leads.
    pub(crate) async fn sign_in(&self, browser: &Browser, page: &Page, login: &str) -> Page {
        assert!(page.url.as_str().starts_with(&self.issuer), "{}: {}", page.url, page.text());
        let form = page.form("Sign in").set("login", login).set("password", "any");
        browser.submit(page, &form).await
    }

    async fn command(&self, command: Value) -> Value {
        self.script.ask(&command.to_string()).await
    }
}
