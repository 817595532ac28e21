//! Properties that hold for any bytes that somebody else may write: one module per fuzz target, each with a `check` that
//! panics where its property does not hold.

pub mod action;
pub mod approvers;
pub mod envelope;
pub mod judge;
pub mod lex;
pub mod original;
pub mod plugin;
pub mod seeds;
pub mod session;
pub mod sshsig;
pub mod statement;
mod text;
pub mod webauthn;
