//! Whether names resolve: which resolvers are configured, whether a local one listens, whether they answer.

use std::net::IpAddr;

use futures::future::join3;

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::ask::Told;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::Failure;

/// A name that nobody has, beneath one that is reserved for examples: any answer shows that somebody answers.
const PROBE: &str = "mcp-linux-infra-probe.example.com";
/// dig found no server; it still says so in its output.
const DIG_NO_REPLY: i32 = 9;

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let asker = ground.asker;
    let configured = asker.text(&["cat", "/etc/resolv.conf"]).await?;
    let mut servers = nameservers(&configured.text);
    let mut done = Checked::default();
    if servers.is_empty() {
        let what = "/etc/resolv.conf names no nameserver: names do not resolve";
        done.findings.push(finding(Severity::Critical, "/etc/resolv.conf", what, Vec::new()));
        return Ok(done);
    }
    let stub = servers.iter().any(is_stub);
    let (status, sockets, probed) = join3(
        async { if stub { Some(asker.text(&["resolvectl", "status", "--no-pager"]).await) } else { None } },
        asker.text(&["ss", "-H", "-tuln"]),
        probe(ground, stub),
    )
    .await;
    if let Some(status) = status {
        // Behind the stub stand the servers that count; those of the stub itself must listen as well.
        servers.extend(done.part(status)?.map(|t| upstream(&t.text)).unwrap_or_default());
    }
    if let Some(sockets) = done.part(sockets)? {
        done.findings.extend(servers.iter().filter(|s| is_silent(**s, &sockets.text)).map(|s| silent(*s)));
    }
    // One cause, one finding: with nobody listening, the probe only says it again.
    if let (Some(verdict), true) = (done.part(probed)?, done.findings.is_empty()) {
        done.findings.extend(verdict.map(|v| v.finding(&servers)));
    }
    Ok(done)
}

fn nameservers(text: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = text
        .lines()
        .filter_map(|l| l.trim().strip_prefix("nameserver"))
        .filter_map(|rest| address(rest.split_whitespace().next()?))
        .collect();
    // The resolver reads three.
    found.truncate(3);
    found
}

/// The `DNS Servers` lines of `resolvectl status`.
fn upstream(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|l| l.trim().strip_prefix("DNS Servers"));
    lines.flat_map(|l| l.trim_start_matches(':').split_whitespace()).filter_map(address).take(8).collect()
}

/// An address, its zone, port and server name left out.
fn address(text: &str) -> Option<IpAddr> {
    text.split(['%', '#']).next()?.trim_matches(['[', ']']).parse().ok()
}

/// The local address of systemd-resolved.
fn is_stub(server: &IpAddr) -> bool {
    matches!(server, IpAddr::V4(v4) if v4.octets()[..3] == [127, 0, 0] && matches!(v4.octets()[3], 53 | 54))
}

/// A resolver on the host itself that no socket stands for.
fn is_silent(server: IpAddr, sockets: &str) -> bool {
    server.is_loopback() && !sockets.lines().any(|line| listens(server, line))
}

fn listens(server: IpAddr, line: &str) -> bool {
    let mut words = line.split_whitespace();
    let udp = words.next() == Some("udp");
    let Some((local, "53")) = words.nth(3).and_then(|l| l.rsplit_once(':')) else { return false };
    udp && (local == "*" || address(local).is_some_and(|a| a == server || a.is_unspecified()))
}

fn silent(server: IpAddr) -> Finding {
    let what = format!("names do not resolve: {server} is the configured resolver and nothing listens there");
    finding(
        Severity::Critical,
        &server.to_string(),
        &what,
        vec![format!("no UDP socket on {server} port 53")],
    )
}

/// What the resolver said to the probe.
struct Verdict {
    severity: Severity,
    what: &'static str,
    evidence: String,
}

impl Verdict {
    fn finding(self, servers: &[IpAddr]) -> Finding {
        let named: Vec<String> = servers.iter().map(ToString::to_string).collect();
        finding(self.severity, &named.join(", "), self.what, vec![self.evidence])
    }
}

async fn probe(ground: Ground<'_>, stub: bool) -> Result<Option<Verdict>, Failure> {
    let told = if stub {
        ground.asker.text_or(&["resolvectl", "query", PROBE], &[1]).await
    } else {
        ground.asker.text_or(&["dig", PROBE, "+time=2", "+tries=1"], &[DIG_NO_REPLY]).await
    };
    match told {
        Ok(told) => Ok(read(&told)),
        Err(Failure::TimedOut { seconds }) => {
            let evidence = format!("no answer within {seconds} s");
            Ok(Some(Verdict {
                severity: Severity::Critical,
                what: "names do not resolve: no resolver answers",
                evidence,
            }))
        }
        Err(e) => Err(e),
    }
}

fn read(told: &Told) -> Option<Verdict> {
    let text = format!("{}\n{}", told.text, told.complaint);
    let line = |words: &[&str]| {
        let low = |l: &&str| words.iter().any(|w| l.to_ascii_lowercase().contains(w));
        text.lines().find(low).map(|l| one_line(l.trim_start_matches([';', ' ']), 200))
    };
    if let Some(evidence) = line(&["status: servfail", "error servfail"]) {
        let what = "the resolver answers, but gets no answer for names from outside (SERVFAIL)";
        return Some(Verdict { severity: Severity::Warning, what, evidence });
    }
    if let Some(evidence) = line(&["status: refused", "error refused"]) {
        return Some(Verdict {
            severity: Severity::Critical,
            what: "names do not resolve: the resolver refuses to answer",
            evidence,
        });
    }
    let dead = [
        "no servers could be reached",
        "timed out",
        "system error",
        "all attempts to contact",
        "no appropriate name servers",
        "connection refused",
    ];
    let evidence = line(&dead)?;
    Some(Verdict {
        severity: Severity::Critical,
        what: "names do not resolve: no resolver answers",
        evidence,
    })
}

fn finding(severity: Severity, subject: &str, what: &str, evidence: Vec<String>) -> Finding {
    Finding {
        severity,
        check: Check::Dns,
        subject: subject.to_owned(),
        what: what.to_owned(),
        evidence,
        suggestion: None,
    }
}
