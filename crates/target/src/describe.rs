//! What the target says of itself: the public facts that a statement binds. `mcp-describe` prints them.

use std::collections::BTreeMap;

use policy::Profile;
use serde::Serialize;

use crate::config::{self, Config, Sandbox};
use crate::sandbox::Kernel;
use crate::{Paths, files, hex, now_ms};

/// The word by which the reader asks.
pub const WORD: &str = "mcp-describe";

/// The facts.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Version of this shape.
    pub v: u32,
    /// Name of the host in the inventory.
    pub host: String,
    /// Its tenant.
    pub tenant: String,
    /// Which machine this is, whatever its name.
    pub machine_id: String,
    /// Its host key, type and base64.
    pub host_key: String,
    /// Version of the target programs.
    pub version: &'static str,
    /// Digest of the policy.
    pub policy: String,
    /// Digest of each action's definition.
    pub plans: BTreeMap<String, String>,
    /// Distinct persons that each action needs.
    pub approvals: BTreeMap<String, u32>,
    /// The clock, unix seconds.
    pub now: i64,
    /// Changes with each boot.
    pub boot_id: String,
    /// What happens when the kernel cannot confine a program.
    pub sandbox: Sandbox,
    /// What the kernel offers for it.
    pub kernel: Kernel,
    /// For each profile what it would restrict and this kernel cannot.
    pub gaps: BTreeMap<Profile, Vec<&'static str>>,
    /// Groups of the account that asks, by name, or by number where they have none.
    pub groups: Vec<String>,
    /// What stands of the approvers' file.
    pub approvers: ApproversFact,
    /// Room for logs.
    pub logs: LogsFact,
}

/// What stands of the approvers' file, without naming anybody.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ApproversFact {
    /// SHA-256 of its bytes, 64 hex digits; absent when it is missing or not to be trusted.
    pub sha256: Option<String>,
    /// Lines with a key.
    pub keys: usize,
    /// Why nobody can approve here.
    pub problem: Option<String>,
}

/// Room for logs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LogsFact {
    /// Bytes of the file system of `/var/log`; 0 when it cannot be looked at.
    pub bytes: u64,
    /// Bytes that may still be written.
    pub bytes_free: u64,
    /// Inodes; 0 when the file system counts none.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
    /// Bytes of `pra-run`'s own log; absent when it is missing.
    pub pra_run: Option<u64>,
}

/// Collects the facts.
///
/// # Errors
/// What is wrong with the target's configuration.
pub fn facts(paths: &Paths) -> Result<Facts, String> {
    let config = Config::load(paths)?;
    let catalogue = config::catalogue(paths)?;
    let actions = config::actions(paths)?;
    config.check_actions(&actions)?;
    let (machine_id, host_key) = identity(paths)?;
    let mut approvals: BTreeMap<String, u32> =
        actions.iter().map(|a| (a.name.clone(), config.threshold(Some(a)).min)).collect();
    approvals.insert("command".to_owned(), config.threshold(None).min);
    let kernel = Kernel::running();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(Facts {
        v: 1,
        host: config.host_name(),
        tenant: config.tenant.clone(),
        machine_id,
        host_key,
        version: env!("CARGO_PKG_VERSION"),
        policy: catalogue.digest().to_owned(),
        plans: actions.iter().map(|a| (a.name.clone(), a.plan().to_owned())).collect(),
        approvals,
        now: now_ms() / 1000,
        boot_id: boot.trim().to_owned(),
        sandbox: config.sandbox,
        kernel,
        gaps: kernel.gaps(),
        groups: groups(paths),
        approvers: approvers(paths),
        logs: logs(paths),
    })
}

