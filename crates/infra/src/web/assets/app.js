"use strict";
// No page needs this to be read; it answers passkeys, sends what a person decides, and keeps live parts fresh.
(() => {
  const said = document.getElementById("said");
  const words = document.body.dataset;
  const tell = (text, bad) => { said.textContent = text; said.classList.toggle("bad", !!bad); };
  const encode = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

  async function post(path, body) {
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body || {}) });
    const data = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(data.error || answer.status + " " + answer.statusText);
    return data;
  }
  async function assertion(challenge, rpId, allow) {
    const made = await navigator.credentials.get({ publicKey: { challenge: decode(challenge), rpId, userVerification: "required", allowCredentials: allow.map((id) => ({ type: "public-key", id: decode(id) })) } });
    const r = made.response;
    return { id: encode(made.rawId), client_data: encode(r.clientDataJSON), authenticator_data: encode(r.authenticatorData), signature: encode(r.signature) };
  }
  // A link to a proposal leads there once somebody is in, and nowhere else.
  const [, id] = location.pathname === "/login" && location.search.match(/^\?to=(pr_[0-9a-f]{16})$/) || [];
  const wanted = id && "/proposals/" + id;
  // Who follows a link on another site is not seen to be logged in (SameSite=Strict); who asks from here is.
  if (wanted) fetch(wanted, { method: "HEAD", redirect: "manual" }).then((answer) => { if (answer.ok) location.replace(wanted); }).catch(() => {});
  const passkey = {
    async login() {
      const asked = await post("/login/begin");
      await post("/login/finish", await assertion(asked.challenge, asked.rp_id, []));
      location.replace(wanted || "/");
    },
    async sso() {
      const asked = await post("/login/sso/begin", id ? { to: id } : {});
      location.assign(asked.url);
    },
    async enrol(button) {
      const token = location.hash.slice(1);
      const asked = await post("/enrol/begin", { token });
      const create = async (user, residentKey) => {
        const made = await navigator.credentials.create({ publicKey: { challenge: decode(user.challenge), rp: { id: asked.rp_id, name: "mcp-linux-infra" }, user: { id: decode(user.user_id), name: user.name, displayName: user.name }, pubKeyCredParams: [{ type: "public-key", alg: -7 }], authenticatorSelection: { residentKey, userVerification: "required" }, attestation: "none" } });
        return { client_data: encode(made.response.clientDataJSON), authenticator_data: encode(made.response.getAuthenticatorData()) };
      };
      const login = await create(asked.login, "required");
      // Not one that a login offers.
      const approve = await create(asked.approve, "discouraged");
      const done = await post("/enrol/finish", { token, login, approve });
      const shown = document.getElementById("enrolled");
      shown.querySelector("pre").textContent = done.line;
      shown.hidden = false;
      button.hidden = true;
      history.replaceState(null, "", location.pathname);
    },
    async approve(button) {
      const d = button.dataset;
      const asked = await post("/proposals/" + d.id + "/keys");
      const given = await assertion(d.challenge, asked.rp_id, asked.ids);
      await post("/proposals/" + d.id + "/approve", { sha256: d.sha256, ...given });
      await refresh();
    },
    async deny(button) {
      const panel = document.getElementById("denial"), asked = denial;
      if (!asked) return;
      const given = await assertion(asked.challenge, asked.rp_id, asked.ids);
      const done = await post("/proposals/" + button.dataset.id + "/deny", { statement: asked.statement, ...given });
      denial = null;
      panel.hidden = true;
      await refresh();
      if (!done.told) throw new Error(done.message);
    },
  };
  // The denial that is being shown, and nothing else, is what the passkey signs.
  let denial = null;
  async function show(form) {
    const panel = document.getElementById("denial");
    denial = null;
    panel.hidden = true;
    const asked = await post("/proposals/" + form.dataset.deny + "/deny/begin", Object.fromEntries(new FormData(form)));
    panel.querySelector("pre").textContent = asked.shown;
    panel.querySelector("p code").textContent = asked.sha256;
    denial = asked;
    panel.hidden = false;
    panel.focus();
  }
  async function work(button, act) {
    button.disabled = true;
    tell(words.working);
    try { await act(); tell(""); } catch (e) { tell(words.failed + " " + e.message, true); } finally { button.disabled = false; }
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-passkey]");
    if (button) work(button, () => passkey[button.dataset.passkey](button));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-post]");
    if (!form) return;
    event.preventDefault();
    const button = event.submitter || form.querySelector("button");
    if (form.dataset.deny && !("here" in button.dataset)) return work(button, () => show(form));
    work(button, async () => {
      await post(form.dataset.post, Object.fromEntries(new FormData(form)));
      if (form.dataset.then) location.replace(form.dataset.then); else await refresh();
    });
  });

  // Back from the provider: what it sent along goes to the server from here, and out of the address.
  if (document.querySelector("[data-sso]")) {
    const sent = new URLSearchParams(location.search);
    history.replaceState(null, "", location.pathname);
    tell(words.working);
    (async () => {
      if (sent.get("error")) throw new Error(sent.get("error").replace(/[^ -~]/g, "").slice(0, 100));
      const body = { state: sent.get("state") || "", code: sent.get("code") || "" };
      if (sent.has("iss")) body.iss = sent.get("iss");
      const done = await post("/login/sso/finish", body);
      location.replace(/^pr_[0-9a-f]{16}$/.test(done.to || "") ? "/proposals/" + done.to : "/");
    })().catch((e) => tell(words.failed + " " + e.message, true));
  }

  // Live parts: the server says that something has changed, the page asks for itself and takes what differs.
  const live = document.querySelector("[data-live]");
  let had = live && live.innerHTML, tag = "", asking = false, again = false;
  async function refresh() {
    if (!live) return location.reload();
    if (asking) { again = true; return; }
    asking = true;
    try {
      // The part alone, where the server has it, and nothing when it is still the one that this page has.
      const answer = await fetch(location.href, { headers: { accept: "text/html", "x-live": "1", "if-none-match": tag } });
      if (answer.redirected) return location.replace(answer.url);
      if (answer.status !== 304) take(await answer.text(), answer.headers.get("etag") || "");
    } finally {
      asking = false;
      if (again) { again = false; refresh(); }
    }
  }
  function take(html, newTag) {
    const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("[data-live]");
    const active = live.contains(document.activeElement) ? document.activeElement : null;
    // What somebody is writing is not taken from under their hands; the next change brings it.
    if (!fresh || (active && active.value && fresh.innerHTML !== had)) return;
    tag = newTag;
    if (fresh.innerHTML === had) return;
    had = fresh.innerHTML;
    live.replaceChildren(...fresh.childNodes);
    if (active) ([...live.querySelectorAll(active.tagName)].find((e) => e.outerHTML === active.outerHTML) || document.getElementById("main")).focus();
    tell(words.updated);
    count();
  }
  if (live) {
    const events = new EventSource("/events");
    events.addEventListener("change", refresh);
    // It tries again by itself unless it was refused: then nobody is logged in any more, and the page says so.
    events.addEventListener("error", () => { if (events.readyState === EventSource.CLOSED) refresh(); });
  }
  function count() {
    for (const time of document.querySelectorAll("[data-until]")) {
      const left = Math.floor((Number(time.dataset.until) - Date.now()) / 1000);
      time.textContent = left > 0 ? Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0") : words.expired;
    }
  }
  count();
  setInterval(count, 1000);
})();
