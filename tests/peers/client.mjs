// The official TypeScript SDK as a client: lists, calls, follows progress, cancels.
//
// Usage: client.mjs MODULES URL KEY MODE, where MODULES is the folder with the packages and
// MODE is `v1` (the 1.x package), `legacy` (2.x without negotiation) or a revision (2.x).
// Prints one JSON object of what it saw; tests/peers.rs says what that should be.

import { createRequire } from "node:module";
import path from "node:path";

const [modules, url, key, mode] = process.argv.slice(2);
const require = createRequire(path.join(modules, "peers.js"));

function sdk() {
  if (mode === "v1") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const http = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    return { Client, Transport: http.StreamableHTTPClientTransport, call: [undefined] };
  }
  const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
  return { Client, Transport: StreamableHTTPClientTransport, call: [] };
}

const { Client, Transport, call } = sdk();
const negotiation = mode === "v1" || mode === "legacy" ? mode : { pin: mode };
const options = mode === "v1" ? {} : { versionNegotiation: { mode: negotiation } };
const client = new Client({ name: "tidegate-tests", version: "1" }, options);
const headers = { Authorization: `Bearer ${key}` };
const transport = new Transport(new URL(url), { requestInit: { headers } });
await client.connect(transport);

const callTool = (name, args, more) => client.callTool({ name, arguments: args }, ...call, more);

async function allTools() {
  const names = [];
  let cursor;
  do {
    const page = await client.listTools(cursor ? { cursor } : {});
    names.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor);
  return names;
}

// Cancels a call as soon as it reports progress; true where it did not end by itself.
async function cancelled() {
  const abort = new AbortController();
  const stop = { signal: abort.signal, onprogress: () => abort.abort("enough") };
  return callTool("endless", {}, stop).then(() => false, () => true);
}

const steps = [];
const onprogress = ({ progress, total }) => steps.push([progress, total]);
const report = { revision: transport.protocolVersion ?? client.getNegotiatedProtocolVersion?.() };
report.tools = await allTools();
report.echo = (await callTool("echo", { message: "grüße" })).content[0].text;
report.stepped = (await callTool("steps", {}, { onprogress })).content[0].text;
report.steps = steps;
const failed = await callTool("fail", {});
report.failed = [failed.isError, failed.content[0].text];
report.cancelled = await cancelled();
report.after = (await callTool("echo", { message: "still there" })).content[0].text;
await client.close();
process.stdout.write(JSON.stringify(report) + "\n", () => process.exit(0));
