//! The tools that look, through the real program on a real host, against what root sees there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeMap;

use e2e::mcp::{Client, Era};
use e2e::{Lab, Server};
use serde_json::{Value, json};

/// A client that holds every answer to the tool's own output schema.
struct Tools {
    client: Client,
    schemas: BTreeMap<String, Value>,
}

impl Tools {
    fn new(server: &Server<'_>) -> Self {
        let mut client = Client::start(server, Era::Modern);
        let list = client.request("tools/list", json!({}));
        let tools = list["result"]["tools"].as_array().unwrap().clone();
        let schema = |t: &Value| (t["name"].as_str().unwrap().to_owned(), t["outputSchema"].clone());
        Self { client, schemas: tools.iter().map(schema).collect() }
    }

    /// Calls a tool that must succeed; gives its data and its text.
    fn call(&mut self, tool: &str, arguments: &Value) -> (Value, String) {
        let mut result = self.client.call(tool, arguments);
        assert!(result["isError"] != true, "{tool} {arguments}: {result}");
        let text = result["content"][0]["text"].as_str().unwrap().to_owned();
        let data = result["structuredContent"].take();
        if let Some(schema) = self.schemas.get(tool) {
            fits(schema, &data, tool);
        }
        (data, text)
    }

    /// Calls a tool that must fail; gives the code.
    fn refused(&mut self, tool: &str, arguments: &Value) -> String {
        let result = self.client.call(tool, arguments);
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        result["structuredContent"]["error"]["code"].as_str().unwrap().to_owned()
    }

    fn rows(&mut self, tool: &str, arguments: &Value) -> Vec<Value> {
        self.call(tool, arguments).0["rows"].as_array().unwrap().clone()
    }
}

/// Types, required members and enums of a schema, as far as ours use them.
fn fits(schema: &Value, value: &Value, place: &str) {
    if let Some(kind) = schema["type"].as_str() {
        let is = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => true,
        };
        assert!(is, "{place}: {value} is no {kind}");
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(name.as_str().unwrap()).is_some(), "{place}: {name} is missing in {value}");
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            fits(inner, value, &format!("{place}.{name}"));
        }
    }
    if schema["items"].is_object() {
        for value in value.as_array().into_iter().flatten() {
            fits(&schema["items"], value, &format!("{place}[]"));
        }
    }
}

#[test]
fn what_the_host_is_made_of() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let cpu = tools.call("get_cpu_info", &json!({ "host": "t1" })).0;
    assert_eq!(cpu["cpu_count"].to_string(), lab.must("t1", "nproc --all"), "{cpu}");
    let devices = tools.rows("get_block_devices", &json!({ "host": "t1" }));
    let names = lab.must("t1", "lsblk -ln -o NAME");
    assert_eq!(devices.len(), names.lines().collect::<std::collections::BTreeSet<_>>().len(), "{devices:?}");
    let first = lab.must("t1", "lsblk -bdn -o NAME,SIZE | head -1");
    let (name, size) = first.split_once(' ').unwrap();
    let device = devices.iter().find(|d| d["name"] == name).unwrap();
    assert_eq!(device["size_bytes"].to_string(), size.trim());
}

#[test]
fn processes_by_user_and_name_and_in_pages() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let rows = tools.rows("get_processes", &json!({ "host": "t1", "command": "systemd", "user": "root" }));
    let first = rows.iter().find(|p| p["pid"] == 1).unwrap();
    assert_eq!((&first["command"], &first["user"]), (&json!("systemd"), &json!("root")));
    let unbound = tools.rows("get_processes", &json!({ "host": "t1", "command": "unbound" }));
    assert_eq!(unbound[0]["pid"].to_string(), lab.must("t1", "systemctl show unbound -p MainPID --value"));
    assert_eq!(unbound[0]["unit"], "unbound.service");
    // No argument of any process is in the answer, however it is asked for.
    let secret = lab
        .must("t1", "systemd-run -q --unit lab-secret /bin/sleep 4242424242; systemctl is-active lab-secret");
    let (all, text) = tools.call("get_processes", &json!({ "host": "t1", "limit": 500 }));
    lab.must("t1", "systemctl stop lab-secret");
    assert_eq!(secret, "active");
    assert!(
        text.contains("sleep") && !text.contains("4242424242") && !all.to_string().contains("4242424242")
    );
    // Page by page it is the same.
    let (page, text) = tools.call("get_processes", &json!({ "host": "t1", "limit": 4, "fields": ["pid"] }));
    assert_eq!(page["rows"].as_array().unwrap().len(), 4);
    assert!(page["rows"].as_array().unwrap().iter().all(|r| r.as_object().unwrap().len() == 1), "{page}");
    let mut next = page["next"].as_str().map(str::to_owned);
    assert!(text.contains(next.as_ref().unwrap()), "{text}");
    let mut seen = 4;
    while let Some(handle) = next {
        let more = tools.call("get_more", &json!({ "handle": handle })).0;
        assert_eq!((&more["tool"], &more["host"]), (&json!("get_processes"), &json!("t1")));
        seen += more["rows"].as_array().unwrap().len();
        next = more["next"].as_str().map(str::to_owned);
    }
    assert_eq!(json!(seen), page["total"]);
    assert_eq!(tools.refused("get_more", &json!({ "handle": "0".repeat(32) + "-0" })), "unknown_page");
    assert_eq!(tools.refused("get_processes", &json!({ "host": "t1", "fields": ["args"] })), "bad_arguments");
    assert_eq!(tools.refused("get_processes", &json!({ "host": "t1", "limit": 0 })), "bad_arguments");
}

