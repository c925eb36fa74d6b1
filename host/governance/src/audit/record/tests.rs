//! What a row says of each operation, and how it is found again.

use tidegate_model::{
    Completion, ConnectorId, Prompt, PromptCall, PromptName, RefusalCode, SystemClock, TaskCall,
    Timestamp, ToolCall, ToolClass, ToolName,
};
use tidegate_store::{
    EmbeddedStore, FixedKeys, Store,
    log::{LogKeys, LogOptions},
};

use super::*;
use crate::audit::{Filter, Index};

fn log(dir: &std::path::Path) -> Log {
    let options = LogOptions::new(dir, "test/log");
    Log::open(options, &LogKeys { signing: [1; 32], tip: [2; 32] }).unwrap().0
}

fn audit(log: &Log) -> Arc<Audit> {
    Arc::new(Audit::new(AuditOptions {
        log: Some(log.clone()),
        durability: Durability::Process,
        payloads: None,
        digest_key: [3; 32],
        clock: Arc::new(SystemClock),
    }))
}

fn open(audit: &Arc<Audit>, nth: u8, method: &str) -> Record {
    let id = CallId::new(Timestamp::from_millis(0), [nth; 10]);
    audit.open(id, OrgId::default_org(), method)
}

fn rows(log: &Log) -> Vec<Row> {
    let mut reader = log.reader();
    let mut rows = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        rows.push(Row::from_bytes(&entry.bytes).unwrap());
    }
    rows
}

fn crm() -> ConnectorId {
    ConnectorId::new("crm").unwrap()
}

fn tool() -> Arc<Tool> {
    Arc::new(Tool {
        connector: crm(),
        name: ToolName::new("find").unwrap(),
        definition: Json::empty_object(),
        input_schema: Json::empty_object(),
        output_schema: None,
        class: ToolClass::default(),
    })
}

fn prompt() -> Arc<Prompt> {
    let name = PromptName::new("summary").unwrap();
    Arc::new(Prompt { connector: crm(), name, definition: Json::empty_object() })
}

fn resource(uri: &str) -> ResourceRef {
    ResourceRef { connector: crm(), uri: uri.into() }
}

fn operations() -> Vec<(Operation, String)> {
    let complete = |of| {
        let argument = Json::empty_object();
        Operation::Complete(Completion { of, argument, context: None })
    };
    let call = ToolCall { tool: tool(), arguments: Json::empty_object(), more: Vec::new() };
    let method = TaskMethod::Cancel;
    let task = TaskCall { tool: tool(), method, id: "t".into(), more: Vec::new() };
    let get = PromptCall { prompt: prompt(), arguments: None };
    let long = "é".repeat(3_000);
    let of = |target: &str| format!("crm/{target}");
    vec![
        (Operation::CallTool(call), of("find")),
        (Operation::Task(task), of("find")),
        (Operation::GetPrompt(get), of("summary")),
        (Operation::ReadResource(resource("file:///a")), of("file:///a")),
        (complete(CompletionOf::Prompt(prompt())), of("summary")),
        (complete(CompletionOf::Template(resource("x://{a}/b"))), of("x://{a}/b")),
        (Operation::ReadResource(resource(&long)), of(&"é".repeat(1_024))),
    ]
}

#[tokio::test]
async fn every_operation_says_what_it_was_about_and_is_found_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let audit = audit(&log);
    for (nth, (operation, _)) in operations().into_iter().enumerate() {
        let mut record = open(&audit, u8::try_from(nth).unwrap(), operation.method());
        record.target(&operation);
        record.done().await.unwrap();
    }
    let rows = rows(&log);
    for (row, (operation, target)) in rows.iter().zip(operations()) {
        assert_eq!(row.target().as_ref(), Some(&target));
        assert_eq!(row.method, operation.method());
        let named = [row.tool.is_some(), row.prompt.is_some(), row.resource.is_some()];
        assert_eq!(named.iter().filter(|it| **it).count(), 1, "{target}");
    }
    assert_eq!(rows.len(), operations().len());

    let keys = Arc::new(FixedKeys::new([[4; 32]]));
    let store = EmbeddedStore::memory(keys, Arc::new(SystemClock)).unwrap();
    let org = OrgId::default_org();
    store.ensure_org(&org).await.unwrap();
    let mut index = Index::open(&store, &org, &log).await.unwrap();
    let found = async |index: &Index, tool: &str| {
        let filter = Filter { tool: Some(tool.into()), limit: 10, ..Filter::default() };
        let found = index.find((&store, &org), &org, &log, &filter).await.unwrap();
        found.into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
    };
    // So many rows that the first ones are behind an entry of the index.
    for nth in 0..1_000 {
        let mut record = open(&audit, 100, "resources/read");
        record.target(&Operation::ReadResource(resource(&format!("file:///{nth}"))));
        record.done().await.unwrap();
    }
    log.flush().unwrap();
    for wanted_entries in [0, 1] {
        if wanted_entries > 0 {
            assert_eq!(index.advance(&store, &org, &log).await.unwrap(), wanted_entries);
        }
        for (target, expected) in [
            ("crm/find", &[0, 1][..]),
            ("crm/summary", &[2, 4]),
            ("crm/file:///a", &[3]),
            ("crm/x://{a}/b", &[5]),
            ("crm/file:///999", &[1_006]),
            ("crm/unheard-of", &[]),
            ("mail/file:///a", &[]),
        ] {
            assert_eq!(found(&index, target).await, expected, "{target}");
        }
    }
}

