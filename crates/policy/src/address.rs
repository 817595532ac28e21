//! Addresses that a host may be asked to connect to: how they are written, which are never connected to, and what root lists.
//!
//! One spelling for each address. What other software reads as an address in another way (octal, hexadecimal, short and mapped
//! forms) is refused where it is read, so that nothing can be judged as one thing and connected to as another.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Deserialize;

use crate::values::is_label;

/// The longest path of a URL, in bytes.
pub const MAX_PATH: usize = 256;

/// Who is named: an address, or a name that the target looks up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address, in its one spelling.
    Address(IpAddr),
    /// A name whose last label is no number.
    Name(String),
}

impl fmt::Display for Host {
    /// As it stands in a URL: IPv6 in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A host and a TCP port: `HOST:PORT`, `ADDRESS:PORT`, `[IPV6]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Who.
    pub host: Host,
    /// 1 to 65535.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = split(text)?;
        let port = port.ok_or("a port must follow: HOST:PORT")?;
        Ok(Self { host: read_host(host)?, port: read_port(port)? })
    }
}

/// `http://HOST[:PORT][/PATH]`, without user, query and fragment: none of them is needed to ask whether a service answers, and each
/// could carry a credential or a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Where; port 80 when none is named.
    pub endpoint: Endpoint,
    /// From the first `/` on; letters, digits and `. _ ~ - /`.
    pub path: String,
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.endpoint, self.path)
    }
}

impl FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("http://").ok_or("expected http://HOST[:PORT][/PATH]")?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._~-/".contains(&b);
        let dots = path.split('/').any(|part| part == "." || part == "..");
        if path.len() > MAX_PATH || !path.bytes().all(plain) || dots {
            return Err(format!(
                "a path has letters, digits and . _ ~ - / only, {MAX_PATH} at most; no query"
            ));
        }
        let (host, port) = split(authority)?;
        let port = port.map_or(Ok(80), read_port)?;
        Ok(Self { endpoint: Endpoint { host: read_host(host)?, port }, path: path.to_owned() })
    }
}

