//! Text of a target, made harmless to show.

use crate::hosts::hygiene;

/// Characters that are shown of one word.
const SHOWN: usize = 80;

/// One line without control and invisible characters. For showing only: two texts may look the same.
pub(super) fn shown(text: &str) -> String {
    let shown = hygiene::one_line(&hygiene::clean(text.as_bytes()).text, SHOWN);
    if shown.is_empty() { "(nothing)".to_owned() } else { shown }
}

/// A digest or hash, short.
pub(super) fn short(hash: Option<&str>) -> String {
    match hash {
        Some(hash) if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("{}…", &hash[..12])
        }
        Some(other) => shown(other),
        None => "none".to_owned(),
    }
}

/// Names with commas between.
pub(super) fn names(names: &[String]) -> String {
    const MOST: usize = 8;
    if names.is_empty() {
        return "nobody".to_owned();
    }
    let mut text = names.iter().take(MOST).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    if names.len() > MOST {
        text.push_str(" and others");
    }
    text
}
