//! The Model Context Protocol face: tools over stdio and HTTP, in both protocol eras.
//!
//! Tools are a table ([`toolbox`]) that knows nothing of the protocol, so that `mcp-linux-infra tool call` uses
//! the very same code; only [`server`] and [`http`] know the protocol library. No tool approves anything.

pub mod complete;
#[cfg(feature = "conformance-fixtures")]
pub(crate) mod fixtures;
pub mod http;
pub mod icons;
mod limits;
pub mod progress;
pub mod prompts;
pub mod resources;
mod schema;
mod seal;
pub mod server;
mod tasks;
pub mod toolbox;
mod tools;
pub mod toolsets;
mod waiting;
mod wire;

pub use http::HttpServer;
pub use progress::Progress;
pub use server::serve_stdio;
pub use toolbox::{Answer, Call, Tool, Toolbox};
