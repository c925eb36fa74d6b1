// The official TypeScript SDK as a client that walks through everything in offer.json.
//
// Usage: walk.mjs MODULES KEY MODE TARGET..., where MODULES is the folder with the packages,
// MODE is `v1` (the 1.x package), `legacy` or `modern` (2.x), and each TARGET is a URL, or a
// URL with a name prefix and a URI prefix, in JSON: [url, "py_", "mcp+py:"]. Prints a JSON
// list with one report for each target; tests/peers/matrix.rs says what they should be.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const [modules, key, mode, ...targets] = process.argv.slice(2);
const require = createRequire(path.join(modules, "peers.js"));
const PATIENCE = 20_000;
const EXTRAS = { tools: "extra", prompts: "extra", resources: "test://extra" };
const KINDS = Object.keys(EXTRAS);

const sampled = () => ({
  role: "assistant",
  content: { type: "text", text: "serendipity" },
  model: "walker",
});
const rooted = () => ({ roots: [{ uri: "file:///walk", name: "walk" }] });

function elicited({ params }) {
  if (params.mode === "url") {
    return { action: params.url === "https://example.com/sign-in" ? "accept" : "decline" };
  }
  const known = "name" in params.requestedSchema.properties;
  return known ? { action: "accept", content: { name: "Ada" } } : { action: "decline" };
}

// The same three things of both packages, whose names for them differ.
function sdk() {
  if (mode === "v1") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const http = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const types = require("@modelcontextprotocol/sdk/types.js");
    const schemas = {
      "sampling/createMessage": types.CreateMessageRequestSchema,
      "elicitation/create": types.ElicitRequestSchema,
      "roots/list": types.ListRootsRequestSchema,
      "notifications/message": types.LoggingMessageNotificationSchema,
      "notifications/resources/updated": types.ResourceUpdatedNotificationSchema,
      "notifications/tools/list_changed": types.ToolListChangedNotificationSchema,
      "notifications/prompts/list_changed": types.PromptListChangedNotificationSchema,
      "notifications/resources/list_changed": types.ResourceListChangedNotificationSchema,
    };
    const named = (method) => schemas[method];
    return { Client, Transport: http.StreamableHTTPClientTransport, named, call: [undefined] };
  }
  const { Client, StreamableHTTPClientTransport } = require("@modelcontextprotocol/client");
  return { Client, Transport: StreamableHTTPClientTransport, named: (method) => method, call: [] };
}

async function eventually(what, check) {
  const end = Date.now() + PATIENCE;
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`waited too long for ${what}`);
    await pause(20);
  }
}

const { Client, Transport, named, call } = sdk();
const without = (prefix, text) => (text.startsWith(prefix) ? text.slice(prefix.length) : text);

class Walk {
  logged = [];
  heard = new Set();

  constructor(name, uri) {
    Object.assign(this, { name, uri });
  }

  async connect(url) {
    const capabilities = { sampling: {}, elicitation: { form: {}, url: {} }, roots: {} };
    const negotiation = { mode: mode === "modern" ? { pin: "2026-07-28" } : "legacy" };
    const options = { capabilities, ...(mode === "v1" ? {} : { versionNegotiation: negotiation }) };
    const client = new Client({ name: "tidegate-tests", version: "1" }, options);
    client.setRequestHandler(named("sampling/createMessage"), sampled);
    client.setRequestHandler(named("elicitation/create"), elicited);
    client.setRequestHandler(named("roots/list"), rooted);
    const on = (method, hear) => client.setNotificationHandler(named(method), hear);
    on("notifications/message", ({ params }) => void this.logged.push([params.level, params.data]));
    on("notifications/resources/updated", ({ params }) => void this.heard.add(params.uri));
    for (const kind of KINDS) {
      on(`notifications/${kind}/list_changed`, () => void this.heard.add(kind));
    }
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    this.transport = new Transport(new URL(url), { requestInit: { headers } });
    await client.connect(this.transport);
    this.client = client;
  }

