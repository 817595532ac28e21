//! How the host finds names: resolv.conf, nsswitch.conf, the hosts file, systemd-resolved.

use std::net::IpAddr;

use futures::future::{join, join4};
use schemars::JsonSchema;
use serde::Serialize;

use crate::hosts::ask::{Asker, Told};
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::{Failure, Reader};

/// Entries of the hosts file in the answer.
const MAX_ENTRIES: usize = 50;
/// Words of one setting in the answer.
const MAX_WORDS: usize = 16;

/// How the host finds names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DnsConfig {
    /// Resolvers in /etc/resolv.conf; the first three are asked.
    pub nameservers: Vec<String>,
    /// Domains that short names are looked up in.
    pub search: Vec<String>,
    /// Options of /etc/resolv.conf.
    pub options: Vec<String>,
    /// Whether systemd-resolved stands between.
    pub stub: bool,
    /// What systemd-resolved asks; empty where it does not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ResolverLink>,
    /// Where names are looked for, in this order: `files`, `dns`, `resolve`…
    pub lookup_order: Vec<String>,
    /// The hosts file, at most 50 lines of it.
    pub hosts_file: Vec<HostsEntry>,
    /// What could not be found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// Resolvers of an interface, or of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ResolverLink {
    /// Interface, or `global`.
    pub name: String,
    /// Resolvers.
    pub servers: Vec<String>,
    /// Domains that they are asked for.
    pub domains: Vec<String>,
}

/// A line of the hosts file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostsEntry {
    /// Address.
    pub address: String,
    /// Its names.
    pub names: Vec<String>,
}

/// Asks how the host finds names.
pub async fn get_dns_config(reader: &dyn Reader) -> Result<DnsConfig, Failure> {
    let asker = Asker::new(reader);
    let (resolv, nsswitch, hosts, links) = join4(
        asker.text(&["cat", "/etc/resolv.conf"]),
        asker.text(&["cat", "/etc/nsswitch.conf"]),
        asker.text(&["cat", "/etc/hosts"]),
        join(
            asker.text(&["resolvectl", "dns", "--no-pager"]),
            asker.text(&["resolvectl", "domain", "--no-pager"]),
        ),
    )
    .await;
    let mut config = DnsConfig::default();
    let mut errors = Vec::new();
    let mut part = |name: &str, told: Result<Told, Failure>| match told {
        Ok(told) => Ok(told.text),
        Err(e) if e.is_about_host() => Err(e),
        Err(e) => {
            errors.push(format!("{name}: {e}"));
            Ok(String::new())
        }
    };
    resolver(&part("/etc/resolv.conf", resolv)?, &mut config);
    config.lookup_order = order(&part("/etc/nsswitch.conf", nsswitch)?);
    config.hosts_file = hosts_file(&part("/etc/hosts", hosts)?);
    if config.stub {
        config.links = resolved(&part("resolvectl dns", links.0)?, &part("resolvectl domain", links.1)?);
    } else if let (Ok(dns), Ok(domain)) = links {
        // It may run beside what resolv.conf names.
        config.links = resolved(&dns.text, &domain.text);
    }
    config.errors = errors;
    Ok(config)
}

fn words<'a>(from: impl Iterator<Item = &'a str>) -> Vec<String> {
    from.take(MAX_WORDS).map(|w| one_line(w, 253)).collect()
}

fn resolver(text: &str, config: &mut DnsConfig) {
    let lines = text.lines().map(|l| l.split(['#', ';']).next().unwrap_or_default());
    for line in lines {
        let mut parts = line.split_whitespace();
        match parts.next() {
            Some("nameserver") => config.nameservers.extend(words(parts.take(1))),
            // The last of them counts.
            Some("search" | "domain") => config.search = words(parts),
            Some("options") => config.options.extend(words(parts)),
            _ => {}
        }
    }
    config.nameservers.truncate(MAX_WORDS);
    config.options.truncate(MAX_WORDS);
    config.stub = config.nameservers.iter().any(|s| matches!(s.as_str(), "127.0.0.53" | "127.0.0.54"));
}

fn order(text: &str) -> Vec<String> {
    let line = text.lines().find_map(|l| l.trim().strip_prefix("hosts:"));
    words(line.unwrap_or_default().split_whitespace())
}

fn hosts_file(text: &str) -> Vec<HostsEntry> {
    let entry = |line: &str| {
        let mut parts = line.split('#').next()?.split_whitespace();
        let address = parts.next()?;
        address.split('%').next()?.parse::<IpAddr>().ok()?;
        Some(HostsEntry { address: one_line(address, 60), names: words(parts) })
    };
    text.lines().filter_map(entry).take(MAX_ENTRIES).collect()
}

