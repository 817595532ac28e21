//! Secrets in files: read when they are used, so that a new one counts at once.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The most bytes of a secret.
const MAX_BYTES: u64 = 4096;

/// The one line of a file that only its owner can read. The error never holds what stands in the file.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let wrong = |cause: String| format!("{}: {cause}", path.display());
    let meta = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
    if meta.mode() & 0o077 != 0 {
        return Err(wrong(format!(
            "mode {:03o} lets others read it; chmod 600, and change the secret if they may have",
            meta.mode() & 0o777
        )));
    }
    if meta.len() > MAX_BYTES {
        return Err(wrong(format!("it has more than {MAX_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let line = text.trim();
    // Blanks may stand in a password; what ends a line or a header may not.
    if line.is_empty() || !line.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Err(wrong("expected one line of visible ASCII".to_owned()));
    }
    Ok(line.to_owned())
}
