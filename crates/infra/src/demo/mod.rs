//! The demo: a loopback target, an assistant and a person, on one machine, leaving nothing behind.
//!
//! Real here: this program as server, target programs and CLI, the SSH connection, the keys, the grant and its
//! checks. Not real: accounts and sudo (everything runs as the calling user) and systemd, whose `systemctl` is
//! played by [`systemctl`] for one small DNS service. `docs/DEMO.md` says so too.

mod client;
mod embedded;
mod place;
mod ssh;
mod story;
pub mod systemctl;
pub mod target;

pub use story::run;