/// A wrong file is a fact: it must not keep the other facts back.
fn approvers(paths: &Paths) -> ApproversFact {
    let path = paths.approvers();
    let text = match files::read_trusted(paths, &path) {
        Ok(Some(text)) => text,
        Ok(None) => {
            return ApproversFact {
                problem: Some(format!("{} is missing", path.display())),
                ..ApproversFact::default()
            };
        }
        Err(cause) => return ApproversFact { problem: Some(cause), ..ApproversFact::default() },
    };
    // pra-run says whether they can be read: it is asked with an empty grant.
    let keys = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).count();
    let problem = (keys == 0).then(|| format!("{} has no key", path.display()));
    let sha256 = hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    ApproversFact { sha256: Some(sha256), keys, problem }
}

fn logs(paths: &Paths) -> LogsFact {
    let room = rustix::fs::statvfs(paths.at("/var/log"));
    let pra_run = std::fs::metadata(paths.pra_log()).ok().map(|m| m.len());
    match room {
        Ok(room) => LogsFact {
            bytes: room.f_blocks.saturating_mul(room.f_frsize),
            bytes_free: room.f_bavail.saturating_mul(room.f_frsize),
            inodes: room.f_files,
            inodes_free: room.f_favail,
            pra_run,
        },
        Err(_) => LogsFact { pra_run, ..LogsFact::default() },
    }
}

fn groups(paths: &Paths) -> Vec<String> {
    let table = std::fs::read_to_string(paths.at("/etc/group")).unwrap_or_default();
    let mut ids: Vec<u32> =
        rustix::process::getgroups().unwrap_or_default().iter().map(|gid| gid.as_raw()).collect();
    ids.push(rustix::process::getegid().as_raw());
    ids.sort_unstable();
    ids.dedup();
    let name = |id: u32| {
        let of = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = of.into_iter().find(|fields| fields.get(2).is_some_and(|n| n.parse() == Ok(id)));
        found.map_or_else(|| id.to_string(), |fields| fields[0].to_owned())
    };
    ids.into_iter().map(name).collect()
}

/// The machine's identity, and its host key: SHA-256 over both, so that neither a clone with a new key nor another machine
/// with a copied id is the same.
///
/// # Errors
/// A file that is missing or empty.
pub fn identity(paths: &Paths) -> Result<(String, String), String> {
    let read = |place: &str| {
        let path = paths.at(place);
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let text = text.trim().to_owned();
        if text.is_empty() { Err(format!("{}: it is empty", path.display())) } else { Ok(text) }
    };
    let machine = read("/etc/machine-id")?;
    let line = read("/etc/ssh/ssh_host_ed25519_key.pub")?;
    let key = line.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let text = format!("mcp-linux-infra machine v1\n{machine}\n{key}\n");
    Ok((hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref()), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_approvers_file_is_a_fact_and_keeps_no_other_back() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::beneath(dir.path());
        for folder in ["etc/mcp-linux-infra", "etc/ssh", "var/log"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("etc/machine-id"), "0123\n").unwrap();
        std::fs::write(dir.path().join("etc/ssh/ssh_host_ed25519_key.pub"), "ssh-ed25519 AAAA x\n").unwrap();
        let gid = rustix::process::getegid().as_raw();
        std::fs::write(dir.path().join("etc/group"), format!("mine:x:{gid}:\n")).unwrap();
        let file = dir.path().join("etc/mcp-linux-infra/approvers");
        let missing = facts(&paths).unwrap();
        assert!(missing.approvers.problem.unwrap().contains("missing") && missing.approvers.sha256.is_none());
        assert!(missing.groups.contains(&"mine".to_owned()), "{:?}", missing.groups);
        assert!(missing.logs.bytes >= missing.logs.bytes_free && missing.logs.pra_run.is_none());
        std::fs::write(&file, "# nobody yet\n\n").unwrap();
        std::fs::write(dir.path().join("var/log/pra-run.log"), "x").unwrap();
        let wrong = facts(&paths).unwrap();
        assert!(wrong.approvers.problem.is_some() && wrong.approvers.sha256.is_some());
        assert_eq!(wrong.logs.pra_run, Some(1));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&file, mode).unwrap();
        let open = facts(&paths).unwrap();
        assert!(open.approvers.problem.unwrap().contains("chmod go-w") && open.approvers.sha256.is_none());
    }
}
