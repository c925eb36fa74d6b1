//! The scripted server of the connector tests as a process that speaks stdio.
//!
//! `stdio_peer legacy|modern`; a second argument `once` ends it after its first call.

use std::io::{BufRead, Write};

use serde_json::Value;

#[path = "server.rs"]
mod server;

use server::{Era, Later, Server, Step};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let era = if args.next().as_deref() == Some("legacy") { Era::Legacy } else { Era::Modern };
    let once = args.next().as_deref() == Some("once");
    let mut server = Server::new(era);
    let mut out = std::io::stdout().lock();
    let mut later = Later::default();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let steps = server.take(&message);
        for step in later.now(&message, steps) {
            match step {
                Step::Say(message) => writeln!(out, "{message}")?,
                Step::Junk(text) => writeln!(out, "{text}")?,
                Step::Die => return Ok(()),
                Step::Hang | Step::Answered(_) => {}
            }
        }
        out.flush()?;
        if once && message.get("method").is_some_and(|method| method == "tools/call") {
            return Ok(());
        }
    }
    Ok(())
}
