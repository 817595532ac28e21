//! Which characters may stand where: command words and options are ASCII, an operand may hold letters of one
//! script in NFC without compatibility characters.

use unicode_normalization::{is_nfc, is_nfkc};
use unicode_script::{Script, UnicodeScript};

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
    if !is_nfc(word) || !is_nfkc(word) {
        return Err("it is not in its normal form (NFC without compatibility characters)".to_owned());
    }
    let mut script = None;
    for c in word.chars().filter(|c| !c.is_ascii() || c.is_ascii_alphabetic()) {
        if !c.is_alphabetic() {
            return Err(format!("U+{:04X} is neither ASCII nor a letter", u32::from(c)));
        }
        let its = c.script();
        if matches!(its, Script::Common | Script::Inherited) {
            return Err(format!("U+{:04X} belongs to no script", u32::from(c)));
        }
        if *script.get_or_insert(its) != its {
            return Err(format!(
                "it mixes letters of {} and {}",
                script.unwrap_or(its).full_name(),
                its.full_name()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
