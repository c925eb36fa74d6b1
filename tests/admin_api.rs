//! The admin API through its real doors: who may do what, and what becomes of it.
//!
//! Owns callers of every role, and how a test sends them. The route table is read from the
//! description that the gateway serves, so that no route is left out of the matrix.

use std::collections::BTreeMap;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_identity::method::api_key;
use tidegate_model::KeyId;

use crate::support::{Client, Response, Setup, TestGateway};

mod access;
mod command_line;
mod doors;
mod login;
mod matrix;
mod people;
mod reach;

/// A key in a file for somebody with these roles: what it adds to a directory, and its text.
fn key_of(setup: Setup, name: &str, who: &str, rest: &str) -> (Setup, String) {
    let (key, hash) =
        api_key::generate(&KeyId::new(name.rsplit('/').next().unwrap()).unwrap()).unwrap();
    let text = format!("{who}\n{rest}\nhash = \"{hash}\"\n");
    (setup.file(&format!("{name}.toml"), &text), key.expose().to_owned())
}

/// A gateway with a caller for every role.
struct Office {
    gateway: TestGateway,
    keys: BTreeMap<&'static str, String>,
}

/// Every kind of caller: name, who the key stands for, what else its file says.
const CALLERS: [(&str, &str, &str); 9] = [
    ("owner", "user = 'olivia@example.com'", "roles = ['owner']"),
    ("admin", "user = 'adam@example.com'", "roles = ['admin']"),
    ("policy-author", "user = 'paula@example.com'", "roles = ['policy-author']"),
    ("plugin-developer", "user = 'pia@example.com'", "roles = ['plugin-developer']"),
    ("auditor", "user = 'august@example.com'", "roles = ['auditor']"),
    ("member", "user = 'mia@example.com'", "roles = ['member']"),
    ("nobody", "user = 'nico@example.com'", ""),
    ("agent", "agent = 'robot'", "groups = ['robots']"),
    ("limited", "user = 'lena@example.com'", "roles = ['owner']\nvmcps = ['main']"),
];

impl Office {
    async fn open(mut setup: Setup) -> Self {
        let mut keys = BTreeMap::new();
        setup = setup.vmcp("main", &[]);
        for (name, who, rest) in CALLERS {
            let (with, key) = key_of(setup, &format!("keys/{name}"), who, rest);
            setup = with;
            keys.insert(name, key);
        }
        Self { gateway: setup.start().await, keys }
    }

    /// The admin API at `path`, behind `/api/v1`, as one of [`CALLERS`].
    fn client(&self, caller: &str, path: &str) -> Client {
        Client::new(self.gateway.address, &format!("/api/v1{path}")).with_key(&self.keys[caller])
    }

    async fn get(&self, caller: &str, path: &str) -> Response {
        self.client(caller, path).send(Method::GET, &[], "").await
    }

    async fn send(&self, caller: &str, method: Method, path: &str, body: Value) -> Response {
        self.client(caller, path).send(method, &[], body.to_string()).await
    }

    /// What must be done, with what it answers.
    async fn done(&self, caller: &str, method: Method, path: &str, body: Value) -> Value {
        let response = self.send(caller, method, path, body).await;
        assert_eq!(response.status, StatusCode::OK, "{path}: {response:?}");
        response.json()
    }

    /// What must be refused with this status, with the sentence.
    async fn refused(
        &self,
        caller: &str,
        (method, path): (Method, &str),
        body: Value,
        status: u16,
    ) -> String {
        let response = self.send(caller, method, path, body).await;
        assert_eq!(response.status.as_u16(), status, "{path}: {response:?}");
        response.json()["error"].as_str().unwrap().to_owned()
    }

    /// The notes of all rows of an action, oldest first.
    async fn notes(&self, action: &str) -> Vec<String> {
        let rows = self.gateway.audit().await;
        let rows = rows.iter().filter(|row| row["method"] == action && row["status"] == "ok");
        rows.map(|row| row["note"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// Somebody who is added as the owner.
async fn added(office: &Office, id: &str, more: Value) -> Value {
    let mut body = json!({ "id": id });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    office.done("owner", Method::POST, "/users", body).await
}
