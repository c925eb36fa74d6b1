// A person at a real browser: Chromium, driven by playwright-core.
//
// Usage: browser.mjs PACKAGES CHROMIUM PICTURES. Prints {"ready": VERSION}, then takes one command
// per line on standard input, {"do": NAME, ...}, and answers each with one line: what the window
// shows, {"url", "status", "title", "heading", "text", "problems"}. Ends with its input.
//
//   open     {"url"}: types it
//   fill     {"fields": {LABEL: VALUE}}: into the fields with these labels
//   press    {"button"}: and waits for what comes
//   arrive   {"url"}: waits until the address begins with it, as pages may go on by themselves
//   picture  {"name"}: of the whole page, as it is; with dark colours; and on a telephone
//   cookies  all of them, in "cookies"
//   listen   opens a port of its own where an application waits for its answer, in "callback"
//
// Problems are what a browser complains about and what keeps people out: errors on the console,
// violated policies, requests that failed, fields without a name, text beyond the edge.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";

const [packages, program, pictures] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/`)("playwright-core");
const PHONE = { width: 390, height: 844 };
const SCREEN = { width: 1200, height: 800 };

const browser = await chromium.launch({ executablePath: program });
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: SCREEN });
const page = await context.newPage();
let problems = [];
let status = null;

page.on("console", (message) => {
  // What could not be loaded is told below, with more about it.
  const told = message.text().startsWith("Failed to load resource");
  if (["error", "warning"].includes(message.type()) && !told) {
    problems.push(`console: ${message.text()}`);
  }
});
page.on("pageerror", (error) => problems.push(`script: ${error}`));
page.on("requestfailed", (request) => {
  const why = request.failure()?.errorText;
  // A page that goes on at once leaves behind what it has not loaded yet.
  if (why !== "net::ERR_ABORTED") problems.push(`request: ${request.url()}: ${why}`);
});
page.on("response", (response) => {
  if (response.request().isNavigationRequest()) status = response.status();
  else if (response.status() >= 400) problems.push(`request: ${response.url()}: ${response.status()}`);
});
page.setDefaultTimeout(20_000);

// What a page has to have for everybody to be able to use it.
function inspect() {
  const found = [];
  const root = document.documentElement;
  if (!root.lang) found.push("page: no language");
  if (!document.title.trim()) found.push("page: no title");
  if (document.querySelectorAll("h1").length !== 1) found.push("page: not one heading");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    const named = field.labels?.length || field.getAttribute("aria-label");
    if (!named && field.type !== "submit") found.push(`page: no label: ${field.outerHTML}`);
  }
  for (const one of document.querySelectorAll("button, a")) {
    if (!(one.textContent.trim() || one.getAttribute("aria-label"))) {
      found.push(`page: nothing to read: ${one.outerHTML}`);
    }
  }
  return found;
}

function beyond() {
  const root = document.documentElement;
  return root.scrollWidth > root.clientWidth ? [root.scrollWidth, root.clientWidth] : null;
}

// A page may go on by itself while it is looked at: then the next one is.
async function settled(work) {
  for (;;) {
    await page.waitForLoadState("load");
    try {
      return await work();
    } catch (error) {
      if (!String(error).includes("context was destroyed")) throw error;
    }
  }
}

async function shown(more) {
  return settled(() => look(more));
}

async function look(more) {
  if (page.url().startsWith("http")) problems.push(...(await page.evaluate(inspect)));
  const text = async (where) => (await page.locator(where).first().innerText()).trim();
  const heading = (await page.locator("h1").count()) ? await text("h1") : "";
  const said = { url: page.url(), status, title: await page.title(), heading };
  const answer = { ...said, text: await text("body"), problems: [...new Set(problems)], ...more };
  problems = [];
  return answer;
}

const commands = {
  async open({ url }) {
    await page.goto(url);
  },
  async fill({ fields }) {
    for (const [label, value] of Object.entries(fields)) await page.getByLabel(label).fill(value);
  },
  async press({ button }) {
    const moved = page.waitForNavigation();
    await page.getByRole("button", { name: button, exact: true }).first().click();
    await moved;
  },
  async arrive({ url }) {
    await page.waitForURL((at) => at.href.startsWith(url));
  },
  async picture({ name }) {
    const shoot = (file) => page.screenshot({ path: path.join(pictures, file), fullPage: true });
    await shoot(`${name}.png`);
    await page.emulateMedia({ colorScheme: "dark" });
    await shoot(`${name}-dark.png`);
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(PHONE);
    await shoot(`${name}-phone.png`);
    const wide = await page.evaluate(beyond);
    if (wide) problems.push(`page: ${wide[0]} wide on a screen of ${wide[1]}`);
    await page.setViewportSize(SCREEN);
  },
  async cookies() {
    return { cookies: await context.cookies() };
  },
  async listen() {
    const server = createServer((request, response) => {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(`<!doctype html><html lang="en"><title>Connected</title><link rel="icon" href="data:,">
        <h1>You may close this window</h1></html>`);
    });
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    return { callback: `http://127.0.0.1:${server.address().port}/callback` };
  },
};

console.log(JSON.stringify({ ready: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    const more = await commands[command.do](command);
    console.log(JSON.stringify(await shown(more)));
  } catch (error) {
    const failed = `${error.stack ?? error}\nat ${page.url()}: ${problems.join("; ")}`;
    console.log(JSON.stringify({ failed }));
  }
}
await browser.close();
process.exit(0);
