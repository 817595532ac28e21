//! What travels over the two SSH channels: the grant envelope and the session's frames.

pub mod envelope;
pub mod frame;
