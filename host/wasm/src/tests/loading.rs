//! What is accepted as a component and a binding, and what the refusals say.

use super::*;
use crate::{BindError, Capability, GuestConnector, LoadError};

#[tokio::test]
async fn a_component_says_what_it_is() {
    let component = load("bench-pass").await;
    assert_eq!(component.version(), "0.1.0");
    assert_eq!(component.size(), guest("bench-pass").len());
    assert_eq!(component.hash_text().len(), "sha256:".len() + 64);
    let exports = component.exports();
    let expected = [Interface::Configuration, Interface::BeforeCall, Interface::AfterCall];
    assert_eq!(exports.iter().collect::<Vec<_>>(), expected);
    assert!(exports.is_interceptor() && !exports.is_connector() && !exports.is_customizer());
    assert!(component.capabilities().is_empty());

    let all = load("hostile").await;
    let needed: Vec<_> = all.capabilities().iter().map(|one| one.name()).collect();
    assert_eq!(needed, ["clock", "facts", "log", "random", "state"]);
    assert!(all.config_schema().unwrap().as_str().contains("calls_only"));
    let exports = all.exports();
    assert!(exports.is_interceptor() && exports.is_connector() && exports.is_customizer());
    for event in Event::ALL {
        assert!(exports.has(event.before()) && exports.has(event.after()), "{event:?}");
    }
}

#[tokio::test]
async fn files_that_are_no_component_are_refused_with_a_sentence() {
    let sandbox =
        Sandbox::new(Settings { allocation: Allocation::OnDemand, cache: None, ..settings() })
            .unwrap();
    let whole = guest("bench-pass");
    let mut flipped = whole.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);
    let table = [
        (Bytes::new(), "no webassembly component"),
        (Bytes::from_static(b"#!/bin/sh"), "no webassembly component"),
        (Bytes::from_static(b"\0asm\x01\0\0\0"), "but a core module"),
        (Bytes::from_static(b"\0asm\x0d\0\x07\0"), "of a known format"),
        // An empty component.
        (
            Bytes::from_static(b"\0asm\x0d\0\x01\0"),
            "exports neither an interface of `tidegate:plugin`",
        ),
        (whole.slice(..whole.len() / 2), "could not be compiled"),
        (flipped.into(), "could not be compiled"),
        (guest("hostile-import"), "imports `evil:host/files`"),
    ];
    for (bytes, part) in table {
        let error = sandbox.load(bytes).await.unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
        assert!(!error.contains('\n') || part == "could not be compiled", "{error}");
    }
}

#[tokio::test]
async fn a_component_for_another_version_is_refused_by_name() {
    // The names in a component have a length in front, so a version of the same length fits.
    let mut bytes = guest("bench-pass").to_vec();
    let (from, to) = (b"@0.1.0", b"@9.1.0");
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|part| part == from) {
        at += found;
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    let error = Sandbox::new(settings()).unwrap().load(bytes.into()).await.unwrap_err();
    assert!(
        matches!(&error, LoadError::UnknownVersion { version } if version == "9.1.0"),
        "{error}"
    );
}

#[tokio::test]
async fn bindings_are_checked_before_the_first_call() {
    let hostile = load("hostile").await;
    let config = json("{}");
    let none = Binding { grants: Grants::NONE, ..binding(&hostile, &config) };
    let error = Interceptor::new(&none).unwrap_err();
    assert!(
        matches!(&error, BindError::NotGranted { capability: Capability::Clock, .. }),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the component of `hostile` needs the capability `clock`; add it to its `grants`"
    );

    let pass = load("bench-pass").await;
    let error = GuestConnector::new(&binding(&pass, &config)).unwrap_err();
    assert!(matches!(&error, BindError::WrongKind { kind: "connector", .. }), "{error}");
}

#[tokio::test]
async fn configurations_are_checked_and_the_field_is_named() {
    let component = load("hostile").await;
    assert_eq!(component.check_config(&json("{}")), Ok(()));
    let table = [
        (r#"{"do":1}"#, "/do"),
        (r#"{"do":""}"#, "/do"),
        (r#"{"calls_only":"yes"}"#, "/calls_only"),
        (r#"{"does":"it"}"#, ""),
        ("[]", ""),
    ];
    for (config, path) in table {
        let error = component.check_config(&json(config)).unwrap_err();
        assert_eq!(error.path, path, "{config}: {error}");
        let config = json(config);
        let refused = Interceptor::new(&binding(&component, &config)).unwrap_err();
        assert!(matches!(refused, BindError::Config { .. }), "{refused:?}");
    }
}

#[test]
fn capabilities_have_one_spelling() {
    for capability in Capability::ALL {
        assert_eq!(capability.name().parse::<Capability>(), Ok(capability));
        assert!(Grants::all().has(capability) && !Grants::NONE.has(capability));
    }
    assert!("filesystem".parse::<Capability>().is_err());
}

#[tokio::test]
async fn every_export_of_the_contract_is_one_of_its_version() {
    let sandbox =
        Sandbox::new(Settings { allocation: Allocation::OnDemand, cache: None, ..settings() })
            .unwrap();
    let load = async |names: &[&str]| {
        let exports: Vec<_> = names
            .iter()
            .map(|name| format!(r#"(export "tidegate:plugin/{name}" (instance $x))"#))
            .collect();
        let text = format!(
            r#"(component
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                (instance $x (export "f" (func $f)))
                {})"#,
            exports.concat()
        );
        sandbox.load(wat::parse_str(text).unwrap().into()).await.unwrap_err()
    };
    for other in ["befour-call@0.1.0", "after-call@0.2.0-draft", "after-call@9.9.9", "after-call"] {
        let error = load(&["before-call@0.1.0", other]).await;
        assert!(
            matches!(&error, LoadError::UnknownExport { export, version: "0.1.0" }
                if *export == format!("tidegate:plugin/{other}")),
            "{other}: {error}"
        );
    }
    let error = load(&["before-call"]).await;
    assert!(matches!(&error, LoadError::UnknownVersion { .. }), "{error}");
    // Known names get as far as their shapes; types have nothing to call.
    let error = load(&["before-call@0.1.0", "types@0.1.0"]).await;
    assert!(matches!(&error, LoadError::Mismatch(_)), "{error}");
}
