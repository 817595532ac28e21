//! What a host may be probed for by default, and the judgement of one address.
//!
//! A reader that connects where it is told to is a way to scan, and to write to, what only the host can see, and a way out. So by
//! default it reaches what the host already is or already talks to: its own addresses, on any port; and of its default gateways and
//! its resolvers the ports below, without text of the caller's choice (a URL's path is some; of TLS the name is sent, which is one
//! of the address). The rest is root's to list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::address::{Host, never};

use crate::{Paths, config};

/// What is done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing the caller chooses is sent, but the name of the address.
    Greet,
    /// A path of the caller's is sent.
    Ask,
}

/// Ports of a gateway: ssh, DNS, HTTP, HTTPS, DNS over TLS.
const GATEWAY: [u16; 5] = [22, 53, 80, 443, 853];
/// Ports of a resolver: DNS, DNS over TLS.
const RESOLVER: [u16; 2] = [53, 853];

/// The host's own addresses and those of its configured peers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Local {
    own: Vec<IpAddr>,
    gateways: Vec<IpAddr>,
    resolvers: Vec<IpAddr>,
}

impl Local {
    /// Asks the kernel and the resolver's files. What cannot be read permits nothing.
    pub(super) fn read(paths: &Paths) -> Self {
        let text = |place: &str| {
            let own = std::fs::read_to_string(paths.at(place));
            // A played root has the network of the system beneath it.
            let system = |_| if paths.system { Ok(String::new()) } else { std::fs::read_to_string(place) };
            own.or_else(system).unwrap_or_default()
        };
        let mut resolvers = nameservers(&text("/etc/resolv.conf"));
        // systemd-resolved stands between: its own servers are the peers.
        resolvers.extend(nameservers(&text("/run/systemd/resolve/resolv.conf")));
        Self {
            own: [local_v4(&text("/proc/net/fib_trie")), local_v6(&text("/proc/net/if_inet6"))].concat(),
            gateways: [gateways_v4(&text("/proc/net/route")), gateways_v6(&text("/proc/net/ipv6_route"))]
                .concat(),
            resolvers,
        }
    }

    /// Whether one address may be connected to.
    ///
    /// # Errors
    /// It may not, with what root would write to permit it.
    pub(super) fn judge(
        &self,
        permitted: &config::Probe,
        purpose: Use,
        address: IpAddr,
        port: u16,
    ) -> Result<(), String> {
        let endpoint = format!("{}:{port}", Host::Address(address));
        if let Some(why) = never(address) {
            return Err(format!("{endpoint} is {why}: it is never connected to"));
        }
        let by_default = permitted.own
            && (address.is_loopback()
                || self.own.contains(&address)
                || (purpose == Use::Greet && self.is_peer(address, port)));
        if by_default || permitted.allow.iter().any(|rule| rule.holds(address, port)) {
            return Ok(());
        }
        Err(format!(
            "{endpoint} is not among the addresses that this host may probe: nothing was sent; to permit it root writes \
             [probe] allow = [\"{endpoint}\"] into /etc/mcp-linux-infra/target.toml"
        ))
    }

    fn is_peer(&self, address: IpAddr, port: u16) -> bool {
        (self.gateways.contains(&address) && GATEWAY.contains(&port))
            || (self.resolvers.contains(&address) && RESOLVER.contains(&port))
    }
}

/// `/proc/net/fib_trie`: an address, and below it `/32 host LOCAL`.
fn local_v4(text: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let mut last = None;
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last.map(IpAddr::V4).filter(|a| !found.contains(a))
        {
            found.push(address);
        }
    }
    found
}

/// `/proc/net/if_inet6`: 32 hex digits at the beginning of each line.
fn local_v6(text: &str) -> Vec<IpAddr> {
    text.lines().filter_map(|line| hex_v6(line.split_whitespace().next()?)).collect()
}

fn hex_v6(text: &str) -> Option<IpAddr> {
    let bits = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(Ipv6Addr::from(bits).into())
}

/// `/proc/net/route`: interface, destination, gateway, flags, and at the eighth place the mask, in hex of the machine's order.
fn gateways_v4(text: &str) -> Vec<IpAddr> {
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok();
        let (destination, gateway, mask) = (number(1)?, number(2)?, number(7)?);
        (destination == 0 && mask == 0 && gateway != 0).then(|| IpAddr::from(gateway.to_ne_bytes()))
    };
    text.lines().filter_map(of).collect()
}

/// `/proc/net/ipv6_route`: destination and its bits, source and its bits, next hop.
fn gateways_v6(text: &str) -> Vec<IpAddr> {
    let of = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let default = fields.get(1) == Some(&"00") && hex_v6(fields.first()?)?.is_unspecified();
        hex_v6(fields.get(4)?).filter(|hop| default && !hop.is_unspecified())
    };
    text.lines().filter_map(of).collect()
}

