//! Names of an earlier program of the same purpose, whose tools we merged: they work when called and are not listed.
//! Where its arguments had other names, the structs of the tools take both. What it let a model approve has no
//! alias, and never will.

/// The old name and the tool that does it.
pub(in crate::mcp) const OLD: &[(&str, &str)] = &[
    ("get_service_logs", "fetch_logs"),
    ("list_pending_approvals", "list_pending_actions"),
    ("propose_remote_execution", "propose_pra_action"),
];

/// The name of the tool that answers to `name`.
pub(in crate::mcp) fn current(name: &str) -> &str {
    OLD.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::Toolbox;

    #[test]
    fn old_names_lead_to_tools_and_are_not_listed() {
        let tools = Toolbox::new();
        for (old, new) in OLD {
            assert_eq!(tools.get(old).map(|t| t.name), Some(*new));
            assert!(tools.iter().all(|t| t.name != *old), "{old} is not listed");
        }
        assert!(tools.get("get_service_log").is_none());
    }

    #[test]
    fn nothing_that_approves_has_an_old_name() {
        let tools = Toolbox::new();
        for name in
            ["approve_command", "approve_remote_execution", "execute_remote_execution", "reload_plugins"]
        {
            assert!(tools.get(name).is_none(), "{name}");
        }
    }
}
