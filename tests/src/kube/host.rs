//! A host of the cluster: a folder that the target programs take for `/`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::Cluster;
use crate::grant::{envelope, now, random};
use crate::{Said, run};

/// User and group id of the reader on the host.
const READER: u32 = 64_990;

/// Mounts what the host shares with this machine, and becomes it.
const ENTER: &str = r#"
set -eu
root=$1 kubectl=$2; shift 2
for dir in /usr/lib /usr/lib64; do mount --rbind "$dir" "$root$dir"; done
mount --bind /dev/null "$root/dev/null"
mount --rbind /proc "$root/proc"
mount --bind "$kubectl" "$root/usr/bin/kubectl"
exec chroot "$@"
"#;

/// A host with the target programs, a kubectl and credentials for the cluster.
#[derive(Debug)]
pub struct Host {
    dir: tempfile::TempDir,
    kubectl: PathBuf,
    log: UnixDatagram,
}

impl Host {
    /// With this kubectl and these kubeconfigs of reader and runner.
    pub fn new(cluster: &Cluster, kubectl: &str, reader: &str, runner: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        for folder in [
            "usr/bin",
            "usr/lib",
            "usr/lib64",
            "usr/local/bin",
            "usr/local/sbin",
            "etc/mcp-linux-infra",
            "etc/ssh",
            "var/lib/mcp-linux-infra/ledger",
            "var/log",
            "dev",
            "proc",
            "root",
            "tmp",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (link, to) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            symlink(to, root.join(link)).unwrap();
        }
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/dist");
        for (program, place) in [("mcp-wrapper", "usr/local/bin"), ("pra-run", "usr/local/sbin")] {
            let from = dist.join(program);
            assert!(from.exists(), "{} is missing: scripts/build-target.sh", from.display());
            fs::copy(from, root.join(place).join(program)).unwrap();
        }
        for key in ["alice", "host"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", key, "-f"]).arg(dir.path().join(key));
            assert_eq!(run(&mut keygen, b"").exit, 0);
        }
        let public = |key: &str| fs::read_to_string(dir.path().join(format!("{key}.pub"))).unwrap();
        for (file, text) in [
            ("usr/bin/kubectl", String::new()),
            ("dev/null", String::new()),
            ("etc/passwd", format!("root:x:0:0::/root:/bin/sh\nmcp-reader:x:{READER}:{READER}::/:/bin/sh\n")),
            ("etc/machine-id", format!("{}\n", random(32))),
            ("etc/ssh/ssh_host_ed25519_key.pub", public("host")),
            ("etc/mcp-linux-infra/target.toml", "host = \"kube\"\n".into()),
            ("etc/mcp-linux-infra/approvers", format!("alice@example.org {}", public("alice"))),
            ("etc/mcp-linux-infra/kubeconfig", reader.to_owned()),
            ("etc/mcp-linux-infra/kubeconfig-runner", runner.to_owned()),
            ("var/lib/mcp-linux-infra/ledger/clock", "0\n".into()),
            ("var/log/pra-run.log", String::new()),
        ] {
            fs::write(root.join(file), text).unwrap();
        }
        for (place, mode) in [
            ("", 0o755),
            ("tmp", 0o1777),
            ("root", 0o700),
            ("etc/mcp-linux-infra/kubeconfig", 0o640),
            ("etc/mcp-linux-infra/kubeconfig-runner", 0o600),
            ("var/lib/mcp-linux-infra/ledger", 0o700),
            ("var/lib/mcp-linux-infra/ledger/clock", 0o600),
            ("var/log/pra-run.log", 0o640),
        ] {
            fs::set_permissions(root.join(place), fs::Permissions::from_mode(mode)).unwrap();
        }
        chown(root.join("etc/mcp-linux-infra/kubeconfig"), Some(0), Some(READER)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let log = UnixDatagram::bind(root.join("dev/log")).unwrap();
        log.set_nonblocking(true).unwrap();
        fs::set_permissions(root.join("dev/log"), fs::Permissions::from_mode(0o666)).unwrap();
        Self { dir, kubectl: cluster.cache.join(kubectl), log }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The reader's kubeconfig, as a file of this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root().join("etc/mcp-linux-infra/kubeconfig")
    }

    /// Takes the kubeconfigs away, and puts the runner's where kubectl itself would look for one.
    pub fn move_kubeconfigs_home(&self) {
        let etc = self.root().join("etc/mcp-linux-infra");
        fs::create_dir_all(self.root().join("root/.kube")).unwrap();
        fs::rename(etc.join("kubeconfig-runner"), self.root().join("root/.kube/config")).unwrap();
        fs::remove_file(etc.join("kubeconfig")).unwrap();
    }

    fn enter(&self, chroot: &[&str], program: &[&str], stdin: &[u8]) -> Said {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", ENTER, "enter"]);
        command.args([self.root(), self.kubectl.clone()]).args(chroot).arg(self.root()).args(program);
        run(&mut command, stdin)
    }

    /// A line as the reader sends it.
    pub fn read(&self, line: &str) -> Said {
        let user = format!("--userspec={READER}:{READER}");
        let said = self.enter(&[&user], &["/usr/local/bin/mcp-wrapper", "-c", line], b"");
        self.log();
        said
    }

    /// What the host's programs have logged since it was last asked.
    fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = [0_u8; 4096];
        while let Ok(size) = self.log.recv(&mut line) {
            lines.push(String::from_utf8_lossy(&line[..size]).into_owned());
        }
        lines
    }

    /// One exact command, approved by a person and run as root: exit status and result.
    pub fn perform(&self, argv: &[String]) -> (i32, Value) {
        let facts: Value = serde_json::from_str(&self.read("mcp-describe").out).unwrap();
        let statement = json!({
            "v": 1, "proposal": format!("offline-{}", random(16)), "tenant": facts["tenant"], "host": facts["host"],
            "machine_id": facts["machine_id"], "kind": "command", "action": "", "params": {}, "argv": argv, "plan": "",
            "policy": facts["policy"], "rationale": "end-to-end test", "proposed_by": "e2e",
            "not_before": now(), "expires_at": now() + 300, "nonce": random(32),
        });
        let key = self.dir.path().join("alice");
        let signed = envelope(&statement, &[&key], "pra-grant@mcp-linux-infra");
        let said = self.enter(&[], &["/usr/local/sbin/pra-run"], &signed);
        self.log();
        (said.exit, serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {said:?}")))
    }

    /// Every file and folder of the host, with what tells whether it was changed.
    pub fn tree(&self) -> Vec<String> {
        let mut find = Command::new("find");
        find.arg(self.root()).args(["-printf", "%p %y %m %U %G %s %T@ %C@\n"]);
        let said = run(&mut find, b"");
        assert_eq!(said.exit, 0, "{said:?}");
        let mut lines: Vec<String> = said.out.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
