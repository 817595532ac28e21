//! Words with holes: `{name}` is a parameter or capture, `{{` and `}}` stay as they are.

use super::Vars;

/// One word of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Var(String),
}

impl Template {
    /// Reads a word.
    ///
    /// # Errors
    /// A lone brace, or something between braces that is no name.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = word;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                text.push_str(&from[..2]);
                rest = after;
                continue;
            }
            let (name, after) = from
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .filter(|(name, _)| is_name(name))
                .ok_or_else(|| {
                    format!("{word:?}: a brace must enclose a name; write {{{{ or }}}} for two braces")
                })?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Var(name.to_owned()));
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts })
    }

    /// The names in it.
    pub(super) fn vars(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Var(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    pub(super) fn fill(&self, vars: &Vars) -> Result<String, String> {
        let mut word = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => word.push_str(text),
                Part::Var(name) => {
                    let value = vars
                        .get(name)
                        .filter(|value| !value.is_empty())
                        .ok_or(format!("{name} is not set"))?;
                    // a value never becomes an option, whatever its type lets through
                    if value.starts_with('-') && word.is_empty() {
                        return Err(format!("{name} begins with '-'"));
                    }
                    word.push_str(value);
                }
            }
        }
        Ok(word)
    }

    pub(super) fn show(&self, vars: &Vars) -> String {
        let show = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Var(name) => vars.get(name).cloned().unwrap_or_else(|| format!("{{{name}}}")),
        };
        self.parts.iter().map(show).collect()
    }
}

/// Lower-case letters, digits and `_`, a letter first.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
