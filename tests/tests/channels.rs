//! Every way into a host that SSH has, tried with both keys on a host that scripts/install-target.sh has made a target.

use e2e::{Lab, channels};

const HOST: &str = "t1";

#[test]
fn no_shell_no_terminal_and_no_subsystem() {
    channels::no_shell_no_terminal_and_no_subsystem(&Lab::get(), HOST);
}

#[test]
fn files_are_not_copied() {
    channels::files_are_not_copied(&Lab::get(), HOST);
}

#[test]
fn nothing_is_forwarded() {
    channels::nothing_is_forwarded(&Lab::get(), HOST);
}

#[test]
fn no_agent_no_display_and_no_environment_arrive() {
    channels::no_agent_no_display_and_no_environment_arrive(&Lab::get(), HOST);
}

#[test]
fn as_a_login_shell_it_takes_one_line_or_refuses() {
    channels::as_a_login_shell_it_takes_one_line_or_refuses(&Lab::get(), HOST);
}
