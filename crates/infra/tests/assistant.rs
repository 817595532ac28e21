//! Approval in the assistant: what a call that needs a person's signature does, by what its client declared; against a played
//! target that counts what it runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]
#![allow(dead_code, reason = "each test program uses a part of the support")]

#[path = "support/played.rs"]
mod played;
#[path = "support/serve.rs"]
mod serve;
mod support;

use std::time::{Duration, Instant};

use played::{ACTION, Played, execute};
use serde_json::{Value, json};
use serve::Piped;

/// What clients declare.
fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

fn pages() -> Value {
    json!({ "elicitation": { "url": {} } })
}

fn error(message: &Value) -> &Value {
    &message["error"]
}

fn code(message: &Value) -> &str {
    message["result"]["structuredContent"]["error"]["code"].as_str().unwrap_or_default()
}

/// Asks for a task until it says what is wanted.
fn until(played: &Played, owner: &str, task: &str, status: &str) -> Value {
    let end = Instant::now() + serve::PATIENCE;
    loop {
        let told = played.task(owner, "tasks/get", task);
        if told["result"]["status"] == status {
            return told["result"].clone();
        }
        assert!(Instant::now() < end && told["result"]["status"] == "working", "{told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An execution that became a task.
fn left(played: &Played, id: &str) -> String {
    let answer = played.call("alice", &tasks(), "execute_pra_action", &execute(id));
    let task = &answer["result"];
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{answer}");
    task["taskId"].as_str().unwrap().to_owned()
}

#[test]
fn a_task_waits_for_the_signature_and_runs_exactly_once_also_after_a_restart() {
    let mut played = Played::start("");
    let id = played.propose("alice", "it is down");
    let task = left(&played, &id);
    assert_eq!(left(&played, &id), task, "the same call is the same task");
    let told = played.task("alice", "tasks/get", &task)["result"].clone();
    assert_eq!((&told["status"], &told["resultType"]), (&json!("working"), &json!("complete")), "{told}");
    let message = told["statusMessage"].as_str().unwrap();
    assert!(message.contains(&format!("https://infra.example.org/proposals/{id}")), "{told}");
    assert!(told["ttlMs"].as_u64().unwrap() >= 3_600_000 && told["pollIntervalMs"] == 3000, "{told}");
    assert!(told["createdAt"].as_str().unwrap().ends_with('Z'), "{told}");
    // For others it does not exist, as one that nobody has.
    for (owner, name) in [("bob", task.as_str()), ("alice", "task_0"), ("alice", id.as_str())] {
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let refused = played.task(owner, method, name);
            assert_eq!(error(&refused)["code"], -32602, "{method}: {refused}");
            assert!(!refused.to_string().contains(&id) || name == id, "{refused}");
        }
    }
    assert_eq!(played.runs(), 0);
    played.restart();
    assert_eq!(played.task("alice", "tasks/get", &task)["result"]["status"], "working");
    assert_eq!(played.runs(), 0, "nothing runs without a signature");
    played.approve(&id);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| played.task("alice", "tasks/get", &task));
        }
    });
    let done = until(&played, "alice", &task, "completed");
    let result = &done["result"];
    assert!(result["isError"] != true, "{done}");
    assert_eq!(result["structuredContent"]["proposal"]["state"], "verified", "{done}");
    assert_eq!(result["structuredContent"]["executed_now"], true, "the task has run it: {done}");
    assert_eq!(until(&played, "alice", &task, "completed")["result"], *result, "its answer stays");
    let again = played.call("alice", &tasks(), "execute_pra_action", &execute(&id));
    assert_eq!(again["result"]["structuredContent"]["executed_now"], false, "{again}");
    assert_eq!(played.runs(), 1);
}

