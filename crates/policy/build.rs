//! Collects the catalogue's files, so that a new plugin or action is one file and nothing else; and makes the table of the
//! letters that an operand may hold, so that the programs carry the table and not the libraries it is from.
//!
//! With `MCP_COMPACT_CATALOGUE=1` (`scripts/build-target.sh`) the plugins' texts are shortened and deflated; their digests stay
//! those of the files.

#[path = "src/compact.rs"]
mod compact;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, is_nfc_quick, is_nfkc_quick};
use unicode_script::{Script, UnicodeScript};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../catalogue").canonicalize()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=MCP_COMPACT_CATALOGUE");
    let short = std::env::var("MCP_COMPACT_CATALOGUE").is_ok_and(|value| value == "1");
    for (folder, name) in [("plugins", "PLUGINS"), ("actions", "ACTIONS")] {
        let dir = root.join(folder);
        println!("cargo::rerun-if-changed={}", dir.display());
        std::fs::write(
            out.join(format!("{folder}.rs")),
            if name == "PLUGINS" { plugins(&dir, short)? } else { table(&dir, name)? },
        )?;
    }
    let mut code = String::from(
        "/// The commands of each built-in plugin, in the order of the files.\nconst LISTED: &[&[&str]] = &[\n",
    );
    for (_, text) in files(&root.join("plugins"))? {
        writeln!(code, "    &{:?},", commands(&text))?;
    }
    code.push_str("];\n");
    std::fs::write(out.join("listed.rs"), code)?;
    std::fs::write(out.join("letters.rs"), letters()?)?;
    Ok(())
}

/// The names of the commands of a plugin's text: each stands in the line behind its header, which a test checks.
fn commands(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let named = |pair: &[&'_ str]| pair[0] == "[[command]]";
    lines
        .windows(2)
        .filter(|pair| named(pair))
        .filter_map(|pair| pair[1].strip_prefix("name = \"")?.strip_suffix('"'))
        .collect()
}

/// The script of a letter that may stand in an operand: it begins no other character's composition and ends none, so a word
/// of such letters is in NFC and NFKC whatever their order.
fn script(c: char) -> Option<Script> {
    let one = std::iter::once(c);
    let alone = is_nfc_quick(one.clone()) == IsNormalized::Yes
        && is_nfkc_quick(one) == IsNormalized::Yes
        && canonical_combining_class(c) == 0;
    let its = c.script();
    (!c.is_ascii() && c.is_alphabetic() && alone && !matches!(its, Script::Common | Script::Inherited))
        .then_some(its)
}

/// Runs of letters of one script: first and last character, and the script's number; and the scripts' names.
fn letters() -> Result<String, Box<dyn std::error::Error>> {
    // The first is the script of the ASCII letters.
    let mut names = vec![Script::Latin.full_name()];
    let mut runs: Vec<(u32, u32, usize)> = Vec::new();
    for c in '\u{80}'..=char::MAX {
        let Some(its) = script(c) else { continue };
        let its = its.full_name();
        let number = names.iter().position(|n| *n == its).unwrap_or(names.len());
        if number == names.len() {
            names.push(its);
        }
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == u32::from(c) && *same == number => *last += 1,
            _ => runs.push((u32::from(c), u32::from(c), number)),
        }
    }
    let mut code = format!("const SCRIPTS: &[&str] = &{names:?};\nconst LETTERS: &[(u32, u32, u8)] = &[\n");
    for (first, last, number) in runs {
        writeln!(code, "    ({first:#x}, {last:#x}, {number}),")?;
    }
    code.push_str("];\n");
    Ok(code)
}

/// The TOML files of a folder with their texts, in the order of their names.
fn files(dir: &Path) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|x| x == "toml"));
    files.sort();
    let mut found = Vec::new();
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, std::fs::read_to_string(&file)?));
    }
    Ok(found)
}

/// A constant with the name and text of each file. The text itself, not a path: the same source in another folder gives the same
/// program.
fn table(dir: &Path, name: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut code = format!("const {name}: &[(&str, &str)] = &[\n");
    for (file, text) in files(dir)? {
        writeln!(code, "    ({file:?}, {text:?}),")?;
    }
    code.push_str("];\n");
    Ok(code)
}

/// A constant with the name, bytes and SHA-256 of each plugin.
fn plugins(dir: &Path, short: bool) -> Result<String, Box<dyn std::error::Error>> {
    let mut code = format!("const DEFLATED: bool = {short};\nconst PLUGINS: &[(&str, &[u8], &str)] = &[\n");
    for (file, text) in files(dir)? {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let hex = digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let bytes = if short {
            miniz_oxide::deflate::compress_to_vec(compact::compact(&text).as_bytes(), 10)
        } else {
            text.into_bytes()
        };
        writeln!(code, "    ({file:?}, b\"{}\", {hex:?}),", bytes.escape_ascii())?;
    }
    code.push_str("];\n");
    Ok(code)
}
