//! Whether the server and its hosts are fit for work: named checks, each failed one with its cause and what mends it.

use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::config::Host;
use crate::recovery::{RecoveryError, TargetFacts, describe};
use crate::ssh::Account;
use crate::store::{Audit, now_ms};

/// The most that a target's clock may be off, in seconds; grants are refused beyond it.
const SKEW_SECONDS: u64 = 30;

/// One check and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked, in one word.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What mends it; absent when it is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Check {
    fn well(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), mend: None }
    }

    fn ill(check: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, ok: false, detail: detail.into(), mend: Some(mend.into()) }
    }
}

/// The checks of the server itself.
pub fn server(app: &App) -> Vec<Check> {
    vec![config(app), plugins(app), examples(app), approvers(app), audit(app)]
}

fn config(app: &App) -> Check {
    let config = app.config();
    let place = config.path.as_ref().map_or_else(|| "no file".to_owned(), |p| p.display().to_string());
    match config.empty_notice() {
        None => Check::well("config", format!("{place}, {} host(s)", config.inventory.iter().count())),
        Some(notice) => Check::ill("config", place, notice),
    }
}

fn plugins(app: &App) -> Check {
    let catalogue = app.catalogue();
    let dir = app.plugins().dir().map_or_else(|| "none of a folder".to_owned(), |d| d.display().to_string());
    match app.plugins().problem() {
        None => Check::well(
            "plugins",
            format!("{} plugins ({dir}), digest {}", catalogue.plugins().len(), catalogue.digest()),
        ),
        Some(cause) => Check::ill("plugins", cause, "mend the file; until then the policy in force stays"),
    }
}

fn examples(app: &App) -> Check {
    match app.catalogue().check_examples().as_slice() {
        [] => Check::well("examples", "every example and counter-example is judged as it says"),
        [first, more @ ..] => Check::ill(
            "examples",
            format!("{first} (and {} more)", more.len()),
            "mcp-linux-infra policy test lists them all",
        ),
    }
}

fn approvers(app: &App) -> Check {
    let Some(path) = &app.config().approvers else {
        return Check::ill(
            "approvers",
            "no approvers file is configured",
            "set approvers = \"FILE\" to a copy of the targets' /etc/mcp-linux-infra/approvers",
        );
    };
    let mend = "copy /etc/mcp-linux-infra/approvers from a target";
    match std::fs::read_to_string(path) {
        Err(e) => Check::ill("approvers", format!("{}: {e}", path.display()), mend),
        Ok(text) => match grant::Approvers::parse(&text) {
            Err(e) => Check::ill("approvers", format!("{}: {e}", path.display()), mend),
            Ok(_) => Check::well("approvers", path.display().to_string()),
        },
    }
}

fn audit(app: &App) -> Check {
    let report =
        app.store().map_err(|e| e.to_string()).and_then(|s| s.audit_verify().map_err(|e| e.to_string()));
    match report {
        Err(cause) => Check::ill("audit", cause, "make state_dir a folder that this account may write"),
        Ok(report) if report.ok => Check::well("audit", format!("{} record(s), unbroken", report.records)),
        Ok(report) => Check::ill(
            "audit",
            report.problem.unwrap_or_default(),
            "keep the database as it is and compare it with the targets' logs: mcp-linux-infra audit verify",
        ),
    }
}

/// The checks of one host, over the network.
pub async fn host(app: &App, host: &Host) -> Vec<Check> {
    let mut checks = match describe(app, host).await {
        Err(e) => return vec![refused("reader", host, &e)],
        Ok(facts) => {
            let mut checks = vec![Check::well("reader", "reached, host key known, forced command in place")];
            checks.extend(target(&facts, host, app.catalogue().digest(), now_ms() / 1000));
            checks
        }
    };
    checks.push(runner(app, host).await);
    checks
}

/// What a host says of itself, compared with what this server has. Pure.
pub fn target(facts: &TargetFacts, host: &Host, digest: &str, now: i64) -> Vec<Check> {
    let short = |d: &str| d.chars().take(12).collect::<String>();
    let skew = facts.now.saturating_sub(now);
    let same = |check, ok: bool, detail: String, mend: String| {
        if ok { Check::well(check, detail) } else { Check::ill(check, detail, mend) }
    };
    let version = env!("CARGO_PKG_VERSION");
    vec![
        same(
            "name",
            facts.host == host.name.as_str() && facts.tenant == host.tenant,
            format!("it calls itself {} of tenant {}", facts.host, facts.tenant),
            format!(
                "it is {} of tenant {} here: set host and tenant in its /etc/mcp-linux-infra/target.toml, or name and tenant in the \
                 inventory",
                host.name, host.tenant
            ),
        ),
        same(
            "version",
            facts.version == version,
            format!("programs of version {}", facts.version),
            format!("this server is {version}: install the same with scripts/install-target.sh"),
        ),
        same(
            "policy",
            facts.policy == digest,
            format!("digest {}", short(&facts.policy)),
            format!(
                "this server's is {}: deploy the same plugins to /etc/mcp-linux-infra/plugins.d there and to plugins_dir here",
                short(digest)
            ),
        ),
        same(
            "clock",
            skew.unsigned_abs() <= SKEW_SECONDS,
            format!("{skew} s off"),
            "synchronise both clocks (chronyc tracking, timedatectl): grants are refused beyond 30 s"
                .to_owned(),
        ),
    ]
}

