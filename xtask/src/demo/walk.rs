//! What two people ask of the sales example, and what must come out.
//!
//! Owns the script and its expectations. A step that comes out differently is told and
//! counted; the walk goes on, so that one run shows everything that is wrong.

use anyhow::Result;
use serde_json::{Value, json};

use super::client::{Called, Client};

/// Somebody with a key.
pub struct Person {
    /// What the walk calls them.
    pub name: &'static str,
    /// Their client.
    pub client: Client,
}

/// What is asked.
enum Ask {
    /// The list of tools.
    Tools,
    /// One call.
    Call(&'static str, Value),
}

/// What must come out.
enum Expect {
    /// Tools that must be listed, tools that must not.
    Listed(&'static [&'static str], &'static [&'static str]),
    /// Words that the answer must have, words that it must not have.
    Says(&'static [&'static str], &'static [&'static str]),
    /// Words that the refusal must have.
    Refused(&'static [&'static str]),
}

struct Step<'a> {
    who: &'a Person,
    why: &'static str,
    ask: Ask,
    expect: Expect,
}

/// Takes both through the script; how many steps did not come out as they should.
pub fn walk(seller: &Person, support: &Person) -> usize {
    let mut failed = 0;
    for (number, step) in script(seller, support).iter().enumerate() {
        println!("\n{}. {}: {}", number + 1, step.who.name, step.why);
        match take(step) {
            Ok(problems) if problems.is_empty() => println!("   as it should be"),
            Ok(problems) => {
                failed += 1;
                println!("   NOT AS IT SHOULD BE: {}", problems.join("; "));
            }
            Err(error) => {
                failed += 1;
                println!("   NOT AS IT SHOULD BE: {error:#}");
            }
        }
    }
    failed
}

fn script<'a>(seller: &'a Person, support: &'a Person) -> Vec<Step<'a>> {
    let mut steps = seller_script(seller);
    steps.extend(support_script(support));
    steps
}

fn seller_script(who: &Person) -> Vec<Step<'_>> {
    let step = |why, ask, expect| Step { who, why, ask, expect };
    vec![
        step(
            "which tools are there?",
            Ask::Tools,
            Expect::Listed(
                &[
                    "find_customer",
                    "get_account",
                    "update_opportunity",
                    "get_contract",
                    "send_message",
                ],
                &["search_contacts", "delete_contact"],
            ),
        ),
        step(
            "whom do we know at Nordwind? (a plugin masks the card number)",
            Ask::Call("find_customer", json!({ "query": "nordwind" })),
            Expect::Says(&["Marta Lindqvist", "[card masked]"], &["4111"]),
        ),
        step(
            "their account, with the bank account masked",
            Ask::Call("get_account", json!({ "account_id": "acc-1001" })),
            Expect::Says(
                &["Nordwind Logistics GmbH", "[iban masked]"],
                &["DE89370400440532013000"],
            ),
        ),
        step(
            "the pipeline is brought up to date",
            Ask::Call(
                "update_opportunity",
                json!({ "opportunity_id": "opp-3001", "amount_eur": 90_000 }),
            ),
            Expect::Says(&["opp-3001", "90000"], &[]),
        ),
        step(
            "a deal that is too large for them (a policy says why not)",
            Ask::Call(
                "update_opportunity",
                json!({ "opportunity_id": "opp-3001", "amount_eur": 250_000 }),
            ),
            Expect::Refused(&["deals of more than 100,000 euro are changed by a sales lead"]),
        ),
        step(
            "which contracts do we have with them? (drafts are locked away)",
            Ask::Call("search_contracts", json!({ "query": "agreement" })),
            Expect::Says(&["ctr-501", "active"], &["draft", "expired"]),
        ),
        step(
            "who signed it? (the plugin, bound once more, masks addresses there)",
            Ask::Call("get_contract", json!({ "contract_id": "ctr-501" })),
            Expect::Says(&["ctr-501", "[email masked]"], &["@"]),
        ),
        step(
            "a mail to the customer, sent by an assistant",
            Ask::Call(
                "send_message",
                json!({ "to": ["marta.lindqvist@nordwind.example"], "subject": "Offer", "body": "Hello" }),
            ),
            Expect::Refused(&["an assistant sends mail to colleagues only"]),
        ),
        step(
            "a draft of it instead",
            Ask::Call(
                "draft_message",
                json!({ "to": ["marta.lindqvist@nordwind.example"], "subject": "Offer", "body": "Hello" }),
            ),
            Expect::Says(&["drf-"], &[]),
        ),
    ]
}

fn support_script(who: &Person) -> Vec<Step<'_>> {
    let step = |why, ask, expect| Step { who, why, ask, expect };
    vec![
        step(
            "which tools are there?",
            Ask::Tools,
            Expect::Listed(
                &["find_customer"],
                &["get_account", "update_opportunity", "send_message"],
            ),
        ),
        step(
            "who is calling?",
            Ask::Call("find_customer", json!({ "query": "nordwind" })),
            Expect::Says(&["Marta Lindqvist", "[card masked]"], &["4111"]),
        ),
        step(
            "everybody at once (a policy says why not)",
            Ask::Call("find_customer", json!({ "query": "a", "limit": 20 })),
            Expect::Refused(&["support looks up one customer at a time"]),
        ),
        step(
            "a tool that is hidden from them, called by its name",
            Ask::Call("get_account", json!({ "account_id": "acc-1001" })),
            Expect::Refused(&["unknown tool `get_account`"]),
        ),
        step(
            "a tool that does not exist gets the same words",
            Ask::Call("launch_rocket", json!({})),
            Expect::Refused(&["unknown tool `launch_rocket`"]),
        ),
    ]
}

fn take(step: &Step<'_>) -> Result<Vec<String>> {
    match &step.ask {
        Ask::Tools => {
            let tools = step.who.client.tools()?;
            println!("   > tools/list");
            println!("   < {}", tools.join(", "));
            Ok(check_tools(&tools, &step.expect))
        }
        Ask::Call(tool, arguments) => {
            println!("   > {tool} {arguments}");
            let called = step.who.client.call(tool, arguments.clone())?;
            for line in called.text.lines().take(12) {
                println!("   < {line}");
            }
            Ok(check_call(&called, &step.expect))
        }
    }
}

fn check_tools(tools: &[String], expect: &Expect) -> Vec<String> {
    let Expect::Listed(there, not_there) = expect else { return Vec::new() };
    let listed = |name: &&&str| tools.iter().any(|tool| tool == **name);
    let missing = there.iter().filter(|name| !listed(name));
    let missing = missing.map(|name| format!("`{name}` is not listed"));
    let extra = not_there.iter().filter(listed).map(|name| format!("`{name}` is listed"));
    missing.chain(extra).collect()
}

fn check_call(called: &Called, expect: &Expect) -> Vec<String> {
    let (refused, there, not_there): (bool, &[&str], &[&str]) = match expect {
        Expect::Says(there, not_there) => (false, there, not_there),
        Expect::Refused(there) => (true, there, &[]),
        Expect::Listed(..) => return Vec::new(),
    };
    let mut problems = Vec::new();
    if called.refused != refused {
        problems.push(if refused { "it was answered" } else { "it was refused" }.to_owned());
    }
    let missing = there.iter().filter(|words| !called.text.contains(**words));
    problems.extend(missing.map(|words| format!("`{words}` is missing")));
    let extra = not_there.iter().filter(|words| called.text.contains(**words));
    problems.extend(extra.map(|words| format!("`{words}` is there")));
    problems
}
