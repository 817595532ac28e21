//! Login shell and forced command of `pra-runner`.

fn main() -> std::process::ExitCode {
    target::pra_exec::main(&target::Paths::system(), &target::wrapper::Invocation::of_process()).into()
}
