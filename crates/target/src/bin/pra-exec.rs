//! Login shell and forced command of `pra-runner`.

fn main() -> std::process::ExitCode {
    let paths = target::Paths::system();
    target::pra_exec::main(&paths, &target::wrapper::Invocation::of_process(), target::pra_exec::sudo).into()
}
