//! End-to-end tests: the real programs on real hosts.
