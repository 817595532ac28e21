//! Which tools a client is shown: groups, chosen when the server starts.
//!
//! The list costs a model tokens in every conversation, and it may not change while the server runs. Without a choice
//! `core` is listed and every tool answers; with one, only the tools of the chosen groups do.

use std::collections::BTreeSet;

use crate::config::ConfigError;

use super::icons::Icon;
use super::toolbox::{Tool, Toolbox};

/// A group of tools.
#[derive(Debug, Clone, Copy)]
pub struct Toolset {
    /// Its name in `toolsets`.
    pub name: &'static str,
    /// Its picture.
    pub icon: Icon,
    /// Names of its tools.
    pub tools: &'static [&'static str],
}

/// The group that is listed when none is chosen.
pub const CORE: &str = "core";
/// Every tool.
pub const ALL: &str = "all";

/// The groups. `core` takes from the others what an incident needs first.
pub const TOOLSETS: [Toolset; 10] = [
    Toolset {
        name: CORE,
        icon: Icon::Tool,
        tools: &[
            "diagnose_fleet",
            "diagnose_system",
            "execute_pra_action",
            "execute_ssh_command",
            "fetch_logs",
            "get_more",
            "get_processes",
            "get_service_status",
            "list_hosts",
            "list_pending_actions",
            "list_pra_actions",
            "list_services",
            "propose_pra_action",
            "search_logs",
            "verify_service",
        ],
    },
    Toolset { name: "fleet", icon: Icon::Fleet, tools: &["diagnose_fleet", "diagnose_system", "list_hosts"] },
    Toolset {
        name: "system",
        icon: Icon::System,
        tools: &[
            "get_block_devices",
            "get_cpu_info",
            "get_disk_usage",
            "get_memory_info",
            "get_more",
            "get_processes",
            "get_system_info",
            "list_packages",
        ],
    },
    Toolset {
        name: "services",
        icon: Icon::Services,
        tools: &["check_service_health", "get_service_status", "list_services", "verify_service"],
    },
    Toolset {
        name: "network",
        icon: Icon::Network,
        tools: &[
            "get_active_connections",
            "get_dns_config",
            "get_listening_ports",
            "get_more",
            "get_network_interfaces",
            "get_routing_table",
            "test_connectivity",
        ],
    },
    Toolset {
        name: "logs",
        icon: Icon::Logs,
        tools: &[
            "analyze_errors",
            "fetch_logs",
            "get_journal_logs",
            "get_more",
            "read_log_file",
            "search_logs",
        ],
    },
    Toolset {
        name: "containers",
        icon: Icon::Containers,
        tools: &["get_container_logs", "get_more", "list_containers"],
    },
    Toolset {
        name: "commands",
        icon: Icon::Commands,
        tools: &[
            "analyze_command",
            "execute_ssh_command",
            "get_plugin_details",
            "list_command_plugins",
            "search_commands",
            "show_command_whitelist",
        ],
    },
    Toolset {
        name: "learning",
        icon: Icon::Learning,
        tools: &["get_learning_stats", "get_learning_suggestions"],
    },
    Toolset {
        name: "recovery",
        icon: Icon::Recovery,
        tools: &[
            "execute_pra_action",
            "list_pending_actions",
            "list_pra_actions",
            "propose_pra_action",
            "verify_service",
            "wait_for_approval",
        ],
    },
];

/// The groups that a tool is in; the first is what it is about.
pub fn groups_of(tool: &str) -> impl Iterator<Item = &'static Toolset> {
    // What a tool is about says any other group better than `core`, the one by which everything begins.
    let core = TOOLSETS.iter().filter(|set| set.name == CORE);
    let others = TOOLSETS.iter().filter(|set| set.name != CORE);
    others.chain(core).filter(move |set| set.tools.contains(&tool))
}

/// The choice of one server.
#[derive(Debug, Clone)]
pub struct Choice {
    shown: Option<BTreeSet<&'static str>>,
    only_these: bool,
}

impl Choice {
    /// Reads the names of groups; none means `core`, and that every tool may be called.
    ///
    /// Errors: a name that is no group.
    pub fn parse(names: &[String]) -> Result<Self, ConfigError> {
        if names.is_empty() {
            let core = TOOLSETS.iter().filter(|set| set.name == CORE);
            let shown = core.flat_map(|set| set.tools.iter().copied()).collect();
            return Ok(Self { shown: Some(shown), only_these: false });
        }
        let mut shown = BTreeSet::new();
        for name in names {
            if name == ALL {
                return Ok(Self { shown: None, only_these: true });
            }
            let Some(set) = TOOLSETS.iter().find(|set| set.name == name) else {
                let known: Vec<&str> = TOOLSETS.iter().map(|set| set.name).collect();
                return Err(ConfigError::new(
                    "toolsets",
                    format!("there is no group {name:?}; there are {}, {ALL}", known.join(", ")),
                ));
            };
            shown.extend(set.tools);
        }
        Ok(Self { shown: Some(shown), only_these: true })
    }

    /// Whether a tool is listed.
    pub fn shows(&self, name: &str) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.contains(name))
    }

    /// The tools that are listed, in the order of their names.
    pub fn listed<'a>(&'a self, tools: &'a Toolbox) -> impl Iterator<Item = &'a Tool> {
        tools.iter().filter(|tool| self.shows(tool.name))
    }

    /// A tool that may be called.
    pub fn get<'a>(&self, tools: &'a Toolbox, name: &str) -> Option<&'a Tool> {
        tools.get(name).filter(|tool| !self.only_these || self.shows(tool.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(names: &[&str]) -> Choice {
        Choice::parse(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn every_tool_is_in_a_group_and_every_name_is_a_tool() {
        let tools = Toolbox::new();
        let grouped: BTreeSet<&str> =
            TOOLSETS.iter().filter(|s| s.name != CORE).flat_map(|s| s.tools).copied().collect();
        let there: BTreeSet<&str> = tools.iter().map(|t| t.name).collect();
        assert_eq!(grouped, there);
        assert!(TOOLSETS[0].tools.iter().all(|t| there.contains(t)));
        for set in TOOLSETS {
            assert!(set.tools.is_sorted(), "{}", set.name);
        }
    }

    #[test]
    fn without_a_choice_core_is_listed_and_every_tool_answers() {
        let tools = Toolbox::new();
        let none = choice(&[]);
        assert_eq!(none.listed(&tools).count(), TOOLSETS[0].tools.len());
        assert!(!none.shows("get_learning_stats") && none.get(&tools, "get_learning_stats").is_some());
    }

    #[test]
    fn a_choice_is_a_limit() {
        let tools = Toolbox::new();
        let logs = choice(&["logs", "fleet"]);
        assert!(logs.get(&tools, "fetch_logs").is_some() && logs.get(&tools, "list_hosts").is_some());
        assert!(logs.get(&tools, "execute_pra_action").is_none() && !logs.shows("execute_pra_action"));
        assert_eq!(choice(&["logs", "all"]).listed(&tools).count(), tools.iter().count());
        let wrong = Choice::parse(&["log".to_owned()]).unwrap_err().to_string();
        assert!(
            wrong.contains("\"log\"") && wrong.contains("core, fleet") && wrong.contains("all"),
            "{wrong}"
        );
    }
}
