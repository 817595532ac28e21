//! `dashboard` as a process, with persons whose passkeys are software: what it asks of a request, what a GET may do, and that no open
//! page misses a proposal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/serve.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod serve;

#[path = "support/dashboard.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod dashboard;

#[path = "support/viewer.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod viewer;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use dashboard::{Dashboard, asked};
use mcp_linux_infra::store::{Proposal, State, now_ms};
use serde_json::{Value, json};
use serve::{Answer, PATIENCE};
use viewer::Viewer;

const ID: &str = "pr_00000000000000a1";
/// Every page and everything else that is fetched.
const GETS: &[&str] = &[
    "/",
    "/history",
    "/proposals/pr_00000000000000a1",
    "/proposals/pr_ffffffffffffffff",
    "/hosts",
    "/policy?q=dns",
    "/learning",
    "/audit",
    "/people",
    "/login",
    "/login/sso?code=a&state=b",
    "/enrol",
    "/assets/app.js",
    "/nowhere",
];
/// Everything that changes something.
const POSTS: &[&str] = &[
    "/proposals/pr_00000000000000a1/review",
    "/proposals/pr_00000000000000a1/keys",
    "/proposals/pr_00000000000000a1/approve",
    "/proposals/pr_00000000000000a1/reject",
    "/proposals/pr_00000000000000a1/run",
    "/learning/accept",
    "/learning/dismiss",
    "/devices/revoke",
    "/login/begin",
    "/login/finish",
    "/login/sso/begin",
    "/login/sso/finish",
    "/enrol/begin",
    "/enrol/finish",
    "/logout",
];

/// A dashboard with one proposal and somebody of the role who is logged in.
fn with_person(role: &str, wanted: u32) -> (Dashboard, dashboard::Person, String) {
    let dashboard = Dashboard::start("[[hosts]]\nname = \"web01\"\n");
    let mut proposal = asked(&dashboard.app());
    proposal.approvals = wanted;
    dashboard.store().propose(ID, &proposal).unwrap();
    let person = dashboard.enrol("alice@example.org", role);
    let cookie = dashboard.login(&person);
    (dashboard, person, cookie)
}

fn proposal(dashboard: &Dashboard) -> Proposal {
    dashboard.store().proposal(ID).unwrap()
}

fn events(dashboard: &Dashboard, event: &str) -> usize {
    let needle = format!("\"event\":\"{event}\"");
    dashboard.store().audit_tail(1000).unwrap().iter().filter(|l| l.contains(&needle)).count()
}

/// The database's bytes: the file and what is not yet in it.
fn bytes(dashboard: &Dashboard) -> (Vec<u8>, Vec<u8>) {
    let read = |name: &str| std::fs::read(dashboard.state().join(name)).unwrap_or_default();
    (read("state.db"), read("state.db-wal"))
}

/// What a person's script sends once it was shown what to sign.
fn approval(dashboard: &Dashboard, person: &dashboard::Person, cookie: &str) -> Value {
    let fixed = dashboard.post(cookie, &format!("/proposals/{ID}/review"), &json!({}));
    assert_eq!(fixed.status, 200, "{fixed:?}");
    let statement = proposal(dashboard).statement.unwrap();
    let challenge = Base64UrlUnpadded::encode_string(&grant::webauthn::challenge(&statement));
    let mut body = person.approve.get(&challenge, &dashboard.origin());
    body["sha256"] = fixed.message()["sha256"].clone();
    body
}

fn has_all(answer: &Answer, path: &str) {
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    assert!(
        policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
        "{path}: {policy}"
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
}

#[test]
fn a_passkey_whose_id_begins_like_an_option_can_be_revoked() {
    let dashboard = Dashboard::start("[[hosts]]\nname = \"web01\"\n");
    for id in ["-5cnCrKMsGgOfWO0W5lUWRLx3vN0CiFX", "-hK3", "-V", "--5cnCrKMsGgOfW"] {
        let output = serve::command(dashboard.dir.path(), &["dashboard", "revoke", id]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("there is no device {id}")), "{id}: {said}");
    }
}

