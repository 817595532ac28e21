//! Moments as people write them on a command line.

const DAY: i64 = 86_400;

/// The forms, for messages.
const FORMS: &str =
    "say 2026-11-26T03:00:00Z, 2026-11-26 (its beginning, in UTC), or a span back such as 90min, 24h or 7d";

/// Unix milliseconds of an RFC 3339 time, of a date's beginning in UTC, or of a span before `now_ms`.
pub(super) fn parse(text: &str, now_ms: i64) -> Result<i64, String> {
    let text = text.trim();
    let read = span(text).map(|seconds| now_ms.saturating_sub(seconds.saturating_mul(1000)));
    read.or_else(|| point(text)).ok_or_else(|| format!("{text:?} is no moment: {FORMS}"))
}

/// Seconds of `90s`, `15min`, `24h`, `7d`, `2w`.
fn span(text: &str) -> Option<i64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return None,
    };
    if digits.len() > 6 {
        return None;
    }
    digits.parse::<i64>().ok().map(|number| number * seconds)
}

/// `YYYY-MM-DD` or `YYYY-MM-DDTHH:MM[:SS[.…]]` with `Z` or an offset.
fn point(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let begins = date_seconds(date)? * 1000;
    let Some(rest) = rest.strip_prefix(['T', 't', ' ']) else {
        return rest.is_empty().then_some(begins);
    };
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let offset = match zone.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign, ..] => {
            let seconds = clock_ms(zone.get(1..).filter(|z| z.len() == 5)?)?;
            if *sign == b'+' { seconds } else { -seconds }
        }
        [] => return None,
    };
    Some(begins + clock_ms(clock)? - offset)
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Milliseconds of `HH:MM[:SS[.…]]`.
fn clock_ms(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let shaped =
        matches!(whole.len(), 5 | 8) && whole.bytes().enumerate().all(|(i, b)| (i % 3 == 2) == (b == b':'));
    if !shaped || part.is_empty() || part.len() > 9 || (whole.len() == 5 && text.contains('.')) {
        return None;
    }
    let (hour, minute) = (number(&whole[..2])?, number(&whole[3..5])?);
    let second = if whole.len() == 8 { number(&whole[6..])? } else { 0 };
    number(part)?;
    let ms = number(&format!("{part:0<3}")[..3])?;
    (hour < 24 && minute < 60 && second <= 60).then_some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

/// Seconds from 1970 to the beginning of a day.
fn date_seconds(text: &str) -> Option<i64> {
    let shaped =
        text.is_ascii() && text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    if !shaped {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) {
        return None;
    }
    // Howard Hinnant's days_from_civil: the year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some((era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact() {
        let now = 1_795_662_000_000;
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2000-02-29T12:34:56Z", 951_827_696_000),
            ("2026-11-24", 1_795_478_400_000),
            ("2026-11-24T00:00Z", 1_795_478_400_000),
            ("2026-11-24 01:30:00+01:30", 1_795_478_400_000),
            ("2026-11-23T22:00:00.250-02:00", 1_795_478_400_250),
            ("90s", now - 90_000),
            ("15min", now - 900_000),
            ("24h", now - 86_400_000),
            ("7d", now - 7 * 86_400_000),
            ("2w", now - 14 * 86_400_000),
            ("0h", now),
        ] {
            assert_eq!(parse(text, now), Ok(ms), "{text}");
            assert_eq!(crate::app::utc(ms - ms % 1000).len(), 23, "{text}");
        }
        for day in 0..80_000 {
            let shown = crate::app::utc(day * DAY * 1000);
            assert_eq!(parse(&shown[..10], now), Ok(day * DAY * 1000), "{shown}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_the_forms() {
        for text in [
            "",
            "yesterday",
            "7",
            "d",
            "-7d",
            "7 d",
            "1234567d",
            "7y",
            "2026-13-01",
            "2026-02-29",
            "2026-11-31",
            "1969-12-31",
            "2026-11-24T",
            "2026-11-24T12:00",
            "2026-11-24T24:00Z",
            "2026-11-24T12:60Z",
            "2026-11-24T12:00:00.Z",
            "2026-11-24T12:00.5Z",
            "2026-11-24T12:00:00+1",
            "2026-11-24T12:00:00+01:00Z",
            "2026-11-24Z",
            "2026/11/24",
            "+026-11-24",
            "2026-11-2٤",
            "ééééé",
        ] {
            let refused = parse(text, 0).unwrap_err();
            assert!(refused.contains("2026-11-26T03:00:00Z") && refused.contains("7d"), "{text}: {refused}");
        }
    }
}
