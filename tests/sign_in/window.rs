//! A real browser, and somebody who uses it.
//!
//! Owns what must be true of every page that it shows: nothing on the console, nothing that the
//! page's own policy forbids, and nothing that keeps people out. Pictures of all pages are kept in
//! `target/screenshots`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Script, installed, root};

/// Chromium with one window.
#[derive(Debug)]
pub(super) struct Window {
    script: Script,
    /// Which series the pictures belong to.
    series: &'static str,
}

impl Window {
    /// A new one, of somebody who has never been anywhere.
    pub(super) async fn open(series: &'static str) -> Self {
        let (packages, program) = (installed("sign-in"), installed("chromium/run"));
        let pictures = pictures();
        std::fs::create_dir_all(&pictures).unwrap();
        let args = [&packages, &program, &pictures].map(|path| path.to_str().unwrap());
        let script = Script::start("browser.mjs", &args);
        assert!(script.next().await["ready"].is_string());
        Self { script, series }
    }

    /// Types a URL.
    pub(super) async fn go(&self, url: &str) -> Value {
        self.act(json!({ "do": "open", "url": url })).await
    }

    /// Fills in fields by what stands beside them.
    pub(super) async fn fill(&self, fields: Value) -> Value {
        self.act(json!({ "do": "fill", "fields": fields })).await
    }

    /// Presses a button and waits for what comes of it.
    pub(super) async fn press(&self, button: &str) -> Value {
        self.act(json!({ "do": "press", "button": button })).await
    }

    /// Waits until the address begins with this.
    pub(super) async fn arrive(&self, url: &str) -> Value {
        self.act(json!({ "do": "arrive", "url": url })).await
    }

    /// Takes pictures: as it is, with dark colours, on a telephone.
    pub(super) async fn picture(&self, name: &str) {
        self.act(json!({ "do": "picture", "name": format!("{}-{name}", self.series) })).await;
    }

    /// All cookies.
    pub(super) async fn cookies(&self) -> Vec<Value> {
        let shown = self.act(json!({ "do": "cookies" })).await;
        shown["cookies"].as_array().unwrap().clone()
    }

    /// Where an application in this test waits for the browser.
    pub(super) async fn listen(&self) -> String {
        let shown = self.act(json!({ "do": "listen" })).await;
        shown["callback"].as_str().unwrap().to_owned()
    }

    /// Does something; what the window shows then, which nobody may have to complain about.
    async fn act(&self, command: Value) -> Value {
        let shown = self.script.ask(&command.to_string()).await;
        assert_eq!(shown["problems"], json!([]), "{command}: {shown}");
        shown
    }
}

/// Where pictures are kept for people to look at.
fn pictures() -> PathBuf {
    root().join("target/screenshots")
}
