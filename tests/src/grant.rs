//! Grants made with nothing but `ssh` and `ssh-keygen`, as a person does it when the server is down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Lab, Said, run};

/// Unix seconds.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Random hexadecimal digits.
pub fn random(digits: usize) -> String {
    let bytes = std::fs::read("/proc/sys/kernel/random/uuid").unwrap();
    let text: String = String::from_utf8(bytes).unwrap().chars().filter(char::is_ascii_hexdigit).collect();
    text[..digits].to_owned()
}

/// What the target says of itself.
pub fn describe(lab: &Lab, host: &str) -> Value {
    let said = lab.read(host, "mcp-describe");
    assert_eq!(said.exit, 0, "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

/// A statement for an action, valid for five minutes from now.
pub fn statement(lab: &Lab, host: &str, action: &str, params: &[(&str, &str)]) -> Value {
    let facts = describe(lab, host);
    let params: BTreeMap<_, _> = params.iter().copied().collect();
    json!({
        "v": 1, "proposal": format!("offline-{}", random(16)), "tenant": facts["tenant"], "host": facts["host"],
        "machine_id": facts["machine_id"], "kind": "action", "action": action, "params": params, "argv": [],
        "plan": facts["plans"][action], "policy": facts["policy"], "rationale": "end-to-end test", "proposed_by": "e2e",
        "not_before": now(), "expires_at": now() + 300, "nonce": random(32),
    })
}

/// The envelope: the statement and one signature per key, by `ssh-keygen -Y sign`.
pub fn sign(lab: &Lab, statement: &Value, keys: &[&str]) -> Vec<u8> {
    sign_as(lab, statement, keys, "pra-grant@mcp-linux-infra")
}

/// As [`sign`], for any namespace.
pub fn sign_as(lab: &Lab, statement: &Value, keys: &[&str], namespace: &str) -> Vec<u8> {
    let keys: Vec<PathBuf> = keys.iter().map(|key| lab.key(key)).collect();
    envelope(statement, &keys, namespace)
}

/// The statement and one signature by each key file.
pub fn envelope(statement: &Value, keys: &[impl AsRef<Path>], namespace: &str) -> Vec<u8> {
    let mut envelope = format!("{statement}\n").into_bytes();
    let bytes = envelope.clone();
    for key in keys {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-Y", "sign", "-n", namespace, "-f"]).arg(key.as_ref());
        let said = run(&mut keygen, &bytes);
        assert_eq!(said.exit, 0, "{said:?}");
        envelope.extend_from_slice(said.out.as_bytes());
    }
    envelope
}

/// The result JSON of a hand-over.
pub fn result(said: &Said) -> Value {
    serde_json::from_str(said.out.trim()).unwrap_or_else(|e| panic!("{e}: {said:?}"))
}

/// Signs with these keys, hands over, and gives exit status and result.
pub fn perform(lab: &Lab, host: &str, action: &str, params: &[(&str, &str)], keys: &[&str]) -> (i32, Value) {
    let said = lab.hand_over(host, &sign(lab, &statement(lab, host, action, params), keys));
    (said.exit, result(&said))
}
