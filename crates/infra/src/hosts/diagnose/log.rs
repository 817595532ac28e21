//! Errors of the last hour, alike ones together.

use super::{Check, Checked, Finding, Ground};
use crate::hosts::log_groups::group;
use crate::hosts::logs::{self, LogQuery};
use crate::hosts::operand::Priority;
use crate::hosts::reader::Failure;

/// Lines that are looked at.
const LINES: u16 = 300;
/// Groups in the answer.
const GROUPS: usize = 5;

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let query = LogQuery {
        lines: Some(LINES),
        since: "1h".parse().ok(),
        priority: Some(Priority::Err),
        ..LogQuery::default()
    };
    let logs = logs::ask(ground.asker, &query).await?;
    let groups = group(&logs.lines);
    let findings = groups.iter().take(GROUPS).map(|g| Finding {
        severity: g.severity,
        check: Check::Logs,
        subject: if g.last.unit.is_empty() { "log".to_owned() } else { g.last.unit.clone() },
        what: match g.meaning {
            Some(what) => format!("{what} ({} in the last hour)", lines(g.count)),
            None => format!("{} of error in the last hour", lines(g.count)),
        },
        evidence: vec![g.last.short(240)],
        suggestion: None,
    });
    Ok(Checked { findings: findings.collect(), errors: logs.note.into_iter().collect() })
}

fn lines(count: usize) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}
