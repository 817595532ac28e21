//! Interfaces, their addresses and counters, from `ip -j -s addr`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::Row;
use crate::hosts::ask::Asker;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::{Failure, Reader};
use crate::hosts::units::bytes;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// `up`, `down`, `unknown`…
    pub state: String,
    /// `ether`, `loopback`…
    pub kind: String,
    /// Largest packet.
    pub mtu_bytes: u64,
    /// Link address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Addresses with their prefix length.
    pub addresses: Vec<String>,
    /// Bridge or bond that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// Whether it is switched on and has no carrier.
    pub no_carrier: bool,
    /// Received.
    pub rx_bytes: u64,
    /// Sent.
    pub tx_bytes: u64,
    /// Packets received damaged.
    pub rx_errors: u64,
    /// Packets not sent.
    pub tx_errors: u64,
    /// Packets received and thrown away.
    pub rx_dropped: u64,
    /// Packets thrown away before sending.
    pub tx_dropped: u64,
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    operstate: String,
    #[serde(default, rename = "link_type")]
    kind: String,
    #[serde(default)]
    mtu: u64,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    master: Option<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
    #[serde(default)]
    stats64: Option<Stats>,
    #[serde(default)]
    stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: String,
    #[serde(default)]
    prefixlen: u8,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stats {
    rx: Side,
    tx: Side,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Side {
    bytes: u64,
    errors: u64,
    dropped: u64,
}

/// Asks for the interfaces, in the order of the kernel.
pub async fn get_network_interfaces(reader: &dyn Reader) -> Result<Vec<Interface>, Failure> {
    let asker = Asker::new(reader);
    let links: Vec<Link> = asker.json(&["ip", "-j", "-s", "addr"]).await?;
    Ok(links.into_iter().map(row).collect())
}

fn row(link: Link) -> Interface {
    let stats = link.stats64.or(link.stats).unwrap_or_default();
    let addresses = link.addr_info.iter().filter(|a| !a.local.is_empty());
    Interface {
        name: one_line(&link.ifname, 40),
        state: one_line(&link.operstate.to_lowercase(), 20),
        kind: one_line(&link.kind, 20),
        mtu_bytes: link.mtu,
        mac: link.address.map(|a| one_line(&a, 60)),
        addresses: addresses
            .map(|a| one_line(&format!("{}/{}", a.local, a.prefixlen), 60))
            .take(64)
            .collect(),
        master: link.master.map(|m| one_line(&m, 40)),
        no_carrier: link.flags.iter().any(|f| f == "NO-CARRIER"),
        rx_bytes: stats.rx.bytes,
        tx_bytes: stats.tx.bytes,
        rx_errors: stats.rx.errors,
        tx_errors: stats.tx.errors,
        rx_dropped: stats.rx.dropped,
        tx_dropped: stats.tx.dropped,
    }
}

impl Row for Interface {
    fn line(&self) -> String {
        let mut line = format!("{} {}", self.name, self.state);
        if self.no_carrier {
            line.push_str(" NO CARRIER");
        }
        if !self.addresses.is_empty() {
            line.push_str(&format!(" {}", self.addresses.join(" ")));
        }
        line.push_str(&format!(
            " mtu {} rx {} tx {}",
            self.mtu_bytes,
            bytes(self.rx_bytes),
            bytes(self.tx_bytes)
        ));
        let bad = [
            ("rx errors", self.rx_errors),
            ("tx errors", self.tx_errors),
            ("rx dropped", self.rx_dropped),
            ("tx dropped", self.tx_dropped),
        ];
        for (what, count) in bad.iter().filter(|(_, count)| *count > 0) {
            line.push_str(&format!(", {what} {count}"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::fake::{Fake, answer, block_on, sample};

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default().with("ip -j -s addr", answer(&sample("ip-s-addr.json")));
        let found = block_on(get_network_interfaces(&fake)).unwrap();
        let lo = found.iter().find(|i| i.name == "lo").unwrap();
        assert!(lo.addresses.contains(&"127.0.0.1/8".to_owned()) && lo.kind == "loopback", "{lo:?}");
        let eth0 = found.iter().find(|i| i.name == "eth0").unwrap();
        assert_eq!((eth0.state.as_str(), eth0.mtu_bytes), ("up", 1500));
        assert!(eth0.rx_bytes > 0 && eth0.tx_bytes > 0 && eth0.mac.is_some(), "{eth0:?}");
        assert!(eth0.line().contains(&eth0.addresses[0]), "{}", eth0.line());
    }

    #[test]
    fn errors_and_a_missing_carrier_are_shown() {
        let raw = r#"[{"ifname":"eth1\u001b[31m","flags":["NO-CARRIER","UP"],"operstate":"DOWN","mtu":1500,"addr_info":[{}],
            "stats":{"rx":{"bytes":1,"errors":7},"tx":{"dropped":2}}}]"#;
        let found = block_on(get_network_interfaces(&Fake::default().with("ip", answer(raw)))).unwrap();
        assert_eq!(found[0].line(), "eth1 down NO CARRIER mtu 1500 rx 1 B tx 0 B, rx errors 7, tx dropped 2");
        for raw in ["[{}]", "{\"a\":1}", "[1]"] {
            assert!(
                block_on(get_network_interfaces(&Fake::default().with("ip", answer(raw)))).is_err(),
                "{raw}"
            );
        }
    }
}
