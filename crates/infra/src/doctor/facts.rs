//! What a host says of itself, held against what this server has. Pure.

use std::collections::BTreeMap;

use crate::app::App;
use crate::config::Host;
use crate::recovery::TargetFacts;

use super::Check;

/// The most that a target's clock may be off, in seconds; grants are refused beyond it.
const SKEW_SECONDS: u64 = 30;
/// Groups by which an account is as mighty as root without the wrapper, or reads its secrets.
const MIGHTY: &[&str] = &["root", "sudo", "wheel", "admin", "shadow", "disk"];
/// Groups that may read logs of others.
const LOG_GROUPS: &[&str] = &["systemd-journal", "adm"];
/// Room for logs below which the host is in trouble, in bytes and, on smaller file systems, in percent.
const LOG_BYTES: u64 = 100 << 20;
const LOG_PERCENT: u64 = 2;

/// What this server has.
#[derive(Debug, Clone)]
pub struct Here {
    /// Digest of its policy.
    pub policy: String,
    /// Digest of each action's definition.
    pub plans: BTreeMap<String, String>,
    /// SHA-256 of its copy of the approvers' file, if it has one.
    pub approvers: Option<String>,
}

impl Here {
    /// What the running server has.
    pub fn of(app: &App) -> Self {
        let digest = |bytes: Vec<u8>| {
            let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
            digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
        };
        Self {
            policy: app.catalogue().digest().to_owned(),
            plans: app.actions().iter().map(|a| (a.name.clone(), a.plan().to_owned())).collect(),
            approvers: app.config().approvers.as_ref().and_then(|p| std::fs::read(p).ok()).map(digest),
        }
    }
}

/// Holds what a host says against what this server has, at this moment in unix seconds.
pub fn judge(facts: &TargetFacts, host: &Host, here: &Here, now: i64) -> Vec<Check> {
    let mut checks =
        vec![name(facts, host), version(facts), policy(facts, here), actions(facts, here), clock(facts, now)];
    checks.extend(sandbox(facts));
    checks.extend(groups(facts, host));
    checks.extend(approvers(facts, here));
    checks.extend(logs(facts));
    checks
}

fn name(facts: &TargetFacts, host: &Host) -> Check {
    Check::same(
        "name",
        facts.host == host.name.as_str() && facts.tenant == host.tenant,
        format!("it calls itself {} of tenant {}", facts.host, facts.tenant),
        format!(
            "it is {} of tenant {} here: set host and tenant in its /etc/mcp-linux-infra/target.toml, or name and tenant in the \
             inventory",
            host.name, host.tenant
        ),
    )
}

/// Neighbouring versions work together, so an older one is no reason to panic, but it is behind.
fn version(facts: &TargetFacts) -> Check {
    let (theirs, ours) = (facts.version.as_str(), env!("CARGO_PKG_VERSION"));
    let (behind, mend) = match (numbers(theirs), numbers(ours)) {
        (Some(a), Some(b)) if a > b => (
            format!("this server is of version {ours}, behind the target's {theirs}"),
            format!("upgrade mcp-linux-infra on this machine to {theirs}, as docs/UPGRADE.md says"),
        ),
        (Some(_), Some(_)) => (
            format!("its programs are of version {theirs}, behind this server's {ours}"),
            format!(
                "build those of {ours} (scripts/build-target.sh), copy target/dist to the host, and run there as root: \
                 scripts/install-target.sh --programs DIR …"
            ),
        ),
        _ => (
            format!("its programs say that they are of version {theirs:?}; this server is {ours}"),
            format!(
                "install those of {ours} on the host: scripts/build-target.sh, then scripts/install-target.sh"
            ),
        ),
    };
    if theirs == ours {
        return Check::well("version", format!("programs of version {ours}, as this server"));
    }
    Check::ill("version", behind, mend)
}

/// `1.2.3` as numbers; what follows a `-` or `+` does not count.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let mut parts = version.split(['-', '+']).next()?.splitn(3, '.');
    let mut next = || parts.next()?.parse().ok();
    Some([next()?, next()?, next()?])
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

fn policy(facts: &TargetFacts, here: &Here) -> Check {
    Check::same(
        "policy",
        facts.policy == here.policy,
        format!("digest {}", short(&facts.policy)),
        format!(
            "this server's is {}: deploy the same plugins to /etc/mcp-linux-infra/plugins.d there and to plugins_dir here",
            short(&here.policy)
        ),
    )
}

fn actions(facts: &TargetFacts, here: &Here) -> Check {
    let names = facts.plans.keys().chain(here.plans.keys());
    let mut other: Vec<&String> = names.filter(|n| facts.plans.get(*n) != here.plans.get(*n)).collect();
    other.sort();
    other.dedup();
    let some: Vec<&str> = other.iter().take(5).map(|n| n.as_str()).collect();
    let detail = if other.is_empty() {
        format!("{} actions, all defined as here", here.plans.len())
    } else {
        format!(
            "{} action(s) are defined otherwise there or on one side only: {}",
            other.len(),
            some.join(", ")
        )
    };
    let mend = "deploy the same files to /etc/mcp-linux-infra/actions.d there and to actions_dir here: grants for them are refused";
    Check::same("actions", other.is_empty(), detail, mend.to_owned())
}

