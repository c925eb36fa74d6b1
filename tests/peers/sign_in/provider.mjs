// An OpenID provider that people sign in with: npm `oidc-provider`, made to look like a preset.
//
// Usage: provider.mjs PACKAGES PRESET, where PRESET is `okta`, `google`, `entra` or `keycloak`.
// Prints {"issuer", "graph"} once it listens on loopback. Takes one command per line on standard
// input, {"do": NAME, ...}, and answers each with one line; ends with its input.
//
//   client   who the gateway is here: what client metadata of OpenID Connect Registration say
//   person   somebody who can sign in with any password: {"login", "claims", "over"}
//   rotate   new signing keys, at once; the old ones are forgotten
//   logout   signs a person out everywhere, and says so to every client that wants to know
//   front    signs a person out by pages that load the notice of a gateway, {"login", "notice"},
//            one for each session there; the pages are at /signed-out
//   hits     how many requests came to each path since the last time
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";

const [packages, preset] = process.argv.slice(2);
const entry = createRequire(`${packages}/`).resolve("oidc-provider");
const { Provider } = await import(pathToFileURL(entry));

const TENANT = "8f1f4c2e-3c53-4a40-9c1f-2f2b5a0f2f11";
const PAGE = 2;
const people = new Map();
const hits = new Map();
const rows = new Map();

// All of the provider's rows, of which there are few.
class Rows {
  constructor(kind) {
    this.kind = kind;
  }
  key(id) {
    return `${this.kind}\0${id}`;
  }
  async upsert(id, payload, expiresIn) {
    const until = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
    rows.set(this.key(id), { ...payload, until });
  }
  async find(id) {
    const row = rows.get(this.key(id));
    return row && row.until > Date.now() ? row : undefined;
  }
  where(member, value) {
    const own = [...rows].filter(([key]) => key.startsWith(this.key("")));
    return own.map(([, row]) => row).find((row) => row[member] === value && row.until > Date.now());
  }
  async findByUid(uid) {
    return this.where("uid", uid);
  }
  async findByUserCode(code) {
    return this.where("userCode", code);
  }
  async consume(id) {
    rows.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }
  async destroy(id) {
    rows.delete(this.key(id));
  }
  async revokeByGrantId(grant) {
    for (const [key, row] of rows) if (row.grantId === grant) rows.delete(key);
  }
}

// What is in the tokens of each preset and what has to be asked for at the userinfo endpoint.
const PRESETS = {
  okta: {
    path: "",
    claims: { email: ["email", "email_verified"], profile: ["name"], groups: ["groups"] },
    thin: true,
  },
  google: {
    path: "",
    claims: { email: ["email", "email_verified", "hd"], profile: ["name"] },
  },
  entra: {
    path: `/${TENANT}/v2.0`,
    claims: {
      openid: [
        "sub", "oid", "tid", "acct", "idp", "xms_edov", "groups",
        "_claim_names", "_claim_sources",
      ],
      email: ["email"],
      profile: ["name", "preferred_username"],
    },
    own: () => ({ tid: TENANT }),
  },
  keycloak: {
    path: "/realms/acme",
    claims: { email: ["email", "email_verified"], profile: ["name"], roles: ["realm_access"] },
    thin: true,
  },
};
const shape = PRESETS[preset];

function account(login) {
  const person = people.get(login);
  if (!person) return undefined;
  const claims = () => {
    const all = { sub: login, ...shape.own?.(), ...person.claims };
    if (person.over) {
      // More groups than fit: Entra names a place where they can be asked for. That it names
      // another one than Graph is as it is in life.
      delete all.groups;
      all._claim_names = { groups: "src1" };
      all._claim_sources = { src1: { endpoint: "https://graph.windows.net/elsewhere" } };
    }
    return all;
  };
  return { accountId: login, claims };
}

function key() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

let provider;
let answer;
let origin;
let frames = [];
const secrets = [randomBytes(32).toString("hex")];

// Makes the provider anew with new keys; what it remembers stays.
function renew() {
  const issuer = `${origin}${shape.path}`;
  provider = new Provider(issuer, {
    adapter: Rows,
    claims: { openid: ["sub"], ...shape.claims },
    clients: [],
    clientBasedCORS: () => false,
    // Whether what scopes ask for comes with the ID token or has to be fetched.
    conformIdTokenClaims: Boolean(shape.thin),
    cookies: { keys: secrets, names: { session: "idp_session", interaction: "idp_uid", resume: "idp_resume" } },
    // It would not send anything to loopback, where the gateways of tests are.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        // Nobody has to be asked twice.
        logoutSource: (ctx, form) => {
          ctx.body = page("Sign out", `${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`);
        },
        postLogoutSuccessSource: (ctx) => {
          ctx.body = page("Signed out", "");
        },
      },
    },
    findAccount: (ctx, login) => account(login),
    interactions: { url: (ctx, interaction) => `${shape.path}/sign-in/${interaction.uid}` },
    jwks: { keys: [key()] },
    // Who signs in here has been asked by their administrator already.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({
        clientId: ctx.oidc.client.clientId,
        accountId: ctx.oidc.session.accountId,
      });
      grant.addOIDCScope("openid email profile groups roles offline_access");
      grant.addOIDCClaims(Object.values(shape.claims).flat());
      await grant.save();
      return grant;
    },
    pkce: { required: () => true },
    scopes: ["openid", "email", "profile", "groups", "roles", "offline_access"],
    ttl: { AccessToken: 60, AuthorizationCode: 30, IdToken: 60, Interaction: 600, Session: 3600, Grant: 3600 },
  });
  provider.on("server_error", (ctx, error) => console.error(error));
  answer = provider.callback();
}

