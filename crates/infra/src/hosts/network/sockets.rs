//! Sockets, from `ss`: who listens, and who talks to whom. Which unit a socket belongs to is told by its control
//! group, since the kernel names the process of another user's socket to root alone.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::Row;
use crate::hosts::ask::Asker;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::{Failure, Reader};

/// Peers in the counts.
const PEERS: usize = 10;

/// Transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// State of a connection, as ss names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum SocketState {
    /// Open.
    Established,
    /// Asked for, no answer yet.
    SynSent,
    /// Asked for by the other side.
    SynRecv,
    /// Over, waits for late packets.
    TimeWait,
    /// The other side has closed it, the program here has not.
    CloseWait,
    /// Being closed.
    Closing,
}

/// A socket that waits for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Listener {
    /// Transport.
    pub protocol: Protocol,
    /// Local address; `*` is every one.
    pub address: String,
    /// Port.
    pub port: u16,
    /// Unit that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Number of the user who opened it; 0 is root.
    pub uid: u32,
    /// Connections that nobody has taken up yet (TCP).
    pub waiting: u64,
    /// Whether other hosts can reach it: not on a loopback address.
    pub exposed: bool,
}

/// Sockets that wait for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listeners {
    /// By port.
    pub listeners: Vec<Listener>,
    /// Whether some are missing here.
    pub truncated: bool,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Connection {
    /// Transport.
    pub protocol: Protocol,
    /// State.
    pub state: SocketState,
    /// Address here.
    pub local_address: String,
    /// Port here.
    pub local_port: u16,
    /// Address there.
    pub peer_address: String,
    /// Port there.
    pub peer_port: u16,
    /// Received and not read by the program.
    pub unread_bytes: u64,
    /// Sent and not confirmed.
    pub unsent_bytes: u64,
    /// Unit that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Which connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectionQuery {
    /// Only in this state.
    pub state: Option<SocketState>,
    /// Only with this port, here or there.
    pub port: Option<u16>,
}

/// A name and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Count {
    /// What is counted.
    pub name: String,
    /// How many.
    pub count: usize,
}

/// Counts over all connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConnectionCounts {
    /// By state.
    pub by_state: Vec<Count>,
    /// The ten peers with most of them.
    pub by_peer: Vec<Count>,
}

/// Connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connections {
    /// Those that were asked for.
    pub connections: Vec<Connection>,
    /// Over all.
    pub counts: ConnectionCounts,
    /// How many there are.
    pub all: usize,
    /// Whether some are missing here.
    pub truncated: bool,
}

/// Asks who listens; on one port and with one transport if named.
pub async fn get_listening_ports(
    reader: &dyn Reader,
    protocol: Option<Protocol>,
    port: Option<u16>,
) -> Result<Listeners, Failure> {
    let told = Asker::new(reader).text(&["ss", "-H", "-tulne"]).await?;
    let wanted = |l: &Listener| {
        protocol.is_none_or(|protocol| l.protocol == protocol) && port.is_none_or(|port| l.port == port)
    };
    let mut listeners: Vec<Listener> = told.text.lines().filter_map(listener).filter(wanted).collect();
    listeners.sort_by(|a, b| (a.port, a.protocol, &a.address).cmp(&(b.port, b.protocol, &b.address)));
    Ok(Listeners { listeners, truncated: told.truncated })
}

/// Asks for connections.
pub async fn get_active_connections(
    reader: &dyn Reader,
    query: ConnectionQuery,
) -> Result<Connections, Failure> {
    let told = Asker::new(reader).text(&["ss", "-H", "-tunae"]).await?;
    let mut connections: Vec<Connection> = told.text.lines().filter_map(connection).collect();
    let all = connections.len();
    let counts = ConnectionCounts {
        by_state: count(connections.iter().map(|c| word(c.state).to_owned()), usize::MAX),
        by_peer: count(connections.iter().map(|c| c.peer_address.clone()), PEERS),
    };
    connections.retain(|c| {
        query.state.is_none_or(|state| c.state == state)
            && query.port.is_none_or(|port| c.local_port == port || c.peer_port == port)
    });
    Ok(Connections { connections, counts, all, truncated: told.truncated })
}

fn count(names: impl Iterator<Item = String>, most: usize) -> Vec<Count> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<Count> = counts.into_iter().map(|(name, count)| Count { name, count }).collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    counts.truncate(most);
    counts
}

