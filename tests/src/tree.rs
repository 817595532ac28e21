//! The whole file tree of a host, so that two looks can be compared: path, kind, mode, owner, target of a link, and the bytes of each file.

use std::collections::BTreeMap;

use crate::Lab;

/// What changes by itself or is kept on purpose; and why.
const LEFT_OUT: [(&str, &str); 13] = [
    ("/var/log", "logs; what stays there of ours is looked at by itself"),
    ("/var/lib/systemd", "stamps of timers, the random seed, linger"),
    ("/var/lib/logrotate", "the state of logrotate.timer"),
    ("/var/lib/private", "the same of services with dynamic users"),
    ("/etc/.pwd.lock", "the lock of the shadow tools stays once it was taken"),
    ("/etc/passwd-", "the shadow tools keep the file before their last change"),
    ("/etc/group-", "the same"),
    ("/etc/shadow-", "the same"),
    ("/etc/gshadow-", "the same"),
    ("/home/ops/.ansible", "Ansible keeps its empty temporary folder in the administrator's home"),
    ("/home/ops/.sudo_as_admin_successful", "sudo's note, in the administrator's home, that it was used"),
    (
        "/root/.rpmdb",
        "rpm makes an empty database when anybody asks it anything (podman's service, install-target.sh)",
    ),
    ("/var/lib/rpm", "the same on Debian 13"),
];

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Looks at everything on the root file system.
    pub fn look(lab: &Lab, host: &str) -> Self {
        let without: Vec<String> =
            LEFT_OUT.iter().map(|(path, _)| format!("-path '{path}' -prune -o")).collect();
        let without = without.join(" ");
        let script = format!(
            "find / -xdev {without} -printf '%p\\t%y %m %U %G %l\\n'; echo; \
             find / -xdev {without} -type f -print0 | xargs -0 sha256sum -z | tr '\\0' '\\n' | sed -E 's/^(\\S+)  (.*)$/\\2\\t\\1/'"
        );
        let said = lab.must(host, &script);
        let (facts, sums) = said.split_once("\n\n").expect("both parts");
        let mut tree = BTreeMap::new();
        for line in facts.lines() {
            let (path, fact) = line.split_once('\t').expect("path and facts");
            tree.insert(path.to_owned(), fact.trim().to_owned());
        }
        assert!(tree.len() > 5000 && sums.lines().count() > 5000, "the look does not work");
        for line in sums.lines() {
            let (path, sum) = line.split_once('\t').expect("path and sum");
            let fact = tree.get_mut(path).unwrap_or_else(|| panic!("{path} came while looking"));
            fact.push(' ');
            fact.push_str(sum);
        }
        Self(tree)
    }

    /// What one says of a path.
    pub fn at(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// What differs: `-` is only in this one, `+` only in the other.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (path, fact) in &self.0 {
            if other.0.get(path) != Some(fact) {
                changes.push(format!("- {path} {fact}"));
            }
        }
        for (path, fact) in &other.0 {
            if self.0.get(path) != Some(fact) {
                changes.push(format!("+ {path} {fact}"));
            }
        }
        changes
    }
}
