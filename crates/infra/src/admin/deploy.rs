//! `deploy`: makes a host a target, then logs in to it with both keys.

use std::path::{Path, PathBuf};

use super::{AdminError, Bundle, Channel};
use crate::config::Host;
use crate::doctor::{self, Check};
use crate::ssh::{beside, key_lines};

const PROGRAMS: [&str; 3] = ["mcp-wrapper", "pra-exec", "pra-run"];

/// What a target is to be, besides what the config says of the host.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Folder of the target programs; without one they must be in place on the host.
    pub programs: Option<PathBuf>,
    /// Where they lie there: `/usr/local` when it is left out, or as it was laid.
    pub prefix: Option<String>,
    /// Whether the reader may read the journal and `/var/log`.
    pub log_group: bool,
    /// Addresses that the keys are good from, with commas between.
    pub from: Option<String>,
    /// Until when, `YYYYMMDDHHMMZ`.
    pub expires: Option<String>,
}

impl Plan {
    /// What the script gets for this host; the keys and the approvers are the server's.
    pub(super) fn bundle(
        &self,
        channel: &Channel<'_>,
        host: &Host,
        more: &[&str],
    ) -> Result<Bundle, AdminError> {
        self.filled(channel, host, more).map_err(AdminError::Bundle)
    }

    fn filled(&self, channel: &Channel<'_>, host: &Host, more: &[&str]) -> Result<Bundle, String> {
        let mut bundle = Bundle::new(more)?;
        for (option, value) in [
            ("--host", Some(host.name.as_str())),
            ("--tenant", Some(host.tenant.as_str())),
            ("--prefix", self.prefix.as_deref()),
            ("--from", self.from.as_deref()),
            ("--expires", self.expires.as_deref()),
        ] {
            if let Some(value) = value {
                bundle.argument(option)?;
                bundle.argument(value)?;
            }
        }
        if self.log_group {
            bundle.argument("--log-group")?;
        }
        if let Some(dir) = &self.programs {
            bundle.argument("--programs")?;
            bundle.argument("programs")?;
            for name in PROGRAMS {
                let path = dir.join(name);
                bundle.program(name, read(&path)?);
            }
        }
        for (option, name, key) in [
            ("--reader-key", "reader.pub", &host.reader_key),
            ("--runner-key", "runner.pub", &host.runner_key),
        ] {
            let key = key.as_deref().ok_or_else(|| format!("no key for {} in the config", &name[..6]))?;
            bundle.file(option, name, public_keys(key)?.into_bytes())?;
        }
        if let Some(path) = &channel.app().config().approvers {
            bundle.file("--approvers", "approvers", read(path)?)?;
        }
        Ok(bundle)
    }
}

/// The key's public half, and those of its neighbours while it is rotated: to lay it alone would take the others away.
fn public_keys(key: &Path) -> Result<String, String> {
    let mut lines = vec![key_lines(key)?.0];
    for neighbour in ["new", "old"].map(|ending| beside(key, ending)) {
        lines.extend(key_lines(&neighbour).ok().map(|(line, _)| line));
    }
    Ok(lines.iter().flat_map(|line| [line, "\n"]).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Lays the target, then asks it what `doctor` asks, which logs in with both keys.
pub async fn deploy(channel: &Channel<'_>, host: &Host, plan: &Plan) -> Result<Vec<Check>, AdminError> {
    let bundle = plan.bundle(channel, host, &[])?;
    channel.run(host, &bundle).await?;
    Ok(doctor::host(channel.app(), host).await)
}
