//! Which characters may stand where: command words and options are ASCII, an operand may hold letters of one
//! script in NFC without compatibility characters.
//!
//! The letters stand in a table that `build.rs` makes from the Unicode libraries. It has no letter whose place among others
//! decides whether a word is in normal form: none that combines (a canonical combining class other than 0) and none that may be
//! the second half of a composition (`NFC_Quick_Check` or `NFKC_Quick_Check` other than Yes, such as the Bengali vowel sign AA).
//! So each letter is judged by itself, and words that need such a sign are refused.

// `SCRIPTS`, of which the first is Latin, and `LETTERS`: first and last character and the script's number, in order.
include!(concat!(env!("OUT_DIR"), "/letters.rs"));

/// The script of a letter that may stand in an operand, as an index of [`SCRIPTS`].
fn script(c: char) -> Option<u8> {
    if c.is_ascii_alphabetic() {
        return Some(0);
    }
    let code = u32::from(c);
    let at = LETTERS.partition_point(|(_, last, _)| *last < code);
    LETTERS.get(at).filter(|(first, ..)| *first <= code).map(|(.., script)| *script)
}

/// Why a character may stand nowhere, if so.
pub(crate) fn hidden(c: char) -> Option<&'static str> {
    match c {
        _ if c.is_control() => Some("a control character"),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some("a bidi control")
        }
        '\u{ad}'
        | '\u{34f}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => Some("an invisible character"),
        '\u{600}'..='\u{605}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'
        | '\u{891}'
        | '\u{8e2}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}' => Some("a format character"),
        '\u{e0000}'..='\u{e0fff}' => Some("a tag character"),
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' => Some("a private-use character"),
        _ => None,
    }
}

/// Whether an operand's characters are permitted; the error says which is not.
pub(crate) fn check_operand(word: &str) -> Result<(), String> {
    // The lexer lets none in, but parameters and captures of actions come by another way.
    if let Some((c, what)) = word.chars().find_map(|c| Some((c, hidden(c)?))) {
        return Err(format!("U+{:04X} ({what})", u32::from(c)));
    }
    if word.is_ascii() {
        return Ok(());
    }
    let mut script_of_word = None;
    for c in word.chars().filter(|c| !c.is_ascii() || c.is_ascii_alphabetic()) {
        if !c.is_alphabetic() {
            return Err(format!("U+{:04X} is neither ASCII nor a letter", u32::from(c)));
        }
        let Some(its) = script(c) else {
            return Err(format!(
                "U+{:04X} is no letter of one script in normal form (NFC without compatibility characters)",
                u32::from(c)
            ));
        };
        let first = *script_of_word.get_or_insert(its);
        if first != its {
            let name = |script: u8| SCRIPTS.get(usize::from(script)).copied().unwrap_or("another script");
            return Err(format!("it mixes letters of {} and {}", name(first), name(its)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::char::canonical_combining_class;
    use unicode_normalization::{IsNormalized, is_nfc, is_nfc_quick, is_nfkc, is_nfkc_quick};
    use unicode_script::{Script, UnicodeScript};

    use super::*;

    /// The rule as the libraries say it, of whole words.
    fn library_permits(word: &str) -> bool {
        let mut script = None;
        word.chars().all(|c| hidden(c).is_none())
            && (word.is_ascii()
                || (is_nfc(word)
                    && is_nfkc(word)
                    && word.chars().filter(|c| !c.is_ascii() || c.is_ascii_alphabetic()).all(|c| {
                        let its = c.script();
                        c.is_alphabetic()
                            && !matches!(its, Script::Common | Script::Inherited)
                            && *script.get_or_insert(its) == its
                    })))
    }

    /// Whether its place in a word does not matter for normal forms.
    fn stands_alone(c: char) -> bool {
        let quick = [is_nfc_quick(std::iter::once(c)), is_nfkc_quick(std::iter::once(c))];
        quick.iter().all(|q| *q == IsNormalized::Yes) && canonical_combining_class(c) == 0
    }

    #[test]
    fn the_table_is_the_libraries_rule_for_every_character() {
        let (mut permitted, mut left_out) = (0, 0);
        for c in '\0'..=char::MAX {
            let word = c.to_string();
            let (ours, theirs) = (check_operand(&word).is_ok(), library_permits(&word));
            assert_eq!(ours, theirs && stands_alone(c), "U+{:04X}", u32::from(c));
            if ours {
                permitted += 1;
                if !c.is_ascii() {
                    assert_eq!(SCRIPTS[usize::from(script(c).unwrap())], c.script().full_name());
                }
            }
            left_out += u32::from(theirs && !ours);
        }
        assert!(permitted > 130_000, "{permitted}");
        assert!((1..600).contains(&left_out), "{left_out} combining letters are left out");
    }

    /// Letters that compose, that are composed, of several scripts, and what is around them.
    fn mixed() -> impl Strategy<Value = String> {
        let some = prop_oneof![
            prop::sample::select(vec![
                'e', 'a', '1', '-', '\u{301}', 'é', 'я', 'И', '\u{306}', 'が', 'か', '\u{3099}'
            ]),
            prop::sample::select(vec![
                'ᄀ', '\u{1161}', '가', '\u{11a8}', 'ক', '\u{9be}', '\u{9c7}', '日', 'ﬁ', 'ª'
            ]),
            prop::char::range('\u{80}', '\u{3100}'),
            any::<char>(),
        ];
        prop::collection::vec(some, 0..6).prop_map(|c| c.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn words_are_judged_as_the_libraries_do(word in mixed()) {
            let alone = word.is_ascii() || word.chars().all(|c| c.is_ascii() || stands_alone(c));
            prop_assert_eq!(check_operand(&word).is_ok(), library_permits(&word) && alone);
        }
    }

    #[test]
    fn what_nobody_sees_is_called_by_its_kind() {
        for (kind, characters) in [
            ("a control character", "\0\u{1f}\u{7f}\u{9f}"),
            ("a bidi control", "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}"),
            (
                "an invisible character",
                "\u{ad}\u{34f}\u{180b}\u{200b}\u{200d}\u{2028}\u{2060}\u{206f}\u{3164}\u{fe0f}\u{feff}\u{fff9}",
            ),
            ("a format character", "\u{600}\u{605}\u{6dd}\u{8e2}\u{110bd}\u{13430}\u{1343f}"),
            ("a tag character", "\u{e0001}\u{e0041}\u{e0100}\u{e0fff}"),
            ("a private-use character", "\u{e000}\u{f8ff}\u{f0000}\u{10ffff}"),
        ] {
            for c in characters.chars() {
                assert_eq!(hidden(c), Some(kind), "U+{:04X}", u32::from(c));
                let cause = check_operand(&format!("a{c}")).unwrap_err();
                assert!(cause.contains(kind), "{cause}");
            }
        }
        for c in [' ', '~', 'é', '日', '\u{200a}', '\u{202f}', '\u{dfff7}'] {
            assert_eq!(hidden(c), None, "U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn one_script_in_normal_form() {
        for good in ["échec", "ошибка", "エラ", "a-b_1", "日本語", "naïve café 1"] {
            assert!(check_operand(good).is_ok(), "{good}");
        }
        for bad in
            ["e\u{301}chec", "ﬁle", "．．", "раypal", "a\nb", "\u{1b}[2K", "a\u{2044}b", "−e", "‖", "１"]
        {
            assert!(check_operand(bad).is_err(), "{bad}");
        }
    }
}
