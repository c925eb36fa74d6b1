//! Components that other people wrote and published, unmodified, as connectors.
//!
//! `cargo xtask test` installs them; which ones is written in `tests/peers/components.toml`.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Value, json as value};

use super::{
    anything::{bound, tools},
    *,
};
use crate::{GuestConnector, LoadError};

fn published(name: &str) -> Bytes {
    let path = guests().join(format!("../peers/components/{name}.wasm"));
    match std::fs::read(&path) {
        Ok(bytes) => bytes.into(),
        Err(error) => panic!("{}: {error}: `cargo xtask test` installs it", path.display()),
    }
}

async fn try_load(name: &str) -> Result<Component, LoadError> {
    Sandbox::new(settings()).unwrap().load(published(name)).await
}

async fn connector(name: &str) -> GuestConnector {
    bound(&try_load(name).await.unwrap())
}

async fn names(connector: &GuestConnector) -> Vec<String> {
    let tools = tools(connector).await;
    for tool in &tools {
        for schema in ["inputSchema", "outputSchema"] {
            if let Some(schema) = tool.get(schema) {
                assert!(jsonschema::validator_for(schema).is_ok(), "{tool}");
            }
        }
    }
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// What a tool answered; checked against the schema that the tool promised.
async fn call(connector: &GuestConnector, tool: &str, arguments: Value) -> Value {
    let given = Json::of(&arguments).unwrap();
    let result = connector.call(&context(tool), &given, None).await.unwrap();
    let result: Value = result.read().unwrap();
    let definitions = tools(connector).await;
    let definition = definitions.iter().find(|it| it["name"] == tool).unwrap();
    let input = jsonschema::validator_for(&definition["inputSchema"]).unwrap();
    assert!(input.is_valid(&arguments), "{definition}");
    if result["isError"] != true
        && let Some(schema) = definition.get("outputSchema")
    {
        let schema = jsonschema::validator_for(schema).unwrap();
        assert!(schema.is_valid(&result["structuredContent"]), "{result}");
    }
    result
}

fn bytes(result: &Value) -> Vec<u8> {
    BASE64.decode(result["structuredContent"]["result"].as_str().unwrap()).unwrap()
}

/// An example of `wac`: one function of the component itself, no imports.
#[tokio::test]
async fn hello_says_hello() {
    let connector = connector("hello").await;
    assert_eq!(names(&connector).await, ["hello"]);
    let result = call(&connector, "hello", value!({})).await;
    let said = result["content"][0]["text"].as_str().unwrap();
    assert!(!said.is_empty(), "{result}");
    assert_eq!(result["structuredContent"]["result"], said);
}

/// The command line tools of WebAssembly as a component: bytes, records, variants, options.
#[tokio::test]
async fn wasm_tools_assemble_and_print_a_module() {
    let connector = connector("wasm-tools").await;
    let names = names(&connector).await;
    assert!(["parse", "print"].iter().all(|it| names.iter().any(|name| name == it)), "{names:?}");
    let wat = r#"(module (func (export "seven") (result i32) i32.const 7))"#;
    let module = bytes(&call(&connector, "parse", value!({ "wat": wat })).await);
    assert!(module.starts_with(b"\0asm\x01\0\0\0"), "{module:?}");
    let printed = value!({ "binary": BASE64.encode(&module) });
    let printed = call(&connector, "print", printed).await;
    let text = printed["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("i32.const 7") && text.contains("seven"), "{text}");
    let shown = value!({ "binary": BASE64.encode(&module) });
    let shown = call(&connector, "metadata-show", shown).await;
    assert_eq!(shown["structuredContent"]["result"].as_array().unwrap().len(), 1, "{shown}");
    // The error of a `result` is an answer that the model sees.
    let failed = call(&connector, "parse", value!({ "wat": "(modul" })).await;
    assert_eq!(failed["isError"], true);
    assert!(failed["content"][0]["text"].as_str().unwrap().contains("expected"), "{failed}");
}

/// The transpiler behind jco: a record of options, a variant in a record, tuples in lists.
#[tokio::test]
async fn the_bindings_generator_writes_typescript() {
    let connector = connector("js-bindgen").await;
    assert_eq!(names(&connector).await, ["generate", "generate-types"]);
    let wit = "package a:b; world w { export add: func(a: u32, b: u32) -> u32; }";
    let options = value!({ "wit": { "source": wit }, "world": "w", "instantiation": "async" });
    let arguments = value!({ "name": "adder", "options": options });
    let result = call(&connector, "generate-types", arguments).await;
    let files = result["structuredContent"]["result"].as_array().unwrap();
    let main = files.iter().find(|it| it[0].as_str().unwrap().contains("adder.d.ts")).unwrap();
    let text = String::from_utf8(BASE64.decode(main[1].as_str().unwrap()).unwrap()).unwrap();
    assert!(text.contains("add(a: number, b: number): number"), "{text}");
}

/// A random source for components that are to have none: 64-bit integers, tuples, bytes.
#[tokio::test]
async fn the_sandboxed_random_source_gives_bytes_and_numbers() {
    let connector = connector("sandboxed-random").await;
    assert_eq!(
        names(&connector).await,
        [
            "get-insecure-random-bytes",
            "get-insecure-random-u64",
            "get-random-bytes",
            "get-random-u64",
            "insecure-seed",
        ]
    );
    for length in [value!(5), value!("5"), value!(5.0)] {
        let result = call(&connector, "get-random-bytes", value!({ "len": length })).await;
        assert_eq!(bytes(&result).len(), 5);
    }
    let seed = call(&connector, "insecure-seed", value!({})).await;
    let seed = seed["structuredContent"]["result"].as_array().unwrap();
    assert!(seed.len() == 2 && seed.iter().all(Value::is_u64), "{seed:?}");
}

#[tokio::test]
async fn what_asks_for_more_than_there_is_is_refused_by_name() {
    for (name, import) in [
        ("greeter", "hello"),
        ("sandboxed-clocks", "wasi:null/io@0.2.6"),
        ("asinh", "wasi:logging/logging"),
    ] {
        let error = try_load(name).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, LoadError::UnknownImport { .. }), "{name}: {text}");
        let start = format!("the component imports `{import}`, which this gateway does not offer");
        assert!(text.starts_with(&start), "{name}: {text}");
    }
}

#[tokio::test]
async fn what_has_nothing_but_resources_is_refused_by_reason() {
    let error = try_load("sandboxed-filesystem").await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, LoadError::NoTool { .. }), "{text}");
    assert!(text.contains("the resource `descriptor`, which has no json"), "{text}");
    assert!(text.contains("more, for reasons of their own"), "{text}");
}
