//! Verifies a grant from stdin and runs what it says, as root.

fn main() -> std::process::ExitCode {
    target::pra_run::from_stdin(&target::Paths::system()).into()
}
