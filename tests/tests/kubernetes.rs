//! The kubectl forms against a real API server: real kubectls of two versions, called by the real target programs on a host that has
//! nothing but the credentials of `docs/kubernetes-reader.yaml` and `docs/kubernetes-runner.yaml`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use e2e::kube::{Cluster, Host, KUBECTLS, Workloads};
use e2e::{Lab, Said, run};
use serde_json::{Value, json};

/// What secret, configmap and environment of the workloads hold, and what the secret's value is in base64.
const CANARIES: [&str; 2] = ["CANARY", "Q0FOQVJZ"];

/// Automatic examples that end with an error here, by the kubectl that says so, and why.
const UNSERVED: [(&str, &str, &str); 10] = [
    // There is no metrics server.
    ("kubectl-1.20", "kubectl top nodes", "Metrics API not available"),
    ("kubectl-1.20", "kubectl top node worker-1", "Metrics API not available"),
    ("kubectl-1.20", "kubectl top pods -n prod", "Metrics API not available"),
    ("kubectl-1.20", "kubectl top pod web-0 -n prod --containers", "Metrics API not available"),
    ("kubectl-1.32", "kubectl top nodes", "Metrics API not available"),
    ("kubectl-1.32", "kubectl top node worker-1", "Metrics API not available"),
    ("kubectl-1.32", "kubectl top pods -n prod", "Metrics API not available"),
    ("kubectl-1.32", "kubectl top pod web-0 -n prod --containers", "Metrics API not available"),
    // The command came with 1.26.
    ("kubectl-1.20", "kubectl events -n prod", "unknown command \"events\""),
    ("kubectl-1.20", "kubectl events -A --types=Warning", "unknown command \"events\""),
];

/// A form of the catalogue.
struct Form {
    name: String,
    level: String,
    examples: Vec<String>,
    counter_examples: Vec<String>,
}

fn catalogue() -> toml::Table {
    include_str!("../../catalogue/plugins/kubernetes.toml").parse().unwrap()
}

/// The forms of kubectl.
fn forms() -> Vec<Form> {
    let strings = |value: &toml::Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    let catalogue = catalogue();
    let commands = catalogue["command"].as_array().unwrap();
    let kubectl = commands.iter().find(|c| c["name"].as_str() == Some("kubectl")).unwrap();
    let forms = kubectl["form"].as_array().unwrap().iter().map(|form| Form {
        name: form["name"].as_str().unwrap().to_owned(),
        level: form["level"].as_str().unwrap().to_owned(),
        examples: strings(&form["examples"]),
        counter_examples: strings(&form["counter_examples"]),
    });
    forms.collect()
}

fn examples(level: &str) -> Vec<(String, String)> {
    let forms = forms().into_iter().filter(|f| f.level == level);
    forms.flat_map(|f| f.examples.into_iter().map(move |e| (f.name.clone(), e))).collect()
}

/// The verdicts of `policy check` on many lines.
fn judge(lines: &[String]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{}\n", json!({"cmd": line}))).collect();
    let said = run(Command::new(Lab::program()).args(["policy", "check", "--jsonl"]), input.as_bytes());
    let verdicts: Vec<Value> = said.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(verdicts.len(), lines.len(), "{}", said.err);
    verdicts
}

