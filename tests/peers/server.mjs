// The official TypeScript SDK (2.x) as a server of both eras: everything in offer.json.
//
// Usage: server.mjs MODULES, where MODULES is the folder with the packages. Prints one line
// of JSON with its URL and serves until it is ended. Which era is spoken is for the client to
// say: the SDK serves legacy sessions by one class and modern requests by another.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const [modules] = process.argv.slice(2);
const require = createRequire(path.join(modules, "peers.js"));
const sdk = require("@modelcontextprotocol/server");
const node = require("@modelcontextprotocol/node");

const offer = JSON.parse(readFileSync(new URL("offer.json", import.meta.url), "utf8"));
const STATE = "the state of round one";
const ended = new Set();
const sessions = new Map();
let more = false;
let touched = false;

const offered = (kind) => [...offer[`${kind}s`], ...(more ? [offer.extra[kind]] : [])];
const result = (content, others) => ({ content, ...others });
const text = (words, others) => result([{ type: "text", text: words }], others);
const note = { uri: "test://note", mimeType: "text/plain", text: "a note" };

function invalid(message) {
  return new sdk.ProtocolError(sdk.ProtocolErrorCode.InvalidParams, message);
}

// Written once for both eras: the SDK puts the questions to a legacy client by itself.
function ask(keys, ctx, then) {
  const given = ctx.mcpReq.inputResponses;
  if (given && keys.every((key) => key in given)) {
    if (ctx.mcpReq.requestState() !== STATE) throw invalid("the state came back as another");
    return then(keys.map((key) => given[key]));
  }
  const inputRequests = Object.fromEntries(keys.map((key) => [key, offer.questions[key]]));
  return sdk.inputRequired({ inputRequests, requestState: STATE });
}

function spoken(key, answer) {
  if (key === "sample") return answer.content.text;
  if (key === "ask") return `${answer.action} ${answer.content.name}`;
  if (key === "visit") return answer.action;
  return answer.roots.map((root) => root.uri).join(" ");
}

async function progress(ctx, done, message) {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  const params = { progressToken, progress: done, total: 3, message };
  await ctx.mcpReq.notify({ method: "notifications/progress", params });
}

function endless(walk, ctx) {
  return new Promise((resolve) => {
    const end = () => {
      ended.add(walk);
      resolve(text("never"));
    };
    ctx.mcpReq.signal.addEventListener("abort", end);
    if (ctx.mcpReq.signal.aborted) end();
    else progress(ctx, 1);
  });
}

async function change(now) {
  more = now;
  modern.notify.toolsChanged();
  modern.notify.promptsChanged();
  modern.notify.resourcesChanged();
  for (const { server } of sessions.values()) {
    await server.sendToolListChanged();
    await server.sendPromptListChanged();
    await server.sendResourceListChanged();
  }
  return text("changed");
}

async function touch() {
  touched = true;
  const uri = "test://watched";
  modern.notify.resourceUpdated(uri);
  for (const { server, uris } of sessions.values()) {
    if (uris.has(uri)) await server.sendResourceUpdated({ uri });
  }
  return text("touched");
}

async function callTool({ params }, ctx) {
  const { name, arguments: args = {} } = params;
  switch (name) {
    case "echo":
      return text(args.message);
    case "forecast": {
      const forecast = { city: args.city, degrees: 21.5 };
      return text(JSON.stringify(forecast), { structuredContent: forecast });
    }
    case "fail":
      return text("no such customer", { isError: true });
    case "steps":
      for (const done of [1, 2, 3]) await progress(ctx, done, `step ${done}`);
      return text("all three");
    case "endless":
      return endless(args.walk, ctx);
    case "ended":
      return text(String(ended.has(args.walk)));
    case "log":
      await ctx.mcpReq.log("debug", "details", "walk");
      await ctx.mcpReq.log("info", "started", "walk");
      await ctx.mcpReq.log("warning", "careful", "walk");
      return text("logged");
    case "links": {
      const link = { type: "resource_link", uri: "test://note", name: "Note" };
      return result([link, { type: "resource", resource: note }]);
    }
    case "sample":
    case "ask":
    case "visit":
    case "roots":
    case "both": {
      const keys = name === "both" ? ["sample", "ask"] : [name];
      const words = (given) => keys.map((key, at) => spoken(key, given[at])).join(", ");
      return ask(keys, ctx, (given) => text(words(given)));
    }
    case "era":
      return text(ctx.mcpReq.envelope ? "modern" : "legacy");
    case "change":
      return change(args.more);
    case "touch":
      return touch();
    default:
      throw invalid(`there is no tool ${name}`);
  }
}

