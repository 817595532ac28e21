//! Every form's examples are permitted and its counter-examples are not.

#[test]
fn examples_and_counter_examples() {
    let problems = policy::Catalogue::builtin().unwrap().check_examples();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