  call(tool, args = {}, more = undefined, _meta = undefined) {
    const params = { name: this.name + tool, arguments: args, ...(_meta ? { _meta } : {}) };
    return this.client.callTool(params, ...call, more);
  }

  async said(tool, args) {
    return (await this.call(tool, args)).content[0].text;
  }

  async read(uri) {
    return (await this.client.readResource({ uri })).contents[0];
  }

  // All entries of a list that are behind the prefix, without it, and the number of pages.
  async every(list, entries, field, prefix) {
    const found = [];
    let [pages, cursor] = [0, undefined];
    do {
      const page = await this.client.request({ method: list, params: cursor ? { cursor } : {} }, ...this.raw(list));
      found.push(...page[entries].map((entry) => entry[field]));
      pages += 1;
      cursor = page.nextCursor;
    } while (cursor);
    // A name that nobody else has needs no prefix.
    const own = found.filter((one) => one.startsWith(prefix) || one === "extra");
    return [own.map((one) => without(prefix, one)), pages];
  }

  // The 1.x package wants to be told what an answer looks like.
  raw(method) {
    if (mode !== "v1") return [];
    const types = require("@modelcontextprotocol/sdk/types.js");
    return [{
      "tools/list": types.ListToolsResultSchema,
      "prompts/list": types.ListPromptsResultSchema,
      "resources/list": types.ListResourcesResultSchema,
      "resources/templates/list": types.ListResourceTemplatesResultSchema,
    }[method]];
  }

  async lists() {
    const [tools, pages] = await this.every("tools/list", "tools", "name", this.name);
    const [prompts] = await this.every("prompts/list", "prompts", "name", this.name);
    const [resources] = await this.every("resources/list", "resources", "uri", this.uri);
    const list = "resources/templates/list";
    const [templates] = await this.every(list, "resourceTemplates", "uriTemplate", this.uri);
    return { tools, prompts, resources, templates, pages };
  }

  async tools() {
    const steps = [];
    const onprogress = ({ progress, total, message }) => steps.push([progress, total, message]);
    const failed = await this.call("fail");
    return {
      echo: await this.said("echo", { message: "grüße" }),
      structured: (await this.call("forecast", { city: "Oslo" })).structuredContent,
      failed: [failed.isError, failed.content[0].text],
      stepped: (await this.call("steps", {}, { onprogress })).content[0].text,
      steps,
      cancelled: await this.cancelled(),
    };
  }

  // Cancels a call that would not end, and waits for the server to have noticed.
  async cancelled() {
    const walk = randomUUID();
    const abort = new AbortController();
    const stop = { signal: abort.signal, onprogress: () => abort.abort("enough") };
    const given = await this.call("endless", { walk }, stop).then(() => false, () => true);
    const noticed = async () => (await this.said("ended", { walk })) === "true";
    await eventually("the server to notice", noticed);
    return given;
  }

  async log() {
    const _meta = { "io.modelcontextprotocol/logLevel": "info" };
    if (mode !== "modern") await this.client.setLoggingLevel("info");
    await this.call("log", {}, undefined, mode === "modern" ? _meta : undefined);
    // A legacy server may log on a stream of its own, beside the answer.
    await eventually("the log", () => this.logged.length >= 2);
    return { logged: this.logged };
  }

  async links() {
    const [link, embedded] = (await this.call("links")).content;
    const uris = [link.uri, embedded.resource.uri];
    const linked = uris.map((uri) => without(this.uri, uri));
    return { linked, followed: (await this.read(uris[0])).text };
  }

  async prompts() {
    const message = async (name, args) => {
      const prompt = await this.client.getPrompt({ name: this.name + name, arguments: args });
      return prompt.messages[0].content;
    };
    return {
      plain: (await message("plain")).text,
      greeting: (await message("greeting", { name: "Ada" })).text,
      about: without(this.uri, (await message("about")).resource.uri),
      personal: (await message("personal")).text,
    };
  }

