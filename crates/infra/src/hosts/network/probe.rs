//! Whether something can be reached from the host, as far as its policy lets it reach out: pings and names anywhere, ports, TLS and
//! HTTP of the host itself, and of those others that the host's own root permits (`probe`, judged there address by address): more
//! would let whoever steers the assistant scan, and write to, what only the host can see.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reached;
use crate::hosts::ask::Asker;
use crate::hosts::hygiene::{self, one_line};
use crate::hosts::reader::{Failure, Reader};

/// Most pings of one question.
const MAX_PINGS: u8 = 20;
/// Pings when no number is asked for.
const DEFAULT_PINGS: u8 = 3;
/// Addresses of a name in the answer.
const MAX_ADDRESSES: usize = 16;

/// Name or address of what is to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// IPv6 in brackets.
    fn in_url(&self) -> String {
        if self.0.contains(':') { format!("[{}]", self.0) } else { self.0.clone() }
    }

    fn is_this_host(&self) -> bool {
        self.0 == "localhost" || self.0.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let refuse =
            |cause| Err(Failure::BadOperand { what: "target", value: shown(text.as_bytes()), cause });
        if text.is_empty() || text.starts_with(['-', '.']) || text.len() > 253 {
            return refuse("name a host or an IP address, of at most 253 characters");
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b)) {
            return refuse("a host or an IP address, not a URL: letters, digits and . - _ :");
        }
        Ok(Self(text.to_owned()))
    }
}

