//! `deploy`

use std::path::{Path, PathBuf};

use clap::Args;
use futures::StreamExt;
use serde_json::json;

use super::{Context, Done, Ended, output};
use crate::admin::{self, Channel, Drift, Plan};
use crate::app::App;
use crate::config::{Host, Selector};
use crate::doctor::Check;

/// Makes hosts targets, or brings them up to date: with your own ssh and sudo, never with the server's keys
///
/// Runs scripts/install-target.sh on each host, then logs in with both keys. Safe to run again. Exit 0 when every host is well, 1 when not.
#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// Which: host names, group:NAME, tag:NAME, all
    #[arg(required = true)]
    hosts: Vec<String>,
    #[command(flatten)]
    way: Way,
    /// Folder with mcp-wrapper, pra-exec and pra-run [default: target/dist, else where packages lay it]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Where the programs lie on the hosts; /usr: a package has laid them, and none is sent
    #[arg(long, value_parser = ["/usr/local", "/usr"])]
    prefix: Option<String>,
    /// Let mcp-reader read the journal and /var/log
    #[arg(long)]
    log_group: bool,
    #[command(flatten)]
    bounds: Bounds,
    /// Change nothing; say what is not as it would be
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The administrator's way in.
#[derive(Debug, Args)]
pub(super) struct Way {
    /// Your login on the hosts, with sudo [default: admin.user of the config, else as ssh has it]
    #[arg(long = "admin", value_name = "USER")]
    pub(super) user: Option<String>,
}

/// Where and how long a key is good.
#[derive(Debug, Args)]
pub(super) struct Bounds {
    /// Addresses and networks that the keys are good from, with commas between
    #[arg(long, value_name = "CIDR,…")]
    pub(super) from: Option<String>,
    /// Until when, in UTC
    #[arg(long, value_name = "YYYYMMDDHHMMZ")]
    pub(super) expires: Option<String>,
}

impl Deploy {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let hosts = select(&app, Some(&self.hosts.join(",")))?;
        let plan = Plan {
            programs: self.programs()?,
            prefix: self.prefix.clone(),
            log_group: self.log_group,
            from: self.bounds.from.clone(),
            expires: self.bounds.expires.clone(),
        };
        let channel = Channel::new(&app, self.way.user.as_deref()).map_err(Ended::usage)?;
        let mut rows = Vec::new();
        Context::block_on(async {
            let work = hosts.iter().map(|host| self.one(&channel, host, &plan));
            let mut done = futures::stream::iter(work).buffered(app.config().limits.fleet_concurrency);
            while let Some(row) = done.next().await {
                self.show(&row)?;
                rows.push(row);
            }
            Ok(())
        })?;
        let well = rows.iter().all(|r| r.ok);
        if self.json {
            output::json(&json!({ "ok": well, "results": rows }))?;
        }
        if well { Ok(()) } else { Err(Ended::quiet(1)) }
    }

    async fn one(&self, channel: &Channel<'_>, host: &Host, plan: &Plan) -> Row {
        let started = std::time::Instant::now();
        let found = if self.check {
            admin::harden(channel, host, plan).await
        } else {
            admin::deploy(channel, host, plan)
                .await
                .map(|checks| checks.into_iter().filter(|c| !c.ok).map(drift).collect())
        };
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let host = host.name.to_string();
        match found {
            Ok(drifts) => Row { host, ok: drifts.is_empty(), ms, error: None, drifts },
            Err(e) => Row { host, ok: false, ms, error: Some(e.to_string()), drifts: Vec::new() },
        }
    }

    /// With a package's prefix none is sent, unless a folder is named.
    fn programs(&self) -> Result<Option<PathBuf>, Ended> {
        if self.programs.is_some() || self.prefix.as_deref() == Some("/usr") {
            return Ok(self.programs.clone());
        }
        let places = ["target/dist", "/usr/lib/mcp-linux-infra/target"];
        let found = places.iter().map(Path::new).find(|p| p.join("pra-run").is_file());
        found.map(|p| Some(p.to_path_buf())).ok_or_else(|| {
            Ended::usage("the target programs were not found: scripts/build-target.sh makes them; or name a folder with --programs")
        })
    }

    fn show(&self, row: &Row) -> Done {
        if self.json {
            return Ok(());
        }
        let word = match (&row.error, row.ok, self.check) {
            (Some(e), ..) => e.clone(),
            (None, true, true) => "is as it would be laid".to_owned(),
            (None, true, false) => format!("is a target; both keys log in ({} ms)", row.ms),
            (None, false, true) => format!("{} thing(s) are not as they would be laid", row.drifts.len()),
            (None, false, false) => format!("was laid, and {} check(s) fail", row.drifts.len()),
        };
        output::line(&format!("{} {}: {word}", if row.ok { "ok  " } else { "FAIL" }, row.host))?;
        for drift in &row.drifts {
            output::line(&format!(
                "       {:<14} {}\n       {:<14} -> {}",
                drift.check, drift.cause, "", drift.mend
            ))?;
        }
        Ok(())
    }
}

#[derive(serde::Serialize)]
struct Row {
    host: String,
    ok: bool,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What is not as it should be.
    drifts: Vec<Drift>,
}

fn drift(check: Check) -> Drift {
    Drift { check: check.check.to_owned(), cause: check.detail, mend: check.mend.unwrap_or_default() }
}

/// The hosts of a selector; all of them without one.
pub(super) fn select<'a>(app: &'a App, selector: Option<&str>) -> Result<Vec<&'a Host>, Ended> {
    if let Some(notice) = app.config().empty_notice() {
        return Err(Ended::usage(notice));
    }
    let selector: Selector = selector.unwrap_or("all").parse().map_err(Ended::usage)?;
    selector.select(&app.config().inventory).map_err(Ended::usage)
}
