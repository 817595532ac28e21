//! `doctor`

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use futures::StreamExt;
use serde_json::json;

use super::deploy::Way;
use super::{Context, Done, Ended, diagnose, output};
use crate::admin::{self, Channel, Plan};
use crate::config::Host;
use crate::doctor::{self, Check};

/// Checks this server, its policy and its audit chain, then each host: the way there, its key, both accounts and their forced commands,
/// versions, policy, actions, clock, sandbox, groups, approvers, room for logs, sudo rule and verifier
///
/// Each failed check has its cause and what mends it. Exit 0 when all is well, 1 when a check failed. Hosts are only looked at.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Names of hosts; all when none is given
    hosts: Vec<String>,
    /// Look at the hosts as root, with your own ssh and sudo: what of sshd, sudo, files, groups and logs is not as it was laid
    #[arg(long)]
    harden: bool,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let chosen: Vec<&Host> = if self.hosts.is_empty() {
            app.config().inventory.iter().collect()
        } else {
            self.hosts.iter().map(|n| app.host(n)).collect::<Result<_, _>>().map_err(Ended::usage)?
        };
        let channel = Channel::new(&app, self.way.user.as_deref()).map_err(Ended::usage)?;
        let mut all = Vec::new();
        if !self.harden {
            let mut checks = doctor::server(&app);
            checks.extend(Context::block_on(async { Ok(doctor::provider(&app).await) })?);
            all.push(("server".to_owned(), checks));
            self.show(&all[0])?;
        }
        Context::block_on(async {
            let (progress, done, total) = (diagnose::progress(), AtomicUsize::new(0), chosen.len());
            let looked = chosen.into_iter().map(|h| async {
                let checks =
                    if self.harden { hardened(&channel, h).await } else { doctor::host(&app, h).await };
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                progress.report(done, total, h.name.to_string());
                (h.name.to_string(), checks)
            });
            let mut found = futures::stream::iter(looked).buffered(app.config().limits.fleet_concurrency);
            // As each is done, so that a long list shows where it is.
            while let Some(one) = found.next().await {
                self.show(&one)?;
                all.push(one);
            }
            Ok(())
        })?;
        let well = all.iter().flat_map(|(_, checks)| checks).all(|c| c.ok);
        if self.json {
            let rows: Vec<_> =
                all.iter().map(|(name, checks)| json!({ "of": name, "checks": checks })).collect();
            output::json(&json!({ "ok": well, "results": rows }))?;
        }
        if well { Ok(()) } else { Err(Ended::quiet(1)) }
    }

    fn show(&self, (name, checks): &(String, Vec<Check>)) -> Done {
        if self.json {
            return Ok(());
        }
        output::line(name)?;
        for check in checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            output::line(&format!("  {mark} {:<14} {}", check.check, check.detail))?;
            if let Some(mend) = &check.mend {
                output::line(&format!("       {:<14} -> {mend}", ""))?;
            }
        }
        Ok(())
    }
}

/// One row a thing that is not as intended.
async fn hardened(channel: &Channel<'_>, host: &Host) -> Vec<Check> {
    match admin::harden(channel, host, &Plan::default()).await {
        Err(e) => vec![Check::ill(
            "harden",
            e.to_string(),
            "mend the administrator's way to the host: [admin] in the config, or --admin USER",
        )],
        Ok(drifts) if drifts.is_empty() => vec![Check::well("harden", "everything is as it was laid")],
        Ok(drifts) => drifts
            .into_iter()
            .map(|d| Check::ill("harden", format!("{}: {}", d.check, d.cause), d.mend))
            .collect(),
    }
}