#[test]
fn packages_are_those_of_dpkg() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let (data, _) =
        tools.call("list_packages", &json!({ "host": "t1", "show": "installed", "name": "openssh-server" }));
    assert_eq!(data["rows"][0]["version"], lab.must("t1", "dpkg-query -W -f '${Version}' openssh-server"));
    let installed = lab.must("t1", "dpkg-query -W -f '${db:Status-Status}\\n' | grep -cx installed");
    assert_eq!(data["installed"].to_string(), installed);
    assert_eq!(data["restart"]["running_kernel"], lab.must("t1", "uname -r"));
    assert_eq!(data["restart"]["asked_for"], false);
    assert!(data["updates"].is_u64(), "{data}");
    lab.must("t1", "touch /run/reboot-required");
    let data = tools.call("list_packages", &json!({ "host": "t1" })).0;
    lab.must("t1", "rm /run/reboot-required");
    assert_eq!((&data["restart"]["asked_for"], &data["restart"]["needed"]), (&json!(true), &json!(true)));
}

#[test]
fn services_are_checked_together() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let all = tools.call("list_services", &json!({ "host": "t1", "state": "running", "limit": 500 })).0;
    let running = lab.must("t1", "systemctl list-units --type=service --state=running --no-legend | wc -l");
    assert_eq!(all["total"].to_string(), running, "{all}");
    let question = json!({ "host": "t1", "services": ["caddy", "cron", "no-such-unit"] });
    let (data, text) = tools.call("check_service_health", &question);
    assert_eq!(
        (&data["all_healthy"], &data["rows"][0]["unit"]),
        (&json!(false), &json!("no-such-unit.service"))
    );
    assert!(text.contains("2 of 3 services are healthy") && text.contains("there is no such unit"), "{text}");
    let well = tools.call("check_service_health", &json!({ "host": "t1", "service_name": "caddy" })).0;
    assert_eq!(well["all_healthy"], true, "{well}");
    for services in [json!([]), json!(["-H"]), json!(["a b"])] {
        let question = json!({ "host": "t1", "services": services });
        assert_eq!(tools.refused("check_service_health", &question), "bad_arguments");
    }
}

#[test]
fn the_network_as_root_sees_it() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let here = lab.address("t1");
    let interfaces = tools.rows("get_network_interfaces", &json!({ "host": "t1" }));
    let eth0 = interfaces.iter().find(|i| i["name"] == "eth0").unwrap();
    assert!(eth0["addresses"].to_string().contains(&here) && eth0["rx_bytes"].as_u64() > Some(0), "{eth0}");
    let routes = tools.rows("get_routing_table", &json!({ "host": "t1" }));
    let v4 = routes.iter().filter(|r| r["family"] == "ipv4").count();
    assert_eq!(v4.to_string(), lab.must("t1", "ip -4 route | wc -l"), "{routes:?}");
    let ports = tools.rows("get_listening_ports", &json!({ "host": "t1", "protocol": "tcp", "limit": 500 }));
    let truth = lab.must("t1", "ss -Htln | wc -l");
    assert_eq!(ports.len().to_string(), truth, "{ports:?}");
    let ssh = ports.iter().find(|p| p["port"] == 22).unwrap();
    assert_eq!((&ssh["unit"], &ssh["exposed"]), (&json!("ssh.service"), &json!(true)), "{ssh}");
    let question = json!({ "host": "t1", "state": "established", "port": 22 });
    let connections = tools.call("get_active_connections", &question).0;
    assert!(
        connections["rows"].as_array().unwrap().iter().any(|c| c["local_address"] == here.as_str()),
        "our own is there: {connections}"
    );
    assert!(connections["counts"]["by_state"].to_string().contains("established"), "{connections}");
    let dns = tools.call("get_dns_config", &json!({ "host": "t1" })).0;
    let server_of = lab.must("t1", "awk '/^nameserver/ {print $2; exit}' /etc/resolv.conf");
    assert_eq!(dns["nameservers"][0], server_of.as_str());
    assert!(dns["hosts_file"].to_string().contains("t2.lab.test"), "{dns}");
}

