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
    let days = ms.div_euclid(86_400_000);
    let second = ms.rem_euclid(86_400_000) / 1000;
    // Howard Hinnant's civil_from_days: proleptic Gregorian calendar.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
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
