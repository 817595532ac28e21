//! Completions of arguments: hosts, services, plugins, proposals, tools.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::hosts::{self, ServiceState};

use super::prompts::{Kind, Prompts};
use super::toolbox::{Call, Toolbox};

/// Values in one answer, the protocol's own bound.
pub const MOST: usize = 100;
/// How long a host may take to name its services; without them the answer has those that actions are for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Names of hosts.
    Hosts,
    /// Names of units.
    Services,
    /// Names of plugins.
    Plugins,
    /// Ids of proposals.
    Proposals,
    /// Names of tools.
    Tools,
}

impl Subject {
    /// Of an argument of a prompt; none when the argument is free text or there is no such prompt.
    pub fn of_prompt(prompts: &Prompts, name: &str, argument: &str) -> Option<Self> {
        match prompts.get(name)?.arguments.iter().find(|a| a.name == argument)?.kind {
            Kind::Host => Some(Self::Hosts),
            Kind::Service => Some(Self::Services),
            Kind::Proposal => Some(Self::Proposals),
            Kind::Text => None,
        }
    }

    /// Of the name in the template of a resource.
    pub fn of_resource(uri: &str, argument: &str) -> Option<Self> {
        let known = super::resources::TEMPLATES.iter().find(|t| t.uri == uri)?;
        if !known.uri.ends_with(&format!("{{{argument}}}")) {
            return None;
        }
        match argument {
            "host" => Some(Self::Hosts),
            "plugin" => Some(Self::Plugins),
            "id" => Some(Self::Proposals),
            "tool" => Some(Self::Tools),
            _ => None,
        }
    }

    /// Values that begin with `begin`, in their order; `host` is the host that was chosen before, for its services.
    pub async fn values(self, call: &Call, tools: &Toolbox, begin: &str, host: Option<&str>) -> Vec<String> {
        let all: BTreeSet<String> = match self {
            Self::Hosts => call.app.config().inventory.iter().map(|h| h.name.to_string()).collect(),
            Self::Services => services(call, host).await,
            Self::Plugins => call.app.catalogue().plugins().iter().map(|p| p.name.clone()).collect(),
            Self::Proposals => call
                .app
                .blocking(|store| store.proposals(false, 200))
                .await
                .map(|rows| rows.into_iter().map(|p| p.id).collect())
                .unwrap_or_default(),
            Self::Tools => tools.iter().map(|t| t.name.to_owned()).collect(),
        };
        all.into_iter().filter(|value| value.starts_with(begin)).collect()
    }
}

/// The services of a host, asked over SSH like any other look at it, and those that actions are for.
async fn services(call: &Call, host: Option<&str>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> =
        call.app.actions().iter().flat_map(|a| a.units.iter().map(ToString::to_string)).collect();
    if let Some(host) = host.and_then(|name| call.app.host(name).ok()) {
        let reader = call.app.reader(host, &call.caller);
        let asked = hosts::list_services(&reader, ServiceState::All, Some(hosts::MAX_SERVICES));
        if let Ok(Ok(list)) = tokio::time::timeout(PATIENCE, asked).await {
            names.extend(list.services.into_iter().map(|s| s.unit));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::app::App;
    use crate::config::{Config, Environment};
    use crate::mcp::Progress;

    fn call() -> (tempfile::TempDir, Call) {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let path = dir.path().join("c.toml");
        let hosts: String = (0..150).map(|n| format!("[[hosts]]\nname = \"web{n:03}\"\n")).collect();
        std::fs::write(&path, format!("state_dir = \"state\"\n{hosts}[[hosts]]\nname = \"db1\"\n")).unwrap();
        let app = Arc::new(App::new(Config::load(Some(&path), &env).unwrap()).unwrap());
        (dir, Call { app, caller: "test".into(), progress: Progress::default() })
    }

    #[tokio::test]
    async fn names_are_completed_by_their_beginning() {
        let (_dir, call) = call();
        let tools = Toolbox::new();
        let values = |subject: Subject, begin: &'static str| {
            let (call, tools) = (call.clone(), tools.clone());
            async move { subject.values(&call, &tools, begin, None).await }
        };
        assert_eq!(values(Subject::Hosts, "d").await, ["db1"]);
        assert_eq!(values(Subject::Hosts, "").await.len(), 151);
        assert_eq!(values(Subject::Plugins, "net").await, ["network"]);
        assert_eq!(values(Subject::Tools, "list_h").await, ["list_hosts"]);
        assert!(values(Subject::Services, "unb").await.contains(&"unbound.service".to_owned()));
        assert!(values(Subject::Proposals, "").await.is_empty());
    }

    #[test]
    fn an_argument_says_what_is_completed() {
        let prompts = Prompts::new().unwrap();
        assert_eq!(Subject::of_prompt(&prompts, "recover-service", "service"), Some(Subject::Services));
        assert_eq!(Subject::of_prompt(&prompts, "diagnose-host", "symptom"), None);
        assert_eq!(Subject::of_prompt(&prompts, "none", "host"), None);
        assert_eq!(Subject::of_resource("infra://hosts/{host}", "host"), Some(Subject::Hosts));
        assert_eq!(Subject::of_resource("infra://hosts/{host}", "id"), None);
        assert_eq!(Subject::of_resource("infra://proposals/{id}", "id"), Some(Subject::Proposals));
        assert_eq!(Subject::of_resource("file:///etc", "host"), None);
    }
}
