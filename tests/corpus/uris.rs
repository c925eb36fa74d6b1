//! A text with URIs, and a text that may be one.
//!
//! Holds that a published URI leads back to what it was published for, that rewriting changes
//! strings into their published form and nothing else, and that names which stay cost nothing.

use bytes::Bytes;
use tidegate_governance::catalog::{Rewrite, Uris};
use tidegate_model::{ConnectorId, Json, OrgId, VirtualMcp, VmcpId};
use tidegate_wire::json::{Kind, Limits, Raw, check, checked};

const KINDS: [Rewrite; 6] = [
    Rewrite::ToolResult,
    Rewrite::Task,
    Rewrite::PromptResult,
    Rewrite::ReadResult,
    Rewrite::Updated,
    Rewrite::Error,
];

/// Takes any bytes for a URI and for a result.
pub(crate) fn run(data: &[u8]) {
    let (Ok(crm), Ok(mail), Ok(vmcp)) =
        (ConnectorId::new("crm"), ConnectorId::new("my-mail"), VmcpId::new("sales"))
    else {
        return;
    };
    let vmcp = VirtualMcp {
        org: OrgId::default_org(),
        id: vmcp,
        title: "Sales".into(),
        instructions: None,
        connectors: vec![crm.clone(), mail.clone()],
        identity: false,
        only: vec![],
        overrides: vec![],
        anonymous: false,
    };
    let prefixed = Uris::new(&vmcp);
    let identity = Uris::new(&VirtualMcp { connectors: vec![crm.clone()], identity: true, ..vmcp });
    let text = String::from_utf8_lossy(data);
    for line in text.lines().chain([&*text]) {
        located(&prefixed, [&crm, &mail], line);
        assert_eq!(identity.publish(&crm, line), line);
        let found = identity.locate(line);
        assert_eq!(found.is_some(), usable(line), "{line:?}");
        assert!(found.is_none_or(|it| it.connector == crm && &*it.uri == line));
    }
    let Ok(json) = checked(Bytes::copy_from_slice(data), &Limits::RESPONSE) else { return };
    for what in KINDS {
        let rewritten = prefixed.rewrite(&crm, what, &json);
        assert_eq!(
            check(
                rewritten.bytes(),
                &Limits { bytes: usize::MAX, string: usize::MAX, ..Limits::RESPONSE }
            ),
            Ok(())
        );
        compare(&prefixed, &crm, Raw::from(&json), Raw::from(&rewritten));
        if rewritten == json {
            assert_eq!(rewritten.bytes().as_ptr(), json.bytes().as_ptr(), "copied for nothing");
        }
        let same = identity.rewrite(&crm, what, &json);
        assert_eq!(same.bytes().as_ptr(), json.bytes().as_ptr(), "copied for nothing");
        is_complete(&prefixed, &crm, what, &json, &rewritten);
    }
}

/// Published and located again it is the same; located and published again too, unless it is
/// a `ui` URI under the general form.
fn located(uris: &Uris, connectors: [&ConnectorId; 2], text: &str) {
    let mut published = Vec::new();
    for connector in connectors {
        let uri = uris.publish(connector, text).into_owned();
        let found = uris.locate(&uri);
        assert_eq!(found.is_some(), usable(text), "{uri:?}");
        assert!(found.is_none_or(|it| it.connector == *connector && &*it.uri == text), "{uri}");
        assert_eq!(uri.starts_with("ui://"), text.starts_with("ui://"));
        assert!(!published.contains(&uri), "two resources meet in {uri}");
        published.push(uri);
    }
    if let Some(found) = uris.locate(text) {
        let again = uris.publish(&found.connector, &found.uri);
        assert!(again == text || found.uri.starts_with("ui://"), "{text} became {again}");
    }
}

/// Whether a list could hold this URI: only such are located.
fn usable(uri: &str) -> bool {
    uri.len() <= 8 * 1024 && !uri.chars().any(char::is_control)
}

/// The same text but for strings that became published URIs.
fn compare(uris: &Uris, connector: &ConnectorId, before: Raw<'_>, after: Raw<'_>) {
    assert_eq!(before.kind(), after.kind());
    match before.kind() {
        Kind::Object => {
            assert_eq!(before.members().count(), after.members().count());
            for (old, new) in before.members().zip(after.members()) {
                assert_eq!(old.key, new.key);
                compare(uris, connector, old.value, new.value);
            }
            assert_eq!(around(before), around(after));
        }
        Kind::Array => {
            assert_eq!(before.elements().count(), after.elements().count());
            before
                .elements()
                .zip(after.elements())
                .for_each(|(old, new)| compare(uris, connector, old, new));
        }
        Kind::String if before != after => {
            let (old, new) =
                (before.string().unwrap_or_default(), after.string().unwrap_or_default());
            assert_eq!(new, uris.publish(connector, &old));
        }
        _ => assert_eq!(before, after),
    }
}

/// What an object's text is apart from its values.
fn around(object: Raw<'_>) -> String {
    let (mut text, mut done) = (String::new(), 0);
    for member in object.members() {
        text.push_str(object.as_str().get(done..member.value_start).unwrap_or_default());
        done = member.value_start + member.value.as_str().len();
    }
    text.push_str(object.as_str().get(done..).unwrap_or_default());
    text
}

/// The places that MCP gives to URIs are rewritten, whatever stands around them.
fn is_complete(uris: &Uris, connector: &ConnectorId, what: Rewrite, old: &Json, new: &Json) {
    let (old, new) = (Raw::from(old), Raw::from(new));
    let pairs: Vec<_> = match what {
        Rewrite::ToolResult => each(old, new, "content"),
        Rewrite::ReadResult => each(old, new, "contents"),
        Rewrite::Updated => vec![(old, new)],
        Rewrite::Error => old.get("data").zip(new.get("data")).into_iter().collect(),
        Rewrite::Task | Rewrite::PromptResult => Vec::new(),
    };
    for (old, new) in pairs {
        let kind = old.get("type").and_then(Raw::string);
        if what == Rewrite::ToolResult && kind.as_deref() != Some("resource_link") {
            continue;
        }
        if let Some(uri) = old.get("uri").and_then(Raw::string) {
            let found = new.get("uri").and_then(Raw::string);
            assert_eq!(found.as_deref(), Some(&*uris.publish(connector, &uri)), "{what:?}");
        }
    }
}

fn each<'a>(old: Raw<'a>, new: Raw<'a>, member: &str) -> Vec<(Raw<'a>, Raw<'a>)> {
    let elements = |raw: Raw<'a>| raw.get(member).into_iter().flat_map(Raw::elements);
    elements(old).zip(elements(new)).collect()
}
