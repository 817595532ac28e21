//! Packages, pending updates and whether a restart is due, from dpkg and apt or from rpm.

use std::collections::BTreeMap;

use futures::future::{join, join3};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Row;
use super::ask::Asker;
use super::hygiene::one_line;
use super::reader::{Failure, Reader};

/// Names of packages that ask for a restart, at most.
const MAX_NAMES: usize = 50;

/// Which packages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum PackageShow {
    /// Those with a pending update.
    #[default]
    Updates,
    /// All that are installed.
    Installed,
}

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Installed version.
    pub version: String,
    /// Version that is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// Where the update comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Whether the update is from a security archive.
    pub security: bool,
}

/// What stands beside the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PackageFacts {
    /// `dpkg` or `rpm`.
    pub manager: String,
    /// Installed packages.
    pub installed: usize,
    /// Pending updates, by what the host last fetched; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<usize>,
    /// Those from a security archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_updates: Option<usize>,
    /// Whether the host has to restart.
    pub restart: Restart,
    /// What could not be found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Whether the host has to restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Restart {
    /// Whether one of the two signs is there: a package asks for it, or a newer kernel is installed.
    pub needed: bool,
    /// Kernel that runs.
    pub running_kernel: String,
    /// Newest kernel in /boot; absent where none is, as in a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_kernel: Option<String>,
    /// Whether /run/reboot-required is there.
    pub asked_for: bool,
}

/// Packages and what stands beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// Those that were asked for, by name.
    pub packages: Vec<Package>,
    /// Beside.
    pub facts: PackageFacts,
    /// Whether some are missing here.
    pub truncated: bool,
}

