//! The options of a line, as GNU's getopt cuts them. The policy has judged them; here they only get their meaning, and what a
//! reader does not know makes it leave the line to the program.

/// One option that a reader knows: its letter, its long names, whether a value follows.
pub(super) struct Known {
    pub(super) letter: char,
    pub(super) long: &'static [&'static str],
    pub(super) value: bool,
}

pub(super) const fn flag(letter: char, long: &'static [&'static str]) -> Known {
    Known { letter, long, value: false }
}
pub(super) const fn value(letter: char, long: &'static [&'static str]) -> Known {
    Known { letter, long, value: true }
}

/// The letter of an option that is a number: `-3`.
pub(super) const COUNT: char = '#';

/// The options in their order, by letter, with their values; and the operands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed<'a> {
    pub(super) options: Vec<(char, &'a str)>,
    pub(super) operands: Vec<&'a str>,
}

/// `None` for what is not known.
pub(super) fn parse<'a>(known: &[Known], arguments: &[&'a str]) -> Option<Parsed<'a>> {
    let mut parsed = Parsed::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if *word == "--" {
            parsed.operands.extend(words);
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let option = known.iter().find(|k| k.long.contains(&name))?;
            let value = match (option.value, attached) {
                (false, None) => "",
                (false, Some(_)) => return None,
                (true, Some(value)) => value,
                (true, None) => words.next()?,
            };
            parsed.options.push((option.letter, value));
        } else if let Some(cluster) = word.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            if cluster.bytes().all(|b| b.is_ascii_digit()) && known.iter().any(|k| k.letter == COUNT) {
                parsed.options.push((COUNT, cluster));
                continue;
            }
            for (at, letter) in cluster.char_indices() {
                let option = known.iter().find(|k| k.letter == letter)?;
                let rest = &cluster[at + letter.len_utf8()..];
                if !option.value {
                    parsed.options.push((letter, ""));
                    continue;
                }
                parsed.options.push((letter, if rest.is_empty() { words.next()? } else { rest }));
                break;
            }
        } else {
            parsed.operands.push(word);
        }
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_values_and_the_end() {
        let known = [flag('v', &["verbose"]), value('n', &["lines"]), flag('q', &["quiet", "silent"])];
        let said =
            parse(&known, &["-vn5", "/a", "--lines=6", "--silent", "-n", "7", "--lines", "8", "--", "-v"]);
        let options = vec![('v', ""), ('n', "5"), ('n', "6"), ('q', ""), ('n', "7"), ('n', "8")];
        // A long name stands for its letter.
        assert_eq!(said.unwrap(), Parsed { options, operands: vec!["/a", "-v"] });
        for unknown in [&["-x"][..], &["--line=5"], &["--verbose=1"], &["-n"], &["-5"]] {
            assert!(parse(&known, unknown).is_none(), "{unknown:?}");
        }
    }
}
