//! `cargo xtask demo`: builds, runs the sales example and walks through it as two users.
//!
//! Owns the order of the show. What is asked and what must come out is in [`walk`]; how the
//! gateway is started in [`server`].

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{guests, step::step, test::build_programs};

use client::Client;
use server::{Server, Site};
use walk::Person;

mod client;
mod server;
mod snippets;
mod walk;

const EXAMPLE: &str = "sales-intelligence";
const VMCP: &str = "sales";
/// The port of the example's own configuration, taken where it is free.
const PORT: u16 = 8787;
/// Audit rows shown at the end of the walk.
const ROWS: &str = "20";

/// Walks; without `once` keeps serving afterwards. Fails unless every step of the walk came
/// out as it should.
pub fn run(root: &Path, once: bool) -> Result<()> {
    step("building the guests", || guests::build(root, false))?;
    step("building the gateway (the first time takes about ten minutes)", || build_programs(root))?;
    let site = Site::new(root, EXAMPLE)?;
    let seller = site.key("demo-account-executive", "ae@example.com", "sales")?;
    let support = site.key("demo-support", "support@example.com", "support")?;
    let server = step("starting the gateway", || site.serve(if once { 0 } else { PORT }))?;

    let person = |name, key: &str| {
        let path = format!("/mcp/{VMCP}");
        Person { name, client: Client { url: server.url.clone(), path, key: key.to_owned() } }
    };
    let seller_person = person("the account executive", &seller);
    let support_person = person("somebody from support", &support);
    let failed = walk::walk(&seller_person, &support_person);
    if once {
        // Told to end, it signs what it has written: the log then verifies to its last row.
        step("ending the gateway", || server.stop())?;
        show_audit(&site)?;
        return verdict(failed);
    }
    show_audit(&site)?;
    verdict(failed)?;
    stay(server, &seller, &support)
}

fn verdict(failed: usize) -> Result<()> {
    if failed > 0 {
        bail!("{failed} steps of the walk did not come out as they should");
    }
    println!("\nEvery step came out as it should.");
    Ok(())
}

fn show_audit(site: &Site) -> Result<()> {
    println!("\nWhat the audit log says about it:\n");
    println!("{}", site.audit(&["tail", "-n", ROWS])?.trim_end());
    println!("\nand whether it is complete and unchanged:\n");
    let verified = site.audit(&["verify"]).context("the audit log did not verify")?;
    println!("{}", verified.trim_end());
    Ok(())
}

fn stay(server: Server, seller: &str, support: &str) -> Result<()> {
    let url = format!("{}/mcp/{VMCP}", server.url);
    let keys =
        [("ae@example.com, group sales", seller), ("support@example.com, group support", support)];
    snippets::print(&url, &keys.map(|(who, key)| (who, key)));
    println!("\nCtrl-C ends it.");
    server.wait()
}
