//! Routes of both families, from `ip -j route`.

use futures::future::join;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::Row;
use crate::hosts::ask::Asker;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::{Failure, Reader};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Route {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Network, or `default`.
    pub destination: String,
    /// Next hop; absent where the network is directly attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Address that packets are sent from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The lower the better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// Who made it: `kernel`, `dhcp`, `static`, `ra`…
    pub protocol: String,
    /// `unreachable`, `blackhole`… where packets are not sent on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    dst: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    gateway: Option<String>,
    #[serde(default)]
    via: Option<Via>,
    #[serde(default)]
    dev: Option<String>,
    #[serde(default)]
    prefsrc: Option<String>,
    #[serde(default)]
    metric: Option<u32>,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    nexthops: Vec<Said>,
}

/// A next hop of the other family.
#[derive(Deserialize)]
struct Via {
    #[serde(default)]
    host: String,
}

/// Asks for the routes of the main table, those of IPv4 first. A host without IPv6 has none of it.
pub async fn get_routing_table(reader: &dyn Reader) -> Result<Vec<Route>, Failure> {
    let asker = Asker::new(reader);
    let (v4, v6) = join(
        asker.json::<Vec<Said>>(&["ip", "-j", "route"]),
        asker.json::<Vec<Said>>(&["ip", "-j", "-6", "route"]),
    )
    .await;
    let mut routes: Vec<Route> = v4?.into_iter().flat_map(|r| rows("ipv4", r)).collect();
    match v6 {
        Ok(v6) => routes.extend(v6.into_iter().flat_map(|r| rows("ipv6", r))),
        Err(Failure::Failed { .. }) => {}
        Err(e) => return Err(e),
    }
    Ok(routes)
}

/// A route over several next hops is a row for each.
fn rows(family: &str, mut said: Said) -> Vec<Route> {
    let hops = std::mem::take(&mut said.nexthops);
    let mut route = row(family, said);
    if hops.is_empty() {
        return vec![route];
    }
    let over = |hop: Said| {
        let hop = row(family, hop);
        route.gateway = hop.gateway;
        route.interface = hop.interface;
        route.clone()
    };
    hops.into_iter().map(over).collect()
}

fn row(family: &str, said: Said) -> Route {
    let text = |t: Option<String>| t.map(|t| one_line(&t, 60)).filter(|t| !t.is_empty());
    Route {
        family: family.to_owned(),
        destination: one_line(&said.dst, 60),
        gateway: text(said.gateway.or(said.via.map(|v| v.host))),
        interface: text(said.dev),
        source: text(said.prefsrc),
        metric: said.metric,
        protocol: text(said.protocol).unwrap_or_default(),
        kind: text(said.kind).filter(|k| k != "unicast"),
    }
}

impl Row for Route {
    fn line(&self) -> String {
        let mut line = self.destination.clone();
        for (word, part) in
            [("", &self.kind), ("via ", &self.gateway), ("dev ", &self.interface), ("from ", &self.source)]
        {
            if let Some(part) = part {
                line.push_str(&format!(" {word}{part}"));
            }
        }
        if let Some(metric) = self.metric {
            line.push_str(&format!(" metric {metric}"));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::fake::{Fake, answer, block_on, sample};
    use crate::hosts::reader::Output;

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default()
            .with("ip -j route", answer(&sample("ip-route.json")))
            .with("ip -j -6 route", answer(&sample("ip-route6.json")));
        let routes = block_on(get_routing_table(&fake)).unwrap();
        assert!(routes.iter().any(|r| r.family == "ipv4" && r.protocol == "kernel"), "{routes:?}");
        assert!(routes.iter().any(|r| r.family == "ipv6"), "{routes:?}");
    }

    #[test]
    fn several_hops_and_dead_ends() {
        let raw = r#"[{"dst":"default","nexthops":[{"gateway":"10.0.0.1","dev":"eth0"},{"via":{"family":"inet6","host":"fe80::1"},"dev":"eth1"}],"metric":5},
            {"type":"blackhole","dst":"10.9.0.0/16"},{"dst":"10.0.0.0/24","dev":"eth0","prefsrc":"10.0.0.2","protocol":"kernel"}]"#;
        let none = Output {
            exit: Some(2),
            stderr: b"RTNETLINK answers: Operation not supported".to_vec(),
            ..answer("")
        };
        let fake = Fake::default().with("ip -j route", answer(raw)).with("ip -j -6 route", none);
        let lines: Vec<String> = block_on(get_routing_table(&fake)).unwrap().iter().map(Row::line).collect();
        assert_eq!(
            lines,
            [
                "default via 10.0.0.1 dev eth0 metric 5",
                "default via fe80::1 dev eth1 metric 5",
                "10.9.0.0/16 blackhole",
                "10.0.0.0/24 dev eth0 from 10.0.0.2"
            ]
        );
    }

    #[test]
    fn no_answer_about_ipv6_is_not_no_route() {
        let fake = Fake::default().with("ip -j route", answer("[]")).with("ip -j -6 route", answer("{"));
        assert_eq!(block_on(get_routing_table(&fake)).unwrap_err().code(), "unreadable_output");
    }
}
