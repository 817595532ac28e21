//! The hash chain that server and target write their audit records to.
