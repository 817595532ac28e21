//! `probe`: whether a TCP port answers, and how it answers TLS or HTTP. The one thing of a reader that connects to an address of the
//! caller's choice, so each address is judged here, on the target, by what its root permits ([`config::Probe`]).
//!
//! Names are looked up by `getent`, confined as always; each address that it finds is judged, and the connection goes to the very
//! address that was judged: nothing is looked up again. A thread connects, gives up everything but its sockets and its two pipes
//! ([`ConnectSandbox`](crate::sandbox::ConnectSandbox)), and only then reads what the other side says.

mod http;
mod local;
mod talk;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use policy::Permit;
use policy::address::{Endpoint, Host, HttpUrl};

use self::local::{Local, Use};
pub(crate) use self::talk::Talk;
use crate::{Paths, config};

/// Addresses of a name that are tried; the others are told.
const TRIED: usize = 4;

/// What is asked of the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// Nothing: whether it lets a client connect.
    Tcp,
    /// A client's hello for this name.
    Tls(Option<String>),
    /// The head of an answer.
    Http { host: String, path: String, get: bool },
}

/// A probe that was permitted by its spelling, and not yet by its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    endpoint: Endpoint,
    question: Question,
}

/// The plan of a permitted line; `None` for a line that is no probe.
///
/// # Errors
/// A line that has another form than the built-in ones.
pub(crate) fn of(permit: &Permit) -> Result<Option<Plan>, String> {
    if permit.native.as_deref() != Some("probe") {
        return Ok(None);
    }
    let words: Vec<&str> = permit.argv.iter().skip(1).map(String::as_str).collect();
    let get = words.contains(&"--get");
    let operands: Vec<&str> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
    let plan = match operands[..] {
        ["tcp", endpoint] => Plan { endpoint: endpoint.parse()?, question: Question::Tcp },
        ["tls", endpoint] => {
            let endpoint: Endpoint = endpoint.parse()?;
            let name = match &endpoint.host {
                Host::Name(name) => Some(name.clone()),
                Host::Address(_) => None,
            };
            Plan { endpoint, question: Question::Tls(name) }
        }
        ["http", url] => {
            let HttpUrl { endpoint, path } = url.parse()?;
            let port = if endpoint.port == 80 { String::new() } else { format!(":{}", endpoint.port) };
            let host = format!("{}{port}", endpoint.host);
            Plan { endpoint, question: Question::Http { host, path, get } }
        }
        _ => return Err("probe does not serve these arguments".to_owned()),
    };
    Ok(Some(plan))
}

impl Plan {
    /// The name that must be looked up first.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.endpoint.host {
            Host::Name(name) if name != "localhost" => Some(name),
            _ => None,
        }
    }

    /// Judges the addresses: `found` is what the name's look-up printed, an address at the beginning of each line.
    ///
    /// # Errors
    /// None of them is permitted, with what root would write to permit it.
    pub(crate) fn judge(self, paths: &Paths, permitted: &config::Probe, found: &str) -> Result<Talk, String> {
        self.judge_by(&Local::read(paths), permitted, found)
    }

    fn judge_by(self, local: &Local, permitted: &config::Probe, found: &str) -> Result<Talk, String> {
        let port = self.endpoint.port;
        let addresses = match &self.endpoint.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) if name == "localhost" => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Host::Name(_) => addresses(found),
        };
        let purpose = match self.question {
            Question::Http { .. } => Use::Ask,
            Question::Tcp | Question::Tls(_) => Use::Greet,
        };
        let (mut good, mut refused) = (Vec::new(), Vec::new());
        for address in addresses {
            match local.judge(permitted, purpose, address, port) {
                Ok(()) => good.push(SocketAddr::new(address, port)),
                Err(why) => refused.push((address, why)),
            }
        }
        if good.is_empty()
            && let Some((_, why)) = refused.first()
        {
            return Err(why.clone());
        }
        let untried = good.split_off(good.len().min(TRIED));
        let others =
            untried.iter().map(SocketAddr::ip).chain(refused.into_iter().map(|(address, _)| address));
        Ok(Talk::new(self.question, self.endpoint.to_string(), good, others.collect()))
    }
}

/// The first word of each line that is an address, each once.
fn addresses(found: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for address in found.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

#[cfg(test)]
mod tests;
