//! What guests say reaches the gateway's log, one line each, under their binding's name.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{GuestConnector, LogLevel};

/// What the gateway's log says while a test runs.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Collects until the result is dropped.
    pub(super) fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_writer(self.clone()).with_ansi(false);
        tracing::subscriber::set_default(subscriber.finish())
    }

    /// The lines with this part.
    pub(super) fn matching(&self, part: &str) -> Vec<String> {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = String::from_utf8(said).unwrap();
        said.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn lines_carry_the_binding_and_cannot_be_forged() {
    let hostile_component = load("hostile").await;
    let greedy = load("wasi-sample").await;
    let lines = Lines::default();
    let _guard = lines.collect();

    let plugin = hostile(&hostile_component, "log", Limits::default());
    before(&plugin, &context("search"), &json("{}")).await.unwrap();
    let config = json("{}");
    let connector =
        GuestConnector::new(&Binding { name: "greedy", ..binding(&greedy, &config) }).unwrap();
    let text = json(r#"{"text":"first\nsecond"}"#);
    connector.call(&context("print"), &text, None).await.unwrap();

    let said = lines.matching("tidegate::plugin");
    let id = call("search").id.to_string();
    // The guest's line break became a space; lines of stdout stay lines.
    for (line, text, name) in
        [(0, "hello from the guest", "hostile"), (1, "first", "greedy"), (2, "second", "greedy")]
    {
        assert!(said[line].contains(text), "{said:?}");
        assert!(said[line].contains(&format!("plugin=\"{name}\"")), "{said:?}");
        assert!(said[line].contains(&id), "{said:?}");
    }
    assert_eq!(said.len(), 3);

    // The same is kept for whoever asks the binding.
    let kept = connector.lines(0);
    let texts: Vec<_> = kept.iter().map(|line| (line.number, &*line.text)).collect();
    assert_eq!(texts, [(1, "first"), (2, "second")]);
    assert!(kept.iter().all(|line| line.call.as_deref() == Some(&*id)));
    assert_eq!((kept[0].level, kept[0].at), (LogLevel::Info, Noon.now()));
    assert_eq!(connector.lines(1).len(), 1);
    assert_eq!(plugin.lines(0)[0].text, "hello from the guest");
}

#[tokio::test]
async fn a_hook_writes_so_many_lines_and_no_more() {
    let greedy = load("wasi-sample").await;
    let config = json("{}");
    let connector = GuestConnector::new(&binding(&greedy, &config)).unwrap();
    let print = async |text: String| {
        let arguments = Json::of(&serde_json::json!({ "text": text })).unwrap();
        connector.call(&context("print"), &arguments, None).await.unwrap();
        let last = connector.lines(0).pop().unwrap();
        (last.number, last.text)
    };
    let note = "it writes too much: the rest is left out";
    assert_eq!(print("x\n".repeat(1_500)).await, (1_001, note.to_owned()));
    assert_eq!(print("more".to_owned()).await, (1_002, "more".to_owned()), "the next hook");
    assert_eq!(print("x\n".repeat(1_000)).await, (2_002, "x".to_owned()), "as many as it may");
}
