//! How results look on a terminal.

use std::io::Write;

use serde::Serialize;

use super::{Done, Ended};

/// Prints a value as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> Done {
    let text = serde_json::to_string(value).map_err(Ended::failed)?;
    line(&text)
}

/// Prints a line; a reader that has gone away (`| head`) is no error.
pub(super) fn line(text: &str) -> Done {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// A moment in UTC, to the second, from milliseconds since 1970.
pub(super) fn time(ms: i64) -> String {
    crate::app::utc(ms)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn known_moments() {
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(951_827_696_000), "2000-02-29 12:34:56 UTC");
        assert_eq!(time(1_795_478_400_000), "2026-11-24 00:00:00 UTC");
    }
}
