//! Addresses, carriers and the default route.

use futures::future::join;
use serde::Deserialize;

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::Failure;

/// Bridges and the like have no carrier while nothing is attached, which is fine.
const VIRTUAL: [&str; 10] = ["docker", "br-", "virbr", "podman", "cni", "veth", "lxcbr", "tun", "tap", "wg"];

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    operstate: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: String,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    dst: String,
}

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let (links, routes) =
        join(ground.asker.json(&["ip", "-j", "addr"]), ground.asker.json(&["ip", "-j", "route"])).await;
    let links: Vec<Link> = links?;
    let mut done = Checked::default();
    let mut default = done.part(routes)?.map(|routes: Vec<Route>| has_default(&routes));
    if default == Some(false) {
        let routes = ground.asker.json(&["ip", "-6", "-j", "route"]).await;
        default = done.part(routes)?.map(|routes: Vec<Route>| has_default(&routes));
    }
    done.findings.extend(links.iter().filter_map(carrier));
    let addressed: Vec<&Link> = links.iter().filter(|l| !is_virtual(l) && global(l).is_some()).collect();
    if addressed.is_empty() {
        done.findings.push(finding(
            Severity::Critical,
            "addresses",
            "no interface has an address that others can reach",
            Vec::new(),
        ));
    } else if default == Some(false) {
        let evidence = addressed.iter().take(4).map(|l| describe(l)).collect();
        done.findings.push(finding(
            Severity::Info,
            "routes",
            "no default route: the host reaches only its own networks",
            evidence,
        ));
    }
    Ok(done)
}

fn has_default(routes: &[Route]) -> bool {
    routes.iter().any(|r| r.dst == "default")
}

fn is_virtual(link: &Link) -> bool {
    link.flags.iter().any(|f| f == "LOOPBACK") || VIRTUAL.iter().any(|v| link.ifname.starts_with(v))
}

fn global(link: &Link) -> Option<&str> {
    link.addr_info.iter().find(|a| a.scope == "global").map(|a| a.local.as_str())
}

/// An interface that has an address, is switched on, and has nobody at the other end.
fn carrier(link: &Link) -> Option<Finding> {
    let has = |flag: &str| link.flags.iter().any(|f| f == flag);
    let dead = has("NO-CARRIER") || link.operstate == "DOWN";
    if is_virtual(link) || global(link).is_none() || !dead {
        return None;
    }
    let what = if has("UP") {
        "no carrier: cable, switch or virtual network is gone"
    } else {
        "switched off, though it has an address"
    };
    Some(finding(Severity::Critical, &link.ifname, what, vec![describe(link)]))
}

fn describe(link: &Link) -> String {
    let addresses: Vec<&str> =
        link.addr_info.iter().filter(|a| a.scope == "global").map(|a| a.local.as_str()).take(4).collect();
    one_line(&format!("{} {} {}", link.ifname, link.operstate, addresses.join(" ")), 160)
}

fn finding(severity: Severity, subject: &str, what: &str, evidence: Vec<String>) -> Finding {
    let subject = one_line(subject, 60);
    Finding { severity, check: Check::Network, subject, what: what.to_owned(), evidence, suggestion: None }
}