#[test]
fn a_task_that_is_cancelled_runs_nothing_and_one_that_has_run_is_not_undone() {
    let played = Played::start("");
    let id = played.propose("alice", "it is down");
    let task = left(&played, &id);
    assert!(played.task("alice", "tasks/cancel", &task)["result"].is_object());
    played.approve(&id);
    for _ in 0..3 {
        assert_eq!(played.task("alice", "tasks/get", &task)["result"]["status"], "cancelled");
    }
    assert_eq!(played.runs(), 0, "nobody waits for it");
    // The person's decision stands, and another call may use it.
    let done = played.call("alice", &tasks(), "execute_pra_action", &execute(&id));
    assert_eq!(done["result"]["structuredContent"]["executed_now"], true, "{done}");
    assert_eq!(played.runs(), 1);
    let second = played.propose("alice", "again");
    let task = left(&played, &second);
    played.approve(&second);
    until(&played, "alice", &task, "completed");
    assert!(played.task("alice", "tasks/cancel", &task)["result"].is_object());
    let still = until(&played, "alice", &task, "completed");
    assert_eq!(still["result"]["structuredContent"]["executed_now"], true, "{still}");
    assert_eq!(played.runs(), 2);
}

#[test]
fn a_task_whose_proposal_is_rejected_ends_as_an_error() {
    let played = Played::start("");
    let id = played.propose("alice", "it is down");
    let task = left(&played, &id);
    played.cli(&["reject", &id, "--reason", "not now"]);
    let done = until(&played, "alice", &task, "completed");
    assert_eq!(done["result"]["isError"], true, "{done}");
    assert!(done["result"].to_string().contains("rejected"), "{done}");
    assert_eq!(played.runs(), 0);
}

#[test]
fn without_the_recovery_tools_there_are_no_tasks() {
    let played = Played::start("toolsets = [\"system\"]\n");
    let seen = played.ask("alice", &tasks(), "server/discover", json!({}));
    assert!(seen["result"]["capabilities"]["extensions"].is_null(), "{seen}");
    let refused = played.task("alice", "tasks/get", "task_0");
    assert_eq!(error(&refused)["code"], -32601, "{refused}");
}

/// A call with the state and the answer of a round before.
fn again(arguments: &Value, state: &Value, action: &str) -> Value {
    json!({ "name": "execute_pra_action", "arguments": arguments, "requestState": state,
        "inputResponses": { "approval_page": { "action": action } } })
}