/// A line of `ss -H -e`: transport, state, two queues, two endpoints, then `key:value` words.
struct Line<'a> {
    protocol: Protocol,
    state: &'a str,
    received: u64,
    sent: u64,
    local: (String, u16),
    peer: (String, u16),
    unit: Option<String>,
    uid: u32,
}

fn read(line: &str) -> Option<Line<'_>> {
    let mut words = line.split_whitespace();
    let protocol = match words.next()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let state = words.next()?;
    let (received, sent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let (local, peer) = (endpoint(words.next()?)?, endpoint(words.next()?)?);
    let rest: Vec<&str> = words.collect();
    let value = |key: &str| rest.iter().find_map(|w| w.strip_prefix(key));
    Some(Line {
        protocol,
        state,
        received,
        sent,
        local,
        peer,
        unit: value("cgroup:").and_then(unit),
        uid: value("uid:").and_then(|n| n.parse().ok()).unwrap_or(0),
    })
}

/// `10.0.0.1:22`, `[::1]:22`, `127.0.0.53%lo:53`, `*:80`; a port `*` is 0.
fn endpoint(text: &str) -> Option<(String, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = if port == "*" { 0 } else { port.parse().ok()? };
    Some((one_line(address.trim_matches(['[', ']']), 60), port))
}

/// The unit in the path of a control group: the last part that ends like one.
fn unit(path: &str) -> Option<String> {
    let is_unit = |part: &&str| [".service", ".socket", ".scope"].iter().any(|end| part.ends_with(end));
    path.rsplit('/').find(is_unit).map(|u| one_line(u, 255))
}

fn listener(line: &str) -> Option<Listener> {
    let line = read(line).filter(|l| matches!(l.state, "LISTEN" | "UNCONN"))?;
    let (address, port) = line.local;
    let bare = address.split('%').next().unwrap_or_default();
    let exposed = bare.parse::<std::net::IpAddr>().map_or(true, |a| !a.is_loopback());
    Some(Listener {
        protocol: line.protocol,
        address,
        port,
        unit: line.unit,
        uid: line.uid,
        waiting: if line.protocol == Protocol::Tcp { line.received } else { 0 },
        exposed,
    })
}

fn connection(line: &str) -> Option<Connection> {
    let line = read(line)?;
    let state = match line.state {
        "ESTAB" => SocketState::Established,
        "SYN-SENT" => SocketState::SynSent,
        "SYN-RECV" => SocketState::SynRecv,
        "TIME-WAIT" => SocketState::TimeWait,
        "CLOSE-WAIT" => SocketState::CloseWait,
        "FIN-WAIT-1" | "FIN-WAIT-2" | "LAST-ACK" | "CLOSING" => SocketState::Closing,
        _ => return None,
    };
    Some(Connection {
        protocol: line.protocol,
        state,
        local_address: line.local.0,
        local_port: line.local.1,
        peer_address: line.peer.0,
        peer_port: line.peer.1,
        unread_bytes: line.received,
        unsent_bytes: line.sent,
        unit: line.unit,
    })
}

fn word(state: SocketState) -> &'static str {
    match state {
        SocketState::Established => "established",
        SocketState::SynSent => "syn_sent",
        SocketState::SynRecv => "syn_recv",
        SocketState::TimeWait => "time_wait",
        SocketState::CloseWait => "close_wait",
        SocketState::Closing => "closing",
    }
}

