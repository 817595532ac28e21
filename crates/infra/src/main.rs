//! The `mcp-linux-infra` program: server, CLI and demo.

fn main() -> std::process::ExitCode {
    mcp_linux_infra::cli::main()
}