fn argv(line: &str) -> Vec<String> {
    let verdict = &judge(&[line.to_owned()])[0];
    verdict["argv"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
}

fn host(cluster: &Cluster, kubectl: &str) -> Host {
    Host::new(cluster, kubectl, &cluster.kubeconfig("mcp-reader"), &cluster.kubeconfig("pra-runner"))
}

fn shows_no_secret(line: &str, said: &Said) {
    for canary in CANARIES {
        assert!(!said.out.contains(canary) && !said.err.contains(canary), "{line}: {said:?}");
    }
}

#[test]
fn a_real_kubectl_takes_every_automatic_form_and_nothing_changes() {
    let cluster = Cluster::get();
    let _workloads = Workloads::fresh(&cluster);
    let earlier = cluster.asked("mcp-reader").len();
    for kubectl in KUBECTLS {
        let host = host(&cluster, kubectl);
        let (objects, files) = (cluster.snapshot(), host.tree());
        let mut failed = BTreeSet::new();
        for (_, line) in examples("auto") {
            let said = host.read(&line);
            shows_no_secret(&line, &said);
            if said.exit == 0 {
                assert!(!said.out.is_empty(), "{kubectl}: {line}: {said:?}");
                let refused = [&said.out, &said.err].iter().any(|t| t.to_lowercase().contains("forbidden"));
                assert!(!refused, "{kubectl}: {line}: {said:?}");
                continue;
            }
            let known = UNSERVED.iter().find(|(k, l, _)| *k == kubectl && *l == line);
            let (.., why) = known.unwrap_or_else(|| panic!("{kubectl}: {line}: {said:?}"));
            assert!(said.exit == 1 && said.err.contains(why), "{kubectl}: {line}: {said:?}");
            failed.insert(line);
        }
        let expected: BTreeSet<String> =
            UNSERVED.iter().filter(|(k, ..)| *k == kubectl).map(|(_, line, _)| (*line).to_owned()).collect();
        assert_eq!(failed, expected, "{kubectl}: these are served now");
        // The forced option is the server's word too.
        for (line, tail) in [("kubectl logs web-0", "tail=1000"), ("kubectl logs web-0 --tail 7", "tail=7")] {
            assert!(host.read(line).out.contains(tail), "{kubectl}: {line}");
        }
        assert_eq!(cluster.snapshot(), objects, "{kubectl}");
        assert_eq!(host.tree(), files, "{kubectl}");
    }
    let asked: BTreeSet<_> = cluster.asked("mcp-reader").into_iter().skip(earlier).collect();
    assert!(asked.len() > 20, "{asked:?}");
    for (verb, resource) in asked {
        let reads = matches!(verb.as_str(), "get" | "list" | "watch") && !resource.starts_with("secret");
        // A question about the reader's own rights, which is stored nowhere.
        let asks = verb == "create"
            && matches!(resource.as_str(), "selfsubjectaccessreviews" | "selfsubjectrulesreviews");
        assert!(reads || asks, "{verb} {resource}");
    }
}

#[test]
fn what_is_not_permitted_never_reaches_the_cluster() {
    let cluster = Cluster::get();
    let _workloads = Workloads::fresh(&cluster);
    let host = host(&cluster, KUBECTLS[1]);
    let mut lines: Vec<String> = forms().into_iter().flat_map(|f| f.counter_examples).collect();
    lines.extend(examples("manual").into_iter().map(|(_, line)| line));
    lines.sort();
    lines.dedup();
    assert!(lines.len() > 130, "{}", lines.len());
    let verdicts = judge(&lines);
    let before = cluster.asked("mcp-reader").len();
    for (line, verdict) in lines.iter().zip(verdicts) {
        // A counter-example of one form may be the example of another.
        if verdict["verdict"] == "auto" {
            continue;
        }
        let said = host.read(line);
        assert_eq!((said.exit, said.out.as_str()), (126, ""), "{line}: {said:?}");
        assert!(said.err.starts_with("mcp-wrapper: blocked: "), "{line}: {said:?}");
        shows_no_secret(line, &said);
    }
    assert_eq!(cluster.asked("mcp-reader").len(), before);
    // The log would have told.
    assert_eq!(host.read("kubectl get pods").exit, 0);
    assert!(cluster.asked("mcp-reader").len() > before);
}

/// The second line of defence, without the policy: a kubectl with the reader's token.
#[test]
fn the_role_refuses_what_the_policy_blocks() {
    let cluster = Cluster::get();
    let _workloads = Workloads::fresh(&cluster);
    let host = host(&cluster, KUBECTLS[0]);
    let before = cluster.snapshot();
    let mut lines: Vec<String> = [
        "kubectl get secrets -A -o yaml",
        "kubectl get secret/x -n prod -o yaml",
        "kubectl get secrets.v1. -n prod -o yaml",
        "kubectl get pods,secrets -n prod -o name",
        "kubectl get --raw /api/v1/secrets",
        "kubectl get --raw /api/v1/namespaces/prod/secrets/x",
        "kubectl describe secret x -n prod",
        "kubectl get configmaps -A -o yaml",
        "kubectl get pods --as=system:admin",
        "kubectl get pods --as=x --as-group=system:masters",
        "kubectl exec web-0 -n prod -- id",
        "kubectl create --raw /api/v1/namespaces/prod/pods/web-0/portforward -f /dev/null",
        "kubectl attach web-0 -n prod",
        "kubectl delete pod web-0 -n prod",
        "kubectl create secret generic y --from-literal=a=b",
        "kubectl create --raw /api/v1/namespaces/mcp-linux-infra/serviceaccounts/pra-runner/token -f /dev/null",
        "kubectl label node worker-1 a=b",
    ]
    .map(str::to_owned)
    .to_vec();
    for line in &lines {
        assert_eq!(judge(std::slice::from_ref(line))[0]["verdict"], "blocked", "{line}");
    }
    // The reader may look at a pod: that its environment is shown to people only is the policy's word.
    lines.extend(
        examples("manual")
            .into_iter()
            .filter(|(form, _)| !form.starts_with("describe"))
            .map(|(_, line)| line),
    );
    for line in &lines {
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let said = cluster.kubectl(KUBECTLS[0], &host.kubeconfig(), &words, "");
        shows_no_secret(line, &said);
        // No word of the exit status: kubectl 1.20 ends a cordon that was refused with 0.
        // A node that is not cordoned needs no change to be uncordoned: kubectl then asks for none.
        let nothing_to_do = said.out.contains("already uncordoned");
        assert!(nothing_to_do || said.err.to_lowercase().contains("forbidden"), "{line}: {said:?}");
    }
    // There is something to be seen, for who may.
    let seen = cluster.admin(&["get", "secrets,configmaps", "-n", "prod", "-o", "yaml"], "");
    assert!(CANARIES.iter().all(|c| seen.contains(c)), "{seen}");
    assert_eq!(cluster.snapshot(), before);
}

/// The words by which kubectl knows a kind: what it prints of it, and the ways to write it with version and group.
struct Kind {
    resource: String,
    words: Vec<String>,
    written: Vec<String>,
}

fn kinds(cluster: &Cluster, host: &Host, kubectl: &str) -> Vec<Kind> {
    let said = cluster.kubectl(kubectl, &host.kubeconfig(), &["api-resources", "--no-headers"], "");
    assert_eq!(said.exit, 0, "{said:?}");
    let row = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (name, kind) = (columns[0], columns[columns.len() - 1]);
        let at = columns[columns.len() - 3];
        let (group, version) = at.split_once('/').unwrap_or(("", at));
        let mut words = vec![name.to_owned(), kind.to_lowercase()];
        if columns.len() == 5 {
            words.extend(columns[1].split(',').map(str::to_owned));
        }
        let mut written = vec![kind.to_owned(), name.to_uppercase(), format!("{name}.{version}.{group}")];
        written.extend([format!("{name}."), format!("{name}.{group}"), format!("{name},{name}/x")]);
        Kind { resource: format!("{name}.{group}").trim_end_matches('.').to_owned(), words, written }
    };
    said.out.lines().map(row).collect()
}

