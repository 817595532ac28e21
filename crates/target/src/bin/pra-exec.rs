//! Login shell and forced command of `pra-runner`.

fn main() -> std::process::ExitCode {
    let paths = target::Paths::system();
    let hand_over = |envelope: &[u8]| target::pra_exec::sudo(&paths, envelope);
    target::pra_exec::main(&paths, &target::wrapper::Invocation::of_process(), hand_over).into()
}
