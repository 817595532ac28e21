//! Which lines a search selects.

use std::borrow::Cow;
use std::cmp::Reverse;

use memchr::memmem::Finder;
use regex_lite::{Regex, RegexBuilder};

use super::syntax::{Translated, translate};

/// How patterns are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Fixed,
    Basic,
    Extended,
}

/// What is asked of a match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Asked {
    pub(super) fold: bool,
    pub(super) word: bool,
    pub(super) line: bool,
    /// Where the matches are is asked too.
    pub(super) places: bool,
}

/// All patterns of a search.
pub(super) struct Matcher {
    patterns: Vec<Pattern>,
    asked: Asked,
    /// It says the same as the program of ASCII lines only.
    pub(super) ascii_only: bool,
}

enum Pattern {
    /// With `fold` in lower case.
    Text {
        text: Vec<u8>,
        finder: Finder<'static>,
    },
    Regex {
        regex: Regex,
        required: Finder<'static>,
    },
}

/// The most memory of all compiled patterns together, in bytes; the time that a line takes grows with it.
const SIZE: usize = 32 << 10;

impl Matcher {
    /// `None` for what the program must search.
    pub(super) fn new(patterns: &[&str], syntax: Syntax, asked: Asked) -> Option<Self> {
        let mut ascii_only = asked.fold || asked.word;
        let mut all = Vec::new();
        for pattern in patterns {
            if asked.fold && !pattern.is_ascii() {
                return None;
            }
            let translated = match syntax {
                Syntax::Fixed => None,
                Syntax::Basic => Some(translate(pattern, false)?),
                Syntax::Extended => Some(translate(pattern, true)?),
            };
            let text = translated.as_ref().map_or(Some(*pattern), |t| t.literal.as_deref());
            ascii_only |= translated.as_ref().is_some_and(|t| t.ascii_only);
            all.push(match (text, &translated) {
                // Where an empty word begins and ends is the program's secret.
                (Some(""), _) if asked.word => return None,
                (Some(text), _) => {
                    let text = if asked.fold { text.to_ascii_lowercase() } else { text.to_owned() };
                    Pattern::Text { finder: Finder::new(text.as_bytes()).into_owned(), text: text.into() }
                }
                (None, Some(translated)) => regex(translated, asked, SIZE / patterns.len())?,
                (None, None) => return None,
            });
        }
        // Of several, the longest from the first place counts; only texts are compared.
        let simple = all.len() == 1 || all.iter().all(|p| matches!(p, Pattern::Text { .. }));
        (!asked.places || simple).then_some(Self { patterns: all, asked, ascii_only })
    }

    pub(super) fn selects(&self, line: &[u8]) -> bool {
        let folded;
        let line = if self.asked.fold {
            folded = line.to_ascii_lowercase();
            &folded
        } else {
            line
        };
        let mut text = None;
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Text { text, .. } if self.asked.line => line == text,
            Pattern::Text { text, finder } => self.find_text(line, 0, text, finder).is_some(),
            Pattern::Regex { regex, required } => {
                required.find(line).is_some()
                    && regex.is_match(text.get_or_insert_with(|| String::from_utf8_lossy(line)))
            }
        })
    }

    /// Tells where each match that is not empty begins and ends, in time linear in the line.
    pub(super) fn each<E>(
        &self,
        line: &[u8],
        mut told: impl FnMut(usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = if self.asked.fold { Cow::Owned(line.to_ascii_lowercase()) } else { Cow::Borrowed(line) };
        let text = std::str::from_utf8(&line).ok();
        let first = |pattern: &Pattern, from| self.first(pattern, &line, text, from);
        // Of each pattern the next match; it is looked for again only when it has been passed.
        let mut next: Vec<_> = self.patterns.iter().map(|pattern| (pattern, first(pattern, 0))).collect();
        while let Some((start, end)) =
            next.iter().filter_map(|(_, at)| *at).min_by_key(|(start, end)| (*start, Reverse(*end)))
        {
            told(start, end)?;
            for (pattern, at) in &mut next {
                if at.is_some_and(|(start, _)| start < end) {
                    *at = first(pattern, end);
                }
            }
        }
        Ok(())
    }

    /// The first match from `from` on that is not empty: where it begins and ends.
    fn first(
        &self,
        pattern: &Pattern,
        line: &[u8],
        text: Option<&str>,
        mut from: usize,
    ) -> Option<(usize, usize)> {
        match pattern {
            Pattern::Text { text, .. } if text.is_empty() => None,
            Pattern::Text { text, .. } if self.asked.line => {
                (from == 0 && line == text).then_some((0, line.len()))
            }
            Pattern::Text { text, finder } => {
                self.find_text(line, from, text, finder).map(|at| (at, at + text.len()))
            }
            Pattern::Regex { regex, .. } => loop {
                let found = regex.find_at(text?, from)?;
                if !found.is_empty() {
                    return Some((found.start(), found.end()));
                }
                from = found.end() + text?[found.end()..].chars().next()?.len_utf8();
            },
        }
    }

    fn find_text(&self, line: &[u8], from: usize, text: &[u8], finder: &Finder<'_>) -> Option<usize> {
        let mut from = from;
        loop {
            let at = from + finder.find(line.get(from..)?)?;
            let end = at + text.len();
            let part = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
            let inside = part(at.checked_sub(1).and_then(|before| line.get(before))) || part(line.get(end));
            if !self.asked.word || !inside {
                return Some(at);
            }
            from = at + 1;
        }
    }
}

fn regex(translated: &Translated, asked: Asked, size: usize) -> Option<Pattern> {
    if asked.places && (!translated.longest || asked.word) {
        return None;
    }
    let inner = &translated.regex;
    let source = if asked.line {
        format!("^(?:{inner})$")
    } else if asked.word {
        format!("(?:^|[^0-9A-Za-z_])(?:{inner})(?:[^0-9A-Za-z_]|$)")
    } else {
        inner.clone()
    };
    let build = |source: &str| {
        RegexBuilder::new(source).case_insensitive(asked.fold).size_limit(size).nest_limit(50).build().ok()
    };
    if asked.word && !asked.line && (translated.anchored || build(&format!("^(?:{inner})$"))?.is_match("")) {
        return None;
    }
    let required =
        if asked.fold { translated.required.to_ascii_lowercase() } else { translated.required.clone() };
    Some(Pattern::Regex { regex: build(&source)?, required: Finder::new(required.as_bytes()).into_owned() })
}
