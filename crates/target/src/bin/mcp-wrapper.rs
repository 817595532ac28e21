//! Login shell and forced command of `mcp-reader`.

fn main() -> std::process::ExitCode {
    target::wrapper::main(&target::Paths::system(), &target::wrapper::Invocation::of_process()).into()
}