/// What to try.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum ProbeKind {
    /// ICMP echo, to any address.
    #[default]
    Ping,
    /// What the host's own resolver says of a name.
    Dns,
    /// Whether a TCP port answers.
    Tcp,
    /// How a port answers TLS; of the host itself with its certificate.
    Tls,
    /// Status and headers of an HTTP answer, without TLS; port 80 if none is given.
    Http,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum Outcome {
    /// It was reached.
    Ok,
    /// It was not reached.
    Failed,
    /// The policy permits no such attempt, and none was made.
    NotPermitted,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Probe {
    /// What was tried.
    pub kind: ProbeKind,
    /// What was to be reached.
    pub target: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// The same in words; of `not_permitted`, what to do instead.
    pub detail: String,
    /// Addresses of the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Pings that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u32>,
    /// Pings that were answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received: Option<u32>,
    /// Shortest, mean and longest time of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<[f64; 3]>,
    /// Time until the connection stood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<f64>,
    /// Time from the question to the end of the answer's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_ms: Option<f64>,
    /// Status of the HTTP answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Some headers of the HTTP answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// What to try.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// How.
    pub kind: ProbeKind,
    /// What to reach.
    pub target: &'a Target,
    /// Its port; HTTP has 80 if none is given.
    pub port: Option<u16>,
    /// Number of pings, 1 to 20; 3 if none is given.
    pub count: Option<u8>,
    /// Path of the HTTP request; `/` if none is given.
    pub path: Option<&'a str>,
}

/// Tries it from the host.
pub async fn test_connectivity(reader: &dyn Reader, attempt: Attempt<'_>) -> Result<Probe, Failure> {
    let Attempt { kind, target, port, count, path } = attempt;
    let asker = Asker::new(reader);
    let mut probe = Probe {
        kind,
        target: target.to_string(),
        port,
        outcome: Outcome::Failed,
        detail: String::new(),
        addresses: Vec::new(),
        sent: None,
        received: None,
        round_trip_ms: None,
        connect_ms: None,
        answer_ms: None,
        http_status: None,
        headers: BTreeMap::new(),
    };
    if path.is_some() && kind != ProbeKind::Http {
        let value = path.map(|p| shown(p.as_bytes())).unwrap_or_default();
        return Err(Failure::BadOperand { what: "path", value, cause: "only kind http has one" });
    }
    match kind {
        ProbeKind::Ping => ping(&asker, &mut probe, count.unwrap_or(DEFAULT_PINGS)).await?,
        ProbeKind::Dns => dns(&asker, &mut probe).await?,
        ProbeKind::Tcp if target.is_this_host() => listens(&asker, &mut probe, needed(port)?).await?,
        ProbeKind::Tls if target.is_this_host() => tls(&asker, &mut probe, needed(port)?).await?,
        ProbeKind::Tcp => {
            let endpoint = format!("{}:{}", target.in_url(), needed(port)?);
            reached::ask(&asker, &mut probe, &["tcp", &endpoint]).await?;
        }
        ProbeKind::Tls => {
            let endpoint = format!("{}:{}", target.in_url(), needed(port)?);
            reached::ask(&asker, &mut probe, &["tls", &endpoint]).await?;
        }
        ProbeKind::Http => {
            let port = needed(port.or(Some(80)))?;
            let url = format!("http://{}:{port}{}", target.in_url(), http_path(path)?);
            reached::ask(&asker, &mut probe, &["http", &url]).await?;
        }
    }
    Ok(probe)
}

/// What the policy reads as a path, so that a wrong one is told from a target that is not permitted.
fn http_path(path: Option<&str>) -> Result<&str, Failure> {
    let path = path.unwrap_or("/");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-/".contains(&b);
    let dots = path.split('/').any(|part| part == "." || part == "..");
    if path.starts_with('/') && path.len() <= 256 && path.bytes().all(plain) && !dots {
        return Ok(path);
    }
    let cause = "begin with /; letters, digits and . _ ~ - / only, no query, at most 256 characters";
    Err(Failure::BadOperand { what: "path", value: shown(path.as_bytes()), cause })
}

/// What was given, clean and short.
fn shown(given: &[u8]) -> String {
    one_line(&hygiene::clean(given).text, 80)
}

fn needed(port: Option<u16>) -> Result<u16, Failure> {
    let wrong =
        Failure::BadOperand { what: "port", value: String::new(), cause: "name a port from 1 to 65535" };
    port.filter(|p| *p > 0).ok_or(wrong)
}

async fn ping(asker: &Asker<'_>, probe: &mut Probe, count: u8) -> Result<(), Failure> {
    if !(1..=MAX_PINGS).contains(&count) {
        let value = count.to_string();
        return Err(Failure::BadOperand { what: "count", value, cause: "ask for 1 to 20" });
    }
    let count = count.to_string();
    // 1: no answer; 2: no such name, or no way there.
    let told = asker.text_or(&["ping", "-n", "-c", &count, "-W", "2", &probe.target], &[1, 2]).await?;
    let numbers = told.text.lines().find(|l| l.contains(" packets transmitted"));
    let number = |what: &str| {
        let part = numbers?.split(',').find(|p| p.contains(what))?;
        part.split_whitespace().find_map(|w| w.parse::<u32>().ok())
    };
    probe.sent = number("transmitted");
    probe.received = number("received");
    probe.round_trip_ms = told.text.lines().find_map(round_trip);
    let Some(received) = probe.received else {
        probe.detail = said(&format!("{}\n{}", told.complaint, told.text), "ping says nothing");
        return Ok(());
    };
    probe.outcome = if received > 0 { Outcome::Ok } else { Outcome::Failed };
    probe.detail = format!("{received} of {} pings answered", probe.sent.unwrap_or(0));
    if received == 0 {
        // Such as `Destination Host Unreachable`.
        let reason = told.text.lines().find(|l| l.starts_with("From "));
        if let Some(reason) = reason {
            probe.detail.push_str(&format!("; {}", one_line(reason, 160)));
        }
    }
    Ok(())
}

/// `rtt min/avg/max/mdev = 0.040/0.050/0.061/0.008 ms`
fn round_trip(line: &str) -> Option<[f64; 3]> {
    let values = line.strip_prefix("rtt ").or_else(|| line.strip_prefix("round-trip "))?.split_once('=')?.1;
    let mut numbers = values.split('/').map(|n| n.trim().parse::<f64>().ok().filter(|n| n.is_finite()));
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

async fn dns(asker: &Asker<'_>, probe: &mut Probe) -> Result<(), Failure> {
    // 2: the name is in none of the databases.
    let told = asker.text_or(&["getent", "ahosts", &probe.target], &[2]).await?;
    for address in told.text.lines().filter_map(|l| l.split_whitespace().next()) {
        let known = probe.addresses.iter().any(|a| a == address);
        if address.parse::<IpAddr>().is_ok() && !known && probe.addresses.len() < MAX_ADDRESSES {
            probe.addresses.push(address.to_owned());
        }
    }
    if probe.addresses.is_empty() {
        probe.detail.push_str(
            "the name has no address, or no resolver answers: diagnose_system with checks=[dns] tells which",
        );
    } else {
        probe.outcome = Outcome::Ok;
        probe.detail = probe.addresses.join(", ");
    }
    Ok(())
}

async fn listens(asker: &Asker<'_>, probe: &mut Probe, port: u16) -> Result<(), Failure> {
    let told = asker.text(&["ss", "-H", "-tln"]).await?;
    let locals = told.text.lines().filter_map(|l| l.split_whitespace().nth(3));
    let at: Vec<String> = locals
        .filter(|local| local.rsplit_once(':').is_some_and(|(_, p)| p.parse() == Ok(port)))
        .map(|local| one_line(local, 60))
        .collect();
    if at.is_empty() {
        probe.detail = format!("nothing listens on TCP port {port}");
    } else {
        probe.outcome = Outcome::Ok;
        probe.detail = format!("listens: {}", at.join(", "));
    }
    Ok(())
}

async fn tls(asker: &Asker<'_>, probe: &mut Probe, port: u16) -> Result<(), Failure> {
    let endpoint = format!("localhost:{port}");
    // With -brief it speaks on standard error.
    let told = asker.streams(&["openssl", "s_client", "-connect", &endpoint, "-brief"], &[1]).await?;
    let all = format!("{}\n{}", told.stdout, told.stderr);
    let value = |name: &str| all.lines().find_map(|l| l.trim().strip_prefix(name)).map(str::trim);
    if let Some(version) = value("Protocol version:") {
        probe.outcome = Outcome::Ok;
        let verified = value("Verification:").or_else(|| value("Verification error:")).unwrap_or("unknown");
        let subject = value("Peer certificate:").unwrap_or("none");
        let told =
            format!("this host's port {port}: {version}, certificate {subject}, verification: {verified}");
        probe.detail = one_line(&told, 400);
    } else {
        probe.detail = said(&all, "the port does not answer TLS");
    }
    Ok(())
}

fn said(told: &str, otherwise: &str) -> String {
    let line = told.lines().find(|l| !l.trim().is_empty());
    line.map_or_else(|| otherwise.to_owned(), |l| one_line(l, 300))
}

impl Probe {
    /// One line.
    pub fn summary(&self) -> String {
        let kind = match self.kind {
            ProbeKind::Ping => "ping",
            ProbeKind::Dns => "dns",
            ProbeKind::Tcp => "tcp",
            ProbeKind::Tls => "tls",
            ProbeKind::Http => "http",
        };
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Failed => "FAILED",
            Outcome::NotPermitted => "not permitted, nothing was sent",
        };
        let port = self.port.map(|p| format!(" port {p}")).unwrap_or_default();
        let mut text = format!("{kind} {}{port}: {outcome}: {}", self.target, self.detail);
        if !self.headers.is_empty() {
            let headers: Vec<String> = self.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
            text.push_str(&format!(" ({})", headers.join("; ")));
        }
        if let Some([least, mean, most]) = self.round_trip_ms {
            text.push_str(&format!(", {least} / {mean} / {most} ms"));
        }
        text
    }
}

#[cfg(test)]
mod tests;