#[tokio::test]
async fn a_search_finds_the_rows_of_one_organisation_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let audit = audit(&log);
    let (ours, theirs) = (OrgId::default_org(), OrgId::new("acme").unwrap());
    let write = async |org: &OrgId, nth: u64| {
        let id = CallId::new(Timestamp::from_millis(nth), [0; 10]);
        let mut record = audit.open(id, org.clone(), "tools/call");
        record.target(&Operation::ReadResource(resource("file:///same")));
        record.done().await.unwrap();
    };
    write(&theirs, 1).await;
    // One entry of the index with rows of both, then one with ours alone.
    for nth in 2..=2_000 {
        write(&ours, nth).await;
    }
    write(&theirs, 2_001).await;
    log.flush().unwrap();
    let keys = Arc::new(FixedKeys::new([[4; 32]]));
    let store = EmbeddedStore::memory(keys, Arc::new(SystemClock)).unwrap();
    store.ensure_org(&ours).await.unwrap();
    let mut index = Index::open(&store, &ours, &log).await.unwrap();
    for wanted_entries in [0, 2] {
        if wanted_entries > 0 {
            assert_eq!(index.advance(&store, &ours, &log).await.unwrap(), wanted_entries);
        }
        let find = async |of: &OrgId, tool: Option<&str>, call: Option<CallId>| {
            let tool = tool.map(str::to_owned);
            let filter = Filter { tool, call, limit: 5_000, ..Filter::default() };
            index.find((&store, &ours), of, &log, &filter).await.unwrap()
        };
        let found = find(&theirs, Some("crm/file:///same"), None).await;
        let seqs: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, [0, 2_000]);
        assert_eq!(find(&ours, None, None).await.len(), 1_999);
        let of_theirs = found[0].1.id;
        assert!(find(&ours, None, Some(of_theirs)).await.is_empty(), "not by its id either");
        assert!(find(&OrgId::new("nobody").unwrap(), None, None).await.is_empty());
    }
}

#[tokio::test]
async fn a_row_says_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let audit = audit(&log);
    let result = |text: &str| Answer::Result(Json::parse(text.to_owned()).unwrap());
    let cases = [
        (result(r#"{"content":[]}"#), Status::Ok),
        (result(r#"{"content":[],"isError":false,"resultType":"complete"}"#), Status::Ok),
        (result(r#"{"content":[],"isError":true}"#), Status::ToolError),
        (result(r#"{"\u0069sError":true}"#), Status::ToolError),
        (result(r#"{"content":[{"type":"text","text":"\"isError\": true"}]}"#), Status::Ok),
        (result(r#"{"structuredContent":{"isError":true}}"#), Status::Ok),
        (result(r#"{"resultType":"input_required","inputRequests":{}}"#), Status::InputRequired),
        (result(r#"{"resultType":"input_requ\u0069red"}"#), Status::InputRequired),
        (result(r#"{"messages":[],"description":"input_required"}"#), Status::Ok),
        (result(r#"{"resultType":"task","taskId":"t"}"#), Status::Ok),
        (Answer::Error(Json::empty_object()), Status::UpstreamError),
    ];
    for (answer, _) in &cases {
        open(&audit, 1, "tools/call").answered(answer).await.unwrap();
    }
    let found: Vec<_> = rows(&log).iter().map(|row| row.status.unwrap()).collect();
    assert_eq!(found, cases.map(|(_, status)| status));
}

#[tokio::test]
async fn a_cancelled_operation_is_closed_like_a_dropped_one() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let audit = audit(&log);
    open(&audit, 1, "tools/call").abandoned().await.unwrap();
    drop(open(&audit, 2, "tools/call"));
    let rows = rows(&log);
    assert_eq!(rows.len(), 2, "each has one row");
    for row in rows {
        assert_eq!(row.status, Some(Status::Abandoned));
        assert_eq!(row.code, Some(RefusalCode::Cancelled));
    }
}

#[test]
fn a_row_holds_so_many_notes_of_plugins_and_counts_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let log = log(dir.path());
    let audit = audit(&log);
    for (nth, notes) in [(1, 256), (2, 300)] {
        let mut record = open(&audit, nth, "tools/call");
        for _ in 0..notes {
            record.plugin(PluginNote {
                event: "on_question".into(),
                hash: "aa".into(),
                micros: 1,
                plugin: tidegate_model::PluginId::new("p").unwrap(),
                verdict: "ask".into(),
            });
        }
        record.replied("accept");
        drop(record);
    }
    let found: Vec<_> = rows(&log)
        .iter()
        .map(|row| {
            let last = row.plugins.last().unwrap().verdict.clone();
            (row.plugins.len(), row.more_plugins, last)
        })
        .collect();
    // Whose question was replied to is known only where the note is there.
    assert_eq!(found, [(256, 0, "ask:accept".to_owned()), (256, 44, "ask".to_owned())]);
}