#[test]
fn connectivity_goes_as_far_as_the_policy() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let there = lab.address("t2");
    let nobody = there.rsplit_once('.').map(|(net, _)| format!("{net}.199")).unwrap();
    for (kind, target, port, outcome) in [
        ("ping", there.as_str(), None, "ok"),
        ("ping", &nobody, None, "failed"),
        ("ping", "no-such-name.lab.test", None, "failed"),
        ("dns", "t2", None, "ok"),
        ("dns", "no-such-name.lab.test", None, "failed"),
        ("tcp", "localhost", Some(22), "ok"),
        ("tcp", "localhost", Some(9), "failed"),
        ("tls", "localhost", Some(9), "failed"),
        ("tcp", "t1", Some(22), "ok"),
        ("tcp", "no-such-name.lab.test", Some(22), "failed"),
        ("tls", "t1", Some(22), "failed"),
        ("http", "localhost", None, "ok"),
        ("tcp", there.as_str(), Some(22), "not_permitted"),
        ("tls", "t2", Some(443), "not_permitted"),
        ("http", there.as_str(), Some(8080), "not_permitted"),
        ("http", "169.254.169.254", None, "not_permitted"),
    ] {
        let question = json!({ "host": "t1", "kind": kind, "target": target, "port": port, "count": 1 });
        let data = tools.call("test_connectivity", &question).0;
        assert_eq!(data["outcome"], outcome, "{data}");
    }
    for target in ["-c", "http://x/", "a b", ""] {
        assert_eq!(
            tools.refused("test_connectivity", &json!({ "host": "t1", "target": target })),
            "bad_arguments"
        );
    }
    // A TLS server of the host's own shows its certificate; to a prober from outside, by name, its version.
    lab.must(
        "t1",
        "mkdir -p /root/lab-cert && cd /root/lab-cert && openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -days 2 -subj /CN=web.lab.test 2>/dev/null \
         && systemd-run -q --unit lab-probe openssl s_server -quiet -accept 8443 -cert /root/lab-cert/c -key /root/lab-cert/k \
         && for i in $(seq 100); do ss -Htln 'sport = 8443' | grep -q . && break; sleep 0.1; done",
    );
    let question = |target| json!({ "host": "t1", "kind": "tls", "target": target, "port": 8443 });
    let own = tools.client.call("test_connectivity", &question("localhost"));
    let probed = tools.client.call("test_connectivity", &question("t1"));
    lab.must("t1", "systemctl stop lab-probe; rm -r /root/lab-cert");
    let detail = own["structuredContent"]["detail"].as_str().unwrap();
    assert_eq!(own["structuredContent"]["outcome"], "ok", "{own}");
    assert!(detail.contains("TLSv1.") && detail.contains("CN = web.lab.test"), "{detail}");
    let detail = probed["structuredContent"]["detail"].as_str().unwrap();
    assert!(probed["structuredContent"]["outcome"] == "ok" && detail.contains("TLSv1.3"), "{probed}");
}