fn clock(facts: &TargetFacts, now: i64) -> Check {
    let skew = facts.now.saturating_sub(now);
    Check::same(
        "clock",
        skew.unsigned_abs() <= SKEW_SECONDS,
        format!("{skew} s off"),
        "synchronise both clocks (timedatectl set-ntp true; chronyc tracking): grants are refused beyond 30 s".to_owned(),
    )
}

fn sandbox(facts: &TargetFacts) -> Option<Check> {
    let (level, kernel) = (facts.sandbox.as_deref()?, facts.kernel?);
    let lacks = match (kernel.landlock, kernel.seccomp) {
        (1.., true) => None,
        (0, true) => Some("Landlock"),
        (_, false) if kernel.landlock > 0 => Some("seccomp"),
        _ => Some("Landlock and seccomp"),
    };
    let seen = format!(
        "{level}; Landlock ABI {}, seccomp {}",
        kernel.landlock,
        if kernel.seccomp { "yes" } else { "no" }
    );
    let newer = "boot a kernel from 5.13 on with Landlock and seccomp (landlock in /sys/kernel/security/lsm)";
    Some(match (level, lacks) {
        ("enforce", None) => {
            // What no kernel of today can is nothing to mend.
            let gaps: Vec<&str> = facts.gaps.values().flatten().map(String::as_str).collect();
            let open = gaps.first().map_or_else(String::new, |gap| format!("; not restricted: {gap}"));
            Check::well("sandbox", format!("{seen}{open}"))
        }
        ("enforce", Some(lacks)) => Check::ill(
            "sandbox",
            format!("{seen}: every command is refused, as the kernel lacks {lacks}"),
            newer,
        ),
        (_, None) => Check::ill(
            "sandbox",
            format!("{seen}: a kernel that lacks it would run commands unconfined"),
            "take sandbox = \"best-effort\" out of its /etc/mcp-linux-infra/target.toml: this kernel needs no exception",
        ),
        (_, Some(lacks)) => Check::ill("sandbox", format!("{seen}: commands run without {lacks}"), newer),
    })
}

fn groups(facts: &TargetFacts, host: &Host) -> Option<Check> {
    let groups = facts.groups.as_ref()?;
    let has = |names: &[&'static str]| names.iter().copied().find(|n| groups.iter().any(|g| g == n));
    let user = &host.reader_user;
    let seen = groups.join(", ");
    Some(if let Some(mighty) = has(MIGHTY) {
        Check::ill(
            "groups",
            format!("{user} is in {mighty}: the wrapper is all that is left between it and root"),
            format!("gpasswd -d {user} {mighty}"),
        )
    } else if has(LOG_GROUPS).is_none() {
        Check::ill(
            "groups",
            format!("{user} is in {seen} alone and cannot read the logs of services"),
            format!("usermod -aG systemd-journal,adm {user}, or install-target.sh --log-group"),
        )
    } else {
        Check::well("groups", seen)
    })
}

fn approvers(facts: &TargetFacts, here: &Here) -> Option<Check> {
    let theirs = facts.approvers.as_ref()?;
    if let Some(problem) = &theirs.problem {
        return Some(Check::ill(
            "approvers",
            format!("nobody can approve there: {problem}"),
            "install -o root -g root -m 644 approvers /etc/mcp-linux-infra/approvers, on the host, from the reviewed file",
        ));
    }
    let theirs_short = theirs.sha256.as_deref().map(short).unwrap_or_default();
    let seen = format!("{} key(s), digest {theirs_short}", theirs.keys);
    let Some(ours) = &here.approvers else {
        return Some(Check::well("approvers", format!("{seen}; this server has no copy to compare it with")));
    };
    Some(Check::same(
        "approvers",
        theirs.sha256.as_ref() == Some(ours),
        seen,
        format!(
            "this server's copy has the digest {}: find out which is right, and copy that one to /etc/mcp-linux-infra/approvers there or \
             to the file that approvers names here",
            short(ours)
        ),
    ))
}

fn logs(facts: &TargetFacts) -> Option<Check> {
    let logs = facts.logs?;
    let percent = |free: u64, all: u64| free.saturating_mul(100).checked_div(all).unwrap_or(100);
    let (space, inodes) = (percent(logs.bytes_free, logs.bytes), percent(logs.inodes_free, logs.inodes));
    let seen =
        format!("/var/log: {} MiB ({space} %) and {inodes} % of the inodes free", logs.bytes_free >> 20);
    let make = "find out who removed it (journalctl, audit reconcile), then: install -o root -g root -m 640 /dev/null /var/log/pra-run.log";
    let room = "make room: journalctl --disk-usage; du -xsh /var/log/*; the action rotate_logs";
    Some(if logs.pra_run.is_none() {
        Check::ill("logs", "/var/log/pra-run.log is missing: every grant is refused", make)
    } else if logs.bytes == 0 {
        Check::ill(
            "logs",
            "/var/log cannot be looked at",
            "is it mounted, and may others enter it? chmod a+rx /var/log",
        )
    } else if (logs.bytes_free < LOG_BYTES && space < 10) || space < LOG_PERCENT || inodes < LOG_PERCENT {
        Check::ill("logs", format!("{seen}: without a record nothing runs"), room)
    } else {
        Check::well("logs", seen)
    })
}
