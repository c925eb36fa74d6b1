//! The scripted server of the connector tests as a process that speaks stdio.
//!
//! `stdio_peer legacy|modern`; a second argument `once` ends it after its first call.

use std::{
    collections::VecDeque,
    io::{BufRead, Write},
};

use serde_json::Value;

#[path = "server.rs"]
mod server;

use server::{Era, Server, Step};

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let era = if args.next().as_deref() == Some("legacy") { Era::Legacy } else { Era::Modern };
    let once = args.next().as_deref() == Some("once");
    let mut server = Server::new(era);
    let mut out = std::io::stdout().lock();
    // What comes once a question is answered.
    let mut later: Vec<(String, VecDeque<Step>)> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let mut steps = VecDeque::from(server.take(&message));
        let is_answered =
            |(id, _): &(String, _)| message["method"].is_null() && message["id"] == id.as_str();
        while let Some(at) = later.iter().position(is_answered) {
            steps.extend(later.swap_remove(at).1);
        }
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Say(message) => writeln!(out, "{message}")?,
                Step::Junk(text) => writeln!(out, "{text}")?,
                Step::Die => return Ok(()),
                Step::Hang => {}
                Step::Answered(id) => later.push((id, std::mem::take(&mut steps))),
            }
        }
        out.flush()?;
        if once && message.get("method").is_some_and(|method| method == "tools/call") {
            return Ok(());
        }
    }
    Ok(())
}