#[test]
fn logs_are_read_searched_and_grouped() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let mark = format!("labmark{}", std::process::id());
    lab.must(
        "t1",
        &format!(
            "for i in $(seq 12); do logger -p user.err -t lab-e2e \"worker $i of {mark} failed\"; done; \
             printf '{mark} \\033[31mred password=hunter2\\n' | logger -p user.warning -t lab-e2e; journalctl --sync"
        ),
    );
    let (data, text) = tools.call("search_logs", &json!({ "host": "t1", "pattern": mark, "since": "5min" }));
    assert_eq!(data["total"], 13, "the search does not find its own record: {text}");
    assert!(data["rows"][0]["message"].as_str().unwrap().contains("red password=[redacted]"), "{data}");
    assert!(data["redactions"].as_u64() >= Some(1) && !text.contains('\u{1b}') && !text.contains("hunter2"));
    let regex = json!({ "host": "t1", "pattern": format!("worker (3|4) of {mark}"), "regex": true });
    assert_eq!(tools.call("search_logs", &regex).0["total"], 2);
    let literal = json!({ "host": "t1", "pattern": format!("worker (3|4) of {mark}") });
    assert_eq!(tools.call("search_logs", &literal).0["total"], 0);
    let question = json!({ "host": "t1", "grep": mark, "priority": "err", "boot": 0, "lines": 5 });
    let rows = tools.rows("get_journal_logs", &question);
    let last = rows.last().unwrap()["message"].as_str().unwrap().to_owned();
    assert_eq!((rows.len(), last), (5, format!("worker 12 of {mark} failed")), "{rows:?}");
    let groups = tools.rows("analyze_errors", &json!({ "host": "t1", "since": "5min", "limit": 500 }));
    let ours = groups.iter().find(|g| g["sample"].as_str().unwrap().contains(&mark)).unwrap();
    assert_eq!((&ours["count"], &ours["severity"]), (&json!(12), &json!("warning")), "{ours}");
    assert!(ours["first"].as_str() <= ours["last"].as_str());
    let services = json!({ "host": "t1", "service": "caddy", "lines": 5 });
    assert!(tools.rows("fetch_logs", &services).len() <= 5);
    for (tool, arguments) in [
        ("get_journal_logs", json!({ "host": "t1", "unit": "-f" })),
        ("get_journal_logs", json!({ "host": "t1", "since": "--file=/x" })),
        ("search_logs", json!({ "host": "t1", "pattern": "" })),
        ("fetch_logs", json!({ "host": "t1", "lines": 1001 })),
    ] {
        assert_eq!(tools.refused(tool, &arguments), "bad_arguments", "{tool} {arguments}");
    }
}

#[test]
fn log_files_are_read_where_the_policy_lets() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    lab.must(
        "t1",
        "mkdir -p /var/log/lab-e2e && cd /var/log/lab-e2e && for i in $(seq 3000); do echo \"line $i 0123456789 0123456789\"; done > a.log \
         && gzip -k a.log && chmod -R a+rX .",
    );
    let path = "/var/log/lab-e2e/a.log";
    let (data, text) = tools.call("read_log_file", &json!({ "host": "t1", "path": path, "lines": 2 }));
    assert!(text.contains("line 3000 ") && data["total"] == 2, "{text}");
    let part = tools.rows("read_log_file", &json!({ "host": "t1", "path": path, "start": 10, "lines": 2 }));
    assert_eq!(
        (&part[0]["number"], part[1]["text"].as_str().unwrap().get(..7)),
        (&json!(10), Some("line 11"))
    );
    let packed = tools
        .rows("read_log_file", &json!({ "host": "t1", "path": "/var/log/lab-e2e/a.log.gz", "lines": 1 }));
    assert!(packed[0]["text"].as_str().unwrap().starts_with("line 3000 "));
    // The newest lines come first, what does not fit behind a handle.
    let long = tools.call("read_log_file", &json!({ "host": "t1", "path": path, "lines": 2000 })).0;
    let more = tools.call("get_more", &json!({ "handle": long["next"] })).0;
    let (newest, before) = (long["rows"].as_array().unwrap(), more["rows"].as_array().unwrap());
    assert!(newest.last().unwrap()["text"].as_str().unwrap().starts_with("line 3000 "));
    let number =
        |row: &Value| row["text"].as_str().unwrap().split(' ').nth(1).unwrap().parse::<u32>().unwrap();
    assert_eq!(
        number(before.last().unwrap()) + 1,
        number(&newest[0]),
        "no line is missing between the pages"
    );
    let found =
        tools.call("search_logs", &json!({ "host": "t1", "pattern": "line 30", "path": path, "limit": 3 })).0;
    assert_eq!((&found["total"], &found["rows"][0]["number"]), (&json!(12), &json!(3000)), "{found}");
    let packed = json!({ "host": "t1", "pattern": "LINE 2999", "log_path": "/var/log/lab-e2e/a.log.gz" });
    assert_eq!(tools.call("search_logs", &packed).0["total"], 1);
    for path in ["/etc/shadow", "/var/log/../../etc/shadow", "/root/.ssh/id_ed25519", "/proc/self/environ"] {
        assert_eq!(
            tools.refused("read_log_file", &json!({ "host": "t1", "path": path })),
            "blocked",
            "{path}"
        );
        let search = json!({ "host": "t1", "pattern": "root", "path": path });
        assert_eq!(tools.refused("search_logs", &search), "blocked", "{path}");
    }
    assert_eq!(tools.refused("read_log_file", &json!({ "host": "t1", "path": "-f" })), "bad_arguments");
    lab.must("t1", "rm -r /var/log/lab-e2e");
}

