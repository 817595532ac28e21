//! The three programs that run on a target: mcp-wrapper, pra-exec, pra-run.