#[test]
fn strangers_keep_nobody_out_and_a_passkey_that_fails_often_must_wait() {
    let (dashboard, alice, _) = with_person("approver", 1);
    let bob = dashboard.enrol("bob@example.org", "viewer");
    let statuses: HashSet<u16> = (0..40)
        .map(|_| {
            let mut mine = alice.login_again(&dashboard);
            mine["id"] = json!("bm9ib2R5");
            dashboard.post("", "/login/finish", &mine).status
        })
        .collect();
    assert_eq!(statuses, HashSet::from([403, 429]));
    for _ in 0..40 {
        let refused = dashboard.post("", "/enrol/begin", &json!({ "token": "guessed" })).status;
        assert_eq!(refused, 429);
    }
    dashboard.login(&alice);
    let carol = dashboard.enrol("carol@example.org", "viewer");
    dashboard.login(&carol);
    // By her passkey's id, without her passkey.
    let mut statuses = Vec::new();
    for _ in 0..11 {
        let mut mine = alice.login_again(&dashboard);
        mine["signature"] = bob.login_again(&dashboard)["signature"].clone();
        statuses.push(dashboard.post("", "/login/finish", &mine).status);
    }
    assert_eq!(statuses, [[403; 10].as_slice(), &[429]].concat());
    assert_eq!(dashboard.post("", "/login/finish", &alice.login_again(&dashboard)).status, 429);
    dashboard.login(&bob);
}

#[test]
fn mcp_http_06_the_models_channel_does_not_reach_the_dashboard() {
    let (dashboard, person, cookie) = with_person("approver", 1);
    let body = approval(&dashboard, &person, &cookie);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "approve", "arguments": { "id": ID } } });
    assert_eq!(dashboard.post("", "/mcp", &call).status, 404, "there is no MCP endpoint here");
    assert_eq!(dashboard.post(&cookie, "/mcp", &call).status, 404);
    // Whoever has no session of a person, and be it with a token of the MCP endpoint, does nothing.
    let origin = dashboard.origin();
    let bearer =
        [("Authorization", "Bearer alice-0123456789abcdef0123456789abcdef"), ("Origin", origin.as_str())];
    for path in POSTS.iter().filter(|p| p.starts_with("/proposals/") || p.starts_with("/learning/")) {
        assert_eq!(dashboard.send("POST", path, &bearer, &body.to_string()).status, 401, "{path}");
    }
    let stands = proposal(&dashboard);
    assert!(stands.state == State::Proposed && stands.signatures.is_empty());
    assert_eq!((events(&dashboard, "approved"), events(&dashboard, "rejected")), (0, 0));
}

#[test]
fn mcp_http_07_what_no_page_of_ours_sent_is_refused() {
    let (dashboard, person, cookie) = with_person("approver", 1);
    let body = approval(&dashboard, &person, &cookie).to_string();
    let (own, authority) = (dashboard.origin(), dashboard.authority());
    let before = bytes(&dashboard);
    for path in POSTS {
        for origin in [None, Some("null"), Some("https://evil.example"), Some("http://localhost:1")] {
            let mut headers = vec![("Cookie", cookie.as_str())];
            headers.extend(origin.map(|o| ("Origin", o)));
            assert_eq!(dashboard.send("POST", path, &headers, &body).status, 403, "{path} {origin:?}");
        }
        let twice =
            [("Cookie", cookie.as_str()), ("Origin", own.as_str()), ("Origin", "https://evil.example")];
        assert_eq!(dashboard.send("POST", path, &twice, &body).status, 403, "{path}");
        // What a form of another page can send.
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let headers = [("Cookie", cookie.as_str()), ("Origin", own.as_str()), ("Content-Type", kind)];
            assert_eq!(dashboard.send("POST", path, &headers, &body).status, 415, "{path} {kind}");
        }
        for host in ["evil.example", "127.0.0.1", "localhost"] {
            let headers = [("Host", host), ("Cookie", cookie.as_str()), ("Origin", own.as_str())];
            assert_eq!(dashboard.send("POST", path, &headers, &body).status, 403, "{path} {host}");
        }
        for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
            let headers = [("Cookie", cookie.as_str()), ("Origin", own.as_str())];
            assert_eq!(dashboard.send(method, path, &headers, &body).status, 405, "{path} {method}");
        }
    }
    assert_eq!(bytes(&dashboard), before, "nothing of it left a trace");
    // The very same body from a page of ours counts.
    let headers = [("Host", authority.as_str()), ("Cookie", cookie.as_str()), ("Origin", own.as_str())];
    assert_eq!(dashboard.send("POST", &format!("/proposals/{ID}/approve"), &headers, &body).status, 200);
    assert_eq!(proposal(&dashboard).state, State::Approved);
}