/// The container engine, opened to the reader as an operator does it; closed again at the end.
struct Engine<'a>(&'a Lab);

impl<'a> Engine<'a> {
    fn open(lab: &'a Lab) -> Self {
        lab.must(
            "t1",
            "mkdir -p /run/podman && systemd-run -q --unit lab-podman podman system service -t 0 unix:///run/podman/podman.sock \
             && for i in $(seq 100); do podman --url unix:///run/podman/podman.sock version >/dev/null 2>&1 && break; sleep 0.1; done; \
             chgrp mcp-reader /run/podman /run/podman/podman.sock && chmod 750 /run/podman && chmod 660 /run/podman/podman.sock",
        );
        Self(lab)
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        self.0.root("t1", "podman rm -f lab-e2e; systemctl stop lab-podman; rm -rf /run/podman");
    }
}

#[test]
fn containers_and_their_logs() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    let closed = tools.call("list_containers", &json!({ "host": "t1" })).0;
    assert!(closed["errors"].to_string().contains("podman"), "not opened yet, and it says so: {closed}");
    let engine = Engine::open(&lab);
    lab.must(
        "t1",
        "podman run -d --name lab-e2e localhost/lab-web:1 /bin/sh -c 'echo to-out; echo to-err password=hunter2 >&2; exit 3' >/dev/null; podman wait lab-e2e",
    );
    let (data, text) = tools.call("list_containers", &json!({ "host": "t1" }));
    let row =
        |name: &str| data["rows"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone();
    assert_eq!(
        (&row("lab-e2e")["state"], &row("lab-e2e")["exit_code"]),
        (&json!("exited"), &json!(3)),
        "{text}"
    );
    assert_eq!(row("lab-web")["state"], "running");
    assert!(!data.to_string().contains("to-out"), "no command of a container: {data}");
    let (logs, text) = tools.call("get_container_logs", &json!({ "host": "t1", "container": "lab-e2e" }));
    let lines: Vec<_> =
        logs["rows"].as_array().unwrap().iter().map(|l| (&l["stream"], &l["message"])).collect();
    assert_eq!(lines.len(), 2, "{logs}");
    assert!(lines.contains(&(&json!("stdout"), &json!("to-out"))), "{logs}");
    assert!(lines.contains(&(&json!("stderr"), &json!("to-err password=[redacted]"))), "{logs}");
    assert!(!text.contains("hunter2"));
    assert_eq!(
        tools.refused("get_container_logs", &json!({ "host": "t1", "container": "no-such" })),
        "command_failed"
    );
    assert_eq!(
        tools.refused("get_container_logs", &json!({ "host": "t1", "container": "--all" })),
        "bad_arguments"
    );
    drop(engine);
}

#[test]
fn names_and_arguments_of_old_still_work() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut tools = Tools::new(&server);
    for (tool, arguments) in [
        ("get_service_logs", json!({ "host": "t1", "service_name": "caddy", "lines": 5 })),
        ("get_service_status", json!({ "host": "t1", "service_name": "caddy" })),
        ("check_service_health", json!({ "host": "t1", "service_name": "caddy" })),
        (
            "get_journal_logs",
            json!({ "host": "t1", "lines": 5, "priority": "info", "since": "1h", "unit": "caddy" }),
        ),
        ("analyze_errors", json!({ "host": "t1", "service": "caddy", "since": "1h" })),
        ("test_connectivity", json!({ "host": "t1", "target": "localhost", "count": 1 })),
        ("search_logs", json!({ "host": "t1", "pattern": "caddy", "lines": 5 })),
        ("list_pending_approvals", json!({})),
        (
            "propose_remote_execution",
            json!({ "host": "t1", "action": "flush_dns_cache", "rationale": "test" }),
        ),
    ] {
        tools.call(tool, &arguments);
    }
    // What it let a model do by itself is refused, and nothing is proposed for it.
    let asked = json!({ "host": "t1", "action": "flush_dns_cache", "rationale": "x", "auto_approve": true });
    assert_eq!(tools.refused("propose_remote_execution", &asked), "bad_arguments");
    assert!(!tools.schemas.contains_key("get_service_logs"), "old names are not listed");
    let answer = tools.client.request("tools/call", json!({ "name": "approve_command", "arguments": {} }));
    assert!(answer["error"]["message"].as_str().unwrap().contains("unknown tool"), "{answer}");
}
