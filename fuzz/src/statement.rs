//! The statement: what is read has one meaning, and shows an approver what is there.

use grant::{Kind, MAX_STATEMENT, Statement};

use crate::text::assert_visible;

/// Takes the bytes as a statement.
pub fn check(data: &[u8]) {
    let once = Statement::parse(data);
    assert_eq!(once, Statement::parse(data));
    let statement = match once {
        Ok(statement) => statement,
        Err(refusal) => return assert!(!refusal.message.is_empty()),
    };
    assert!(data.len() <= MAX_STATEMENT);
    let written = statement.to_bytes();
    // Its own spelling is never longer, but for the last newline.
    assert!(written.len() <= data.len() + 1);
    if written.len() <= MAX_STATEMENT {
        assert_eq!(Statement::parse(&written).as_ref(), Ok(&statement));
    }
    assert_eq!(statement.kind == Kind::Command, !statement.argv.is_empty());
    assert!(statement.params.is_empty() || statement.kind != Kind::Command);
    if !statement.kind.runs() {
        assert!(statement.params.is_empty() && statement.plan.is_empty() && statement.policy.is_empty());
        assert!(statement.break_glass.is_none() && !statement.rationale.trim().is_empty());
        assert_eq!(statement.kind == Kind::Deny, statement.action.is_empty());
    }
    if let Some(reason) = &statement.break_glass {
        assert_visible(&reason.replace(['\n', '\t'], " "), "a reason");
        assert!(reason.trim().chars().count() >= grant::MIN_REASON);
    }
    let shown = statement.argv.iter().chain(statement.params.keys()).chain(statement.params.values());
    let names =
        [&statement.proposal, &statement.tenant, &statement.host, &statement.action, &statement.proposed_by];
    for text in shown.chain(names) {
        assert_visible(text, "a statement");
    }
    assert_visible(&statement.rationale.replace(['\n', '\t'], " "), "a rationale");
    for name in [&statement.proposal, &statement.tenant, &statement.host] {
        assert!(!name.is_empty() && !name.contains('/') && !name.starts_with(['.', '-']), "{name:?}");
    }
}
