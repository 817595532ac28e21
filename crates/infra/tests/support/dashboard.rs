//! A running `dashboard`, persons with passkeys in software, and what the script of an open page does.
//!
//! `support/serve.rs` must be beside it as `serve`.

use std::io::{BufRead, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use base64ct::{Base64UrlUnpadded, Encoding};
use mcp_linux_infra::app::App;
use mcp_linux_infra::config::{Config, Environment};
use mcp_linux_infra::store::{NewProposal, ProposalKind, Store};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::serve::{Answer, PATIENCE, command, folder, read_answer, request};

/// A `dashboard` on a free port of loopback; it ends with the value.
pub(crate) struct Dashboard {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Dashboard {
    pub(crate) fn start(config: &str) -> Self {
        let dir = folder(config);
        let mut child = command(dir.path(), &["dashboard", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut start = String::new();
        lines.read_line(&mut start).unwrap();
        let port =
            start.split("dashboard for http://localhost:").nth(1).and_then(|rest| rest.split(' ').next());
        let port = port.unwrap_or_else(|| panic!("{start}")).parse().unwrap();
        // What it logs must not fill a pipe that nobody reads.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child, dir, port }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn authority(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.authority())
    }

    pub(crate) fn state(&self) -> PathBuf {
        state_of(self.dir.path())
    }

    /// The database, as another process opens it.
    pub(crate) fn store(&self) -> Store {
        Store::open(&self.state()).unwrap()
    }

    /// The dashboard's own parts, in this process.
    pub(crate) fn app(&self) -> App {
        let home = self.dir.path().to_str().unwrap();
        let state = self.dir.path().join("state");
        let env = Environment::from([("HOME", home), ("XDG_STATE_HOME", state.to_str().unwrap())]);
        App::new(Config::load(Some(&self.dir.path().join("c.toml")), &env).unwrap()).unwrap()
    }

    /// Sends a request with just these headers beside `Host`, and reads the whole answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let authority = self.authority();
        let mut all = vec![("Host", authority.as_str())];
        if headers.iter().any(|(name, _)| *name == "Host") {
            all.clear();
        }
        all.extend_from_slice(headers);
        let _ = stream.write_all(request(method, path, &all, body).as_bytes());
        read_answer(stream)
    }

    pub(crate) fn get(&self, cookie: &str, path: &str) -> Answer {
        self.send("GET", path, &[("Cookie", cookie)], "")
    }

    /// Sends what a page's script sends.
    pub(crate) fn post(&self, cookie: &str, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("Cookie", cookie), ("Origin", &self.origin())], &body.to_string())
    }

    /// Invites a person on the command line and enrols their two passkeys.
    pub(crate) fn enrol(&self, name: &str, role: &str) -> Person {
        let invited =
            command(self.dir.path(), &["dashboard", "invite", name, "--role", role, "--json"]).output();
        let invited: Value = serde_json::from_slice(&invited.unwrap().stdout).unwrap();
        let token = invited["link"].as_str().unwrap().split_once('#').unwrap().1;
        let asked = self.post("", "/enrol/begin", &json!({ "token": token }));
        assert_eq!(asked.status, 200, "{asked:?}");
        let asked = asked.message();
        let (login, approve) = (Passkey::new(), Passkey::new());
        let made = |key: &Passkey, purpose: &str| {
            key.create(asked[purpose]["challenge"].as_str().unwrap(), &self.origin())
        };
        let body =
            json!({ "token": token, "login": made(&login, "login"), "approve": made(&approve, "approve") });
        let done = self.post("", "/enrol/finish", &body);
        assert_eq!(done.status, 200, "{done:?}");
        Person { login, approve }
    }

    /// Logs the person in; the cookie.
    pub(crate) fn login(&self, person: &Person) -> String {
        let answer = self.post("", "/login/finish", &person.login_again(self));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state_of(dir: &Path) -> PathBuf {
    dir.join("state/mcp-linux-infra")
}

/// A proposal to restart unbound that waits for an hour.
pub(crate) fn asked(app: &App) -> NewProposal {
    let action = app.actions().get("restart_unbound").unwrap();
    NewProposal {
        tenant: "default".into(),
        host: "web01".into(),
        kind: ProposalKind::Action,
        action: action.name.clone(),
        params: std::collections::BTreeMap::new(),
        argv: Vec::new(),
        risk: action.risk.to_string(),
        rationale: "DNS is down".into(),
        proposed_by: "assistant:test".into(),
        machine_id: "0".repeat(64),
        plan: action.plan().to_owned(),
        policy: "2".repeat(64),
        approvals: 1,
        expires_ms: mcp_linux_infra::store::now_ms() + 3_600_000,
    }
}

/// Somebody with two passkeys.
pub(crate) struct Person {
    login: Passkey,
    pub(crate) approve: Passkey,
}

impl Person {
    /// What their browser sends to log in.
    pub(crate) fn login_again(&self, dashboard: &Dashboard) -> Value {
        let asked = dashboard.post("", "/login/begin", &json!({})).message();
        self.login.get(asked["challenge"].as_str().unwrap(), &dashboard.origin())
    }
}

/// A passkey of `localhost`, as an authenticator that verified its user makes it.
pub(crate) struct Passkey {
    key: EcdsaKeyPair,
    id: [u8; 16],
}

impl Passkey {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let mut id = [0; 16];
        random.fill(&mut id).unwrap();
        Self { key, id }
    }

    /// What `navigator.credentials.create` gives.
    fn create(&self, challenge: &str, origin: &str) -> Value {
        let point = self.key.public_key().as_ref();
        let mut data = authenticator(0x45);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&[0, 16]);
        data.extend_from_slice(&self.id);
        // ES256 in COSE: kty EC2, alg -7, crv P-256, x, y.
        data.extend_from_slice(&[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend_from_slice(&point[1..33]);
        data.extend_from_slice(&[0x22, 0x58, 0x20]);
        data.extend_from_slice(&point[33..]);
        let client = client_data("webauthn.create", challenge, origin);
        json!({ "client_data": encode(&client), "authenticator_data": encode(&data) })
    }

    /// What `navigator.credentials.get` gives.
    pub(crate) fn get(&self, challenge: &str, origin: &str) -> Value {
        let client = client_data("webauthn.get", challenge, origin);
        let data = authenticator(0x05);
        let signed = [data.as_slice(), digest(&SHA256, &client).as_ref()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": encode(&self.id),
            "client_data": encode(&client),
            "authenticator_data": encode(&data),
            "signature": encode(signature.as_ref()),
        })
    }
}

/// RP id's digest, flags, a counter that is not kept.
fn authenticator(flags: u8) -> Vec<u8> {
    [digest(&SHA256, b"localhost").as_ref(), &[flags, 0, 0, 0, 0]].concat()
}

fn client_data(kind: &str, challenge: &str, origin: &str) -> Vec<u8> {
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
        .into_bytes()
}

fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}
