//! Holds the code to the arrows that `docs/ARCHITECTURE.md` draws: which crate and which module may know which.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Our crates and what each may depend on, dev-dependencies left out.
const CRATES: &[(&str, &[&str])] = &[
    ("policy", &[]),
    ("grant", &[]),
    ("ledger", &[]),
    ("session", &[]),
    ("target", &["policy", "grant", "ledger", "session"]),
    ("infra", &["policy", "grant", "ledger", "session", "target"]),
];

/// The server's modules and what each may use of the others.
const MODULES: &[(&str, &[&str])] = &[
    ("analysis", &[]),
    ("config", &[]),
    ("difference", &[]),
    ("plugins", &["config"]),
    ("store", &[]),
    ("ssh", &["config", "store"]),
    ("hosts", &[]),
    ("learning", &["analysis", "hosts", "store"]),
    ("listen", &[]),
    // What goes out to other servers than the hosts.
    ("fetch", &[]),
    ("app", &["config", "hosts", "learning", "plugins", "ssh", "store"]),
    // Two records in, one report out.
    ("reconcile", &["hosts"]),
    ("recovery", &["app", "config", "hosts", "ssh", "store"]),
    ("mcp", &["analysis", "app", "config", "hosts", "learning", "listen", "recovery", "store"]),
    ("oidc", &["config", "fetch", "hosts", "store"]),
    ("web", &["app", "config", "hosts", "learning", "listen", "oidc", "recovery", "store"]),
    // Nothing comes back from a channel: no arrow to `recovery`, which could act on it.
    ("notify", &["app", "config", "fetch", "hosts", "store"]),
    ("doctor", &["app", "config", "hosts", "notify", "oidc", "recovery", "ssh", "store"]),
    // Only subcommands that a person runs come here: `mcp` has no arrow to it.
    ("admin", &["app", "config", "doctor", "hosts", "ssh", "store"]),
    ("demo", &["app", "config", "recovery", "ssh", "store"]),
    ("init", &["config", "ssh"]),
    (
        "cli",
        &[
            "admin",
            "analysis",
            "app",
            "config",
            "demo",
            "difference",
            "doctor",
            "hosts",
            "init",
            "learning",
            "mcp",
            "notify",
            "oidc",
            "plugins",
            "reconcile",
            "recovery",
            "store",
            "web",
        ],
    ),
];

/// Libraries that only some places may know.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("axum", &["listen.rs", "mcp/http", "mcp/server.rs", "web"]),
    ("askama", &["web"]),
    ("hyper", &["listen.rs", "mcp/http", "fetch"]),
    ("lettre", &["notify/smtp.rs"]),
    ("rustls", &["fetch"]),
    ("rmcp", &["mcp/server.rs", "mcp/tasks.rs", "mcp/waiting.rs", "mcp/wire.rs", "mcp/http", "mcp/fixtures"]),
    ("russh", &["ssh", "config", "recovery/signer.rs", "demo"]),
    ("target", &["demo/target.rs"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|x| x == "rs") {
            found.push(path);
        }
    }
}

/// Paths relative to `src`, with the code in front of the tests.
fn server_files() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 30, "the sources were found");
    let read = |p: PathBuf| {
        let text = std::fs::read_to_string(&p).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        (p.strip_prefix(&src).unwrap().display().to_string(), code)
    };
    files.into_iter().map(read).filter(|(name, _)| !name.ends_with("tests.rs")).collect()
}

fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn crates_depend_only_as_drawn() {
    for (name, allowed) in CRATES {
        let manifest = std::fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let table = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
        let table = table.split("\n[").next().unwrap_or_default();
        let used: BTreeSet<&str> = table.lines().filter_map(|l| l.split(['.', ' ', '=']).next()).collect();
        for (other, _) in CRATES {
            assert!(!used.contains(other) || allowed.contains(other), "{name} must not depend on {other}");
        }
        if *name != "infra" {
            for heavy in ["tokio", "russh", "rmcp", "rusqlite", "futures"] {
                assert!(!used.contains(heavy), "{name} must not depend on {heavy}");
            }
        }
    }
}

#[test]
fn modules_know_only_those_below() {
    for (file, code) in server_files() {
        let module = module_of(&file);
        if matches!(module, "lib" | "main") {
            continue;
        }
        let allowed = MODULES
            .iter()
            .find(|(m, _)| *m == module)
            .unwrap_or_else(|| panic!("{file}: no row for {module}"))
            .1;
        for (other, _) in MODULES {
            let known =
                code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other}}}"));
            assert!(!known || *other == module || allowed.contains(other), "{file} must not know {other}");
        }
    }
}

#[test]
fn libraries_stay_in_their_place() {
    for (file, code) in server_files() {
        for (library, places) in LIBRARIES {
            let known = code.lines().any(|l| {
                let l = l.trim_start();
                !l.starts_with("//")
                    && (l.starts_with(&format!("use {library}::"))
                        || l.contains(&format!("{library}::"))
                            && !l.contains(&format!("_{library}::"))
                            && !l.contains(&format!("::{library}::"))
                            && !l.contains(&format!("demo::{library}")))
            });
            assert!(!known || places.iter().any(|p| file.starts_with(p)), "{file} must not know {library}");
        }
    }
}
