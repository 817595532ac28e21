//! A played target for tests of the whole of `pra-run`. Signatures are made by the real `ssh-keygen`.

#![allow(dead_code, reason = "each test program needs a part of it")]

pub(crate) mod passkey;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use grant::{Kind, Statement};
use serde_json::Value;
use target::{Paths, pra_run};

/// A played target with one action, which makes a mark, and one approver.
pub(crate) struct Played {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) paths: Paths,
}

pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn keygen(path: &Path) {
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(status.success());
}

/// 32 hexadecimal digits that differ for different ids.
pub(crate) fn nonce(id: &str) -> String {
    let text: String = id.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{text:0<32}")[..32].to_owned()
}

impl Played {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        for folder in ["etc/mcp-linux-infra/actions.d", "etc/ssh", "var/lib", "var/log"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for key in ["alice", "host"] {
            keygen(&dir.path().join(key));
        }
        let public = |key: &str| std::fs::read_to_string(dir.path().join(format!("{key}.pub"))).unwrap();
        let etc = root.join("etc/mcp-linux-infra");
        std::fs::write(etc.join("target.toml"), "host = \"web01\"\n").unwrap();
        std::fs::write(etc.join("approvers"), format!("alice@example.org {}", public("alice"))).unwrap();
        let mark = format!(
            "name = \"mark\"\ntitle = \"t\"\ndescription = \"d\"\nrisk = \"low\"\n[params.n]\ntype = \"int:1..9\"\ndescription = \"d\"\n\
             [[run]]\nargv = [\"touch\", \"{}{{n}}\"]\n[[verify]]\nargv = [\"test\", \"-e\", \"{}{{n}}\"]\n",
            dir.path().join("mark").display(),
            dir.path().join("mark").display()
        );
        std::fs::write(etc.join("actions.d/mark.toml"), mark).unwrap();
        std::fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        std::fs::write(root.join("etc/ssh/ssh_host_ed25519_key.pub"), public("host")).unwrap();
        let paths = Paths::beneath(&root);
        pra_run::initialise(&paths).unwrap();
        Self { dir, paths }
    }

    pub(crate) fn at(&self, place: &str) -> PathBuf {
        self.paths.root().join(place)
    }

    pub(crate) fn statement(&self, id: &str) -> Statement {
        let facts = target::describe::facts(&self.paths).unwrap();
        Statement {
            v: 1,
            proposal: format!("pr_{id}"),
            tenant: "default".into(),
            host: "web01".into(),
            machine_id: facts.machine_id,
            kind: Kind::Action,
            action: "mark".into(),
            params: [("n".to_owned(), "1".to_owned())].into(),
            argv: Vec::new(),
            plan: facts.plans["mark"].clone(),
            policy: facts.policy,
            rationale: "test".into(),
            proposed_by: "assistant".into(),
            not_before: NOW,
            expires_at: NOW + 300,
            nonce: nonce(id),
            break_glass: None,
        }
    }

    pub(crate) fn envelope(&self, statement: &Statement) -> Vec<u8> {
        self.envelope_by("alice", statement)
    }

    /// Signed with this key of the folder.
    pub(crate) fn envelope_by(&self, key: &str, statement: &Statement) -> Vec<u8> {
        let bytes = statement.to_bytes();
        session::envelope::join(&bytes, &[self.sign(key, &bytes)])
    }

    /// The armored signature of this key of the folder over these bytes.
    pub(crate) fn sign(&self, key: &str, bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", "pra-grant@mcp-linux-infra", "-f"])
            .arg(self.dir.path().join(key))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    pub(crate) fn serve(&self, envelope: &[u8], now: i64) -> (u8, Value) {
        let mut out = Vec::new();
        let status = pra_run::serve(&self.paths, envelope, now, &mut out);
        (status, serde_json::from_slice(&out).unwrap())
    }

    pub(crate) fn mark(&self, n: u8) -> PathBuf {
        self.dir.path().join(format!("mark{n}"))
    }

    /// Hands over, expects this refusal, and that nothing ran.
    pub(crate) fn refused(&self, envelope: &[u8], now: i64, code: &str) {
        let _ = std::fs::remove_file(self.mark(1));
        let (status, answer) = self.serve(envelope, now);
        assert_eq!((status, answer["code"].as_str().unwrap()), (126, code), "{answer}");
        assert!(!self.mark(1).exists() && !self.mark(2).exists(), "it ran: {answer}");
    }

    pub(crate) fn runs(&self, envelope: &[u8], now: i64) {
        let (status, answer) = self.serve(envelope, now);
        assert_eq!((status, answer["outcome"].as_str().unwrap()), (0, "succeeded"), "{answer}");
        assert!(self.mark(1).exists());
    }
}
