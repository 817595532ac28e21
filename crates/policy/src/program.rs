//! The safe subsets of languages that stand inside an argument: sed and awk programs, field lists and sort keys.
//!
//! Each is a grammar of what is permitted. Nothing in it can open a file, run a program or write: what the grammar does
//! not know (`w`, `r`, `e`, `>`, `|`, `getline`, `system`, a backslash, a second command) has no place to stand.

/// `1,3-5,7-`
pub(crate) fn is_ranges(value: &str) -> bool {
    let number = |n: &str| n.len() <= 9 && n.bytes().all(|b| b.is_ascii_digit());
    value.len() <= 128
        && value.split(',').all(|part| match part.split_once('-') {
            None => !part.is_empty() && number(part),
            Some((from, to)) => !(from.is_empty() && to.is_empty()) && number(from) && number(to),
        })
}

/// `2`, `2,2n`, `1.3,1.5r`
pub(crate) fn is_sort_key(value: &str) -> bool {
    let place = |p: &str| {
        let digits = p.trim_end_matches(|c: char| "bdfghinMRrV".contains(c));
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && digits.matches('.').count() <= 1
            && !digits.ends_with('.')
    };
    value.len() <= 32 && value.matches(',').count() <= 1 && value.split(',').all(place)
}

/// Text up to the next `/`, without a backslash; the rest stands behind the `/`.
fn until_slash(value: &str) -> Option<(&str, &str)> {
    let (text, rest) = value.split_once('/')?;
    (text.len() <= 256 && !text.contains('\\')).then_some((text, rest))
}

/// A regular expression up to the next `/`. A `/` inside brackets would end it for us and not for sed or awk, which would then find
/// another command behind it: `/[/s/]/w f/`.
fn until_slash_of_regex(value: &str) -> Option<(&str, &str)> {
    let (text, rest) = until_slash(value)?;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '[' {
            let inside = chars.as_str();
            let inside = inside.strip_prefix('^').unwrap_or(inside);
            // A bracket that comes first is one of the characters; classes have brackets of their own and are left out.
            let first = inside.chars().next()?.len_utf8();
            let close = first + inside[first..].find([']', '['])?;
            if !inside[close..].starts_with(']') || inside.starts_with('[') {
                return None;
            }
            chars = inside[close..].chars();
        }
    }
    Some((text, rest))
}

/// A line number or `$`; the rest.
fn line_address(value: &str) -> Option<&str> {
    if let Some(rest) = value.strip_prefix('$') {
        return Some(rest);
    }
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < value.len() && value.len() - rest.len() <= 9).then_some(rest)
}

/// A line number, `$` or `/text/`; the rest.
fn sed_address(value: &str) -> Option<&str> {
    match value.strip_prefix('/') {
        Some(pattern) => {
            until_slash_of_regex(pattern).filter(|(text, _)| !text.is_empty()).map(|(_, rest)| rest)
        }
        None => line_address(value),
    }
}

/// One sed command: `[ADDRESS[,ADDRESS]]` and one of `p d q =`, or `s/old/new/` with `g`, `p`, `I`, `i` and digits.
pub(crate) fn is_sed(value: &str) -> bool {
    let mut rest = value;
    if let Some(behind) = sed_address(rest) {
        rest = behind;
        if let Some(second) = rest.strip_prefix(',') {
            let Some(behind) = sed_address(second) else { return false };
            rest = behind;
        }
    } else if rest.starts_with('/') {
        return false;
    }
    if matches!(rest, "p" | "d" | "q" | "=") {
        return true;
    }
    let replaced = || {
        let (old, behind) = until_slash_of_regex(rest.strip_prefix("s/")?)?;
        let (_, flags) = until_slash(behind)?;
        Some(!old.is_empty() && flags.len() <= 4 && flags.chars().all(|c| "gpIi123456789".contains(c)))
    };
    replaced().unwrap_or(false)
}

/// One awk rule: an optional pattern and an optional `{print}` of fields and plain text. A pattern is `END`, or comparisons joined by
/// `&&`: `/text/`, `$3 ~ /text/`, `NR==5`, `$9 >= 500`, `$1 == "text"`.
pub(crate) fn is_awk(value: &str) -> bool {
    let value = value.trim();
    let action = if value.starts_with('{') {
        Some(value)
    } else if let Some(rest) = value.strip_prefix("END") {
        // Alone it is a syntax error, and it must not run into a name.
        Some(rest.trim()).filter(|rest| !rest.is_empty())
    } else {
        comparisons(value)
    };
    match action {
        None => false,
        Some("") => true,
        Some(action) => is_print(action),
    }
}