  async resources() {
    const note = await this.read(`${this.uri}test://note`);
    return {
      text: note.text,
      uri: without(this.uri, note.uri),
      blob: (await this.read(`${this.uri}test://pixel`)).blob,
      item: (await this.read(`${this.uri}test://items/7`)).text,
    };
  }

  async completion() {
    const prompt = { type: "ref/prompt", name: `${this.name}greeting` };
    const template = { type: "ref/resource", uri: `${this.uri}test://items/{id}` };
    const complete = async (ref, name, value) => {
      const completed = await this.client.complete({ ref, argument: { name, value } });
      return completed.completion.values;
    };
    return { names: await complete(prompt, "name", "A"), ids: await complete(template, "id", "4") };
  }

  async unknown() {
    const code = (work) => work.then(() => null, (error) => error.code);
    return {
      no_tool: await code(this.call("missing")),
      no_prompt: await code(this.client.getPrompt({ name: `${this.name}missing` })),
      no_resource: await code(this.read(`${this.uri}test://missing`)),
    };
  }

  async asked() {
    const answers = {};
    for (const tool of ["sample", "ask", "visit", "roots", "both"]) {
      answers[tool] = await this.said(tool);
    }
    return answers;
  }

  async changes() {
    const watched = `${this.uri}test://watched`;
    let listening;
    if (mode === "modern") {
      listening = await this.client.listen({
        toolsListChanged: true,
        promptsListChanged: true,
        resourcesListChanged: true,
        resourceSubscriptions: [watched],
      });
    } else {
      await this.client.subscribeResource({ uri: watched });
    }
    await this.said("touch");
    await eventually("the update", () => this.heard.has(watched));
    const heard = await this.change(true);
    await this.change(false);
    await listening?.close();
    return { heard: heard.map((one) => without(this.uri, one)).sort() };
  }

  // Makes the lists longer or shorter; done when that was told and can be seen.
  async change(more) {
    for (const kind of KINDS) this.heard.delete(kind);
    await this.said("change", { more });
    await eventually("the changes", () => KINDS.every((kind) => this.heard.has(kind)));
    await this.settled(more);
    return [...this.heard];
  }

  async settled(more) {
    await eventually("the lists", async () => {
      const lists = await this.lists();
      return KINDS.every((kind) => lists[kind].includes(EXTRAS[kind]) === more);
    });
  }

  // What the server says it can do, in words.
  capabilities() {
    const said = Object.entries(this.client.getServerCapabilities());
    const words = said.filter(([name]) => name !== "extensions").flatMap(([name, inner]) => [
      name,
      ...["listChanged", "subscribe"].filter((flag) => inner[flag]).map((flag) => `${name}.${flag}`),
    ]);
    return words.sort();
  }

  async all() {
    // Another walk at the same server may just be over, or have ended half-way.
    await this.said("change", { more: false });
    await this.settled(false);
    const revision =
      this.transport.protocolVersion ?? this.client.getNegotiatedProtocolVersion?.();
    const report = { revision, capabilities: this.capabilities() };
    report.server = await this.said("era");
    const parts = ["lists", "tools", "links", "prompts", "resources", "completion", "unknown"];
    for (const part of [...parts, "asked", "changes", "log"]) {
      // The report says which part failed, and how.
      const failed = (error) => ({ [part]: `failed: ${error.stack ?? error}` });
      Object.assign(report, await this[part]().catch(failed));
    }
    return report;
  }
}

const reports = [];
for (const target of targets) {
  const [url, name, uri] = target.startsWith("[") ? JSON.parse(target) : [target, "", ""];
  const walk = new Walk(name, uri);
  await walk.connect(url);
  reports.push(await walk.all());
  await walk.client.close();
}
process.stdout.write(JSON.stringify(reports) + "\n", () => process.exit(0));
