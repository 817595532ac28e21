//! What must be executable for a program to start: itself, its interpreter if it is a script, and their dynamic loaders.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where `env` finds interpreters: the wrapper's own PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The folder of a script's interpreter in `/etc`: what the administrator has set for all its scripts.
pub(super) fn settings(program: &Path) -> Option<PathBuf> {
    let (interpreter, argument) = shebang(program)?;
    let by_env = argument.filter(|_| interpreter.ends_with("env")).and_then(|name| in_folders(&name));
    let real = by_env.unwrap_or(interpreter).canonicalize().ok()?;
    Some(Path::new("/etc").join(real.file_name()?))
}

/// All of them. A file that is neither a script nor a program of this machine is left to the kernel to refuse.
pub(super) fn executables(program: &Path) -> Vec<PathBuf> {
    let mut found = vec![program.to_path_buf()];
    if let Some((interpreter, argument)) = shebang(program) {
        let by_env =
            interpreter.ends_with("env").then_some(argument).flatten().and_then(|name| in_folders(&name));
        for program in [Some(interpreter), by_env].into_iter().flatten() {
            found.extend(loader(&program));
            found.push(program);
        }
    } else {
        found.extend(loader(program));
    }
    found
}

fn in_folders(name: &str) -> Option<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|place| !name.contains('/') && place.is_file())
}

/// `#!INTERPRETER [ARGUMENT]`
fn shebang(program: &Path) -> Option<(PathBuf, Option<String>)> {
    let mut start = Vec::new();
    File::open(program).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let interpreter = words.next().filter(|word| word.starts_with('/'))?;
    Some((interpreter.into(), words.find(|word| !word.starts_with('-')).map(str::to_owned)))
}

/// The `PT_INTERP` of a 64-bit little-endian ELF file.
fn loader(program: &Path) -> Option<PathBuf> {
    const PT_INTERP: u64 = 3;
    let file = File::open(program).ok()?;
    let number = |at: u64, size: usize| {
        let mut bytes = [0_u8; 8];
        file.read_exact_at(&mut bytes[..size], at).ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    // 0x7f 'E' 'L' 'F', 64 bits, little-endian.
    if number(0, 6)? != 0x0102_464c_457f {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count.min(128) {
        let header = table.checked_add(index * size)?;
        if number(header, 4)? == PT_INTERP {
            let (offset, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
            let mut path = vec![0; usize::try_from(length).ok().filter(|length| *length <= 4096)?];
            file.read_exact_at(&mut path, offset).ok()?;
            path.pop_if(|last| *last == 0);
            return String::from_utf8(path).ok().filter(|path| path.starts_with('/')).map(PathBuf::from);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_scripts() {
        let cat = executables(Path::new("/usr/bin/cat"));
        assert!(cat.len() == 2 && cat[1].to_str().unwrap().contains("/ld-"), "{cat:?}");
        let dir = tempfile::tempdir().unwrap();
        let try_one = |text: &str| {
            let script = dir.path().join("script");
            std::fs::write(&script, text).unwrap();
            executables(&script)[1..].iter().map(|p| p.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(try_one("#!/bin/sh -e\nid\n").contains(&"/bin/sh".to_owned()));
        let env = try_one("#!/usr/bin/env sh\n");
        assert!(
            env.contains(&"/usr/bin/env".to_owned()) && env.iter().any(|p| p.ends_with("bin/sh")),
            "{env:?}"
        );
        for odd in ["", "#!", "#!sh", "#!/nowhere/x", "\x7fELF", "plain text"] {
            assert!(!try_one(odd).iter().any(|p| p.contains("ld-")), "{odd:?}");
        }
        // A header that points behind its end.
        let mut elf = b"\x7fELF\x02\x01".to_vec();
        elf.resize(64, 0xff);
        let broken = dir.path().join("elf");
        std::fs::write(&broken, elf).unwrap();
        assert_eq!(executables(&broken), std::slice::from_ref(&broken));
    }
}
