//! Where URIs stand in results and definitions, and their exchange in place.
//!
//! Follows the shapes of MCP exactly: content blocks of type `resource_link` and `resource`,
//! `contents`, the `uri` of a notification, and what MCP Apps (SEP-1865) put into `_meta`.
//! Text that only looks like a URI is left alone, structured content too.

use tidegate_model::{ConnectorId, Json};
use tidegate_wire::json::{Kind, Raw};

use super::Uris;
use crate::catalog::spans::Exchange;

/// What sort of text holds the URIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rewrite {
    /// The result of `tools/call` or `tasks/result`.
    ToolResult,
    /// A task with its result inside, as `tasks/get` and `notifications/tasks` have it
    /// (extension `io.modelcontextprotocol/tasks`).
    Task,
    /// The result of `prompts/get`.
    PromptResult,
    /// The result of `resources/read`.
    ReadResult,
    /// The params of `notifications/resources/updated`.
    Updated,
    /// A JSON-RPC error about a resource, which names it in `data`.
    Error,
}

impl Uris {
    /// The text with every URI of the connector exchanged for its published one; all other
    /// bytes stay. Where there is nothing to do it is the same text, without a copy.
    pub fn rewrite(&self, connector: &ConnectorId, what: Rewrite, text: &Json) -> Json {
        if self.is_identity() || !may_hold_uris(text) {
            return text.clone();
        }
        let mut walk = Walk { uris: self, connector, found: Exchange::of(text) };
        let whole = Raw::from(text);
        match what {
            Rewrite::ToolResult => walk.tool_result(whole),
            Rewrite::Task => whole.get("result").into_iter().for_each(|it| walk.tool_result(it)),
            Rewrite::PromptResult => walk.prompt_result(whole),
            Rewrite::ReadResult => walk.read_result(whole),
            Rewrite::Updated => walk.member(whole, "uri"),
            Rewrite::Error => {
                whole.get("data").into_iter().for_each(|data| walk.member(data, "uri"));
            }
        }
        walk.found.done()
    }

    /// A tool's definition with the URI of its view (MCP Apps) exchanged.
    pub(crate) fn rewrite_tool(&self, connector: &ConnectorId, definition: &Json) -> Json {
        if self.is_identity() || !may_hold_uris(definition) {
            return definition.clone();
        }
        let mut walk = Walk { uris: self, connector, found: Exchange::of(definition) };
        walk.meta(Raw::from(definition));
        walk.found.done()
    }
}

/// Whether a member can be called `uri`, `resourceUri` or `ui/resourceUri`; most texts are
/// done with here. Escaped names are for the walk to read.
fn may_hold_uris(text: &Json) -> bool {
    let bytes = text.as_str().as_bytes();
    let has = |needle: &str| memchr::memmem::find(bytes, needle.as_bytes()).is_some();
    has("\"uri\"") || has("resourceUri\"") || has("\\u00")
}

struct Walk<'a> {
    uris: &'a Uris,
    connector: &'a ConnectorId,
    found: Exchange<'a>,
}

impl Walk<'_> {
    /// Exchanges the member of that name, where it is a string.
    fn member(&mut self, object: Raw<'_>, name: &str) {
        let Some(value) = object.get(name) else { return };
        if let Some(uri) = value.string() {
            let published = self.uris.publish(self.connector, &uri).into_owned();
            self.found.put(value, published);
        }
    }

    fn tool_result(&mut self, result: Raw<'_>) {
        self.meta(result);
        for block in result.get("content").into_iter().flat_map(Raw::elements) {
            self.block(block);
        }
    }

    fn prompt_result(&mut self, result: Raw<'_>) {
        self.meta(result);
        for message in result.get("messages").into_iter().flat_map(Raw::elements) {
            let Some(content) = message.get("content") else { continue };
            match content.kind() {
                Kind::Array => content.elements().for_each(|block| self.block(block)),
                _ => self.block(content),
            }
        }
    }

    fn read_result(&mut self, result: Raw<'_>) {
        self.meta(result);
        for contents in result.get("contents").into_iter().flat_map(Raw::elements) {
            self.member(contents, "uri");
            self.meta(contents);
        }
    }

    /// A content block.
    fn block(&mut self, block: Raw<'_>) {
        self.meta(block);
        let kind = block.get("type").and_then(Raw::string);
        match kind.as_deref() {
            Some("resource_link") => self.member(block, "uri"),
            Some("resource") => {
                let Some(resource) = block.get("resource") else { return };
                self.member(resource, "uri");
                self.meta(resource);
            }
            _ => {}
        }
    }

    /// `_meta.ui.resourceUri`, and the flat key that older servers write.
    fn meta(&mut self, of: Raw<'_>) {
        let Some(meta) = of.get("_meta") else { return };
        self.member(meta, "ui/resourceUri");
        if let Some(ui) = meta.get("ui") {
            self.member(ui, "resourceUri");
        }
    }
}