/// Takes comparisons joined by `&&` away; what is left is the action, if any.
fn comparisons(mut rest: &str) -> Option<&str> {
    for _ in 0..4 {
        rest = comparison(rest.trim_start())?.trim_start();
        match rest.strip_prefix("&&") {
            Some(more) => rest = more,
            None => return Some(rest),
        }
    }
    None
}

/// Takes one comparison away.
fn comparison(value: &str) -> Option<&str> {
    if let Some(pattern) = value.strip_prefix('/') {
        return until_slash_of_regex(pattern).filter(|(text, _)| !text.is_empty()).map(|(_, rest)| rest);
    }
    let rest = match value.strip_prefix('$') {
        Some(field) => awk_field(field)?,
        None => value.strip_prefix("NR").or_else(|| value.strip_prefix("NF"))?,
    };
    let rest = rest.trim_start();
    if let Some(pattern) = rest.strip_prefix("!~").or_else(|| rest.strip_prefix('~')) {
        let (text, rest) = until_slash_of_regex(pattern.trim_start().strip_prefix('/')?)?;
        return (!text.is_empty()).then_some(rest);
    }
    let rest = ["==", "<=", ">=", "!=", "<", ">"].iter().find_map(|o| rest.strip_prefix(o))?.trim_start();
    match rest.strip_prefix('"') {
        Some(text) => text.split_once('"').filter(|(text, _)| !text.contains('\\')).map(|(_, rest)| rest),
        None => line_address(rest).filter(|_| !rest.starts_with('$')),
    }
}

/// The number or `NF` behind a `$`; the rest.
fn awk_field(field: &str) -> Option<&str> {
    let behind = match field.strip_prefix("NF") {
        Some(behind) => behind,
        None => field.trim_start_matches(|c: char| c.is_ascii_digit()),
    };
    let taken = field.len() - behind.len();
    (1..=4).contains(&taken).then_some(behind)
}

/// `{print}`, `{print $1, NR ": " $2}`
fn is_print(action: &str) -> bool {
    let Some(inner) = action.strip_prefix('{').and_then(|a| a.strip_suffix('}')) else { return false };
    let Some(shown) = inner.trim().strip_prefix("print") else { return false };
    shown.is_empty() || (shown.starts_with([' ', '$', '"']) && is_shown(shown.trim()))
}