#[test]
fn mcp_http_08_no_answer_may_be_framed() {
    let (dashboard, _, cookie) = with_person("viewer", 1);
    for path in GETS {
        for cookie in ["", cookie.as_str()] {
            has_all(&dashboard.get(cookie, path), path);
        }
    }
    for path in POSTS {
        has_all(&dashboard.post(&cookie, path, &json!({})), path);
    }
    has_all(&dashboard.send("GET", "/", &[("Host", "evil.example")], ""), "a foreign host");
}

#[test]
fn mcp_http_09_markup_of_others_is_escaped_in_every_view() {
    const MARKUP: &str = "<script>alert(1)</script>";
    let (dashboard, _, cookie) = with_person("admin", 1);
    let mut hostile = asked(&dashboard.app());
    for field in [&mut hostile.host, &mut hostile.tenant, &mut hostile.risk, &mut hostile.proposed_by] {
        MARKUP.clone_into(field);
    }
    MARKUP.clone_into(&mut hostile.rationale);
    let store = dashboard.store();
    let said = json!({ "findings": [{ "severity": MARKUP, "check": MARKUP, "subject": MARKUP, "what": MARKUP,
        "evidence": [MARKUP] }], "checked": [MARKUP], "undone": [MARKUP], "more": true });
    for host in ["web01", MARKUP] {
        assert!(store.record_diagnosis(host, &said, now_ms()).unwrap());
        store.record_failed(host, MARKUP, now_ms() + 1000).unwrap();
    }
    let mut with_evidence = asked(&dashboard.app());
    MARKUP.clone_into(&mut with_evidence.rationale);
    store.propose("pr_00000000000000c3", &with_evidence).unwrap();
    store.propose("pr_00000000000000b2", &hostile).unwrap();
    store.reject("pr_00000000000000b2", MARKUP, MARKUP).unwrap();
    store.record_blocked(MARKUP, MARKUP, MARKUP, MARKUP, MARKUP, 1).unwrap();
    let sent = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let mut paths: Vec<String> = GETS.iter().map(|p| (*p).to_owned()).collect();
    paths.extend(["b2", "c3"].map(|end| format!("/proposals/pr_00000000000000{end}")));
    paths.push(format!("/proposals/{sent}"));
    paths.extend(["/policy", "/audit"].map(|p| format!("{p}?q={sent}")));
    let mut shown = 0;
    for path in &paths {
        let answer = dashboard.get(&cookie, path);
        assert!(!answer.body.to_ascii_lowercase().contains("<script>alert"), "{path}: {}", answer.body);
        shown += usize::from(answer.body.contains("&#60;script&#62;alert(1)"));
    }
    assert!(shown >= 7, "{shown} views show it as text");
    // In a header, and in what a script is answered.
    let answer = dashboard.send("GET", "/", &[("Host", MARKUP)], "");
    assert!(answer.status >= 400 && !answer.body.contains("<script>"), "{answer:?}");
    let answer = dashboard.post(&cookie, &format!("/proposals/{sent}/reject"), &json!({ "reason": "x" }));
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/json")), "{answer:?}");
}

#[test]
fn mcp_http_10_a_get_changes_nothing() {
    let (dashboard, person, cookie) = with_person("admin", 1);
    let body = approval(&dashboard, &person, &cookie);
    dashboard.store().record_blocked("lsscsi -l", "lsscsi", "lsscsi -l", "web01", "me", 1).unwrap();
    let before = bytes(&dashboard);
    for path in GETS {
        for method in ["GET", "HEAD"] {
            let answer = dashboard.send(method, path, &[("Cookie", &cookie)], "");
            assert!(matches!(answer.status, 200 | 404), "{method} {path}: {}", answer.status);
        }
        assert_eq!(bytes(&dashboard), before, "{path}");
    }
    // A link to what a POST does, as a preview of a chat would fetch it, with and without what the POST would carry.
    let query = format!("?id={ID}&sha256={}", body["sha256"].as_str().unwrap());
    for path in POSTS {
        for path in [(*path).to_owned(), format!("{path}{query}")] {
            assert_eq!(
                dashboard.send("GET", &path, &[("Cookie", &cookie)], &body.to_string()).status,
                405,
                "{path}"
            );
            assert_eq!(dashboard.send("HEAD", &path, &[("Cookie", &cookie)], "").status, 405, "{path}");
        }
    }
    assert_eq!(bytes(&dashboard), before);
    assert_eq!(proposal(&dashboard).state, State::Proposed);
}

