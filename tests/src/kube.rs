//! A real API server with some workloads in it, and a host that reads and repairs it through the real target programs.
//!
//! `lab/k8s-apiserver.sh up` starts the server. The host is a folder that the programs take for `/`, in a mount namespace of its own,
//! so that they run as they are installed: root's files, a reader without privileges, the system's log socket.

mod host;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

pub use host::Host;

use crate::{Said, run};

/// Each kubectl of the cache.
pub const KUBECTLS: [&str; 2] = ["kubectl-1.20", "kubectl-1.32"];

/// The running API server.
#[derive(Debug)]
pub struct Cluster {
    state: PathBuf,
    cache: PathBuf,
}

impl Cluster {
    /// What `lab/k8s-apiserver.sh up` started.
    pub fn get() -> Self {
        let at = |name: &str, default: PathBuf| std::env::var(name).map_or(default, PathBuf::from);
        let lab = std::env::var("LAB_NAME").unwrap_or_else(|_| "mcplab".into());
        let state = at("LAB_HOME", Path::new("/var/tmp").join(lab)).join("kube");
        let cache = at("LAB_CACHE", "/var/tmp/mcp-linux-infra-cache".into()).join("kube-apiserver-1.20.2");
        assert!(
            state.join("admin.kubeconfig").exists(),
            "no API server is up: lab/k8s-apiserver.sh up, or run scripts/test.sh"
        );
        Self { state, cache }
    }

    /// Runs a kubectl as the cluster's administrator.
    pub fn try_admin(&self, words: &[&str], stdin: &str) -> Said {
        self.kubectl(KUBECTLS[0], &self.state.join("admin.kubeconfig"), words, stdin)
    }

    /// As [`Cluster::try_admin`]; it must succeed.
    pub fn admin(&self, words: &[&str], stdin: &str) -> String {
        let said = self.try_admin(words, stdin);
        assert_eq!(said.exit, 0, "{words:?}: {}", said.err);
        said.out
    }

    /// As [`Cluster::admin`], an object or a list of them.
    pub fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.admin(&[words, &["-o", "json"]].concat(), "")).unwrap()
    }

    /// Runs a kubectl, outside of any host, with these credentials.
    pub fn kubectl(&self, kubectl: &str, kubeconfig: &Path, words: &[&str], stdin: &str) -> Said {
        let mut command = Command::new(self.cache.join(kubectl));
        command.args(words).env("HOME", "/nonexistent").env("KUBECONFIG", kubeconfig);
        run(&mut command, stdin.as_bytes())
    }

    /// A kubeconfig with a fresh token of a service account.
    pub fn kubeconfig(&self, account: &str) -> String {
        let path = format!("/api/v1/namespaces/mcp-linux-infra/serviceaccounts/{account}/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = self.admin(&["create", "--raw", &path, "-f", "-"], &request.to_string());
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/k8s-apiserver.sh");
        let token = answer["status"]["token"].as_str().unwrap();
        let said = run(Command::new(script).args(["kubeconfig", token]), b"");
        assert_eq!(said.exit, 0, "{said:?}");
        said.out
    }

    /// Every object of every kind that can be listed: its kind, name and version.
    pub fn snapshot(&self) -> Vec<String> {
        let kinds = self.admin(&["api-resources", "--verbs=list", "-o", "name"], "");
        let mut found = Vec::new();
        for kind in kinds.lines() {
            let list = self.json(&["get", kind, "-A"]);
            for object in list["items"].as_array().unwrap() {
                let at = &object["metadata"];
                found.push(format!("{kind} {}/{} {}", at["namespace"], at["name"], at["resourceVersion"]));
            }
        }
        assert!(found.len() > 100, "{found:?}");
        found.sort();
        found
    }

    /// What an account has asked the API server, by the server's audit log: verb and resource, or path.
    pub fn asked(&self, account: &str) -> Vec<(String, String)> {
        let user = format!("system:serviceaccount:mcp-linux-infra:{account}");
        let text = fs::read_to_string(self.state.join("audit.log")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let named = |event: &Value| match &event["objectRef"] {
            Value::Null => word(&event["requestURI"]),
            at => {
                [word(&at["resource"]), word(&at["subresource"])].join("/").trim_end_matches('/').to_owned()
            }
        };
        let own = events.filter(|event| event["user"]["username"] == user.as_str());
        own.map(|event| (word(&event["verb"]), named(&event))).collect()
    }
}

/// Workloads in the namespaces `prod` and `default`, as new, and the node `worker-1` with as much of a kubelet as logs need.
#[derive(Debug)]
pub struct Workloads {
    kubelet: Child,
    _keys: tempfile::TempDir,
}

const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web",
    "annotations": {"deployment.kubernetes.io/revision": "5"}}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:5"}]}}}}"#;

impl Workloads {
    /// Makes them anew, whatever a test before has left.
    pub fn fresh(cluster: &Cluster) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let (key, certificate) = (keys.path().join("key"), keys.path().join("certificate"));
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=worker-1",
        ]);
        let said = run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate), b"");
        assert_eq!(said.exit, 0, "{said:?}");
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let mut python = Command::new("python3");
        python.arg(data.join("kubelet.py")).arg(&certificate).arg(&key).stdout(Stdio::piped());
        let mut made = Self { kubelet: python.spawn().unwrap(), _keys: keys };
        let mut port = String::new();
        BufReader::new(made.kubelet.stdout.take().unwrap()).read_line(&mut port).unwrap();

        let read = |file: &Path| fs::read_to_string(file).unwrap();
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for role in ["kubernetes-reader.yaml", "kubernetes-runner.yaml"] {
            cluster.admin(&["apply", "-f", "-"], &read(&docs.join(role)));
        }
        cluster.admin(&["delete", "node", "--all", "--wait=false"], "");
        let shared = read(&data.join("kubernetes-cluster.yaml")).replace("PORT", port.trim());
        cluster.admin(&["apply", "-f", "-"], &shared);
        let namespace = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}}"#;
        cluster.admin(&["apply", "-f", "-"], namespace);
        for namespace in ["prod", "default"] {
            let kinds = "deployments,statefulsets,daemonsets,replicasets,pods";
            cluster.admin(&["delete", kinds, "--all", "-n", namespace, "--wait=false"], "");
            cluster.admin(&["apply", "-n", namespace, "-f", "-"], DEPLOYMENT);
            let deployment = cluster.json(&["get", "deployment", "web", "-n", namespace]);
            let uid = deployment["metadata"]["uid"].as_str().unwrap();
            let all = read(&data.join("kubernetes.yaml"));
            let all = all.replace("NAMESPACE", namespace).replace("UID", uid);
            cluster.admin(&["apply", "-f", "-"], &all);
        }
        made
    }
}

impl Drop for Workloads {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kubelet.kill();
        let _ = self.kubelet.wait();
    }
}
