//! One operation's record, from its first stage to its durable row.
//!
//! INVARIANT: no answer leaves before [`Record::answered`], [`Record::done`] or
//! [`Record::refused`] has returned, and no byte of a call that is not read-only goes
//! upstream before [`Record::intent`] has.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tidegate_identity::Caller;
use tidegate_model::{
    Answer, Call, CallId, Clock, CompletionOf, ConnectorId, Json, Operation, OrgId, Refusal,
    ResourceRef, RevisionId, Stage, TaskMethod, Tool, VmcpId,
};
use tidegate_store::{
    log::{Log, LogError},
    payload::{PayloadError, Payloads},
};
use tidegate_wire::{
    json::Raw,
    mcp::peek::{ResultPeek, ResultType},
};

use super::{
    Receipt, mask,
    row::{Actor, Digest, Phase, PluginNote, Row, Status, hex},
};
use crate::policy::Permitted;

/// Characters of a URI that a row holds.
const LONGEST_URI: usize = 1_024;

/// Characters of all remarks that a row holds.
const LONGEST_NOTE: usize = 1_000;

/// What plugins said, at most, in one row: connectors decide how often plugins are asked.
const MOST_PLUGIN_NOTES: usize = 256;

/// When a row counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to the disk; calls that are not read-only have an intent row flushed first.
    Disk,
    /// Written; flushed within 50 ms.
    Process,
}