function page(title, body) {
  return `<!doctype html><html lang="en"><title>${title}</title><link rel="icon" href="data:,"><h1>${title}</h1>${body}</html>`;
}

function html(response, status, text) {
  response.writeHead(status, { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" });
  response.end(text);
}

function json(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

async function form(request) {
  let text = "";
  for await (const piece of request) text += piece;
  return new URLSearchParams(text);
}

// The page on which somebody says who they are, and what follows from it.
async function signIn(request, response) {
  if (request.method !== "POST") {
    const fields = `<label>Account <input name="login" autofocus></label>
      <label>Password <input name="password" type="password"></label>`;
    return html(response, 200, page("Sign in at the provider", `<form method="post">${fields}
      <button>Sign in</button> <button name="cancel" value="yes">Cancel</button></form>`));
  }
  const fields = await form(request);
  const login = fields.get("login") ?? "";
  if (fields.get("cancel")) {
    const refused = { error: "access_denied", error_description: "the person said no" };
    return provider.interactionFinished(request, response, refused);
  }
  if (!people.has(login)) return html(response, 401, page("Nobody of that name", ""));
  return provider.interactionFinished(request, response, { login: { accountId: login, amr: ["pwd"] } });
}

// What somebody sees who has signed out here: all who want to know are told by frames.
function signedOut(response) {
  const told = frames.map((at) => `<iframe title="told" src="${at.replaceAll("&", "&amp;")}"></iframe>`);
  return html(response, 200, page("Signed out everywhere", told.join("")));
}

// Microsoft Graph, as far as it lists somebody's groups: page by page, to whoever has a token.
async function graph(url, request, response) {
  const token = (request.headers.authorization ?? "").replace(/^Bearer /, "");
  const found = token && (await provider.AccessToken.find(token));
  const person = found && people.get(found.accountId);
  if (!person) return json(response, 401, { error: { code: "InvalidAuthenticationToken" } });
  const from = Number(url.searchParams.get("$skiptoken") ?? 0);
  const all = [...(person.over ?? []), null];
  const value = all.slice(from, from + PAGE).map((id) => id
    ? { "@odata.type": "#microsoft.graph.group", id }
    : { "@odata.type": "#microsoft.graph.directoryRole", id: "not-a-group" });
  const next = new URL(url);
  next.searchParams.set("$skiptoken", from + PAGE);
  const more = from + PAGE < all.length;
  return json(response, 200, { value, ...(more && { "@odata.nextLink": next.href }) });
}

async function handle(request, response) {
  const url = new URL(request.url, origin);
  const place = url.pathname.replace(/\/sign-in\/.*/, "/sign-in").replace(/\/auth\/.+/, "/auth/resume");
  hits.set(place, (hits.get(place) ?? 0) + 1);
  if (url.pathname === "/graph/v1.0/me/transitiveMemberOf") return graph(url, request, response);
  if (url.pathname.startsWith(`${shape.path}/sign-in/`)) return signIn(request, response);
  if (url.pathname === `${shape.path}/signed-out`) return signedOut(response);
  if (!url.pathname.startsWith(shape.path)) return json(response, 404, {});
  // Where the provider is mounted, as its own framework would say it.
  request.originalUrl = request.url;
  request.url = request.url.slice(shape.path.length) || "/";
  return answer(request, response);
}

const commands = {
  async client({ metadata }) {
    await new Rows("Client").upsert(metadata.client_id, metadata);
  },
  async person({ login, claims, over }) {
    people.set(login, { claims, over });
  },
  async rotate() {
    renew();
  },
  async logout({ login }) {
    let told = 0;
    for (const [place, row] of rows) {
      if (!place.startsWith("Session\0") || row.accountId !== login) continue;
      for (const [id, { sid }] of Object.entries(row.authorizations ?? {})) {
        const client = await provider.Client.find(id);
        if (!client?.backchannelLogoutUri) continue;
        await client.backchannelLogout(login, sid);
        told += 1;
      }
      rows.delete(place);
    }
    return { told };
  },
  async front({ login, notice }) {
    frames = [];
    for (const [place, row] of rows) {
      if (!place.startsWith("Session\0") || row.accountId !== login) continue;
      for (const { sid } of Object.values(row.authorizations ?? {})) {
        const told = new URL(notice);
        told.searchParams.set("iss", `${origin}${shape.path}`);
        told.searchParams.set("sid", sid);
        frames.push(told.href);
      }
      rows.delete(place);
    }
    return { notices: frames };
  },
  async hits() {
    const seen = Object.fromEntries(hits);
    hits.clear();
    return seen;
  },
};

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});
server.listen(0, "127.0.0.1", () => {
  origin = `http://127.0.0.1:${server.address().port}`;
  renew();
  console.log(JSON.stringify({ issuer: `${origin}${shape.path}`, graph: `${origin}/graph/v1.0` }));
});

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const command = JSON.parse(line);
    try {
      console.log(JSON.stringify((await commands[command.do](command)) ?? {}));
    } catch (error) {
      console.log(JSON.stringify({ failed: `${error.stack ?? error} ${error.cause ?? ""}` }));
    }
  })
  .on("close", () => process.exit(0));
