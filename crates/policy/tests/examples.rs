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

/// Two plugins that name the same root mean the same folders, and leave the same secrets out.
#[test]
fn shared_roots_are_equal() {
    let read = |name: &str| -> toml::Table {
        let path = format!("{}/../../catalogue/plugins/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().parse().unwrap()
    };
    let (files, text) = (read("filesystem"), read("posix-text"));
    assert_eq!(files["exclude"], text["exclude"]);
    for name in ["log", "proc", "public"] {
        assert_eq!(files["roots"][name], text["roots"][name], "{name}");
    }
}
