// What the tests of the dashboard have in common: the program, assistants that propose, and persons in Chromium with virtual passkeys.
import { spawn, execFileSync } from "node:child_process";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const { PROGRAM, CONFIG, STATE, HOST, LAB } = process.env;
export const own = (...args) => execFileSync(PROGRAM, ["--config", CONFIG, ...args], { encoding: "utf8" });
export const onHost = (...command) => execFileSync(`${LAB}/host.sh`, ["exec", HOST, ...command], { encoding: "utf8" });
let checks = 0;
export const check = async (name, work) => {
  const begun = Date.now();
  await work();
  checks += 1;
  console.log(`ok ${name} (${Date.now() - begun} ms)`);
};

// --- the dashboard, and whoever proposes ---
const dashboard = spawn(PROGRAM, ["--config", CONFIG, "dashboard", "--listen", "127.0.0.1:8090"], { stdio: ["ignore", "ignore", "pipe"] });
export const told = [];
await new Promise((resolve, reject) => {
  dashboard.stderr.setEncoding("utf8").on("data", (text) => { told.push(text); if (text.includes("dashboard for")) resolve(); });
  dashboard.on("exit", (code) => reject(new Error(`the dashboard ended with ${code}: ${told.join("")}`)));
});
const assistantNamed = async (name) => {
  const client = new Client({ name, version: "1" });
  await client.connect(new StdioClientTransport({ command: PROGRAM, args: ["--config", CONFIG, "serve"], env: process.env, stderr: "ignore" }));
  return client;
};
const assistant = await assistantNamed("browser-test");
export const call = async (name, args) => assistant.callTool({ name, arguments: args });
// Each by an assistant of its own name: what the same asks for again is the same proposal.
let asked = 0;
export const propose = async (action, rationale, params = {}) => {
  asked += 1;
  const asker = await assistantNamed(`browser-test-${asked}`);
  const answer = await asker.callTool({ name: "propose_pra_action", arguments: { host: HOST, action, params, rationale } });
  await asker.close();
  const id = JSON.stringify(answer).match(/pr_[0-9a-f]{16}/)?.[0];
  assert.ok(id, JSON.stringify(answer));
  return id;
};

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
export const origin = "http://localhost:8090";
export const persons = [];
export async function person(options = {}) {
  const context = await browser.newContext({ extraHTTPHeaders: { "accept-language": "en" }, ...options });
  const page = await context.newPage();
  page.on("pageerror", (e) => { throw e; });
  const cdp = await context.newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", { options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  const one = { context, page, cdp, authenticatorId };
  persons.push(one);
  return one;
}
export async function enrol(one, name, role) {
  one.name = name;
  const { link } = JSON.parse(own("dashboard", "invite", name, "--role", role, "--json"));
  await one.page.goto(link);
  await one.page.getByRole("button", { name: "Enrol this device" }).click();
  await one.page.locator("#enrolled pre").filter({ hasText: name }).waitFor();
  return { line: (await one.page.locator("#enrolled pre").textContent()).trim(), link };
}
export async function login(one) {
  await one.page.goto(`${origin}/login`);
  await one.page.getByRole("button", { name: "Log in with a passkey" }).click();
  await one.page.waitForURL(`${origin}/`);
}
export const open = async (one, id) => one.page.goto(`${origin}/proposals/${id}`);
export const state = (id) => JSON.parse(own("proposals", "show", id, "--json"));
export const stateWord = (id) => (state(id).proposal ?? state(id)).state;
export async function review(one, id) {
  await open(one, id);
  await one.page.getByRole("button", { name: "Review and approve" }).click();
  await one.page.getByRole("button", { name: "Approve with my passkey" }).waitFor();
}
export async function sign(one, id) {
  await review(one, id);
  await one.page.getByRole("button", { name: "Approve with my passkey" }).click();
}
// From inside a page of the dashboard, as its own script would.
export const post = (one, path, body) => one.page.evaluate(async ([path, body]) => {
  const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  return [answer.status, await answer.json()];
}, [path, body]);
export const assertion = async (one, challenge) => one.page.evaluate(async ([challenge, ids]) => {
  const encode = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const bytes = Uint8Array.from(atob(challenge.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const allowCredentials = ids.map((id) => ({ type: "public-key", id: Uint8Array.from(atob(id.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0)) }));
  const made = await navigator.credentials.get({ publicKey: { challenge: bytes, rpId: "localhost", userVerification: "required", allowCredentials } });
  const r = made.response;
  return { id: encode(made.rawId), client_data: encode(r.clientDataJSON), authenticator_data: encode(r.authenticatorData), signature: encode(r.signature) };
}, [challenge, purposes(one.name, "approve")]);
const purposes = (name, purpose) => JSON.parse(own("dashboard", "devices", "--json")).devices.filter((d) => d.person === name && d.purpose === purpose).map((d) => d.id);
export const button = (one) => one.page.locator("[data-passkey=approve]").evaluate((b) => ({ ...b.dataset }));

// Runs all checks; whatever happens, what was started ends.
export async function run(title, all) {
  let failed;
  try {
    await all();
  } catch (e) {
    failed = e;
    for (const [n, one] of persons.entries()) await one.page.screenshot({ path: `${STATE}/failed-${n}.png` }).catch(() => {});
  } finally {
    await browser.close();
    await assistant.close();
    dashboard.removeAllListeners("exit");
    dashboard.kill("SIGTERM");
  }
  if (failed) {
    console.error(failed, told.join(""));
    process.exit(1);
  }
  console.log(`${title}: ${checks} checks passed`);
}
