//! Every form's examples are permitted and its counter-examples are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[test]
fn examples_and_counter_examples() {
    let problems = policy::Catalogue::builtin().unwrap().check_examples();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