#[test]
fn mcp_http_11_the_same_approval_twice_in_parallel_is_recorded_once() {
    let (dashboard, person, cookie) = with_person("approver", 2);
    let body = approval(&dashboard, &person, &cookie);
    let path = format!("/proposals/{ID}/approve");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let sent: Vec<_> =
            (0..8).map(|_| scope.spawn(|| dashboard.post(&cookie, &path, &body).status)).collect();
        sent.into_iter().map(|s| s.join().unwrap()).collect()
    });
    assert!(statuses.contains(&200) && statuses.iter().all(|s| matches!(s, 200 | 409)), "{statuses:?}");
    let stands = proposal(&dashboard);
    assert_eq!((stands.signatures.len(), events(&dashboard, "approved")), (1, 1));
    assert_eq!(stands.state, State::Proposed, "one person is one of two");
}

#[test]
fn a_page_that_is_the_same_is_not_sent_again_and_its_part_comes_alone() {
    let (dashboard, _, cookie) = with_person("viewer", 1);
    let part = |tag: &str| {
        dashboard.send("GET", "/", &[("Cookie", &cookie), ("X-Live", "1"), ("If-None-Match", tag)], "")
    };
    let first = part("");
    assert!(first.status == 200 && first.body.starts_with("<div data-live>"), "{first:?}");
    assert!(dashboard.get(&cookie, "/").body.contains(&first.body), "the whole page has the same part");
    let tag = first.header("etag").unwrap();
    let same = part(tag);
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    // In French it is another one, and nobody gets it without a login.
    let french =
        [("Cookie", cookie.as_str()), ("X-Live", "1"), ("If-None-Match", tag), ("Accept-Language", "fr")];
    assert_eq!(dashboard.send("GET", "/", &french, "").status, 200);
    assert_eq!(dashboard.send("GET", "/", &[("X-Live", "1"), ("If-None-Match", tag)], "").status, 303);
    dashboard.store().reject(ID, "alice", "no").unwrap();
    let changed = part(tag);
    assert!(changed.status == 200 && !changed.body.contains(ID), "{changed:?}");
}

