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

/// A line number or `$`; the rest.
fn line_address(value: &str) -> Option<&str> {
    if let Some(rest) = value.strip_prefix('$') {
        return Some(rest);
    }
    let rest = value.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < value.len() && value.len() - rest.len() <= 9).then_some(rest)
}

/// One sed command: `[ADDRESS[,ADDRESS]]` and one of `p d q =`, or `s/old/new/` with `g`, `p`, `I`, `i` and digits.
pub(crate) fn is_sed(value: &str) -> bool {
    let mut rest = value;
    if let Some(pattern) = rest.strip_prefix('/') {
        let Some((text, behind)) = until_slash(pattern) else { return false };
        if text.is_empty() {
            return false;
        }
        rest = behind;
    } else if let Some(behind) = line_address(rest) {
        rest = behind;
        if let Some(second) = rest.strip_prefix(',') {
            let Some(behind) = line_address(second) else { return false };
            rest = behind;
        }
    }
    if matches!(rest, "p" | "d" | "q" | "=") {
        return true;
    }
    let replaced = || {
        let (old, behind) = until_slash(rest.strip_prefix("s/")?)?;
        let (_, flags) = until_slash(behind)?;
        Some(!old.is_empty() && flags.len() <= 4 && flags.chars().all(|c| "gpIi123456789".contains(c)))
    };
    replaced().unwrap_or(false)
}

/// One awk rule: an optional pattern (`/text/`, `NR==5`, `END`) and an optional `{print}` of fields and plain text.
pub(crate) fn is_awk(value: &str) -> bool {
    let value = value.trim();
    let (pattern, action) = if let Some(text) = value.strip_prefix('/') {
        let Some((text, rest)) = until_slash(text) else { return false };
        if text.is_empty() {
            return false;
        }
        (true, rest)
    } else if let Some(rest) = value.strip_prefix("END") {
        // Alone it is a syntax error, and it must not run into a name.
        if rest.trim().is_empty() {
            return false;
        }
        (true, rest)
    } else if let Some(rest) = value.strip_prefix("NR") {
        let rest = rest.trim_start();
        let Some(rest) = ["==", "<=", ">=", "!=", "<", ">"].iter().find_map(|o| rest.strip_prefix(o)) else {
            return false;
        };
        let rest = rest.trim_start();
        let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        if behind.len() == rest.len() || rest.len() - behind.len() > 9 {
            return false;
        }
        (true, behind)
    } else {
        (false, value)
    };
    let action = action.trim();
    if action.is_empty() {
        return pattern;
    }
    let Some(inner) = action.strip_prefix('{').and_then(|a| a.strip_suffix('}')) else { return false };
    let Some(shown) = inner.trim().strip_prefix("print") else { return false };
    if shown.is_empty() {
        return true;
    }
    shown.starts_with([' ', '$', '"']) && is_shown(shown.trim())
}

/// Fields, counters and plain text in double quotes, separated by commas.
fn is_shown(mut rest: &str) -> bool {
    loop {
        rest = rest.trim_start();
        let behind = if let Some(text) = rest.strip_prefix('"') {
            let Some((text, behind)) = text.split_once('"') else { return false };
            if text.contains('\\') {
                return false;
            }
            behind
        } else if let Some(field) = rest.strip_prefix('$') {
            let behind = field
                .strip_prefix("NF")
                .unwrap_or_else(|| field.trim_start_matches(|c: char| c.is_ascii_digit()));
            let taken = field.len() - behind.len();
            if taken == 0 || taken > 4 {
                return false;
            }
            behind
        } else if let Some(behind) = ["NR", "NF", "FILENAME"].iter().find_map(|n| rest.strip_prefix(n)) {
            behind
        } else {
            return false;
        };
        let behind = behind.trim_start();
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None => return behind.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_only_print() {
        for good in
            ["p", "$p", "10,20p", "5q", "$=", "/error/p", "/^#/d", "s/a/b/", "s/a b/;c/gI", "3s/x//2", "1,$d"]
        {
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
            "1,/x/p",
            "1~2p",
            "p ",
            "W x",
            "/a/,/b/p",
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
            "0,/x/d",
            "1,p",
            "1,2,3p",
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
            "{print \"a\" \"b\"}",
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
            "{print $1 \"x\"}",
            "@load \"x\"",
            "{print(1)>\"x\"}",
            "/a/{print}/b/{print}",
            "{while(1)print}",
            "{print $0 >> \"x\"}",
        ] {
            assert!(!is_awk(bad), "{bad}");
        }
        for bad in ["", "-", "a", "1,,2", "1-2-3", "1;2"] {
            assert!(!is_ranges(bad), "{bad}");
        }
        for bad in ["", "n", "1,2,3", "1..2", "/x", "1.", "-o"] {
            assert!(!is_sort_key(bad), "{bad}");
        }
    }
}
