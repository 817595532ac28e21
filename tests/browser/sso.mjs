// Login with a real OIDC provider, OpenBao, in a real browser: who comes in, who stays out, and that approving still takes the passkey.
// Run by scripts/browser.sh. The packaged OpenBao has no pages of its own, so the test plays its login page; the code, the token and its
// signature are OpenBao's.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import assert from "node:assert/strict";
import { own, check, propose, origin, person, enrol, open, stateWord, review, run } from "./setting.mjs";

const { AXE, APPROVERS, SHOTS, PROVIDER } = process.env;
const axe = readFileSync(AXE, "utf8");

// What the person types at the provider: a name and a password. Gives where the provider sends the browser.
async function letIn(name, page) {
  const entered = await fetch(`${PROVIDER}/v1/auth/userpass/login/${name}`, { method: "POST", body: JSON.stringify({ password: "open" }) });
  const token = (await entered.json()).auth.client_token;
  const answer = await fetch(page.replace("/ui/vault/identity/", "/v1/identity/"), { headers: { "x-vault-token": token } });
  const { code, state, error } = await answer.json();
  assert.ok(code, error);
  const query = new URL(page).searchParams;
  return `${query.get("redirect_uri")}?${new URLSearchParams({ code, state })}`;
}
// A browser whose user is NAME at the provider. What it was sent to and from there is kept.
async function someone(name) {
  const one = await person();
  one.seen = [];
  await one.context.route(`${PROVIDER}/ui/**`, async (route) => {
    const back = await letIn(name, route.request().url());
    one.seen.push(route.request().url(), back);
    await route.fulfill({ contentType: "text/html", body: `<!doctype html><script>location.replace(${JSON.stringify(back)})</script>` });
  });
  return one;
}
const enter = (one) => one.page.getByRole("button", { name: "Log in with OpenBao" }).click();
const session = async (one) => (await one.context.cookies()).filter((c) => c.name === "__Host-session");

await run("login with OpenBao", async () => {
  const alice = await someone("alice"), oscar = await someone("oscar"), eve = await someone("eve");
  const id = await propose("restart_unbound", "unbound stopped answering at 03:02");

  await check("a link to a proposal leads through the provider to its page", async () => {
    await alice.page.goto(`${origin}/proposals/${id}`);
    await alice.page.waitForURL(`${origin}/login?to=${id}`);
    await enter(alice);
    await alice.page.waitForURL(`${origin}/proposals/${id}`);
    await alice.page.getByText("alice@example.org (approver)").waitFor();
    const cookies = await alice.context.cookies();
    assert.deepEqual(cookies.map((c) => [c.name, c.sameSite, c.httpOnly, c.secure]), [["__Host-session", "Strict", true, true]]);
    const { devices } = JSON.parse(own("dashboard", "devices", "--json"));
    assert.deepEqual(devices.map((d) => [d.person, d.role, d.purpose]), [["alice@example.org", "approver", "provider"]]);
  });
  await check("a group makes an operator, and who has no row stays out", async () => {
    await oscar.page.goto(`${origin}/login`);
    await enter(oscar);
    await oscar.page.waitForURL(`${origin}/`);
    await oscar.page.getByText("oidc:oscar@example.org (operator)").waitFor();
    await open(oscar, id);
    assert.equal(await oscar.page.getByRole("button", { name: "Review and approve" }).count(), 0);
    await eve.page.goto(`${origin}/login`);
    await enter(eve);
    await eve.page.locator("#said.bad").filter({ hasText: "login refused" }).waitFor();
    assert.equal(eve.page.url(), `${origin}/login/sso`, "the code is out of the address");
    assert.deepEqual(await session(eve), []);
  });
  await check("what the browser brought back counts once, and in that browser only", async () => {
    const victim = await person();
    // A code that nobody has redeemed yet, with the state of somebody's own login: it would log the victim in as them.
    await eve.page.goto(`${origin}/login`);
    const page = await eve.page.evaluate(async () => {
      const answer = await fetch("/login/sso/begin", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
      return (await answer.json()).url;
    });
    await victim.page.goto(await letIn("alice", page));
    await victim.page.locator("#said.bad").filter({ hasText: "begin anew" }).waitFor();
    assert.deepEqual(await victim.context.cookies(), []);
    await alice.page.goto(alice.seen[1]);
    await alice.page.locator("#said.bad").filter({ hasText: "begin anew" }).waitFor();
    await victim.page.goto(`${origin}/login/sso?error=${encodeURIComponent("access_denied\u202e<img src=x>")}`);
    await victim.page.locator("#said.bad").filter({ hasText: "access_denied<img src=x>" }).waitFor();
  });
  await check("approving takes the passkey, whoever the provider says it is", async () => {
    const approve = alice.page.getByRole("button", { name: "Approve with my passkey" });
    await review(alice, id);
    await approve.click();
    await alice.page.locator("#said.bad").waitFor();
    assert.equal(stateWord(id), "proposed");
    const { line } = await enrol(alice, "alice@example.org", "approver");
    writeFileSync(APPROVERS, `${line}\n`);
    execFileSync("sh", ["-c", `"$LAB/host.sh" exec "$HOST" /bin/sh -c 'cat > /etc/mcp-linux-infra/approvers' < "$APPROVERS"`]);
    await open(alice, id);
    await approve.click();
    await alice.page.locator(".state-approved").waitFor();
    await alice.page.getByRole("button", { name: "Run it now" }).click();
    await alice.page.locator(".state-verified").waitFor();
  });
  for (const [theme, language] of [["light", "en"], ["dark", "fr"]]) {
    await check(`the login pages in ${theme}, ${language}: axe finds nothing, nothing is wider than a phone`, async () => {
      const { context, page } = await person();
      await context.setExtraHTTPHeaders({ "accept-language": language });
      await page.emulateMedia({ colorScheme: theme });
      for (const path of ["/login", "/login/sso?error=access_denied"]) {
        await page.setViewportSize({ width: 1100, height: 560 });
        await page.goto(origin + path);
        await page.evaluate(axe);
        const { violations } = await page.evaluate(() => window.axe.run());
        assert.deepEqual(violations.map((v) => `${path}: ${v.id}: ${v.nodes[0].html}`), []);
        if (SHOTS && path === "/login") await page.screenshot({ path: `${SHOTS}/login-${theme}.png` });
        await page.setViewportSize({ width: 360, height: 740 });
        const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= room, `${path} is ${wide} wide on ${room}`);
      }
    });
  }
  await check("an account that was revoked here is out at once, whatever the provider says", async () => {
    const { devices } = JSON.parse(own("dashboard", "devices", "--json"));
    await oscar.page.goto("about:blank");
    own("dashboard", "revoke", devices.find((d) => d.person === "oidc:oscar@example.org").id);
    await oscar.page.goto(origin);
    await oscar.page.waitForURL(`${origin}/login`);
    await enter(oscar);
    await oscar.page.locator("#said.bad").filter({ hasText: "login refused" }).waitFor();
  });
});
