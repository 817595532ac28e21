//! The program with the fixtures of the conformance suite beside the real tools, for `scripts/conformance.sh`.
//!
//! An example, and not a program of the package, so that neither `cargo build` nor an installation makes it.

fn main() -> std::process::ExitCode {
    mcp_linux_infra::cli::main()
}