// The one list that has more than a page.
function listTools({ params }) {
  const start = Number(params?.cursor ?? 0);
  const [tools, end] = [offered("tool"), start + offer.page];
  const nextCursor = end < tools.length ? { nextCursor: String(end) } : {};
  return { tools: tools.slice(start, end), ...nextCursor };
}

function getPrompt({ params }, ctx) {
  const message = (content) => ({ messages: [{ role: "user", content }] });
  const hello = (words) => message({ type: "text", text: words });
  switch (params.name) {
    case "plain":
      return hello("Hello");
    case "greeting":
      return hello(`Hello, ${params.arguments.name}`);
    case "about":
      return message({ type: "resource", resource: note });
    case "personal":
      return ask(["ask"], ctx, ([given]) => hello(`Hello, ${given.content.name}`));
    default:
      throw invalid(`there is no prompt ${params.name}`);
  }
}

function readResource({ params: { uri } }) {
  const mimeType = "text/plain";
  if (uri === "test://note") return { contents: [note] };
  if (uri === "test://pixel") {
    return { contents: [{ uri, mimeType: "application/octet-stream", blob: "AAEC" }] };
  }
  if (uri === "test://watched") {
    return { contents: [{ uri, mimeType, text: touched ? "touched" : "untouched" }] };
  }
  const item = /^test:\/\/items\/(.*)$/.exec(uri);
  if (item) return { contents: [{ uri, mimeType, text: `item ${item[1]}` }] };
  throw invalid(`there is no resource ${uri}`);
}

function complete({ params: { ref, argument } }) {
  const values =
    ref.type === "ref/prompt"
      ? offer.names.filter((name) => name.startsWith(argument.value))
      : ["1", "2", "3"].map((digit) => argument.value + digit);
  return { completion: { values, total: values.length, hasMore: false } };
}

// A server: one for each legacy session, one for each modern request.
function build(uris = new Set()) {
  const listChanged = true;
  const capabilities = {
    completions: {},
    logging: {},
    prompts: { listChanged },
    resources: { listChanged, subscribe: true },
    tools: { listChanged },
  };
  const options = { capabilities, instructions: "Walk through." };
  const server = new sdk.Server({ name: "walked-typescript", version: "1" }, options);
  server.setRequestHandler("tools/list", listTools);
  server.setRequestHandler("tools/call", callTool);
  server.setRequestHandler("prompts/list", () => ({ prompts: offered("prompt") }));
  server.setRequestHandler("prompts/get", getPrompt);
  server.setRequestHandler("resources/list", () => ({ resources: offered("resource") }));
  const templates = { resourceTemplates: offer.templates };
  server.setRequestHandler("resources/templates/list", () => templates);
  server.setRequestHandler("resources/read", readResource);
  server.setRequestHandler("resources/subscribe", ({ params }) => (uris.add(params.uri), {}));
  server.setRequestHandler("resources/unsubscribe", ({ params }) => (uris.delete(params.uri), {}));
  server.setRequestHandler("completion/complete", complete);
  return server;
}

const modern = sdk.createMcpHandler(() => build(), { legacy: "reject" });
const modernHandler = node.toNodeHandler(modern);

async function legacyTransport(id) {
  if (sessions.has(id)) return sessions.get(id).transport;
  const uris = new Set();
  const server = build(uris);
  const transport = new node.NodeStreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    onsessioninitialized: (made) => sessions.set(made, { server, transport, uris }),
    onsessionclosed: (gone) => sessions.delete(gone),
  });
  await server.connect(transport);
  return transport;
}

async function body(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return pieces.length ? JSON.parse(Buffer.concat(pieces).toString()) : undefined;
}

const http = createServer(async (request, response) => {
  const parsed = await body(request);
  if (!(await sdk.isLegacyRequest(await node.toWebRequest(request, parsed), parsed))) {
    return modernHandler(request, response, parsed);
  }
  const transport = await legacyTransport(request.headers["mcp-session-id"]);
  return transport.handleRequest(request, response, parsed);
});
http.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${http.address().port}/mcp` })}\n`);
});
