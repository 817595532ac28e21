//! What a host may be probed for: root's list on the target decides, each address is judged, and a refused one sees nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use e2e::mcp::{Client, Era};
use e2e::{Lab, Server};
use serde_json::{Value, json};

/// A shell line that is run as root on a host once this value is dropped, also by a test that fails.
struct After<'a> {
    lab: &'a Lab,
    host: &'a str,
    line: String,
}

impl<'a> After<'a> {
    fn new(lab: &'a Lab, host: &'a str, line: impl Into<String>) -> Self {
        Self { lab, host, line: line.into() }
    }
}

impl Drop for After<'_> {
    fn drop(&mut self) {
        self.lab.root(self.host, &self.line);
    }
}

/// `target.toml` of a host, as it was once this value is dropped.
struct Listed<'a>(After<'a>);

const CONFIG: &str = "/etc/mcp-linux-infra/target.toml";

impl<'a> Listed<'a> {
    fn nothing(lab: &'a Lab, host: &'a str) -> Self {
        lab.must(host, &format!("cp -p {CONFIG} /root/target.toml.kept"));
        Self(After::new(lab, host, format!("mv /root/target.toml.kept {CONFIG}")))
    }

    /// Root permits these.
    fn permit(&self, allow: &[String]) {
        let allow = serde_json::to_string(allow).unwrap();
        self.0.lab.must(
            self.0.host,
            &format!(
                "cp -p /root/target.toml.kept {CONFIG}; printf '\n[probe]\nallow = %s\n' '{allow}' >> {CONFIG}"
            ),
        );
    }
}

/// A listener that counts who connects.
struct Counter<'a> {
    end: After<'a>,
    port: u16,
    unit: String,
}

impl<'a> Counter<'a> {
    fn start(lab: &'a Lab, host: &'a str, address: &str, port: u16) -> Self {
        let unit = format!("lab-count-{port}");
        let program = format!(
            "import socket\ns = socket.create_server((\"{address}\", {port}))\nopen(\"/run/{unit}\", \"w\").close()\n\
             while True:\n  c, _ = s.accept()\n  open(\"/run/{unit}\", \"a\").write(\"connection\\n\")\n  \
             c.close()\n"
        );
        lab.must(
            host,
            &format!(
                "systemctl stop {unit} 2>/dev/null; rm -f /run/{unit}; cat > /run/{unit}.py << 'X'\n{program}\nX\n\
                 systemd-run -q --unit {unit} python3 /run/{unit}.py; \
                 for i in $(seq 100); do [ -e /run/{unit} ] && exit 0; sleep 0.1; done; exit 1"
            ),
        );
        let end = After::new(lab, host, format!("systemctl stop {unit}; rm -f /run/{unit} /run/{unit}.py"));
        Self { end, port, unit }
    }

    fn seen(&self) -> usize {
        self.end.lab.must(self.end.host, &format!("wc -l < /run/{}", self.unit)).parse().unwrap()
    }
}

fn probe(client: &mut Client, kind: &str, target: &str, port: u16) -> Value {
    let question = json!({ "host": "t1", "kind": kind, "target": target, "port": port });
    let answer = client.call("test_connectivity", &question);
    assert!(answer["isError"] != true, "{answer}");
    answer["structuredContent"].clone()
}

#[test]
fn another_host_is_reached_when_root_permits_it_and_sees_nothing_when_not() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let there = lab.address("t2");
    let counter = Counter::start(&lab, "t2", "0.0.0.0", 9301);
    let list = Listed::nothing(&lab, "t1");
    for (kind, target) in [("tcp", there.as_str()), ("tcp", "t2"), ("tls", "t2"), ("http", "t2.lab.test")] {
        let told = probe(&mut client, kind, target, counter.port);
        assert_eq!(told["outcome"], "not_permitted", "{told}");
        let would = format!("[probe] allow = [\"{there}:9301\"]");
        assert!(told["detail"].as_str().unwrap().contains(&would), "{told}");
    }
    // The neighbour's port, and the neighbour of the port.
    list.permit(&[format!("{there}:9300"), format!("{}:9301", lab.address("bastion"))]);
    assert_eq!(probe(&mut client, "tcp", "t2", counter.port)["outcome"], "not_permitted");
    assert_eq!(counter.seen(), 0, "nobody connected");
    list.permit(&[format!("{there}/32:9301"), format!("{there}:22"), format!("{there}:8080")]);
    let told = probe(&mut client, "tcp", "t2", counter.port);
    assert_eq!((&told["outcome"], &told["addresses"]), (&json!("ok"), &json!([there])), "{told}");
    assert!(told["connect_ms"].as_f64() > Some(0.0), "{told}");
    assert_eq!(counter.seen(), 1);
    let ssh = probe(&mut client, "http", "t2", 22);
    assert!(ssh["outcome"] == "failed" && ssh["detail"].as_str().unwrap().contains("not HTTP"), "{ssh}");
    let question = json!({ "host": "t1", "kind": "http", "target": "t2", "port": 8080, "path": "/no-such" });
    let web = client.call("test_connectivity", &question)["structuredContent"].clone();
    assert_eq!((&web["outcome"], &web["http_status"]), (&json!("ok"), &json!(404)), "{web}");
    assert!(web["answer_ms"].as_f64() > Some(0.0) && web["headers"]["content-type"].is_string(), "{web}");
    assert_eq!(probe(&mut client, "http", "t2", 8080)["http_status"], 200);
    assert_eq!(probe(&mut client, "tcp", "t2", 9300)["outcome"], "not_permitted");
}

