//! The network: interfaces, routes, sockets, names, and whether another host can be reached.

mod dns;
mod interfaces;
mod probe;
mod reached;
mod routes;
mod sockets;

pub use dns::{DnsConfig, HostsEntry, ResolverLink, get_dns_config};
pub use interfaces::{Interface, get_network_interfaces};
pub use probe::{Attempt, Outcome, Probe, ProbeKind, Target, test_connectivity};
pub use routes::{Route, get_routing_table};
pub use sockets::{
    Connection, ConnectionCounts, ConnectionQuery, Connections, Count, Listener, Listeners, Protocol,
    SocketState, get_active_connections, get_listening_ports,
};
