//! Copies of a chain's files.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::super::Ended;

/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The files one after the other; `-` is stdin.
pub(super) fn read(files: &[PathBuf]) -> Result<Vec<u8>, Ended> {
    if files.iter().filter(|path| *path == Path::new("-")).count() > 1 {
        return Err(Ended::usage("- is stdin, and there is only one: give it once"));
    }
    let mut text = Vec::new();
    for path in files {
        let part = if path == Path::new("-") {
            let mut part = Vec::new();
            std::io::stdin().lock().read_to_end(&mut part).map(|_| part)
        } else {
            std::fs::read(path)
        };
        let part = part.map_err(|e| Ended::usage(format!("{}: {e}", path.display())))?;
        if part.starts_with(&GZIP) {
            let shown = path.display();
            return Err(Ended::usage(format!("{shown}: compressed; unpack it first: zcat {shown} > FILE")));
        }
        text.extend_from_slice(&part);
        // The last line of one file and the first of the next are two.
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    Ok(text)
}

/// Its records.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}
