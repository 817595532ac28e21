//! Whether something can be reached from the host, as far as the policy lets a host reach out: pings and names
//! anywhere, ports and TLS of the host itself. There is no form that opens a connection to an address of the
//! caller's choice: it would let whoever steers the assistant scan, and write to, what only the host can see.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
        let refuse = |cause| {
            let value = one_line(&hygiene::clean(text.as_bytes()).text, 80);
            Err(Failure::BadOperand { what: "target", value, cause })
        };
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
    /// Whether something listens on a port of the host itself.
    Tcp,
    /// How a port of the host itself answers TLS when asked for the name `target`.
    Tls,
    /// An HTTP request.
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
}

/// Tries to reach `target` from the host; `count` is the number of pings.
pub async fn test_connectivity(
    reader: &dyn Reader,
    kind: ProbeKind,
    target: &Target,
    port: Option<u16>,
    count: Option<u8>,
) -> Result<Probe, Failure> {
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
    };
    match kind {
        ProbeKind::Ping => ping(&asker, &mut probe, count.unwrap_or(DEFAULT_PINGS)).await?,
        ProbeKind::Dns => dns(&asker, &mut probe).await?,
        ProbeKind::Tcp if target.is_this_host() => listens(&asker, &mut probe, needed(port)?).await?,
        ProbeKind::Tls => tls(&asker, &mut probe, needed(port)?).await?,
        ProbeKind::Tcp => refuse(
            &mut probe,
            "no form opens a connection to another host's port: ask that host with get_listening_ports, or this one for \
             connections it has with get_active_connections; ping and dns work",
        ),
        ProbeKind::Http => refuse(
            &mut probe,
            "no form sends HTTP requests: tcp with target=localhost says whether a port of this host listens, tls how it answers",
        ),
    }
    Ok(probe)
}