fn transport(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

impl Row for Listener {
    fn line(&self) -> String {
        let who = self.unit.clone().unwrap_or_else(|| format!("uid {}", self.uid));
        let waiting =
            if self.waiting > 0 { format!(", {} not taken up", self.waiting) } else { String::new() };
        format!("{} {} port {} {who}{waiting}", transport(self.protocol), self.address, self.port)
    }
}

impl Row for Connection {
    fn line(&self) -> String {
        let mut line = format!(
            "{} {} {} port {} <-> {} port {}",
            transport(self.protocol),
            word(self.state),
            self.local_address,
            self.local_port,
            self.peer_address,
            self.peer_port
        );
        if let Some(unit) = &self.unit {
            line.push_str(&format!(" {unit}"));
        }
        for (what, bytes) in [("unread", self.unread_bytes), ("unsent", self.unsent_bytes)] {
            if bytes > 0 {
                line.push_str(&format!(", {bytes} B {what}"));
            }
        }
        line
    }
}

impl Listeners {
    /// One line.
    pub fn head(&self) -> String {
        let exposed = self.listeners.iter().filter(|l| l.exposed).count();
        format!("{} listening, {exposed} of them for other hosts", self.listeners.len())
    }
}

impl Connections {
    /// A line of counts by state, and one by peer.
    pub fn head(&self) -> String {
        let list = |counts: &[Count]| {
            let each: Vec<String> = counts.iter().map(|c| format!("{} {}", c.count, c.name)).collect();
            each.join(", ")
        };
        let mut text = format!("{} of {} connections", self.connections.len(), self.all);
        if self.all > 0 {
            text.push_str(&format!(
                "; {}\nmost with: {}",
                list(&self.counts.by_state),
                list(self.counts.by_peer.get(..3).unwrap_or(&self.counts.by_peer))
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::fake::{Fake, answer, block_on, sample};

    #[test]
    fn listeners_of_a_real_host() {
        let fake = Fake::default().with("ss -H -tulne", answer(&sample("ss-listen-e.txt")));
        let all = block_on(get_listening_ports(&fake, None, None)).unwrap();
        assert_eq!(all.listeners.len(), sample("ss-listen-e.txt").lines().count(), "every line is read");
        let ssh = all.listeners.iter().find(|l| l.port == 22 && l.protocol == Protocol::Tcp).unwrap();
        assert_eq!((ssh.unit.as_deref(), ssh.uid, ssh.exposed), (Some("ssh.service"), 0, true));
        let dns = block_on(get_listening_ports(&fake, Some(Protocol::Udp), Some(53))).unwrap();
        assert!(!dns.listeners.is_empty());
        assert!(dns.listeners.iter().all(|l| l.protocol == Protocol::Udp && l.port == 53));
        assert!(dns.listeners.iter().any(|l| !l.exposed), "one on loopback");
    }

    #[test]
    fn connections_of_a_real_host() {
        let fake = Fake::default().with("ss -H -tunae", answer(&sample("ss-all-e.txt")));
        let all = block_on(get_active_connections(&fake, ConnectionQuery::default())).unwrap();
        assert!(all.all > 0 && all.connections.iter().any(|c| c.local_port == 22), "{all:?}");
        let open = ConnectionQuery { state: Some(SocketState::Established), port: Some(22) };
        let open = block_on(get_active_connections(&fake, open)).unwrap();
        assert!(open.connections.iter().all(|c| c.state == SocketState::Established && c.local_port == 22));
        assert!(open.head().contains("established"), "{}", open.head());
    }

    #[test]
    fn odd_lines_are_read_or_left_out() {
        let raw = "tcp LISTEN 3 4096 [::]:443 [::]:* uid:101 ino:1 sk:2 cgroup:/system.slice/docker-abc.scope v6only:1 <->\n\
            udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* cgroup:/user.slice/user-1.slice/user@1.service/app.slice/x.service\n\
            tcp LISTEN 0 1 *:80 *:* cgroup:unreachable:1\ntcp LISTEN x 1 *:81 *:*\ntcp LISTEN 0 1 *:99999 *:*\nunix x\n\n\
            tcp ESTAB 0 0 10.0.0.1:22 10.0.0.2:5\u{1b}[31m\n";
        let fake = Fake::default().with("ss", answer(raw));
        let lines: Vec<String> = block_on(get_listening_ports(&fake, None, None))
            .unwrap()
            .listeners
            .iter()
            .map(Row::line)
            .collect();
        assert_eq!(
            lines,
            [
                "udp 127.0.0.53%lo port 53 x.service",
                "tcp * port 80 uid 0",
                "tcp :: port 443 docker-abc.scope, 3 not taken up"
            ]
        );
        let open = block_on(get_active_connections(&fake, ConnectionQuery::default())).unwrap();
        assert_eq!(open.connections[0].line(), "tcp established 10.0.0.1 port 22 <-> 10.0.0.2 port 5");
        let none = block_on(get_active_connections(
            &Fake::default().with("ss", answer("")),
            ConnectionQuery::default(),
        ));
        assert_eq!(none.unwrap().head(), "0 of 0 connections");
    }
}
