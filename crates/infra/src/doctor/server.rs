//! The checks of the server itself.

use crate::app::App;

use super::Check;
use crate::notify::Channels;
use crate::oidc;
use crate::store::{Store, StoreError, now_ms};

/// The checks of the server itself.
pub fn server(app: &App) -> Vec<Check> {
    let mut checks =
        vec![config(app), plugins(app), examples(app), approvers(app), database(app), audit(app)];
    checks.extend(notify(app));
    checks
}

fn config(app: &App) -> Check {
    let config = app.config();
    let place = config.path.as_ref().map_or_else(|| "no file".to_owned(), |p| p.display().to_string());
    if let Some(notice) = config.empty_notice() {
        return Check::ill("config", place, notice);
    }
    let mut detail = format!("{place}, {} host(s)", config.inventory.len());
    for warning in &config.warnings {
        detail.push_str(&format!("; {warning}"));
    }
    Check::well("config", detail)
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

fn database(app: &App) -> Check {
    match app.store() {
        Ok(store) => Check::well(
            "database",
            format!("{} of version {}, which this program writes", store.path().display(), Store::version()),
        ),
        Err(e) => Check::ill("database", e.to_string(), mend_of_store(&e)),
    }
}

fn mend_of_store(e: &StoreError) -> &'static str {
    match e {
        StoreError::Newer { .. } => {
            "install the newer mcp-linux-infra here; or stop the server and put back state-v…db, the backup: docs/UPGRADE.md"
        }
        _ => "make state_dir a folder that this account may write",
    }
}

fn audit(app: &App) -> Check {
    // Where there is no database, its own check says why.
    match app.store().and_then(|s| s.audit_verify()) {
        Err(e) => Check::ill("audit", e.to_string(), mend_of_store(&e)),
        Ok(report) if report.ok => Check::well("audit", format!("{} record(s), unbroken", report.records)),
        Ok(report) => Check::ill(
            "audit",
            report.problem.unwrap_or_default(),
            "keep the database as it is and compare it with the targets' logs: mcp-linux-infra audit verify",
        ),
    }
}

/// What was not delivered; no row when there is no channel.
fn notify(app: &App) -> Option<Check> {
    const LOOKED_AT: usize = 1000;
    const DAY_MS: i64 = 86_400_000;
    let mend = "mend the cause, then try it: mcp-linux-infra notify test; mcp-linux-infra notify list shows what waits";
    let channels = match Channels::new(app.config()) {
        Ok(channels) => channels,
        Err(e) => return Some(Check::ill("notify", e.to_string(), mend)),
    };
    let names: Vec<&str> = channels.names().collect();
    if names.is_empty() {
        return None;
    }
    if let Some((name, cause)) = channels.problems().into_iter().next() {
        return Some(Check::ill("notify", format!("{name}: {cause}"), mend));
    }
    let rows = match app.store().and_then(|s| s.outbox(true, LOOKED_AT)) {
        // What was given up longer ago is nobody's concern any more.
        Ok(rows) => rows.into_iter().filter(|r| r.ended_ms.is_none_or(|ms| ms > now_ms() - DAY_MS)),
        Err(e) => return Some(Check::ill("notify", e.to_string(), mend_of_store(&e))),
    };
    let rows: Vec<_> = rows.collect();
    let given_up = rows.iter().filter(|r| r.state == "given_up").count();
    let waiting = rows.len() - given_up;
    let Some(worst) = rows.iter().find(|r| r.error.is_some()) else {
        return Some(Check::well("notify", format!("{} channel(s), {waiting} message(s) wait", names.len())));
    };
    let cause = worst.error.as_deref().unwrap_or_default();
    let detail = format!("{waiting} message(s) wait, {given_up} given up; {}: {cause}", worst.channel);
    Some(Check::ill("notify", detail, mend))
}

/// Whether persons can log in with the OIDC provider: asks it what it publishes. No row when there is none.
pub async fn provider(app: &App) -> Option<Check> {
    let provider = match oidc::configured(app.config()).transpose()? {
        Ok(provider) => provider,
        Err(cause) => {
            return Some(Check::ill("oidc", cause, "mend that value of the config, see docs/DASHBOARD.md"));
        }
    };
    Some(match provider.look().await {
        Ok(keys) => Check::well("oidc", format!("{} publishes {keys} key(s) that count", provider.issuer())),
        Err(cause) => Check::ill(
            "oidc",
            format!("{}: {cause}", provider.issuer()),
            "nobody can log in with it until that is mended; passkeys work as before",
        )
        .cleaned(),
    })
}