#[test]
fn an_event_stream_ends_with_its_session() {
    let (dashboard, _, cookie) = with_person("viewer", 1);
    let mut stream = TcpStream::connect(("127.0.0.1", dashboard.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let headers = [("Host", &*dashboard.authority()), ("Cookie", &*cookie), ("Connection", "close")];
    stream.write_all(serve::request("GET", "/events", &headers, "").as_bytes()).unwrap();
    let mut heard = String::new();
    while !heard.contains("event: change") {
        let mut some = [0; 512];
        let n = stream.read(&mut some).unwrap();
        assert!(n > 0, "{heard}");
        heard.push_str(std::str::from_utf8(&some[..n]).unwrap());
    }
    assert_eq!(dashboard.post(&cookie, "/logout", &json!({})).status, 200);
    dashboard.store().reject(ID, "alice", "no").unwrap();
    // Without the end of the stream this fails by the time limit.
    stream.read_to_string(&mut heard).unwrap();
    assert_eq!(dashboard.get(&cookie, "/events").status, 303);
}

#[test]
fn a_suggestion_is_accepted_by_an_admin_alone_and_no_policy_changes() {
    let (dashboard, _, admin) = with_person("admin", 1);
    let approver = dashboard.login(&dashboard.enrol("bob@example.org", "approver"));
    let store = dashboard.store();
    for (shape, name) in [("lsscsi -l", "lsscsi"), ("rm PATH", "rm")] {
        store.record_blocked(shape, name, shape, "web01", "assistant", 1).unwrap();
    }
    let ask = |cookie: &str, what: &str, shape: &str| {
        dashboard.post(cookie, &format!("/learning/{what}"), &json!({ "shape": shape })).status
    };
    let page = |cookie: &str| dashboard.get(cookie, "/learning").body;
    let policy = dashboard.app().catalogue().digest().to_owned();
    let files = || std::fs::read_dir(dashboard.dir.path()).unwrap().count();
    let before = files();
    assert_eq!((ask(&approver, "accept", "lsscsi -l"), ask(&approver, "dismiss", "rm PATH")), (403, 403));
    assert!(
        !page(&approver).contains("data-post=\"/learning")
            && page(&admin).contains("data-post=\"/learning/accept")
    );
    // What may not be accepted, and what nobody asked for.
    assert_eq!(
        (ask(&admin, "accept", "rm PATH"), ask(&admin, "accept", "none"), ask(&admin, "dismiss", "none")),
        (409, 404, 404)
    );
    assert_eq!(events(&dashboard, "learning"), 0);
    assert_eq!((ask(&admin, "accept", "lsscsi -l"), ask(&admin, "dismiss", "rm PATH")), (200, 200));
    assert_eq!(events(&dashboard, "learning"), 2);
    let shown = page(&approver);
    assert!(
        shown.contains("not in force")
            && shown.contains("[[command.form]]")
            && shown.contains("alice@example.org")
    );
    assert!(!page(&admin).contains("data-post=\"/learning"), "all is decided");
    let suggested =
        serve::command(dashboard.dir.path(), &["learn", "suggestions", "--min-count", "1", "--json"])
            .output();
    let suggested = String::from_utf8(suggested.unwrap().stdout).unwrap();
    assert!(suggested.contains("lsscsi -l") && !suggested.contains("rm PATH"), "{suggested}");
    assert_eq!(
        (dashboard.app().catalogue().digest(), files()),
        (policy.as_str(), before),
        "nothing is in force"
    );
}

#[test]
fn a_page_says_how_hosts_are_and_what_one_said_before_a_proposal() {
    let (dashboard, _, cookie) = with_person("viewer", 1);
    let (store, hosts) = (dashboard.store(), || dashboard.get(&cookie, "/hosts").body);
    assert!(hosts().contains("not asked yet"));
    assert!(!dashboard.get(&cookie, &format!("/proposals/{ID}")).body.contains("What the host said before"));
    store.record_reached("web01", now_ms() - 2000).unwrap();
    assert!(hosts().contains("mark-ok\">answers"));
    let said = json!({ "findings": [{ "severity": "critical", "check": "services", "subject": "unbound.service",
        "what": "it has failed", "evidence": ["exit code 1"] }], "checked": ["services"], "undone": ["dns"] });
    store.record_diagnosis("web01", &said, now_ms() - 1000).unwrap();
    store.record_failed("web01", "no route to host", now_ms()).unwrap();
    let shown = hosts();
    for words in ["does not answer", "no route to host", "critical: unbound.service: it has failed"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    store.propose("pr_00000000000000b2", &asked(&dashboard.app())).unwrap();
    let shown = dashboard.get(&cookie, "/proposals/pr_00000000000000b2").body;
    for words in ["not proven", "unbound.service: it has failed", "exit code 1", "NOT checked: dns"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let french = [("Cookie", cookie.as_str()), ("Accept-Language", "fr")];
    assert!(dashboard.send("GET", "/hosts", &french, "").body.contains("ne répond pas"));
}

#[test]
fn the_end_of_a_proposal_is_recorded_by_the_program_not_by_a_look() {
    let dashboard = Dashboard::start("");
    let mut proposal = asked(&dashboard.app());
    proposal.expires_ms = 1;
    let store = dashboard.store();
    store.propose(ID, &proposal).unwrap();
    assert_eq!(store.proposal(ID).unwrap().state, State::Expired);
    let until = std::time::Instant::now() + PATIENCE;
    while events(&dashboard, "expired") == 0 {
        assert!(std::time::Instant::now() < until, "nobody recorded it");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(events(&dashboard, "expired"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_open_page_shows_every_proposal() {
    const PAGES: usize = 50;
    const PROPOSALS: u64 = 100;
    let dashboard = Dashboard::start("");
    let person = dashboard.enrol("alice@example.org", "viewer");
    let viewer = Viewer { port: dashboard.port, cookie: dashboard.login(&person) };
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let pages: Vec<_> = (0..PAGES)
        .map(|_| {
            let (viewer, open) = (viewer.clone(), Arc::clone(&open));
            tokio::spawn(async move {
                let mut missing: HashSet<u64> = (1..=PROPOSALS).collect();
                let watched = viewer.watch(
                    || open.add_permits(1),
                    |id| {
                        missing.remove(&id);
                        !missing.is_empty()
                    },
                );
                let ended = tokio::time::timeout(4 * PATIENCE, watched).await;
                (ended.map(|a| a.requests), missing)
            })
        })
        .collect();
    let all = tokio::time::timeout(PATIENCE, open.acquire_many(u32::try_from(PAGES).unwrap())).await;
    all.expect("all pages are open").unwrap().forget();
    let (store, asked) = (dashboard.store(), asked(&dashboard.app()));
    let proposed = tokio::task::spawn_blocking(move || {
        for number in 1..=PROPOSALS {
            store.propose(&format!("pr_{number:016x}"), &asked).unwrap();
        }
    });
    proposed.await.unwrap();
    for page in pages {
        let (ended, missing) = page.await.unwrap();
        assert!(ended.is_ok() && missing.is_empty(), "a page never showed {missing:?}");
    }
}
