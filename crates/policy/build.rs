//! Collects the catalogue's files, so that a new plugin or action is one file and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../catalogue").canonicalize()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for (folder, name) in [("plugins", "PLUGINS"), ("actions", "ACTIONS")] {
        let dir = root.join(folder);
        println!("cargo::rerun-if-changed={}", dir.display());
        std::fs::write(out.join(format!("{folder}.rs")), table(&dir, name)?)?;
    }
    let plugins = files(&root.join("plugins"))?;
    let mut code = String::from(
        "/// The commands of each built-in plugin, in the order of the files.\nconst LISTED: &[&[&str]] = &[\n",
    );
    for file in plugins {
        writeln!(code, "    &{:?},", commands(&std::fs::read_to_string(&file)?))?;
    }
    code.push_str("];\n");
    std::fs::write(out.join("listed.rs"), code)?;
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

fn files(dir: &Path) -> Result<Vec<PathBuf>, Box<dyn std::error::Error>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|x| x == "toml"));
    files.sort();
    Ok(files)
}

/// A constant with the name and text of each TOML file, in the order of their names.
fn table(dir: &Path, name: &str) -> Result<String, Box<dyn std::error::Error>> {
    let files = files(dir)?;
    let mut code = format!("const {name}: &[(&str, &str)] = &[\n");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let short = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The text itself, not a path: the same source in another folder gives the same program.
        writeln!(code, "    ({short:?}, {:?}),", std::fs::read_to_string(&file)?)?;
    }
    code.push_str("];\n");
    Ok(code)
}
