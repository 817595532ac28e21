//! The checks of the server itself.

use crate::app::App;

use super::Check;
use crate::store::{Store, StoreError};

/// The checks of the server itself.
pub fn server(app: &App) -> Vec<Check> {
    vec![config(app), plugins(app), examples(app), approvers(app), database(app), audit(app)]
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