#[test]
fn a_modern_client_is_asked_to_open_the_page_and_its_yes_approves_nothing() {
    let played = Played::start("");
    let id = played.propose("alice", "it is down");
    let execute = execute(&id);
    let asked = played.call("alice", &pages(), "execute_pra_action", &execute);
    let round = &asked["result"];
    assert_eq!(round["resultType"], "input_required", "{asked}");
    let page = &round["inputRequests"]["approval_page"];
    assert_eq!((&page["method"], &page["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    assert_eq!(page["params"]["url"], format!("https://infra.example.org/proposals/{id}"));
    assert!(!page.to_string().contains("it is down"), "what a model wrote is not shown: {page}");
    let state = &round["requestState"];
    // A state that was changed, of another call, of another caller, or of no call at all.
    let mut other = execute.clone();
    other["approval_token"] = json!(played.propose("bob", "another"));
    let text = state.as_str().unwrap();
    let changed =
        json!(format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' }));
    for (owner, params) in [
        ("alice", again(&execute, &changed, "accept")),
        ("alice", again(&execute, &json!("approved"), "accept")),
        ("alice", again(&other, state, "accept")),
        ("bob", again(&execute, state, "accept")),
    ] {
        let refused = played.ask(owner, &pages(), "tools/call", params);
        assert_eq!(error(&refused)["code"], -32602, "{refused}");
    }
    for action in ["decline", "cancel"] {
        let told = played.ask("alice", &pages(), "tools/call", again(&execute, state, action));
        assert_eq!(code(&told), "approval_required", "{told}");
    }
    assert_eq!(played.runs(), 0);
    // A client that says yes to everything at once: it waits, and is asked to come again, with nothing more to answer.
    let begin = Instant::now();
    let pending = played.ask("alice", &pages(), "tools/call", again(&execute, state, "accept"));
    assert_eq!(pending["result"]["resultType"], "input_required", "{pending}");
    assert!(pending["result"]["inputRequests"].is_null(), "the page is open: {pending}");
    assert!(begin.elapsed() >= Duration::from_secs(15), "a client that comes back at once is held");
    assert_eq!(played.runs(), 0, "a yes is no signature");
    let next = again(&execute, &pending["result"]["requestState"], "accept");
    let done = std::thread::scope(|scope| {
        let waits = scope.spawn(|| played.ask("alice", &pages(), "tools/call", next));
        played.approve(&id);
        waits.join().unwrap()
    });
    assert_eq!(done["result"]["structuredContent"]["executed_now"], true, "{done}");
    assert_eq!(played.runs(), 1);
}

#[test]
fn a_modern_client_learns_that_its_proposal_was_rejected() {
    let played = Played::start("");
    let id = played.propose("alice", "it is down");
    let execute = execute(&id);
    let asked = played.call("alice", &pages(), "execute_pra_action", &execute);
    played.cli(&["reject", &id, "--reason", "not now"]);
    let params = again(&execute, &asked["result"]["requestState"], "accept");
    let told = played.ask("alice", &pages(), "tools/call", params);
    assert_eq!((code(&told), &told["result"]["isError"]), ("wrong_state", &json!(true)), "{told}");
    assert_eq!(played.runs(), 0);
}

/// A client of the older protocol on stdio, which declares this.
fn legacy(played: &Played, capabilities: &Value) -> Piped {
    let mut server = Piped::start_in(played.stdio());
    let mut hello = serve::initialize();
    hello["params"]["capabilities"] = capabilities.clone();
    assert_eq!(server.ask(&hello.to_string())["result"]["protocolVersion"], "2025-11-25");
    server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
    server
}

fn send_call(server: &mut Piped, name: &str, arguments: &Value) {
    let params = json!({ "name": name, "arguments": arguments, "_meta": { "progressToken": "p" } });
    server.send(&json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params }).to_string());
}

/// Proposes over stdio; such a client is another caller.
fn proposed(server: &mut Piped) -> String {
    send_call(server, "propose_pra_action", &json!({ "host": "a", "action": ACTION, "rationale": "r" }));
    let answer = server.next();
    answer["result"]["structuredContent"]["proposal"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

/// The next message that is no progress.
fn next(server: &mut Piped) -> Value {
    loop {
        let message = server.next();
        if message["method"] != "notifications/progress" {
            return message;
        }
    }
}

#[test]
fn a_client_of_the_older_protocol_shows_the_page_while_the_call_waits() {
    let played = Played::start("");
    let mut server = legacy(&played, &pages());
    let id = proposed(&mut server);
    send_call(&mut server, "execute_pra_action", &execute(&id));
    let asked = next(&mut server);
    assert_eq!((&asked["method"], &asked["params"]["mode"]), (&json!("elicitation/create"), &json!("url")));
    assert!(asked["params"]["url"].as_str().unwrap().ends_with(&format!("/proposals/{id}")), "{asked}");
    assert!(asked["params"]["elicitationId"].as_str().unwrap().len() > 20, "{asked}");
    server
        .send(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "action": "accept" } }).to_string());
    // It says that it waits, so it has not ended by the yes.
    let progress = server.next();
    assert_eq!(progress["method"], "notifications/progress", "{progress}");
    assert_eq!(played.runs(), 0);
    played.approve(&id);
    let done = next(&mut server);
    assert_eq!(done["result"]["structuredContent"]["executed_now"], true, "{done}");
    assert_eq!(played.runs(), 1);
}

#[test]
fn a_client_of_the_older_protocol_that_does_not_show_the_page_is_told() {
    let played = Played::start("");
    let mut server = legacy(&played, &pages());
    let id = proposed(&mut server);
    for answer in [
        json!({ "result": { "action": "decline" } }),
        json!({ "result": { "action": "cancel" } }),
        json!({ "error": { "code": -32603, "message": "no" } }),
    ] {
        send_call(&mut server, "execute_pra_action", &execute(&id));
        let mut reply = answer;
        reply["jsonrpc"] = json!("2.0");
        reply["id"] = next(&mut server)["id"].clone();
        server.send(&reply.to_string());
        let told = next(&mut server);
        assert_eq!(code(&told), "approval_required", "{told}");
    }
    assert_eq!(played.runs(), 0);
}

#[test]
fn a_form_is_never_shown_and_a_client_that_accepts_everything_gets_nothing_run() {
    let played = Played::start("");
    for capabilities in
        [json!({}), json!({ "elicitation": {} }), json!({ "elicitation": { "form": {} } }), tasks()]
    {
        let mut server = legacy(&played, &capabilities);
        let id = proposed(&mut server);
        for _ in 0..3 {
            send_call(&mut server, "execute_pra_action", &execute(&id));
            let told = server.next();
            assert_eq!(
                (&told["id"], code(&told)),
                (&json!(7), "approval_required"),
                "it asks nothing: {told}"
            );
        }
    }
    let id = played.propose("alice", "it is down");
    for capabilities in [json!({}), json!({ "elicitation": {} }), json!({ "elicitation": { "form": {} } })] {
        let told = played.call("alice", &capabilities, "execute_pra_action", &execute(&id));
        assert_eq!((code(&told), &told["result"]["isError"]), ("approval_required", &json!(true)), "{told}");
        let error = &told["result"]["structuredContent"]["error"];
        assert_eq!(error["details"]["proposal"], id.as_str(), "{told}");
        assert!(error["message"].as_str().unwrap().contains("wait_for_approval"), "{told}");
        // What it would say of itself counts for nothing.
        let mut params = json!({ "name": "execute_pra_action", "arguments": execute(&id) });
        params["inputResponses"] =
            json!({ "approval_page": { "action": "accept", "content": { "approve": true } } });
        let told = played.ask("alice", &capabilities, "tools/call", params);
        assert_eq!(code(&told), "approval_required", "{told}");
    }
    assert_eq!(played.runs(), 0);
}

#[test]
fn without_a_dashboard_there_is_no_page_to_open() {
    let played = Played::without_dashboard();
    let id = played.propose("alice", "it is down");
    let told = played.call("alice", &pages(), "execute_pra_action", &execute(&id));
    assert_eq!(code(&told), "approval_required", "{told}");
    assert_eq!(played.runs(), 0);
}

#[test]
fn the_same_proposal_is_continued_and_runs_once_however_often_it_is_asked_for() {
    let played = Played::start("");
    let ids: Vec<String> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let played = &played;
                    move || played.propose("alice", &format!("reason {n}"))
                })
            })
            .collect();
        asked.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let id = ids[0].clone();
    assert!(ids.iter().all(|other| *other == id), "{ids:?}");
    let arguments = json!({ "host": "a", "action": ACTION, "rationale": "another reason" });
    let answer = played.call("alice", &json!({}), "propose_pra_action", &arguments);
    let same = &answer["result"]["structuredContent"];
    assert_eq!((&same["proposal"]["id"], &same["continued"]), (&json!(id), &json!(true)), "{answer}");
    assert!(same["proposal"]["rationale"].as_str().unwrap().starts_with("reason "), "{answer}");
    assert!(same["next"].as_str().unwrap().contains("first rationale"), "{answer}");
    assert_ne!(played.propose("bob", "another caller's"), id);
    played.approve(&id);
    assert_eq!(played.propose("alice", "signed, and open"), id);
    let executed: Vec<Value> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| played.call("alice", &json!({}), "execute_pra_action", &execute(&id))))
            .collect();
        calls.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let now = |answer: &&Value| answer["result"]["structuredContent"]["executed_now"] == true;
    assert_eq!(executed.iter().filter(now).count(), 1, "{executed:?}");
    assert!(executed.iter().all(|a| a["result"]["isError"] != true), "{executed:?}");
    assert_eq!(played.runs(), 1);
    let second = played.propose("alice", "it is down again");
    assert_ne!(second, id, "what has ended is not continued");
    played.cli(&["reject", &second, "--reason", "not now"]);
    let third = played.propose("alice", "once more");
    assert!(third != second && third != id);
    assert_eq!(played.runs(), 1);
}
