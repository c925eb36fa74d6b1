//! Clients that an administrator has written down, and what they ask for without a browser.
//!
//! Owns the file that names them, and how answers are held to their rows.

use hyper::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::form_urlencoded;

use super::{
    bed::{Bed, CALLBACK, Found},
    signer::Signer,
};
use crate::support::{Response, Setup};

/// What all of them prove themselves with that have no key.
pub(super) const SECRET: &str = "a secret of 256 bits, as it were";

/// The digest of [`SECRET`], as a configuration file has it.
pub(super) fn secret_hash() -> String {
    let digest = Sha256::digest(SECRET.as_bytes());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The clients that an administrator has written down here.
fn clients(setup: Setup, key: &Signer) -> Setup {
    let hash = secret_hash();
    let identity = format!(
        r#"
[clients.report]
name = "Nightly report"
secret = "{hash}"
agent = "report-bot"
groups = ["bots"]
[clients.narrow]
name = "Nightly report of one"
secret = "{hash}"
agent = "narrow-bot"
vmcps = ["other"]
[clients.keyed]
name = "A program with a key"
jwks = "file:keyed.json"
agent = "keyed-bot"
[clients.desk]
name = "Desk with a secret"
secret = "{hash}"
redirect_uris = ["{CALLBACK}"]
[clients.broker]
name = "Broker"
secret = "{hash}"
redirect_uris = ["https://broker.example/callback"]
vmcps = ["main", "other"]
[clients.halfway]
name = "Broker of one place"
secret = "{hash}"
redirect_uris = ["https://halfway.example/callback"]
vmcps = ["other"]
"#
    );
    setup.file("identity.toml", &identity).file("keyed.json", &key.jwks())
}

/// A gateway that knows these clients, and the key of `keyed`.
pub(super) async fn bed() -> (Bed, Found, Signer) {
    let key = Signer::new("k1", 3);
    let bed = Bed::open(|setup| clients(setup, &key)).await;
    let found = bed.discover("main").await;
    (bed, found, key)
}

/// `fields` with some replaced, or taken away where they are empty; `+name` is sent twice.
pub(super) fn with<'a>(
    fields: &[(&'a str, &'a str)],
    edits: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = fields.to_vec();
    for (name, value) in edits {
        match name.strip_prefix('+') {
            Some(name) => fields.push((name, value)),
            None => {
                fields.retain(|(known, _)| known != name);
                if !value.is_empty() {
                    fields.push((name, value));
                }
            }
        }
    }
    fields
}

impl Bed {
    /// Asks the token endpoint.
    pub(super) async fn ask(&self, found: &Found, fields: &[(&str, &str)]) -> Response {
        self.post(&found.path("token_endpoint"), fields).await
    }

    /// The same with a client's secret in the header.
    pub(super) async fn ask_with(
        &self,
        found: &Found,
        basic: &str,
        fields: &[(&str, &str)],
    ) -> Response {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let basic = format!("Basic {}", base64(basic));
        let kind = "application/x-www-form-urlencoded";
        let headers = [("content-type", kind), ("authorization", basic.as_str())];
        self.at(&found.path("token_endpoint")).send(Method::POST, &headers, form).await
    }

    /// Whom the last call was recorded for, once it has gone through.
    pub(super) async fn calls(&self, vmcp: &str, tokens: &Value) -> Value {
        let answer = self.with(vmcp, tokens).call("echo", json!({ "message": "hi" })).await;
        assert_eq!(answer.text(), r#"{"message":"hi"}"#);
        self.rows("tools/call").await.pop().unwrap()
    }

    /// The status of a call.
    pub(super) async fn status_of(&self, vmcp: &str, tokens: &Value) -> u16 {
        self.with(vmcp, tokens).request("tools/list", json!({})).await.status.as_u16()
    }

    /// Holds a table of refusals to what was answered and to the rows there are now, the last
    /// of which belong to the table.
    pub(super) async fn holds(&self, said: &[(&str, &str, Response)]) {
        for (name, error, answer) in said {
            assert_eq!(answer.json()["error"], *error, "{name}: {answer:?}");
            let status = if *error == "invalid_client" { 401 } else { 400 };
            assert_eq!(answer.status, status, "{name}");
            assert_eq!(answer.header("cache-control"), "no-store", "{name}");
            assert!(answer.json().get("access_token").is_none(), "{name}");
        }
        let rows = self.rows("identity:token").await;
        let rows = &rows[rows.len() - said.len()..];
        for ((name, error, _), row) in said.iter().zip(rows) {
            assert_eq!(row["status"], "refused", "{name}: {row}");
            let told = row["note"].as_str().unwrap_or_default();
            assert!(told == *error || *error == "access_denied", "{name}: {row}");
        }
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}