/// For each kind that the cluster knows, by whatever name: the policy shows it if and only if the role does.
#[test]
fn policy_and_role_agree_on_every_kind() {
    let cluster = Cluster::get();
    let _workloads = Workloads::fresh(&cluster);
    for kubectl in KUBECTLS {
        let host = host(&cluster, kubectl);
        let kinds = kinds(&cluster, &host, kubectl);
        assert!(kinds.len() > 50 && kinds.iter().any(|k| k.resource == "secrets"));
        let mut shown = BTreeMap::new();
        for kind in &kinds {
            let line = |word: &String| format!("kubectl get {word}");
            let lines: Vec<String> = kind.words.iter().map(line).collect();
            for (word, verdict) in kind.words.iter().zip(judge(&lines)) {
                if verdict["verdict"] == "auto" {
                    shown.insert(word.clone(), kind.resource.clone());
                }
            }
            for verdict in judge(&kind.written.iter().map(line).collect::<Vec<_>>()) {
                assert_eq!(verdict["verdict"], "blocked", "{verdict}");
            }
            let permitted = kind.words.iter().any(|word| shown.contains_key(word));
            let may = cluster.kubectl(
                kubectl,
                &host.kubeconfig(),
                &["auth", "can-i", "list", &kind.resource, "-A"],
                "",
            );
            let readable = may.out.trim() == "yes";
            // Two kinds of one name in two groups: the role has both. Controller revisions are what `rollout history` reads.
            let expected = permitted || kind.resource == "controllerrevisions.apps";
            assert_eq!(readable, expected, "{kubectl}: {}: {may:?}", kind.resource);
        }
        // No word of the form but those: what is permitted is a kind that was just looked at, and kubectl knows it.
        let text = include_str!("../../catalogue/plugins/kubernetes.toml");
        let sets = |open: &str| -> Vec<String> {
            let (_, rest) = text.split_once(open).unwrap();
            rest.split_once('}').unwrap().0.split('|').map(str::to_owned).collect()
        };
        let words = sets("[\"get\", \"{set:");
        assert_eq!(words, sets("[\"get\", \"{object:"));
        for word in &words {
            assert!(shown.contains_key(word), "{kubectl}: {word} is no kind");
        }
        assert_eq!(shown.len(), words.len(), "{kubectl}: {shown:?}");
        // With a cache: without one kubectl 1.20 asks for the list of kinds once per word, and throttles itself for minutes.
        let cache = tempfile::tempdir().unwrap();
        let cache = format!("--cache-dir={}", cache.path().display());
        let all = words.join(",");
        let said =
            cluster.kubectl(kubectl, &host.kubeconfig(), &["get", &all, "-A", "-o", "name", &cache], "");
        assert!(said.exit == 0 && !said.err.to_lowercase().contains("forbidden"), "{kubectl}: {said:?}");
        assert!(said.out.contains("pod/web-0") && !said.out.contains("secret/"), "{said:?}");
    }
}