/// Addresses of `nameserver` lines.
fn nameservers(text: &str) -> Vec<IpAddr> {
    let of = |line: &str| line.trim().strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.82.0.0/24 2 0 2\n        \
        |-- 10.82.0.0\n           /24 link UNICAST\n        |-- 10.82.0.11\n           /32 host LOCAL\n        |-- 10.82.0.255\n           \
        /32 link BROADCAST\nLocal:\n        |-- 10.82.0.11\n           /32 host LOCAL\n     |-- 127.0.0.0\n        /8 host LOCAL\n";
    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0100520A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0000520A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        eth0\t0000A8C0\t0200520A\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
    const ROUTE6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 1 0 3 eth0\n\
        fd000000000000000000000000000000 08 00000000000000000000000000000000 00 fd000000000000000000000000000009 00000400 1 0 3 eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 1 0 200200 lo\n";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(local_v4(TRIE), [ip("10.82.0.11")]);
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\nfd0000000000000000000000000000aa 02 40 00 00 eth0\n";
        assert_eq!(local_v6(inet6), [ip("::1"), ip("fd00::aa")]);
        if cfg!(target_endian = "little") {
            assert_eq!(gateways_v4(ROUTE), [ip("10.82.0.1")]);
        }
        assert_eq!(gateways_v6(ROUTE6), [ip("fd00::1")]);
        let resolv = "# nameserver 10.9.9.9\nnameserver 10.82.0.53\n nameserver\tfd00::53 # x\nnameserver fe80::1%eth0\nsearch x\n";
        assert_eq!(nameservers(resolv), [ip("10.82.0.53"), ip("fd00::53")]);
        for odd in ["", "|-- x\n/32 host LOCAL", "0 0 0", "nameserver", "é é é é é é é é"] {
            assert!(local_v4(odd).is_empty() && local_v6(odd).is_empty() && nameservers(odd).is_empty());
            assert!(gateways_v4(odd).is_empty() && gateways_v6(odd).is_empty());
        }
    }

    #[test]
    fn the_kernel_of_this_machine_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::read(&Paths::beneath(dir.path()));
        assert!(local.own.contains(&ip("127.0.0.1")), "{local:?}");
    }

    #[test]
    fn the_host_itself_and_some_ports_of_its_peers_by_default_and_the_rest_by_root() {
        let local = Local {
            own: vec![ip("10.82.0.11"), ip("fd00::aa"), ip("169.254.3.4"), ip("fe80::1")],
            gateways: vec![ip("10.82.0.1")],
            resolvers: vec![ip("10.82.0.53"), ip("169.254.169.253")],
        };
        let default = config::Probe::default();
        let judge = |permitted: &config::Probe, purpose, address: &str, port| {
            local.judge(permitted, purpose, ip(address), port)
        };
        for (address, port, greet, ask) in [
            ("127.0.0.1", 1, true, true),
            ("127.0.0.53", 53, true, true),
            ("::1", 443, true, true),
            ("10.82.0.11", 65535, true, true),
            ("fd00::aa", 22, true, true),
            ("10.82.0.1", 443, true, false),
            ("10.82.0.1", 8080, false, false),
            ("10.82.0.53", 53, true, false),
            ("10.82.0.53", 22, false, false),
            ("10.82.0.12", 22, false, false),
            ("203.0.113.9", 443, false, false),
            // Also when they are its own.
            ("169.254.3.4", 80, false, false),
            ("fe80::1", 80, false, false),
            ("169.254.169.253", 53, false, false),
            ("169.254.169.254", 80, false, false),
            ("::ffff:127.0.0.1", 80, false, false),
            ("0.0.0.0", 22, false, false),
        ] {
            assert_eq!(judge(&default, Use::Greet, address, port).is_ok(), greet, "{address} {port}");
            assert_eq!(judge(&default, Use::Ask, address, port).is_ok(), ask, "{address} {port}");
        }
        let listed: config::Probe =
            toml::from_str("own = false\nallow = [\"10.82.0.0/16:22\", \"0.0.0.0/0:80\"]").unwrap();
        for (address, port, permitted) in [
            ("10.82.0.12", 22, true),
            ("10.82.0.12", 23, false),
            ("127.0.0.1", 22, false),
            ("10.82.0.53", 53, false),
            ("203.0.113.9", 80, true),
            ("169.254.169.254", 80, false),
        ] {
            assert_eq!(judge(&listed, Use::Ask, address, port).is_ok(), permitted, "{address} {port}");
        }
        let told = judge(&default, Use::Greet, "10.82.0.12", 22).unwrap_err();
        assert!(told.contains("[probe] allow = [\"10.82.0.12:22\"]"), "{told}");
        let told = judge(&listed, Use::Greet, "fd00::1", 22).unwrap_err();
        assert!(told.contains("[\"[fd00::1]:22\"]"), "{told}");
        let told = judge(&listed, Use::Ask, "169.254.169.254", 80).unwrap_err();
        assert!(told.contains("never") && !told.contains("allow"), "{told}");
    }

    #[test]
    fn a_wrong_list_is_no_list() {
        for wrong in [
            "allow = [\"10.0.0.1/8:443\"]",
            "allow = [\"169.254.169.254:80\"]",
            "allow = [\"x:1\"]",
            "deny = []",
            "allow = [443]",
        ] {
            assert!(toml::from_str::<config::Probe>(wrong).is_err(), "{wrong}");
        }
    }
}