/// Asks for packages with `name` in their name, in all when `None`.
pub async fn list_packages(
    reader: &dyn Reader,
    show: PackageShow,
    name: Option<&str>,
) -> Result<Packages, Failure> {
    let asker = Asker::new(reader);
    let (found, restart) = join(all(&asker), restart(&asker)).await;
    let mut found = found?;
    found.facts.restart = restart?;
    if show == PackageShow::Updates {
        found.packages.retain(|p| p.update.is_some());
    }
    if let Some(part) = name.map(str::to_lowercase) {
        found.packages.retain(|p| p.name.to_lowercase().contains(&part));
    }
    found.packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

async fn all(asker: &Asker<'_>) -> Result<Packages, Failure> {
    match asker.text(&["dpkg", "-l"]).await {
        Ok(told) => {
            let updates = asker.text(&["apt", "list", "--upgradable"]).await;
            Ok(debian(&told.text, told.truncated, updates.map(|t| t.text)))
        }
        Err(Failure::Missing { .. }) => {
            let told = asker.text(&["rpm", "-qa"]).await?;
            Ok(redhat(&told.text, told.truncated))
        }
        Err(e) => Err(e),
    }
}

fn debian(list: &str, truncated: bool, updates: Result<String, Failure>) -> Packages {
    let mut packages: Vec<Package> = list.lines().filter_map(dpkg_row).collect();
    let mut notes = Vec::new();
    let pending = match updates {
        Ok(text) => Some(upgradable(&text)),
        Err(e) => {
            notes.push(format!("pending updates are not known: {e}"));
            None
        }
    };
    if let Some(pending) = &pending {
        for package in &mut packages {
            // dpkg names the architecture where there may be several, apt does not.
            let bare = package.name.split(':').next().unwrap_or_default();
            if let Some((version, origin)) = pending.get(bare) {
                package.security = origin.contains("security");
                package.update = Some(version.clone());
                package.origin = Some(origin.clone());
            }
        }
    }
    let count = |of: fn(&Package) -> bool| packages.iter().filter(|p| of(p)).count();
    let facts = PackageFacts {
        manager: "dpkg".to_owned(),
        installed: packages.len(),
        updates: pending.as_ref().map(|_| count(|p| p.update.is_some())),
        security_updates: pending.as_ref().map(|_| count(|p| p.security)),
        restart: Restart::default(),
        notes,
    };
    Packages { packages, facts, truncated }
}

/// `ii  name:arch  version  arch  description`: of what is installed, `i` is the second letter.
fn dpkg_row(line: &str) -> Option<Package> {
    let mut words = line.split_whitespace();
    let state = words.next()?;
    if state.len() < 2 || state.chars().nth(1) != Some('i') || !state.starts_with(['i', 'h', 'u', 'r', 'p']) {
        return None;
    }
    Some(plain(words.next()?, words.next()?))
}

fn plain(name: &str, version: &str) -> Package {
    Package {
        name: one_line(name, 120),
        version: one_line(version, 80),
        update: None,
        origin: None,
        security: false,
    }
}

/// `name/origin,origin version arch [upgradable from: version]`
fn upgradable(text: &str) -> BTreeMap<String, (String, String)> {
    let row = |line: &str| {
        let (name, rest) = line.split_once('/')?;
        let mut words = rest.split_whitespace();
        let (origin, version) = (words.next()?, words.next()?);
        line.contains("[upgradable")
            .then(|| (one_line(name, 120), (one_line(version, 80), one_line(origin, 120))))
    };
    text.lines().filter_map(row).collect()
}

fn redhat(list: &str, truncated: bool) -> Packages {
    let row = |line: &str| {
        // name-version-release.arch
        let mut parts = line.trim().rsplitn(3, '-');
        let (release, version, name) = (parts.next()?, parts.next()?, parts.next()?);
        Some(plain(name, &format!("{version}-{release}")))
    };
    let packages: Vec<Package> = list.lines().filter_map(row).collect();
    let facts = PackageFacts {
        manager: "rpm".to_owned(),
        installed: packages.len(),
        updates: None,
        security_updates: None,
        restart: Restart::default(),
        notes: vec![
            "pending updates are not known: before dnf answers, with -C too, it makes a folder of the asking account's in /var/tmp \
             (\"Could not set cachedir\"), and a reader writes nothing; ask root for dnf -C check-update"
                .to_owned(),
        ],
    };
    Packages { packages, facts, truncated }
}

async fn restart(asker: &Asker<'_>) -> Result<Restart, Failure> {
    let (kernel, boot, run) = join3(
        asker.text(&["uname", "-r"]),
        asker.text(&["ls", "-1", "/boot/"]),
        asker.text(&["ls", "-1", "/run/"]),
    )
    .await;
    let running = kernel?.text.trim().to_owned();
    let newest = boot.ok().and_then(|told| newest_kernel(&told.text, &running));
    let asked_for = run.is_ok_and(|told| told.text.lines().any(|l| l.trim() == "reboot-required"));
    let newer = newest.as_ref().is_some_and(|newest| *newest != running);
    Ok(Restart {
        needed: asked_for || newer,
        running_kernel: one_line(&running, 80),
        newest_kernel: newest,
        asked_for,
    })
}

/// The newest `vmlinuz-VERSION` of the flavour that runs.
fn newest_kernel(boot: &str, running: &str) -> Option<String> {
    let flavour = flavour(running);
    let kernels = boot.lines().filter_map(|l| l.trim().strip_prefix("vmlinuz-"));
    let same = kernels.filter(|k| self::flavour(k) == flavour && !k.contains("rescue"));
    same.max_by_key(|k| numbers(k)).map(|k| one_line(k, 80))
}

/// `6.1.0-28-cloud-amd64` is of the flavour `cloud-amd64`, `6.11.4-301.fc41.x86_64` of `x86_64`.
fn flavour(kernel: &str) -> &str {
    let end = kernel.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(kernel.len());
    kernel[end..].rsplit('.').next().unwrap_or_default()
}

fn numbers(kernel: &str) -> Vec<u64> {
    kernel.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

impl Row for Package {
    fn line(&self) -> String {
        let mut line = format!("{} {}", self.name, self.version);
        if let Some(update) = &self.update {
            line.push_str(&format!(" -> {update}{}", if self.security { " (security)" } else { "" }));
        }
        line
    }
}

impl Packages {
    /// A few lines.
    pub fn head(&self) -> String {
        let facts = &self.facts;
        let updates = match (facts.updates, facts.security_updates) {
            (Some(updates), Some(security)) => {
                format!("{updates} updates pending, {security} of them for security")
            }
            _ => "pending updates are not known".to_owned(),
        };
        let mut text = format!("{} packages ({}); {updates}", facts.installed, facts.manager);
        let restart = &facts.restart;
        if restart.needed {
            text.push_str("\nrestart needed: ");
            text.push_str(if restart.asked_for {
                "a package asks for it"
            } else {
                "a newer kernel is installed"
            });
        }
        text.push_str(&format!("\nkernel {}", restart.running_kernel));
        if let Some(newest) = restart.newest_kernel.as_ref().filter(|n| **n != restart.running_kernel) {
            text.push_str(&format!(", newest {newest}"));
        }
        facts.notes.iter().take(MAX_NAMES).for_each(|n| text.push_str(&format!("\nnote: {n}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    const UPDATES: &str = "Listing...\nopenssl/stable-security,stable 3.0.17-1~deb12u3 amd64 [upgradable from: 3.0.17-1~deb12u2]\n\
        bash/stable 5.2.15-9 amd64 [upgradable from: 5.2.15-2]\nnot a row\n";

    fn host() -> Fake {
        Fake::default()
            .with("dpkg -l", answer(&sample("dpkg.txt")))
            .with("apt list --upgradable", answer(UPDATES))
            .with("uname -r", answer("6.1.0-28-amd64\n"))
            .with(
                "ls -1 /boot/",
                answer("vmlinuz-6.1.0-9-amd64\nvmlinuz-6.1.0-31-amd64\nvmlinuz-6.9.0-1-cloud-amd64\n"),
            )
            .with("ls -1 /run/", answer("systemd\nudev\n"))
    }

    #[test]
    fn a_real_answer_is_read() {
        let all = block_on(list_packages(&host(), PackageShow::Installed, None)).unwrap();
        assert_eq!(all.facts.manager, "dpkg");
        assert!(
            all.packages.iter().any(|p| p.name == "bash" && p.version.starts_with("5.")),
            "{:?}",
            all.packages
        );
        assert_eq!(all.facts.installed, all.packages.len());
        let one = block_on(list_packages(&host(), PackageShow::Installed, Some("OPENSSH-SER"))).unwrap();
        assert!(one.packages.iter().all(|p| p.name == "openssh-server") && one.packages.len() == 1);
    }

    #[test]
    fn updates_are_told_apart_and_a_newer_kernel_is_seen() {
        let found = block_on(list_packages(&host(), PackageShow::Updates, None)).unwrap();
        let lines: Vec<String> = found.packages.iter().map(Row::line).collect();
        assert!(lines.iter().any(|l| l.starts_with("bash 5.") && l.ends_with("-> 5.2.15-9")), "{lines:?}");
        assert!(lines.iter().any(|l| l.starts_with("openssl") && l.ends_with("(security)")), "{lines:?}");
        assert_eq!((found.facts.updates, found.facts.security_updates), (Some(2), Some(1)));
        let restart = &found.facts.restart;
        assert!(restart.needed && !restart.asked_for, "{restart:?}");
        assert_eq!(restart.newest_kernel.as_deref(), Some("6.1.0-31-amd64"), "not another flavour");
        assert!(found.head().contains("restart needed: a newer kernel"), "{}", found.head());
    }

    #[test]
    fn a_package_that_asks_for_a_restart_is_heard() {
        let host = host()
            .with("ls -1 /boot/", answer(""))
            .with("ls -1 /run/", answer("reboot-required\nreboot-required.pkgs\n"));
        let restart = block_on(list_packages(&host, PackageShow::Updates, None)).unwrap().facts.restart;
        assert!(restart.needed && restart.asked_for && restart.newest_kernel.is_none(), "{restart:?}");
    }

    #[test]
    fn what_is_not_known_is_not_none() {
        let failed = Failure::Failed { program: "apt".into(), exit: 100, stderr: "locked".into() };
        let host = host().failing("apt list --upgradable", failed);
        let found = block_on(list_packages(&host, PackageShow::Updates, None)).unwrap();
        assert_eq!(found.facts.updates, None);
        assert!(
            found.head().contains("pending updates are not known") && found.facts.notes[0].contains("locked")
        );
    }

    #[test]
    fn rpm_hosts_have_their_list() {
        let host = Fake::default()
            .with("rpm -qa", answer("bash-5.2.26-4.fc41.x86_64\ngpg-pubkey-1-2\nnonsense\nkernel-core-6.11.4-301.fc41.x86_64\n"))
            .with("uname -r", answer("6.11.4-301.fc41.x86_64\n"))
            .with("ls -1 /boot/", answer("vmlinuz-6.11.4-301.fc41.x86_64\nvmlinuz-0-rescue-abc\n"));
        let found = block_on(list_packages(&host, PackageShow::Installed, Some("core"))).unwrap();
        assert_eq!(found.packages[0].line(), "kernel-core 6.11.4-301.fc41.x86_64");
        assert_eq!((found.facts.installed, found.facts.updates), (3, None));
        assert!(!found.facts.restart.needed, "{:?}", found.facts.restart);
    }

    #[test]
    fn neither_manager_is_an_error_and_hostile_rows_do_no_harm() {
        let host = Fake::default().with("uname -r", answer("6.1\n"));
        assert_eq!(
            block_on(list_packages(&host, PackageShow::Updates, None)).unwrap_err().code(),
            "program_missing"
        );
        let found =
            debian("ii  a\u{202e}  1\nrc  gone 1\nii\n??? x 1\nü x 1\n", true, Ok("x/\n/ /\n".into()));
        assert_eq!((found.packages.len(), found.truncated), (1, true));
    }
}