/// The host without brackets, and the port. Brackets hold IPv6 and nothing else, and IPv6 stands in brackets.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']').ok_or("']' is missing")?;
        if !address.contains(':') {
            return Err("brackets hold an IPv6 address".to_owned());
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if rest.is_empty() => Ok((address, None)),
            None => Err("a port must follow the brackets".to_owned()),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("an IPv6 address stands in brackets".to_owned()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn read_port(text: &str) -> Result<u16, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain).ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

fn read_host(text: &str) -> Result<Host, String> {
    // Rust reads dotted quads without leading zeros only, and no zones.
    if let Ok(address) = text.parse::<IpAddr>() {
        return match never(address) {
            Some(why) => Err(format!("{address} is {why}: it is never connected to")),
            None => Ok(Host::Address(address)),
        };
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    if text.is_empty() || text.len() > 253 || !text.split('.').all(is_label) {
        return Err("expected a host name or an address".to_owned());
    }
    // What ends in a number is an address to many programs: 127.1, 2130706433, 0x7f.1, 0177.0.0.1.
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if number {
        return Err("an IPv4 address has four decimal numbers without leading zeros".to_owned());
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

/// Why an address is never connected to, whoever permits it; `None` for one that root may permit.
pub fn never(address: IpAddr) -> Option<&'static str> {
    never_network(address, 128)
}

/// Why no address of a network, given by its first one, is ever connected to.
fn never_network(first: IpAddr, bits: u8) -> Option<&'static str> {
    match first {
        IpAddr::V6(Ipv6Addr::LOCALHOST) => None,
        IpAddr::V4(first) => {
            NEVER_V4.iter().find(|(net, own, _)| *own <= bits && v4_in(first, *net, *own)).map(|row| row.2)
        }
        IpAddr::V6(first) => NEVER_V6
            .iter()
            .find(|(net, own, _)| *own <= bits && v6_in(first, (*net).into(), *own))
            .map(|row| row.2),
    }
}

const METADATA: &str = "the metadata service of a cloud, which gives out credentials";

/// IPv4, the first that fits.
const NEVER_V4: [(Ipv4Addr, u8, &str); 8] = [
    (Ipv4Addr::new(169, 254, 169, 254), 32, METADATA),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local, where clouds have their metadata services"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, METADATA),
    (Ipv4Addr::new(168, 63, 129, 16), 32, METADATA),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved, where clouds have their metadata services"),
    (Ipv4Addr::UNSPECIFIED, 8, "no host's (unspecified)"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved or broadcast"),
];

const EMBEDDED: &str = "another spelling of an IPv4 address";

/// IPv6, the first that fits; `::1` is excepted.
const NEVER_V6: [(u128, u8, &str); 12] = [
    (0xfd00_0ec2_0000_0000_0000_0000_0000_0254, 128, METADATA),
    (0xfd20_00ce_0000_0000_0000_0000_0000_0254, 128, METADATA),
    (0x0000_0000_0000_0000_0000_0000_0000_0000, 128, "no host's (unspecified)"),
    // ::a.b.c.d, ::ffff:a.b.c.d, ::ffff:0:a.b.c.d
    (0x0000_0000_0000_0000_0000_0000_0000_0000, 64, EMBEDDED),
    (0x0064_ff9b_0000_0000_0000_0000_0000_0000, 96, "another spelling of an IPv4 address (NAT64)"),
    (0x0064_ff9b_0001_0000_0000_0000_0000_0000, 48, "another spelling of an IPv4 address (NAT64)"),
    (0x2001_0000_0000_0000_0000_0000_0000_0000, 32, "another spelling of an IPv4 address (Teredo)"),
    (0x2002_0000_0000_0000_0000_0000_0000_0000, 16, "another spelling of an IPv4 address (6to4)"),
    (0x0100_0000_0000_0000_0000_0000_0000_0000, 64, "discarded by routers"),
    (0xfe80_0000_0000_0000_0000_0000_0000_0000, 10, "link-local"),
    (0xfec0_0000_0000_0000_0000_0000_0000_0000, 10, "site-local, which is deprecated"),
    (0xff00_0000_0000_0000_0000_0000_0000_0000, 8, "multicast"),
];

fn v4_in(address: Ipv4Addr, net: Ipv4Addr, bits: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    (u32::from(address) ^ u32::from(net)) & mask == 0
}

fn v6_in(address: Ipv6Addr, net: Ipv6Addr, bits: u8) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    (u128::from(address) ^ u128::from(net)) & mask == 0
}

/// What root permits: a network and ports of it. `10.0.0.0/8:443`, `10.0.0.5:8000-8100`, `[fd00::/8]:443`, `10.1.0.0/16:*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rule {
    network: IpAddr,
    bits: u8,
    ports: (u16, u16),
}

impl Rule {
    /// Whether it holds this address and port.
    pub fn holds(&self, address: IpAddr, port: u16) -> bool {
        let within = match (address, self.network) {
            (IpAddr::V4(address), IpAddr::V4(network)) => v4_in(address, network, self.bits),
            (IpAddr::V6(address), IpAddr::V6(network)) => v6_in(address, network, self.bits),
            _ => false,
        };
        within && (self.ports.0..=self.ports.1).contains(&port)
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|cause| format!("{text:?}: {cause}"))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (network, ports) = split(text)?;
        let ports = ports.ok_or("ports must follow: ADDRESS[/BITS]:PORT, :FROM-TO or :*")?;
        let ports = match ports.split_once('-') {
            _ if ports == "*" => (1, u16::MAX),
            Some((from, to)) => (read_port(from)?, read_port(to)?),
            None => (read_port(ports)?, read_port(ports)?),
        };
        if ports.0 > ports.1 {
            return Err("the range of ports is empty".to_owned());
        }
        let (address, bits) = network.split_once('/').map_or((network, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| format!("{address:?} is no IP address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let plain = |b: &str| b == "0" || (!b.starts_with('0') && b.bytes().all(|c| c.is_ascii_digit()));
        let bits = match bits {
            None => most,
            Some(b) => b
                .parse()
                .ok()
                .filter(|n| plain(b) && *n <= most)
                .ok_or_else(|| format!("/{b}: a prefix has 0 to {most} bits"))?,
        };
        let first = first(address, bits);
        if first != address {
            return Err(format!("{address}/{bits} has bits behind its prefix: write {first}/{bits}"));
        }
        if let Some(why) = never_network(first, bits) {
            return Err(format!("{text} is {why}: it is never connected to"));
        }
        Ok(Self { network: address, bits, ports })
    }
}

/// The first address of a network.
fn first(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let host = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from(u32::from(a) & !host).into()
        }
        IpAddr::V6(a) => {
            let host = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from(u128::from(a) & !host).into()
        }
    }
}

#[cfg(test)]
mod tests;
