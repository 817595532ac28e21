//! MCP server and CLI: diagnose Linux hosts over SSH, recover them with grants that people sign.
//!
//! Arrows run one way: [`mcp`] and [`cli`] use [`recovery`] and [`hosts`], those use [`ssh`] and
//! [`store`], those use the pure crates. [`app`] is the one place where the parts meet.

pub mod admin;
pub mod analysis;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod difference;
pub mod doctor;
pub(crate) mod fetch;
pub mod hosts;
pub mod init;
pub mod learning;
pub(crate) mod listen;
pub mod mcp;
pub mod notify;
pub mod oidc;
pub mod plugins;
pub mod reconcile;
pub mod recovery;
pub mod ssh;
pub mod store;
pub mod web;
