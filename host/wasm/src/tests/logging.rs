//! What guests say reaches the gateway's log, one line each, under their binding's name.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::GuestConnector;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

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
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let plugin = hostile(&hostile_component, "log", Limits::default());
    before(&plugin, &context("search"), &json("{}")).await.unwrap();
    let config = json("{}");
    let connector =
        GuestConnector::new(&Binding { name: "greedy", ..binding(&greedy, &config) }).unwrap();
    let text = json(r#"{"text":"first\nsecond"}"#);
    connector.call(&context("print"), &text, None).await.unwrap();

    let said = lines.0.lock().unwrap().clone();
    let said = String::from_utf8(said).unwrap();
    let said: Vec<_> = said.lines().filter(|line| line.contains("tidegate::plugin")).collect();
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
}
