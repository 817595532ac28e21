//! What the target says of itself: the public facts that a statement binds. `mcp-describe` prints them.

use std::collections::BTreeMap;

use policy::Profile;
use serde::Serialize;

use crate::config::{self, Config, Sandbox};
use crate::sandbox::Kernel;
use crate::{Paths, hex, now_ms};

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
}

/// Collects the facts.
///
/// # Errors
/// What is wrong with the target's configuration.
pub fn facts(paths: &Paths) -> Result<Facts, String> {
    let config = Config::load(paths)?;
    let catalogue = config::catalogue(paths)?;
    let actions = config::actions(paths)?;
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
    })
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
