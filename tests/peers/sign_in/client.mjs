// The official TypeScript SDK as a client that knows one URL and finds the rest by itself.
//
// Usage: client.mjs PACKAGES MODE URL [DOCUMENT], where MODE is `v1` (the 1.x package), `legacy` or
// `modern` (2.x), URL is a virtual MCP's and DOCUMENT the URL of a client metadata document.
// Prints {"open": URL} when somebody has to sign in and consent in a browser, which ends at a port
// of its own; then {"called", "tools", "client", "scope"}. Takes one command per line after that:
//
//   call   calls again, with what it has: {"called"}
//   spoil  the same with an access token that is no longer good: {"called", "refreshed"}
//   again  starts anew with what was stored, as an application does the next day
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { randomUUID } from "node:crypto";
import path from "node:path";

const [modules, mode, url, document] = process.argv.slice(2);
const require = createRequire(path.join(modules, "peers.js"));

function sdk() {
  if (mode === "v1") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const { UnauthorizedError } = require("@modelcontextprotocol/sdk/client/auth.js");
    return { Client, StreamableHTTPClientTransport, UnauthorizedError };
  }
  return require("@modelcontextprotocol/client");
}

const { Client, StreamableHTTPClientTransport, UnauthorizedError } = sdk();
const say = (message) => console.log(JSON.stringify(message));

// Where the browser comes back to.
let arrived;
const callback = new Promise((done) => (arrived = done));
const server = createServer((request, response) => {
  const at = new URL(request.url, "http://127.0.0.1");
  response.writeHead(200, { "content-type": "text/plain" });
  response.end("You may close this window");
  if (at.pathname === "/callback") arrived(at.searchParams);
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const redirect = `http://127.0.0.1:${server.address().port}/callback`;

// Keeps everything in memory, as it was given.
class Provider {
  saved = 0;
  kept = {};
  get redirectUrl() {
    return redirect;
  }
  get clientMetadataUrl() {
    return document;
  }
  get clientMetadata() {
    return {
      client_name: "The TypeScript SDK",
      redirect_uris: [redirect],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
  }
  state() {
    this.kept.state ??= randomUUID();
    return this.kept.state;
  }
  clientInformation() {
    return this.kept.client;
  }
  saveClientInformation(client) {
    this.kept.client = client;
  }
  tokens() {
    return this.kept.tokens;
  }
  saveTokens(tokens) {
    this.saved += 1;
    this.kept.tokens = tokens;
  }
  saveDiscoveryState(state) {
    this.kept.discovery = state;
  }
  discoveryState() {
    return this.kept.discovery;
  }
  redirectToAuthorization(at) {
    say({ open: String(at) });
  }
  saveCodeVerifier(verifier) {
    this.kept.verifier = verifier;
  }
  codeVerifier() {
    return this.kept.verifier;
  }
}

const provider = new Provider();
let client;

async function connect() {
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  const options = mode === "v1" ? {} : { versionNegotiation: { mode: mode === "modern" ? "auto" : "legacy" } };
  client = new Client({ name: "oauth", version: "1" }, options);
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const answer = await callback;
    if (answer.get("state") !== provider.kept.state) throw new Error("another state came back");
    if (answer.has("error")) throw new Error(`refused: ${answer}`);
    await transport.finishAuth(mode === "v1" ? answer.get("code") : answer);
    return connect();
  }
}

async function call() {
  const answer = await client.callTool({ name: "echo", arguments: { message: "grüße" } });
  return answer.content[0].text;
}

const commands = {
  call: async () => ({ called: await call() }),
  async spoil() {
    const { access_token, ...rest } = provider.kept.tokens;
    provider.kept.tokens = { ...rest, access_token: `${access_token.slice(0, -8)}AAAAAAAA` };
    const before = provider.saved;
    const refresh = rest.refresh_token;
    const called = await call();
    const rotated = provider.kept.tokens.refresh_token !== refresh;
    return { called, refreshed: provider.saved - before, rotated };
  },
  async again() {
    await client.close();
    await connect();
    return { called: await call() };
  },
};

async function answered(work) {
  try {
    say(await work());
  } catch (error) {
    say({ failed: String(error.stack ?? error) });
  }
}

await answered(async () => {
  await connect();
  const called = await call();
  const { tools } = await client.listTools();
  const { client: registered, tokens } = provider.kept;
  const names = tools.map((tool) => tool.name);
  return { called, tools: names, client: registered.client_id, scope: tokens.scope, saved: provider.saved };
});
for await (const line of createInterface({ input: process.stdin })) {
  await answered(commands[line.trim()]);
}
process.exit(0);
