//! `completions` and `man` as processes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

use std::process::{Command, Stdio};

fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_mcp-linux-infra")).args(arguments).env_clear().output().unwrap()
}

#[test]
fn each_shell_has_a_script_that_knows_the_subcommands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["policy", "approve", "init", "host-key"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        if shell == "bash" {
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(path.path(), &script).unwrap();
            let checked = Command::new("bash").arg("-n").arg(path.path()).output().unwrap();
            assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
        }
    }
    assert_eq!(run(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn each_subcommand_has_a_page_and_each_page_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("new/man");
    let output = run(&["man", "--out", out.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let pages: Vec<&str> = said.lines().collect();
    assert_eq!(pages.len(), std::fs::read_dir(&out).unwrap().count());
    for name in [
        "mcp-linux-infra",
        "mcp-linux-infra-init",
        "mcp-linux-infra-policy-check",
        "mcp-linux-infra-audit-verify",
    ] {
        assert!(out.join(format!("{name}.1")).is_file(), "{name}: {said}");
    }
    assert!(!said.contains("demo-target"), "what is hidden has no page");
    for page in pages {
        let text = std::fs::read_to_string(page).unwrap();
        let name = page.rsplit('/').next().unwrap().trim_end_matches(".1");
        let (heading, rest) = text.split_once(".SH NAME\n").unwrap_or_else(|| panic!("{page}: {text}"));
        assert!(heading.contains(&format!(".TH {name} 1")), "{heading}");
        let line = rest.lines().next().unwrap().replace('\\', "");
        // whatis and apropos read this line.
        assert!(line.starts_with(&format!("{name} - ")) && line.len() > name.len() + 10, "{page}: {line}");
    }
    let one = String::from_utf8(run(&["man"]).stdout).unwrap();
    assert_eq!(one, std::fs::read_to_string(out.join("mcp-linux-infra.1")).unwrap());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let output = run(&["man", "--out", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("/proc/nowhere"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [&["man"][..], &["completions", "zsh"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-linux-infra"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}