#[test]
fn metadata_addresses_are_never_reached_whatever_root_lists() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let list = Listed::nothing(&lab, "t1");
    let _undo = After::new(
        &lab,
        "t1",
        "ip addr del 169.254.169.254/32 dev lo; sed -i '/metadata.lab.test/d' /etc/hosts",
    );
    lab.must("t1", "ip addr replace 169.254.169.254/32 dev lo; sed -i '/metadata.lab.test/d' /etc/hosts; echo '169.254.169.254 metadata.lab.test' >> /etc/hosts");
    let counter = Counter::start(&lab, "t1", "169.254.169.254", 9302);
    list.permit(&["0.0.0.0/0:*".to_owned(), "[::/0]:*".to_owned()]);
    let mut told = Vec::new();
    for target in [
        "169.254.169.254",
        "metadata.lab.test",
        "::ffff:169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
    ] {
        for kind in ["tcp", "http"] {
            told.push(probe(&mut client, kind, target, counter.port));
        }
    }
    let seen = counter.seen();
    // The list itself works: the same host is reached by another address.
    let open = probe(&mut client, "tcp", &lab.address("t2"), 22);
    for told in told {
        assert_eq!(told["outcome"], "not_permitted", "{told}");
    }
    assert_eq!((seen, &open["outcome"]), (0, &json!("ok")), "{open}");
}

#[test]
fn of_a_name_with_several_addresses_only_the_permitted_one_is_reached() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let there = lab.address("t2");
    let counter = Counter::start(&lab, "t2", "0.0.0.0", 9303);
    let _undo = After::new(&lab, "t1", "sed -i '/mixed.lab.test/d' /etc/hosts");
    // As a name would look that an attacker answers for: one address that is permitted, one that is not.
    lab.must("t1", &format!("sed -i '/mixed.lab.test/d' /etc/hosts; printf '%s mixed.lab.test\n' {there} 127.0.0.1 >> /etc/hosts"));
    let mixed = probe(&mut client, "tcp", "mixed.lab.test", counter.port);
    assert_eq!(
        (&mixed["outcome"], &mixed["addresses"]),
        (&json!("failed"), &json!(["127.0.0.1"])),
        "{mixed}"
    );
    assert!(mixed["detail"].as_str().unwrap().contains(&format!("not tried: {there}")), "{mixed}");
    assert_eq!(counter.seen(), 0, "nobody connected");
}

/// A name server whose answer for a name changes after the first one: what was judged is what is connected to.
const REBINDER: &str = r#"
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.99", 53)); open("/run/lab-rebind", "w").close(); asked = 0
while True:
    q, peer = s.recvfrom(512)
    end = q.index(b"\0", 12) + 5
    kind = struct.unpack(">H", q[end - 4:end - 2])[0]
    answer = b""
    if kind == 1:
        asked += 1
        open("/run/lab-rebind", "a").write("asked\n")
        address = "127.0.0.1" if asked == 1 else "THERE"
        answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(address)
    s.sendto(q[:2] + b"\x85\x80\x00\x01" + struct.pack(">H", 1 if answer else 0) + b"\0\0\0\0" + q[12:end] + answer, peer)
"#;

#[test]
fn a_name_that_changes_its_address_reaches_the_one_that_was_judged() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let there = lab.address("t2");
    let counter = Counter::start(&lab, "t2", "0.0.0.0", 9304);
    let own = Counter::start(&lab, "t1", "127.0.0.1", 9304);
    let _undo = After::new(
        &lab,
        "t1",
        "cat /run/nsswitch.kept > /etc/nsswitch.conf; umount \"$(cat /run/resolv.was)\"; systemctl stop lab-rebind; \
         rm -f /run/lab-rebind* /run/resolv.* /run/nsswitch.kept",
    );
    let program = REBINDER.replace("THERE", &there);
    lab.must(
        "t1",
        &format!(
            "cat > /run/lab-rebind.py << 'X'\n{program}\nX\nrm -f /run/lab-rebind; systemd-run -q --unit lab-rebind python3 /run/lab-rebind.py; \
             for i in $(seq 100); do [ -e /run/lab-rebind ] && break; sleep 0.1; done; \
             cp --remove-destination -L /etc/resolv.conf /run/resolv.kept; readlink -f /etc/resolv.conf > /run/resolv.was; \
             mount --bind /run/resolv.kept \"$(cat /run/resolv.was)\" && echo nameserver 127.0.0.99 > /run/resolv.kept; \
             cp -p /etc/nsswitch.conf /run/nsswitch.kept; sed -i 's/^hosts:.*/hosts: dns/' /etc/nsswitch.conf"
        ),
    );
    let first = probe(&mut client, "tcp", "rebound.example", 9304);
    let then = probe(&mut client, "tcp", "rebound.example", 9304);
    let asked = lab.must("t1", "wc -l < /run/lab-rebind");
    assert_eq!((&first["outcome"], &first["addresses"]), (&json!("ok"), &json!(["127.0.0.1"])), "{first}");
    assert_eq!(then["outcome"], "not_permitted", "the second answer is another host: {then}");
    assert_eq!(asked, "2", "each probe looked the name up once");
    assert_eq!((own.seen(), counter.seen()), (1, 0), "only the judged address saw a connection");
}