/// What an approved line has done, looked at by the administrator.
fn effect(cluster: &Cluster, form: &str, line: &str, result: &Value) {
    let words: Vec<&str> = line.split(' ').collect();
    let namespace = if words.windows(2).any(|w| w == ["-n", "prod"]) { "prod" } else { "default" };
    let at = |object: &str| cluster.json(&["get", object, "-n", namespace]);
    let pods = || cluster.admin(&["get", "pods", "-A", "-o", "name"], "");
    // KIND/NAME, or both apart.
    let object = |index: usize| {
        if words[index].contains('/') {
            words[index].to_owned()
        } else {
            format!("{}/{}", words[index], words[index + 1])
        }
    };
    match form {
        "describe" | "describe-object" => {
            let out = result["steps"][0]["stdout"].as_str().unwrap();
            assert!(out.contains("CANARY-env"), "this is why it is manual: {out}");
        }
        "restart" | "restart-of" => {
            let annotations = at(&object(3))["spec"]["template"]["metadata"]["annotations"].clone();
            assert!(annotations["kubectl.kubernetes.io/restartedAt"].is_string(), "{line}: {annotations}");
        }
        "undo" => {
            let image = at(words[3])["spec"]["template"]["spec"]["containers"][0]["image"].clone();
            assert_eq!(image, "web:3", "{line}");
        }
        "scale" | "scale-of" => {
            let count = words.iter().find_map(|w| w.strip_prefix("--replicas=")).unwrap();
            assert_eq!(at(&object(2))["spec"]["replicas"].to_string(), count, "{line}");
        }
        "cordon" => {
            let cordoned = at("node/worker-1")["spec"]["unschedulable"] == true;
            assert_eq!(cordoned, words[1] == "cordon", "{line}");
        }
        "drain" => {
            assert_eq!(at("node/worker-1")["spec"]["unschedulable"], true);
            let left = pods();
            assert!(!left.contains("web-0") && left.contains("agent-0"), "{line}: {left}");
        }
        _ => panic!("{form}: what does {line} do?"),
    }
}

