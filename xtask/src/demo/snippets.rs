//! What to paste into other people's clients.
//!
//! Owns the shapes of their configuration files. The key stands in them as it is: a demo's
//! key dies with the demo's directory.

use serde_json::{Value, json};

/// Prints the URL, both keys and a snippet for each client, filled in with the first key.
pub fn print(url: &str, keys: &[(&str, &str)]) {
    println!("\nThe gateway serves at\n\n    {url}\n");
    for (who, key) in keys {
        println!("    {key}    {who}");
    }
    let Some((_, key)) = keys.first() else { return };
    let header = format!("Authorization: Bearer {key}");
    println!("\nClaude Code:\n");
    println!("    claude mcp add --transport http sales {url} --header \"{header}\"");
    let headers = json!({ "Authorization": format!("Bearer {key}") });
    let server = json!({ "url": url, "headers": headers });
    let typed = json!({ "type": "http", "url": url, "headers": headers });
    show("Cursor (~/.cursor/mcp.json)", &json!({ "mcpServers": { "sales": server } }));
    show("VS Code (.vscode/mcp.json)", &json!({ "servers": { "sales": typed } }));
    show("Others (`mcpServers` JSON)", &json!({ "mcpServers": { "sales": typed } }));
}

fn show(client: &str, config: &Value) {
    println!("\n{client}:\n");
    let text = serde_json::to_string_pretty(config).unwrap_or_default();
    for line in text.lines() {
        println!("    {line}");
    }
}