fn refuse(probe: &mut Probe, detail: &str) {
    probe.outcome = Outcome::NotPermitted;
    detail.clone_into(&mut probe.detail);
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
    let mut argv = vec!["openssl", "s_client", "-connect", &endpoint, "-brief"];
    if probe.target.parse::<IpAddr>().is_err() && probe.target != "localhost" {
        argv.extend(["-servername", &probe.target]);
    }
    // With -brief it speaks on standard error.
    let told = asker.streams(&argv, &[1]).await?;
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
        if let Some([least, mean, most]) = self.round_trip_ms {
            text.push_str(&format!(", {least} / {mean} / {most} ms"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::fake::{Fake, answer, block_on, sample};
    use crate::hosts::reader::Output;

    fn probe(fake: &Fake, kind: ProbeKind, target: &str, port: Option<u16>) -> Probe {
        block_on(test_connectivity(fake, kind, &target.parse().unwrap(), port, None)).unwrap()
    }

    #[test]
    fn a_real_ping_is_read() {
        let fake = Fake::default().with("ping -n -c 3 -W 2 10.89.0.12", answer(&sample("ping.txt")));
        let ping = probe(&fake, ProbeKind::Ping, "10.89.0.12", None);
        assert_eq!((ping.outcome, ping.sent, ping.received), (Outcome::Ok, Some(3), Some(3)));
        let [least, mean, most] = ping.round_trip_ms.unwrap();
        assert!(least > 0.0 && least <= mean && mean <= most && most < 1000.0, "{ping:?}");
    }

    #[test]
    fn no_answer_and_no_name_are_failures() {
        let text = "PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.\nFrom 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n\n\
            --- 10.0.0.9 ping statistics ---\n3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2041ms\n";
        let silent = Fake::default().with("ping", Output { exit: Some(1), ..answer(text) });
        let ping = probe(&silent, ProbeKind::Ping, "10.0.0.9", None);
        assert_eq!(ping.outcome, Outcome::Failed);
        assert!(ping.detail.contains("0 of 3 pings answered; From 10.0.0.1"), "{ping:?}");
        let stderr = b"ping: nowhere.example: Name or service not known".to_vec();
        let unknown = Fake::default().with("ping", Output { exit: Some(2), stderr, ..answer("") });
        let ping = probe(&unknown, ProbeKind::Ping, "nowhere.example", None);
        assert!(
            ping.outcome == Outcome::Failed && ping.detail.contains("Name or service not known"),
            "{ping:?}"
        );
        let lost = Fake::default().with("ping", Output { exit: None, ..answer(text) });
        let target = "10.0.0.9".parse().unwrap();
        let failure = block_on(test_connectivity(&lost, ProbeKind::Ping, &target, None, None)).unwrap_err();
        assert_eq!(failure.code(), "exit_unknown");
    }

    #[test]
    fn names_are_looked_up_as_the_host_does() {
        let fake = Fake::default()
            .with("getent ahosts t2", answer("10.89.0.12 STREAM t2\n10.89.0.12 DGRAM\n::1 RAW\nx y\n"));
        assert_eq!(probe(&fake, ProbeKind::Dns, "t2", None).addresses, ["10.89.0.12", "::1"]);
        let none = Fake::default().with("getent", Output { exit: Some(2), ..answer("") });
        assert_eq!(probe(&none, ProbeKind::Dns, "t9", None).outcome, Outcome::Failed);
    }

    #[test]
    fn only_ports_of_the_host_itself_are_looked_at() {
        let fake = Fake::default()
            .with("ss -H -tln", answer("LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nLISTEN 0 5 [::1]:631 [::]:*\n"));
        for (target, port, outcome) in
            [("localhost", 22, Outcome::Ok), ("::1", 631, Outcome::Ok), ("127.0.0.1", 2, Outcome::Failed)]
        {
            assert_eq!(probe(&fake, ProbeKind::Tcp, target, Some(port)).outcome, outcome, "{target}:{port}");
        }
    }

    #[test]
    fn what_the_policy_does_not_permit_is_said_and_nothing_is_sent() {
        let fake = Fake::default();
        for (kind, target, port) in [
            (ProbeKind::Tcp, "169.254.169.254", Some(80)),
            (ProbeKind::Tcp, "10.0.0.5", Some(22)),
            (ProbeKind::Tcp, "localhost.evil.example", Some(22)),
            (ProbeKind::Http, "localhost", Some(80)),
            (ProbeKind::Http, "169.254.169.254", None),
        ] {
            let refused = probe(&fake, kind, target, port);
            assert_eq!(refused.outcome, Outcome::NotPermitted, "{target}");
            assert!(refused.summary().contains("nothing was sent"), "{}", refused.summary());
        }
        assert!(fake.asked().is_empty(), "{:?}", fake.asked());
    }

    #[test]
    fn tls_is_asked_of_the_host_itself_whatever_the_name() {
        let stderr = b"CONNECTION ESTABLISHED\nProtocol version: TLSv1.3\nCiphersuite: x\nPeer certificate: CN = web.example\nVerification error: certificate has expired\n".to_vec();
        let fake = Fake::default().with("openssl", Output { stderr, ..answer("") });
        let tls = probe(&fake, ProbeKind::Tls, "web.example", Some(443));
        assert_eq!(tls.outcome, Outcome::Ok);
        assert!(tls.detail.contains("TLSv1.3") && tls.detail.contains("certificate has expired"), "{tls:?}");
        assert_eq!(fake.asked(), ["openssl s_client -connect localhost:443 -brief -servername web.example"]);
        let stderr = b"connect:errno=111\n".to_vec();
        let closed = Fake::default().with("openssl", Output { stderr, exit: Some(1), ..answer("") });
        let tls = probe(&closed, ProbeKind::Tls, "localhost", Some(444));
        assert!(tls.outcome == Outcome::Failed && tls.detail.contains("errno=111"), "{tls:?}");
    }

    #[test]
    fn a_target_is_never_an_option_nor_a_url() {
        for given in
            ["", "-c", "--help", "http://x/", "a b", "a;b", "$(id)", "x\ny", "ü", ".x", &"a".repeat(254)]
        {
            assert_eq!(given.parse::<Target>().unwrap_err().code(), "bad_arguments", "{given:?}");
        }
        let fake = Fake::default();
        let target = "localhost".parse().unwrap();
        for (kind, port, count) in
            [(ProbeKind::Tcp, None, None), (ProbeKind::Tls, Some(0), None), (ProbeKind::Ping, None, Some(21))]
        {
            let refused = block_on(test_connectivity(&fake, kind, &target, port, count)).unwrap_err();
            assert_eq!(refused.code(), "bad_arguments");
        }
        assert!(fake.asked().is_empty());
    }
}