#[test]
fn approved_lines_do_what_they_say() {
    let cluster = Cluster::get();
    for kubectl in KUBECTLS {
        let _workloads = Workloads::fresh(&cluster);
        let host = host(&cluster, kubectl);
        for (form, line) in examples("manual") {
            if form == "drain" {
                // Each drain finds its pods again.
                drop(Workloads::fresh(&cluster));
            }
            assert_eq!(host.read(&line).exit, 126, "{line}");
            let (exit, result) = host.perform(&argv(&line));
            assert_eq!((exit, &result["outcome"]), (0, &json!("succeeded")), "{kubectl}: {line}: {result}");
            effect(&cluster, &form, &line, &result);
        }
    }
}

/// The runner is no administrator: what no form is, its token may not do either.
#[test]
fn the_runners_role_has_no_more_than_the_forms_need() {
    let cluster = Cluster::get();
    let _workloads = Workloads::fresh(&cluster);
    let host = host(&cluster, KUBECTLS[0]);
    for line in ["kubectl get secrets -A", "kubectl delete pod web-0", "kubectl get configmaps"] {
        let (exit, result) = host.perform(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!((exit, &result["code"]), (126, &json!("blocked")), "{line}: {result}");
    }
    for (verb, resource, may) in [
        ("patch", "deployments.apps", "yes"),
        ("create", "pods/eviction", "yes"),
        ("get", "secrets", "no"),
        ("list", "configmaps", "no"),
        ("delete", "pods", "no"),
        ("create", "deployments.apps", "no"),
        ("create", "pods/exec", "no"),
        ("escalate", "clusterroles.rbac.authorization.k8s.io", "no"),
    ] {
        let account = "--as=system:serviceaccount:mcp-linux-infra:pra-runner";
        let (resource, part) = resource.split_once('/').unwrap_or((resource, ""));
        let part = format!("--subresource={part}");
        let said = cluster.try_admin(&["auth", "can-i", verb, resource, &part, "-n", "prod", account], "");
        assert_eq!(said.out.trim(), may, "{verb} {resource}: {said:?}");
    }
    assert!(cluster.admin(&["get", "pod", "web-0", "-o", "name"], "").contains("web-0"));
}

/// Without credentials of its own a host has none: neither those in root's home nor those of a pod.
#[test]
fn a_host_without_a_kubeconfig_reaches_no_cluster() {
    let cluster = Cluster::get();
    let _workloads = Workloads::fresh(&cluster);
    for kubectl in KUBECTLS {
        let host = host(&cluster, kubectl);
        host.move_kubeconfigs_home();
        let said = host.read("kubectl get pods");
        assert!(said.exit == 1 && said.err.contains("localhost:8080"), "{kubectl}: {said:?}");
        let (exit, result) = host.perform(&argv("kubectl cordon worker-1"));
        assert_eq!((exit, &result["outcome"]), (1, &json!("failed")), "{kubectl}: {result}");
        let node = cluster.json(&["get", "node", "worker-1"]);
        assert!(node["spec"]["unschedulable"].is_null(), "{node}");
    }
}