/// Fields, counters and plain text in double quotes, separated by commas or put together.
fn is_shown(mut rest: &str) -> bool {
    loop {
        rest = rest.trim_start();
        let behind = if let Some(text) = rest.strip_prefix('"') {
            match text.split_once('"') {
                Some((text, behind)) if !text.contains('\\') => Some(behind),
                _ => None,
            }
        } else if let Some(field) = rest.strip_prefix('$') {
            awk_field(field)
        } else {
            // It must not run into a longer name; of what could, only letters might stand there next.
            let name = ["NR", "NF", "FILENAME"].iter().find_map(|n| rest.strip_prefix(n));
            name.filter(|behind| !behind.starts_with(|c: char| c.is_ascii_alphabetic()))
        };
        let Some(behind) = behind.map(str::trim_start) else { return false };
        if behind.is_empty() {
            return true;
        }
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_only_print() {
        for good in [
            "p",
            "$p",
            "10,20p",
            "5q",
            "$=",
            "/error/p",
            "/^#/d",
            "/a/,/b/p",
            "/a/,$p",
            "5,/b/d",
            "0,/x/d",
            "/[0-9]/p",
            "/[é]x[à]/p",
            "s/[^a]x/[/",
            "/[]x]/p",
            "s/a/b/",
            "s/a b/;c/gI",
            "3s/x//2",
            "1,$d",
        ] {
            assert!(is_sed(good), "{good}");
        }
        for good in [
            "{print}",
            "{print $1}",
            "{ print $1, $NF }",
            "{print $1,\": \",$2}",
            "/error/",
            "/error/ {print $0}",
            "NR==5",
            "NR <= 10 {print NR, $0}",
            "END {print NR}",
            "END{print NR}",
            "{print$1}",
            "{print \"a > b | c\"}",
            "{print NR\": \"$0}",
            "{print \"a\" \"b\"}",
            "{print $1 \"x\"}",
            "$9 >= 500",
            "$9>=500 && $9<600 {print $7}",
            "NR>=5 && NR<=10",
            "$1 == \"root\" {print}",
            "$7 ~ /health/",
            "$1 !~ /a[0-9]/",
            "/[0-9]x/",
        ] {
            assert!(is_awk(good), "{good}");
        }
        for good in ["1", "1,3", "2-", "-3", "1-3,5-"] {
            assert!(is_ranges(good), "{good}");
        }
        for good in ["2", "2,2n", "1.3,1.5r", "3nr"] {
            assert!(is_sort_key(good), "{good}");
        }
    }

    #[test]
    fn programs_that_could_do_more() {
        for bad in [
            "",
            "w /tmp/x",
            "1w /tmp/x",
            "e",
            "1e id",
            "s/a/b/e",
            "s/a/b/w x",
            "s/a/b/ge",
            "1r /etc/shadow",
            "R x",
            "p;p",
            "p\n1e id",
            "{p}",
            "s|a|b|",
            "s/a/b",
            "s/a\\/b/c/",
            "/x/",
            "//p",
            "/a\\/e id #/p",
            "1~2p",
            "p ",
            "W x",
            // To sed these are one address, or one text, and another command behind it.
            "/[/s/]/w f/",
            "/[/,/x/s/]/w f/",
            "s/[/]/w/",
            "/[/p",
            "/[^/s/]/w f/",
            "/[]/s/]/w f/",
            "/[[]/p",
            "/[a][/s/]/w f/",
            "/[é][/s/]/w f/",
            "/a/,/[/p",
            "/a/,p",
            "1!p",
            "/x/e",
            "s/a/\\n/",
            "b",
            "F",
            "v",
            "a x",
            "c x",
            "i x",
            "s/a/b/m",
            "1,p",
            "1,2,3p",
            ",5p",
            "1234567890p",
            "1234567890,1p",
            "s//b/",
            "s/a/b/ggggg",
        ] {
            assert!(!is_sed(bad), "{bad}");
        }
        for bad in [
            "",
            "END",
            "BEGIN {print 1}",
            "{system(\"id\")}",
            "{print > \"/tmp/x\"}",
            "{print $1 > \"x\"}",
            "{print | \"sh\"}",
            "{print $1 | \"sh\"}",
            "{getline}",
            "{print $system}",
            "{print \"\\\"\"}",
            "{print};{print}",
            "{print} {print}",
            "/a\\/b/",
            "/x/ || 1",
            "NR",
            "NR=5",
            "NR==x",
            "{printf $1}",
            "{print $1;print}",
            "{print $(1)}",
            "{print ENVIRON}",
            "{print $1,}",
            "{print -$1}",
            "//",
            "{print $NFx}",
            "{print NRx}",
            "1",
            "ENDx",
            "$system",
            "$1 = 5",
            "$1 == \"a\\\" || system(\"x\")",
            "$1 ~ /[/ {system(1)} /]/",
            "/[/{system(1)}/]/",
            "$1 == $2",
            "NR==1 && system(1)",
            "NR==1 || 1",
            "NR==1 &&",
            "{print NR(1)}",
            "{print \"a\" > \"b\"}",
            "{print $1 | \"x\" \"y\"}",
            "{print $1 -1}",
            "@load \"x\"",
            "{print(1)>\"x\"}",
            "/a/{print}/b/{print}",
            "{while(1)print}",
            "{print $0 >> \"x\"}",
            "$1 ~ //",
            "$12345 == 1",
            "$ == 1",
            "{print $12345}",
            "{print NRNF}",
            "{print \"a\\n\"}",
            "{print \"\\\" \"x\"}",
            "$1 == \"a\\n\"",
            "/[a][/{print}/]/",
            "{print NR_}",
            "{printNR}",
            "NR == $1",
            "NR == 1234567890",
            "{print \"a}",
        ] {
            assert!(!is_awk(bad), "{bad}");
        }
        for bad in ["", "-", "a", "a-1", "1-a", "1,,2", "1-2-3", "1;2", "1234567890", "1-1234567890"] {
            assert!(!is_ranges(bad), "{bad}");
        }
        for bad in ["", "n", ".5", "1x2", "1,2,3", "1..2", "/x", "1.", "-o"] {
            assert!(!is_sort_key(bad), "{bad}");
        }
    }

    #[test]
    fn programs_are_short() {
        let text = |n: usize| "x".repeat(n);
        for (n, fits) in [(256, true), (257, false)] {
            assert_eq!(is_sed(&format!("/{}/p", text(n))), fits);
            assert_eq!(is_sed(&format!("s/a/{}/", text(n))), fits);
            assert_eq!(is_awk(&format!("/{}/", text(n))), fits);
        }
        let ranges = |last: &str| format!("{}{last}", "123,".repeat(31));
        assert!(is_ranges(&ranges("1234")) && !is_ranges(&ranges("12345")));
        assert!(is_sort_key(&"1".repeat(32)) && !is_sort_key(&"1".repeat(33)));
        assert!(is_awk("NR>1&&NR>2&&NR>3&&NR>4") && !is_awk("NR>1&&NR>2&&NR>3&&NR>4&&NR>5"));
    }
}