/// Lines of `resolvectl dns` and `resolvectl domain`: `Global: …`, `Link 2 (eth0): …`.
fn resolved(dns: &str, domain: &str) -> Vec<ResolverLink> {
    let mut links: Vec<ResolverLink> = Vec::new();
    for (text, is_dns) in [(dns, true), (domain, false)] {
        for line in text.lines() {
            let Some((name, values)) = link(line) else { continue };
            let values = words(values.split_whitespace());
            if values.is_empty() {
                continue;
            }
            let known = links.iter().position(|l| l.name == name);
            let at = known.unwrap_or_else(|| {
                links.push(ResolverLink { name, servers: Vec::new(), domains: Vec::new() });
                links.len() - 1
            });
            if is_dns {
                links[at].servers = values;
            } else {
                links[at].domains = values;
            }
        }
    }
    links.truncate(MAX_ENTRIES);
    links
}

fn link(line: &str) -> Option<(String, &str)> {
    if let Some(values) = line.trim().strip_prefix("Global:") {
        return Some(("global".to_owned(), values));
    }
    let (_, rest) = line.trim().strip_prefix("Link ")?.split_once('(')?;
    let (name, values) = rest.split_once("):")?;
    Some((one_line(name, 40), values))
}

impl DnsConfig {
    /// A few lines.
    pub fn summary(&self) -> String {
        let mut text = format!("resolvers: {}", list(&self.nameservers));
        if self.stub {
            text.push_str(" (systemd-resolved)");
        }
        for link in &self.links {
            text.push_str(&format!("\n{}: {}", link.name, list(&link.servers)));
            if !link.domains.is_empty() {
                text.push_str(&format!(" for {}", link.domains.join(" ")));
            }
        }
        if !self.search.is_empty() {
            text.push_str(&format!("\nsearch: {}", self.search.join(" ")));
        }
        text.push_str(&format!("\nlookup order: {}", list(&self.lookup_order)));
        text.push_str(&format!("\nhosts file: {} entries", self.hosts_file.len()));
        for entry in self.hosts_file.iter().take(10) {
            text.push_str(&format!("\n  {} {}", entry.address, entry.names.join(" ")));
        }
        self.errors.iter().for_each(|e| text.push_str(&format!("\nnot known: {e}")));
        text
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "none".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::fake::{Fake, answer, block_on, sample};

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default()
            .with("cat /etc/resolv.conf", answer(&sample("resolv.conf")))
            .with("cat /etc/nsswitch.conf", answer(&sample("nsswitch.conf")))
            .with("cat /etc/hosts", answer(&sample("hosts")))
            .with("resolvectl dns", answer(&sample("resolvectl-dns.txt")))
            .with("resolvectl domain", answer(&sample("resolvectl-domain.txt")));
        let dns = block_on(get_dns_config(&fake)).unwrap();
        assert_eq!(dns.nameservers.len(), 1, "{dns:?}");
        assert!(dns.lookup_order.contains(&"files".to_owned()), "{dns:?}");
        assert!(
            dns.hosts_file.iter().any(|e| e.address == "127.0.0.1" && e.names == ["localhost"]),
            "{dns:?}"
        );
        assert!(dns.errors.is_empty(), "{dns:?}");
    }

    #[test]
    fn resolvers_of_links_stand_beside_their_domains() {
        let fake = Fake::default()
            .with("cat /etc/resolv.conf", answer("# made by\nnameserver 127.0.0.53\nsearch a\noptions edns0 trust-ad\ndomain b.example c\n"))
            .with("cat /etc/nsswitch.conf", answer("passwd: files\nhosts:          files resolve [!UNAVAIL=return] dns\n"))
            .with("cat /etc/hosts", answer("::1 ip6-localhost # x\n\u{1b}[31m10.0.0.1 web\u{202e}\nnonsense here\n"))
            .with("resolvectl dns", answer("Global:\nLink 2 (eth0): 10.0.0.53 10.0.1.53\nLink 3 (wg0):\nbroken\n"))
            .with("resolvectl domain", answer("Global: corp\nLink 2 (eth0): ~infra\n"));
        let dns = block_on(get_dns_config(&fake)).unwrap();
        assert!(dns.stub);
        assert_eq!(
            (dns.search, dns.options),
            (vec!["b.example".into(), "c".into()], vec!["edns0".into(), "trust-ad".into()])
        );
        let link = |name: &str| dns.links.iter().find(|l| l.name == name).unwrap();
        assert_eq!(link("eth0").servers, ["10.0.0.53", "10.0.1.53"]);
        assert_eq!(
            (&link("eth0").domains[..], &link("global").domains[..]),
            (&["~infra".to_owned()][..], &["corp".to_owned()][..])
        );
        assert_eq!(dns.hosts_file[1], HostsEntry { address: "10.0.0.1".into(), names: vec!["web".into()] });
        assert_eq!(dns.hosts_file.len(), 2);
    }

    #[test]
    fn what_is_missing_is_named() {
        let fake = Fake::default().with("cat /etc/resolv.conf", answer("nameserver 127.0.0.53\n"));
        let dns = block_on(get_dns_config(&fake)).unwrap();
        assert_eq!(dns.errors.len(), 4, "{:?}", dns.errors);
        assert!(
            dns.summary().contains("lookup order: none\n")
                && dns.summary().contains("not known: resolvectl dns")
        );
        let gone = Fake::default().failing("cat", Failure::Unreachable { cause: "no route".into() });
        assert_eq!(block_on(get_dns_config(&gone)).unwrap_err().code(), "unreachable");
    }
}
