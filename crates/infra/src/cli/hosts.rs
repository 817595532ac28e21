//! `hosts list`, `hosts check`

use clap::Subcommand;
use futures::StreamExt;
use serde_json::{Value, json};

use super::{Context, Done, Ended, output};
use crate::app::App;
use crate::config::{Host, Selector};
use crate::doctor;
use crate::recovery::describe;

/// What makes a target answer as this server would: the rest of what `doctor` looks at says how fit it is, not whether it fits.
const FITTING: [&str; 5] = ["name", "version", "policy", "actions", "clock"];

/// The hosts of the inventory.
#[derive(Debug, Subcommand)]
pub(super) enum Hosts {
    /// List the hosts
    List {
        /// Which: host names, group:NAME, tag:NAME, all; ',' or, '&' and, '!' not; all when left out
        selector: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Log in to hosts as the reader and compare what they say of themselves
    Check {
        /// Names of hosts; all when none is given
        hosts: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Hosts {
    pub(super) fn run(&self, context: &Context) -> Done {
        match self {
            Self::List { selector, json } => list(context, selector.as_deref(), *json),
            Self::Check { hosts, json } => check(context, hosts, *json),
        }
    }
}

fn list(context: &Context, selector: Option<&str>, json: bool) -> Done {
    let config = context.config()?;
    for warning in &config.warnings {
        eprintln!("mcp-linux-infra: {warning}");
    }
    let chosen: Vec<&Host> = match selector {
        Some(selector) => {
            let selector: Selector = selector.parse().map_err(Ended::usage)?;
            selector.select(&config.inventory).map_err(Ended::usage)?
        }
        None => config.inventory.iter().collect(),
    };
    if json {
        let rows: Vec<Value> = chosen
            .iter()
            .map(|h| json!({ "name": h.name, "address": h.address, "port": h.port, "groups": h.groups, "tags": h.tags, "tenant": h.tenant, "pinned": h.host_key.is_some(), "source": h.source }))
            .collect();
        return output::json(&json!({ "hosts": rows, "warnings": config.warnings }));
    }
    if let Some(notice) = config.empty_notice() {
        return output::line(notice);
    }
    for host in chosen {
        let groups = host.groups.iter().map(|g| format!("group:{g}"));
        let tags = host.tags.iter().map(|t| format!("tag:{t}"));
        output::line(&format!(
            "{}  {}:{}  {}  {}",
            host.name,
            host.address,
            host.port,
            host.tenant,
            groups.chain(tags).collect::<Vec<_>>().join(" ")
        ))?;
    }
    Ok(())
}

fn check(context: &Context, names: &[String], json: bool) -> Done {
    let app = context.app()?;
    let chosen: Vec<&Host> = if names.is_empty() {
        app.config().inventory.iter().collect()
    } else {
        names.iter().map(|n| app.host(n)).collect::<Result<_, _>>().map_err(Ended::usage)?
    };
    let rows: Vec<(bool, Value)> = Context::block_on(async {
        Ok(futures::stream::iter(chosen)
            .map(|host| check_one(&app, host))
            .buffered(app.config().limits.fleet_concurrency)
            .collect()
            .await)
    })?;
    for (ok, row) in &rows {
        if json {
            output::json(row)?;
        } else {
            let mark = if *ok { "ok  " } else { "FAIL" };
            output::line(&format!(
                "{mark} {}: {}",
                row["host"].as_str().unwrap_or_default(),
                row["detail"].as_str().unwrap_or_default()
            ))?;
        }
    }
    if rows.iter().all(|(ok, _)| *ok) { Ok(()) } else { Err(Ended::quiet(1)) }
}

async fn check_one(app: &App, host: &Host) -> (bool, Value) {
    let name = &host.name;
    match describe(app, host).await {
        Err(e) => (false, json!({ "host": name, "ok": false, "code": e.code(), "detail": e.to_string() })),
        Ok(facts) => {
            let now = crate::store::now_ms() / 1000;
            let wrong: Vec<String> = doctor::judge(&facts, host, &doctor::Here::of(app), now)
                .into_iter()
                .filter(|c| !c.ok && FITTING.contains(&c.check))
                .map(|c| format!("{}: {}", c.check, c.detail))
                .collect();
            let ok = wrong.is_empty();
            let skew = facts.now.saturating_sub(now);
            let detail = if ok {
                format!("version {}, policy equal, clock {skew} s off", facts.version)
            } else {
                format!("{}; `mcp-linux-infra doctor {name}` says what mends it", wrong.join("; "))
            };
            (
                ok,
                json!({ "host": name, "ok": ok, "detail": detail, "machine_id": facts.machine_id, "policy": facts.policy, "version": facts.version, "clock_skew_seconds": skew }),
            )
        }
    }
}