/// Why an operation cannot be recorded. The operation is then refused.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log failed.
    #[error("the audit log cannot be written")]
    Log(#[source] LogError),
    /// The payload cannot be kept.
    #[error("the payload of the call cannot be kept beside the audit log")]
    Payload(#[source] PayloadError),
    /// The row is no JSON; a fault of the gateway's own.
    #[error("the audit row cannot be written as JSON")]
    Row(#[source] serde_json::Error),
}

/// What an [`Audit`] is made from.
#[derive(Debug)]
pub struct AuditOptions {
    /// The log; `None` writes nothing, for measurements only.
    pub log: Option<Log>,
    /// When a row counts as written. Admin actions are always flushed.
    pub durability: Durability,
    /// Where payloads are kept; `None` keeps none.
    pub payloads: Option<PayloadOptions>,
    /// Keys the digests of arguments and results.
    pub digest_key: [u8; 32],
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// How payloads are kept.
#[derive(Debug, Clone)]
pub struct PayloadOptions {
    /// Where.
    pub payloads: Arc<Payloads>,
    /// The longest one, in bytes; what is longer is cut and marked.
    pub limit: usize,
}

/// The audit log as the pipeline sees it.
#[derive(Debug)]
pub struct Audit {
    log: Option<Log>,
    payloads: Option<PayloadOptions>,
    durability: Durability,
    digest: Hmac<Sha256>,
    clock: Arc<dyn Clock>,
}

impl Audit {
    /// Builds it.
    pub fn new(options: AuditOptions) -> Self {
        // HMAC pads a short key with zeros to the block (RFC 2104), which this does ahead.
        let mut block = [0; 64];
        block.iter_mut().zip(options.digest_key).for_each(|(to, from)| *to = from);
        let digest = Hmac::<Sha256>::new(&block.into());
        Self {
            payloads: options.payloads,
            log: options.log,
            durability: options.durability,
            digest,
            clock: options.clock,
        }
    }

    /// The log, where rows are written at all.
    pub fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Opens the record of one operation.
    pub fn open(self: &Arc<Self>, id: CallId, org: OrgId, method: &str) -> Record {
        let row = Row::new(id, self.clock.now(), org, method);
        Record {
            audit: Arc::clone(self),
            row,
            durability: self.durability,
            sent: None,
            closed: false,
        }
    }

    /// Closes a call of an earlier process that had an intent and no outcome.
    pub fn abandon(&self, mut row: Row) -> Result<(), AuditError> {
        row.phase = Phase::Outcome;
        row.status = Some(Status::Abandoned);
        row.note =
            Some("the process ended before the call did; it may have been carried out".into());
        self.append(&row).map(drop)
    }

    /// Size and keyed digest of a text.
    fn digest(&self, text: &Json) -> Digest {
        let mut mac = self.digest.clone();
        mac.update(text.as_str().as_bytes());
        Digest { bytes: text.len() as u64, hmac: hex(&mac.finalize().into_bytes()) }
    }

    /// Writes a row; it survives the process.
    fn append(&self, row: &Row) -> Result<Option<u64>, AuditError> {
        let Some(log) = &self.log else { return Ok(None) };
        let text = row.to_bytes().map_err(AuditError::Row)?;
        log.append(&text).map(|appended| Some(appended.seq)).map_err(AuditError::Log)
    }

    /// Writes a row, as durable as asked for when it returns.
    async fn write(&self, row: &Row, durability: Durability) -> Result<Option<u64>, AuditError> {
        let (Some(log), Durability::Disk) = (&self.log, durability) else {
            return self.append(row);
        };
        let text = row.to_bytes().map_err(AuditError::Row)?;
        let appended = log.append_durable(&text).await.map_err(AuditError::Log)?;
        Ok(Some(appended.seq))
    }
}

/// The record of one operation.
#[derive(Debug)]
pub struct Record {
    audit: Arc<Audit>,
    row: Row,
    durability: Durability,
    /// The arguments, where the payload is kept.
    sent: Option<Json>,
    closed: bool,
}

impl Record {
    /// The operation's id.
    pub fn id(&self) -> CallId {
        self.row.id
    }

    /// Notes who called.
    pub fn caller(&mut self, caller: &Caller) {
        self.row.caller = Some(Actor {
            groups: caller.shared_groups(),
            key: caller.key().cloned(),
            sign_in: caller.sign_in().name().to_owned(),
            user: caller.user().clone(),
        });
    }

    /// Notes where the request came from, and what the client calls itself (cut to 120 characters).
    pub fn origin(&mut self, source: Option<IpAddr>, client: Option<&str>) {
        self.row.source = source;
        self.row.client = client.map(|name| name.chars().take(120).collect());
    }

    /// Notes the virtual MCP and the revision that is used.
    pub fn vmcp(&mut self, vmcp: &VmcpId, revision: RevisionId) {
        self.row.vmcp = Some(vmcp.clone());
        self.row.revision = revision;
    }

    /// Notes the revision that is used.
    pub fn revision(&mut self, revision: RevisionId) {
        self.row.revision = revision;
    }

    /// Notes the trace id.
    pub fn trace(&mut self, traceparent: Option<&str>) {
        // W3C trace context: version "-" trace id "-" parent id "-" flags.
        self.row.trace = traceparent.and_then(|text| text.split('-').nth(1)).map(str::to_owned);
    }

    /// Notes the published name or URI that was asked for and not found (cut to 128 characters).
    pub fn asked(&mut self, name: &str) {
        self.row.asked = Some(name.chars().take(128).collect());
    }

    /// Notes the tool.
    pub fn tool(&mut self, tool: &Tool) {
        self.row.connector = Some(tool.connector.clone());
        self.row.tool = Some(tool.name.clone());
    }

    /// Notes what the operation is about: its connector, and its tool, prompt or resource.
    pub fn target(&mut self, operation: &Operation) {
        self.row.connector = Some(operation.connector().clone());
        match operation {
            Operation::CallTool(call) => self.row.tool = Some(call.tool.name.clone()),
            Operation::Task(task) => self.row.tool = Some(task.tool.name.clone()),
            Operation::GetPrompt(call) => self.row.prompt = Some(call.prompt.name.clone()),
            Operation::ReadResource(resource) => self.resource(resource),
            Operation::Complete(completion) => match &completion.of {
                CompletionOf::Prompt(prompt) => self.row.prompt = Some(prompt.name.clone()),
                CompletionOf::Template(template) => self.resource(template),
            },
        }
    }

    fn resource(&mut self, resource: &ResourceRef) {
        let uri: String = resource.uri.chars().take(LONGEST_URI).collect();
        self.row.resource = Some(uri.into());
    }

    /// Notes the connector, where that is all that is known (questions of a server).
    pub fn connector(&mut self, connector: &ConnectorId) {
        self.row.connector = Some(connector.clone());
    }

    /// Notes size and digest of the arguments as they are sent.
    pub fn arguments(&mut self, arguments: &Json) {
        if self.audit.payloads.is_some() {
            self.sent = Some(arguments.clone());
        }
        self.row.arguments = Some(self.audit.digest(arguments));
    }

    /// Notes the grounds of a permit.
    pub fn permitted<T>(&mut self, permitted: &Permitted<T>) {
        let grounds = permitted.grounds();
        self.row.policies = Arc::clone(&grounds.policies);
        self.row.shadow = Arc::clone(&grounds.shadow);
    }

    /// Notes the policies that refused.
    pub fn denied(&mut self, policies: &[String], shadow: &[String]) {
        self.row.policies = policies.into();
        self.row.shadow = shadow.into();
    }

    /// Notes what a plugin said. A row holds the first 256 of these; how many more there were
    /// is counted.
    pub fn plugin(&mut self, note: PluginNote) {
        if self.row.plugins.len() < MOST_PLUGIN_NOTES {
            self.row.plugins.push(note);
        } else {
            self.row.more_plugins = self.row.more_plugins.saturating_add(1);
        }
    }

    /// Adds to the last plugin's verdict what the person replied to what it asked.
    pub fn replied(&mut self, word: &str) {
        // The one who asked may be among those that are only counted.
        let is_noted = self.row.more_plugins == 0;
        if let Some(note) = self.row.plugins.last_mut().filter(|_| is_noted) {
            note.verdict.push(':');
            note.verdict.push_str(word);
        }
    }

    /// Adds a remark to those that are noted already; in all at most 1,000 characters stay.
    pub fn remark(&mut self, text: &str) {
        let before = self.row.note.take().map(|note| note + "; ").unwrap_or_default();
        self.row.note = Some((before + text).chars().take(LONGEST_NOTE).collect());
    }

    /// Notes free text (admin actions).
    pub fn note(&mut self, text: String) {
        self.row.note = Some(text);
    }

    /// Adds time to a stage.
    pub fn stage(&mut self, stage: Stage, spent: Duration) {
        self.row.timings.add(stage, spent);
    }

    /// Makes the record durable on disk whatever the setting (admin actions, credentials).
    pub fn always_on_disk(&mut self) {
        self.durability = Durability::Disk;
    }

    /// Puts the intent of a permitted call on record, flushed, before it leaves. A tool
    /// approved as read-only needs none, and under `process` durability the row itself
    /// survives the process, so the intent is written and not waited for.
    pub async fn intent(&mut self, permitted: &Permitted<Call>) -> Result<Receipt, AuditError> {
        let call = permitted.get();
        let changes_nothing = match &call.operation {
            Operation::CallTool(tool_call) => tool_call.tool.class.read_only,
            Operation::Task(task) => task.tool.class.read_only || task.method == TaskMethod::Get,
            Operation::GetPrompt(_) | Operation::ReadResource(_) | Operation::Complete(_) => true,
        };
        if changes_nothing {
            return Ok(Receipt::new(call.id, None));
        }
        let mut row = self.row.clone();
        row.phase = Phase::Intent;
        row.ts = self.audit.clock.now();
        row.plugins = Vec::new();
        row.timings = tidegate_model::Timings::default();
        let seq = self.audit.write(&row, self.durability).await?;
        Ok(Receipt::new(call.id, seq))
    }

    /// Closes the record with the upstream's answer. Durable when it returns.
    pub async fn answered(mut self, answer: &Answer) -> Result<(), AuditError> {
        self.row.status = Some(match answer {
            Answer::Error(_) => Status::UpstreamError,
            Answer::Result(result) => status_of(result),
        });
        self.row.result = Some(self.audit.digest(answer.json()));
        self.keep(answer.json())?;
        self.finish().await
    }

    /// Closes the record of an operation that has no answer worth a digest (lists, admin actions).
    pub async fn done(mut self) -> Result<(), AuditError> {
        self.row.status = Some(Status::Ok);
        self.finish().await
    }

    /// Closes the record with a refusal. Durable when it returns.
    pub async fn refused(mut self, refusal: &Refusal) -> Result<(), AuditError> {
        self.row.status = Some(Status::Refused);
        self.row.code = Some(refusal.code);
        self.keep(&Json::null())?;
        self.finish().await
    }

    /// Closes the record of an operation that was cancelled before its answer came. The row is
    /// that of a dropped record, but durable when this returns.
    pub async fn abandoned(mut self) -> Result<(), AuditError> {
        self.row.abandon();
        self.finish().await
    }

    /// Keeps the masked payload beside the log, where that is asked for and there is one.
    fn keep(&mut self, result: &Json) -> Result<(), AuditError> {
        let (Some(options), Some(sent)) = (&self.audit.payloads, self.sent.take()) else {
            return Ok(());
        };
        let text = mask::payload(&sent, result, options.limit);
        let kept = options.payloads.put(&self.row.org, &text).map_err(AuditError::Payload)?;
        self.row.payload = Some(kept.to_string());
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), AuditError> {
        // Closed before the write: a failed log must not be asked again by the drop.
        self.closed = true;
        self.audit.write(&self.row, self.durability).await.map(drop)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        self.row.abandon();
        if let Err(error) = self.audit.append(&self.row) {
            tracing::error!(call.id = %self.row.id, error = %error, "an abandoned call could not be recorded");
        }
    }
}

/// What a result says of itself.
fn status_of(result: &Json) -> Status {
    // Most results hold neither word; finding that out is cheaper than reading their members.
    let text = result.as_str();
    let says = |word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
    if !says("\"isError\"") && !says("\"input_required\"") && !says("\\u00") {
        return Status::Ok;
    }
    match ResultPeek::read(Raw::from(result)) {
        Ok(peek) if peek.result_type == ResultType::InputRequired => Status::InputRequired,
        Ok(peek) if peek.is_error => Status::ToolError,
        _ => Status::Ok,
    }
}

#[cfg(test)]
mod tests;