/// Hands the runner an empty grant: refused as malformed, which shows that everything up to root's verifier stands.
async fn runner(app: &App, host: &Host) -> Check {
    let asked = async {
        let receipt = app
            .audit(&Audit { event: "probe", data: json!({ "host": host.name, "account": "runner" }) })
            .await?;
        Ok::<_, RecoveryError>(app.pool().exec(host, Account::Runner, "grant", Some(b""), &receipt).await?)
    };
    match asked.await {
        Err(e) => refused("runner", host, &e),
        Ok(output) => {
            let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if answer["outcome"] == "refused" && answer["code"] == "malformed" {
                return Check::well("runner", "reached, and an empty grant is refused by pra-run");
            }
            let said = crate::hosts::hygiene::clean(&output.stderr).text;
            Check::ill(
                "runner",
                format!(
                    "an empty grant got no refusal: exit {:?}, code {}, {}",
                    output.exit,
                    answer["code"],
                    said.trim()
                ),
                "install the target again: scripts/install-target.sh lays pra-exec, pra-run and the sudo rule",
            )
        }
    }
}

fn refused(check: &'static str, host: &Host, e: &RecoveryError) -> Check {
    let mend = match e.code() {
        "unreachable" => format!("is {}:{} up, and is the way there open?", host.address, host.port),
        "host_key" => {
            "compare with /etc/ssh/ssh_host_ed25519_key.pub on the host's console before changing host_key"
                .to_owned()
        }
        "login" => "put this account's public key on the host: scripts/install-target.sh".to_owned(),
        "not_deployed" => "install the target programs: scripts/install-target.sh".to_owned(),
        _ => "see the cause; mcp-linux-infra audit tail shows what was asked".to_owned(),
    };
    Check::ill(check, e.to_string(), mend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    fn app(dir: &tempfile::TempDir, text: &str) -> App {
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let file = dir.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        App::new(Config::load(Some(&file), &env).unwrap()).unwrap()
    }

    fn ill(checks: &[Check]) -> Vec<&str> {
        checks.iter().filter(|c| !c.ok).map(|c| c.check).collect()
    }

    #[test]
    fn what_a_host_says_is_held_against_this_server() {
        let dir = tempfile::tempdir().unwrap();
        let app = app(&dir, "[[hosts]]\nname = \"web01\"\n");
        let host = app.host("web01").unwrap();
        let facts = |change: fn(&mut TargetFacts)| {
            let mut facts: TargetFacts = serde_json::from_value(json!({
                "host": "web01", "tenant": "default", "machine_id": "", "version": env!("CARGO_PKG_VERSION"), "policy": "abc",
                "plans": {}, "approvals": {}, "now": 1000,
            }))
            .unwrap();
            change(&mut facts);
            facts
        };
        let of = |change| target(&facts(change), host, "abc", 1000);
        assert_eq!(ill(&of(|_| {})), [""; 0]);
        assert_eq!(ill(&of(|f| f.policy = "other".into())), ["policy"]);
        assert_eq!(ill(&of(|f| f.version = "0.0.1".into())), ["version"]);
        assert_eq!(ill(&of(|f| f.tenant = "other".into())), ["name"]);
        assert_eq!(ill(&of(|f| f.now = 1031)), ["clock"]);
        assert_eq!(ill(&of(|f| f.now = 970)), [""; 0]);
        assert!(of(|f| f.now = i64::MIN).iter().all(|c| c.ok == c.mend.is_none()));
    }

    #[test]
    fn a_server_without_hosts_approvers_or_an_unbroken_chain_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let bare = app(&dir, "");
        assert_eq!(ill(&server(&bare)), ["config", "approvers"]);
        let receipt = bare.store().unwrap().audit(&Audit { event: "x", data: json!({}) }).unwrap();
        assert_eq!(receipt.seq(), 1);
        let database = rusqlite::Connection::open(bare.store().unwrap().path()).unwrap();
        database.execute("UPDATE audit SET line = replace(line, '\"x\"', '\"y\"')", []).unwrap();
        assert_eq!(ill(&server(&bare)), ["config", "approvers", "audit"]);
    }

    #[tokio::test]
    async fn a_host_that_is_not_there_is_one_failed_check_that_says_what_to_look_at() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("k");
        std::fs::write(&key, "no key").unwrap();
        // Port 1 of this machine: nobody listens there.
        let app = app(
            &dir,
            "[[hosts]]\nname = \"web01\"\naddress = \"127.0.0.1\"\nport = 1\n[defaults]\nreader_key = \"k\"\n",
        );
        let checks = host(&app, app.host("web01").unwrap()).await;
        assert_eq!(ill(&checks), ["reader"]);
        assert!(checks[0].mend.is_some(), "{checks:?}");
    }
}
