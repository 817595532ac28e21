//! Few crates: what runs on a target is small enough to be read.

#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

use std::collections::BTreeSet;
use std::process::Command;

/// The three programs link fewer than 25 crates of others, with what only runs at build time left out.
#[test]
fn the_programs_link_few_crates() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args([
        "tree",
        "--locked",
        "--offline",
        "-p",
        "target",
        "-e",
        "normal,no-proc-macro",
        "--prefix",
        "none",
    ]);
    tree.args(["--format", "{p}"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let ours = concat!("(", env!("CARGO_MANIFEST_DIR"));
    let ours = ours.strip_suffix("/target").unwrap();
    let names: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.contains(ours))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(names.contains("ring") && names.contains("rustix"), "the tree was read: {names:?}");
    assert!(!names.contains("syn") && names.len() < 25, "{} crates: {names:?}", names.len());
}
