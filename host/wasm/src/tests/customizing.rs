//! Guests that edit tools.

use super::*;
use crate::{Customizer, Scope};

fn scope() -> Scope {
    Scope {
        org: OrgId::default_org(),
        vmcp: VmcpId::new("sales").unwrap(),
        connector: ConnectorId::new("crm").unwrap(),
    }
}

#[tokio::test]
async fn retool_edits_by_configuration() {
    let component = load("retool").await;
    let config = json(
        r#"{"tools":{"search_contacts":{"name":"find_customer","description":"Finds one.",
            "defaults":{"limit":5},"lock":{"region":"eu"}},"purge":{"hide":true}}}"#,
    );
    let grants = Grants::NONE;
    let customizer = Customizer::new(&Binding {
        name: "retool",
        grants,
        limits: Limits::CUSTOMIZER,
        ..binding(&component, &config)
    })
    .unwrap();
    let tools = [
        json(r#"{"name":"search_contacts","inputSchema":{}}"#),
        json(r#"{"name":"other","inputSchema":{}}"#),
    ];
    let edits = customizer.edits(&scope(), &tools).await.unwrap();
    assert_eq!(edits.len(), 1);
    assert_eq!(edits[0].tool.as_str(), "search_contacts");
    let changes = &edits[0].changes;
    assert_eq!(changes.name.as_deref(), Some("find_customer"));
    assert_eq!(changes.description.as_deref(), Some("Finds one."));
    assert_eq!(changes.title, None);
    assert!(!changes.hidden);
    assert_eq!(changes.defaults["limit"].as_str(), "5");
    assert_eq!(changes.locked["region"].as_str(), r#""eu""#);
    assert_eq!(edits[0].input_schema, None);
}

#[tokio::test]
async fn edits_that_make_no_sense_fail_the_whole_answer() {
    let component = load("hostile").await;
    let table = [
        ("error", "no edits today"),
        ("twice", "edits the tool `a` twice"),
        ("bad_default", "the json ends too early"),
        ("trap", "trapped"),
    ];
    for (act, part) in table {
        let config = json(&format!(r#"{{"do":"{act}"}}"#));
        let customizer = Customizer::new(&binding(&component, &config)).unwrap();
        let error = customizer.edits(&scope(), &[]).await.unwrap_err().to_string();
        assert!(error.contains(part), "{act}: {error}");
    }
    let config = json(r#"{"do":"rename"}"#);
    let customizer = Customizer::new(&binding(&component, &config)).unwrap();
    let edits = customizer.edits(&scope(), &[json("{}"), json("{}")]).await.unwrap();
    assert_eq!(edits[0].changes.name.as_deref(), Some("crm_2"));
    assert_eq!(edits[0].input_schema.as_ref().unwrap().as_str(), r#"{"type":"object"}"#);
}
