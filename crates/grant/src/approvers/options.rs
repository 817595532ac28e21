//! The options field of a line, `name="value",…`, and OpenSSH's way to write a time.

/// What the options say; by default nothing is restricted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) valid_after: Option<i64>,
    pub(super) valid_before: Option<i64>,
    pub(super) namespaces: Option<Vec<String>>,
}

/// Whether an options field begins here, and not the key type.
pub(super) fn begin(rest: &str) -> bool {
    const NAMES: [&str; 4] = ["cert-authority", "namespaces", "valid-after", "valid-before"];
    let word = rest.split([' ', '\t', '=', ',']).next().unwrap_or_default();
    rest.starts_with(|c| c != ' ') && (NAMES.contains(&word.to_ascii_lowercase().as_str()) || has_value(rest))
}

/// An unknown option is told by its `=`; base64 comes after a blank only.
fn has_value(rest: &str) -> bool {
    rest.split([' ', '\t']).next().is_some_and(|word| word.contains(['=', '"', ',']))
}

/// Reads the options; returns them and what follows the blank after them.
pub(super) fn parse(mut rest: &str) -> Result<(Options, &str), String> {
    let mut options = Options::default();
    loop {
        let end = rest.find(['=', ',', ' ', '\t']).unwrap_or(rest.len());
        let name = &rest[..end];
        let Some(value) = rest[end..].strip_prefix("=\"") else {
            return Err(refuse_name(name));
        };
        let (value, after) = value.split_once('"').ok_or("a quoted value has no end")?;
        options.set(name, value)?;
        match after.chars().next() {
            Some(',') => rest = &after[1..],
            Some(' ' | '\t') => return Ok((options, after.trim_start_matches([' ', '\t']))),
            _ => return Err("a comma or a blank must follow a quoted value".into()),
        }
    }
}

fn refuse_name(name: &str) -> String {
    match name {
        "cert-authority" => {
            "certificate authorities do not approve; each approver's own key must stand here".into()
        }
        "namespaces" | "valid-after" | "valid-before" => {
            format!("{name}: a value in double quotes must follow")
        }
        _ => format!("the option {name:?} is not known; namespaces, valid-after and valid-before are"),
    }
}

impl Options {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "valid-after" => set_once(&mut self.valid_after, name, parse_time(value)?)?,
            "valid-before" => set_once(&mut self.valid_before, name, parse_time(value)?)?,
            "namespaces" => set_once(&mut self.namespaces, name, parse_namespaces(value)?)?,
            _ => return Err(refuse_name(name)),
        }
        match (self.valid_after, self.valid_before) {
            (Some(after), Some(before)) if after >= before => {
                Err("valid-after must be earlier than valid-before".into())
            }
            _ => Ok(()),
        }
    }
}

fn set_once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name} stands twice")),
    }
}

fn parse_namespaces(value: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = value.split(',').map(str::to_owned).collect();
    let plain = |name: &String| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"*?!\\".contains(&b))
    };
    if names.iter().all(plain) {
        Ok(names)
    } else {
        Err("namespaces: names separated by commas, without wildcards, negation or blanks".into())
    }
}

/// `YYYYMMDDZ`, `YYYYMMDDHHMMZ` or `YYYYMMDDHHMMSSZ` in unix seconds.
///
/// OpenSSH reads a time without `Z` in the machine's own zone; the same file would then mean other times elsewhere.
fn parse_time(value: &str) -> Result<i64, String> {
    let wrong = || format!("{value:?}: a time is YYYYMMDD[HHMM[SS]] in UTC and ends with `Z`");
    let digits = value.strip_suffix('Z').ok_or_else(wrong)?;
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let part =
        |from: usize, to: usize| digits.get(from..to).map_or(Ok(0), str::parse::<i64>).map_err(|_| wrong());
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let date = year >= 1970 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    if date && hour < 24 && minute < 60 && second < 60 {
        Ok(days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
    } else {
        Err(wrong())
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|y| if is_leap(y) { 366 } else { 365 }).sum();
    let months: i64 = (1..month).map(|m| days_in(year, m)).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_exact() {
        for (text, seconds) in [
            ("19700101Z", 0),
            ("20240229Z", 1_709_164_800),
            ("202611240405Z", 1_795_493_100),
            ("20261231235959Z", 1_798_761_599),
        ] {
            assert_eq!(parse_time(text), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "Z",
            "20270101",
            "20230229Z",
            "20271301Z",
            "20270100Z",
            "202701012400Z",
            "2027-01-01Z",
            "+0270101Z",
            "19691231Z",
            "20270101z",
            "2027010112Z",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_and_what_follows() {
        let (options, rest) =
            parse(r#"namespaces="a@b,c",valid-after="20270101Z",valid-before="20270102Z"  ssh-ed25519 AAAA"#)
                .unwrap();
        assert_eq!(rest, "ssh-ed25519 AAAA");
        assert_eq!(options.namespaces, Some(vec!["a@b".into(), "c".into()]));
        assert_eq!(options.valid_before.unwrap() - options.valid_after.unwrap(), 86_400);
    }

    #[test]
    fn options_that_are_not_understood_are_refused() {
        for text in [
            r"cert-authority k",
            r#"cert-authority,namespaces="a" k"#,
            r#"verify-required,namespaces="a" k"#,
            r#"Namespaces="a" k"#,
            r#"namespaces="a k"#,
            r"namespaces=a k",
            r#"namespaces="*" k"#,
            r#"namespaces="!a" k"#,
            r#"namespaces="a,,b" k"#,
            r#"namespaces="" k"#,
            r#"namespaces="a",namespaces="b" k"#,
            r#"namespaces="a"k"#,
            r#"namespaces="a","#,
            r#"valid-after="20270102Z",valid-before="20270102Z" k"#,
            r#"from="10.0.0.1" k"#,
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_options_field_is_told_from_a_key_type() {
        for text in ["cert-authority k", "CERT-AUTHORITY k", "namespaces=\"a\" k", "verify=1 k", "a,b k"] {
            assert!(begin(text), "{text}");
        }
        for text in ["ssh-ed25519 AAAA==", "ssh-rsa AAAA", "", "ssh-dss"] {
            assert!(!begin(text), "{text}");
        }
    }
}
