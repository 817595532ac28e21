//! GNU's basic and extended regular expressions, as regex-lite takes them. What does not mean the same there, or what GNU refuses
//! or warns of, is not translated: the program says it itself.

/// A pattern in regex-lite's syntax.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) regex: String,
    /// It means the same of ASCII lines only: letters, words and case are the locale's.
    pub(super) ascii_only: bool,
    /// All of it, if it is text and nothing else.
    pub(super) literal: Option<String>,
    /// Text that every match holds; may be empty.
    pub(super) required: String,
    /// The first match found is the longest one.
    pub(super) longest: bool,
    /// It looks at what surrounds a match.
    pub(super) anchored: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// One character of several, as a class.
    Class(String),
    Open,
    Close,
    Alternative,
    /// At least and at most so often.
    Repeat(u32, Option<u32>),
    /// Start or end of a line or word.
    Anchor(&'static str),
}

/// `None` for what the program must judge.
pub(super) fn translate(pattern: &str, extended: bool) -> Option<Translated> {
    let mut lexer = Lexer { left: pattern, extended, tokens: Vec::new(), depth: 0, ascii_only: false };
    lexer.run()?;
    let Lexer { tokens, ascii_only, .. } = lexer;
    let chars = tokens.iter().map(|t| match t {
        Token::Char(c) => Some(*c),
        _ => None,
    });
    Some(Translated {
        regex: write(&tokens)?,
        ascii_only,
        literal: chars.collect(),
        required: required(&tokens),
        longest: longest(&tokens),
        anchored: tokens.iter().any(|t| matches!(t, Token::Anchor(_))),
    })
}

struct Lexer<'a> {
    left: &'a str,
    extended: bool,
    tokens: Vec<Token>,
    depth: usize,
    ascii_only: bool,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.left.chars().next()?;
        self.left = &self.left[c.len_utf8()..];
        Some(c)
    }

    fn at_start(&self) -> bool {
        matches!(self.tokens.last(), None | Some(Token::Open | Token::Alternative))
    }

    fn run(&mut self) -> Option<()> {
        while let Some(c) = self.next() {
            let token = match (c, self.extended) {
                ('\\', _) => self.escaped()?,
                ('[', _) => self.bracket()?,
                ('.', _) => Token::Class(".".to_owned()),
                ('^', true) => Token::Anchor("^"),
                ('^', false) if self.at_start() => Token::Anchor("^"),
                ('$', true) => Token::Anchor("$"),
                ('$', false)
                    if self.left.is_empty()
                        || self.left.starts_with("\\)")
                        || self.left.starts_with("\\|") =>
                {
                    Token::Anchor("$")
                }
                ('*', false) if self.at_start() || self.tokens.last() == Some(&Token::Anchor("^")) => {
                    Token::Char('*')
                }
                ('*', _) => self.repeat(0, None)?,
                ('+', true) => self.repeat(1, None)?,
                ('?', true) => self.repeat(0, Some(1))?,
                ('{', true) => self.interval("}")?,
                ('(', true) => self.open(),
                (')', true) => self.close()?,
                ('|', true) => Token::Alternative,
                ('\n' | '\0', _) => return None,
                (c, _) => Token::Char(c),
            };
            self.tokens.push(token);
        }
        (self.depth == 0).then_some(())
    }

    fn open(&mut self) -> Token {
        self.depth += 1;
        Token::Open
    }

    fn close(&mut self) -> Option<Token> {
        self.depth = self.depth.checked_sub(1)?;
        Some(Token::Close)
    }

    fn escaped(&mut self) -> Option<Token> {
        let c = self.next()?;
        if ".*[^$\\".contains(c) || (self.extended && "+?{()|".contains(c)) {
            return Some(Token::Char(c));
        }
        let class = |class: &str| Token::Class(class.to_owned());
        Some(match (c, self.extended) {
            ('+', false) => self.repeat(1, None)?,
            ('?', false) => self.repeat(0, Some(1))?,
            ('{', false) => self.interval("\\}")?,
            ('(', false) => self.open(),
            (')', false) => self.close()?,
            ('|', false) => Token::Alternative,
            ('w' | 'W' | 's' | 'S' | 'b' | '<' | '>', _) => {
                self.ascii_only = true;
                match c {
                    'w' => class("[0-9A-Za-z_]"),
                    'W' => class("[^0-9A-Za-z_]"),
                    's' => class("[ \\t-\\r]"),
                    'S' => class("[^ \\t-\\r]"),
                    'b' => Token::Anchor("\\b"),
                    '<' => Token::Anchor("\\b{start}"),
                    _ => Token::Anchor("\\b{end}"),
                }
            }
            _ => return None,
        })
    }

    /// Of what stands in front of it, which must be something that can be repeated.
    fn repeat(&self, least: u32, most: Option<u32>) -> Option<Token> {
        let repeatable = matches!(self.tokens.last(), Some(Token::Char(_) | Token::Class(_) | Token::Close));
        repeatable.then_some(Token::Repeat(least, most))
    }

    /// `3}`, `3,}`, `3,5}`
    fn interval(&mut self, end: &str) -> Option<Token> {
        let (inside, rest) = self.left.split_once(end)?;
        self.left = rest;
        let number = |text: &str| -> Option<u32> {
            let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok())?
        };
        let (least, most) = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        if most.is_some_and(|most| most < least.max(1)) {
            return None;
        }
        self.repeat(least, most)
    }

    fn bracket(&mut self) -> Option<Token> {
        let mut class = "[".to_owned();
        if let Some(rest) = self.left.strip_prefix('^') {
            self.left = rest;
            class.push('^');
        }
        if self.left.starts_with(':') {
            return None;
        }
        let mut first = true;
        loop {
            if let Some(rest) = self.left.strip_prefix("[:") {
                let (name, rest) = rest.split_once(":]")?;
                self.left = rest;
                self.ascii_only = true;
                class.push_str(named(name)?);
                first = false;
                continue;
            }
            let from = match self.next()? {
                ']' if !first => break,
                '[' if self.left.starts_with(['.', '=']) => return None,
                c => c,
            };
            first = false;
            let mut to = from;
            if let Some(rest) = self.left.strip_prefix('-').filter(|rest| !rest.starts_with(']')) {
                self.left = rest;
                to = self.next()?;
                if to < from || (to == '[' && self.left.starts_with(['.', '=', ':'])) {
                    return None;
                }
            }
            class.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(from), u32::from(to)));
        }
        class.push(']');
        Some(Token::Class(class))
    }
}

fn named(name: &str) -> Option<&'static str> {
    Some(match name {
        "alpha" => "A-Za-z",
        "digit" => "0-9",
        "alnum" => "0-9A-Za-z",
        "upper" => "A-Z",
        "lower" => "a-z",
        "space" => " \\t-\\r",
        "blank" => " \\t",
        "punct" => "!-/:-@\\x{5b}-`{-~",
        "print" => " -~",
        "graph" => "!-~",
        "cntrl" => "\\x00-\\x1f\\x7f",
        "xdigit" => "0-9A-Fa-f",
        _ => return None,
    })
}

/// Each repeated piece in a group of its own: `a+?` is a repetition of a repetition here, and nothing lazy.
fn write(tokens: &[Token]) -> Option<String> {
    let mut regex = String::new();
    // Where the last piece begins, and where each open group does.
    let (mut piece, mut groups) = (0, Vec::new());
    for token in tokens {
        match token {
            Token::Repeat(least, most) => {
                regex.insert_str(piece, "(?:");
                regex.push(')');
                match (least, most) {
                    (0, None) => regex.push('*'),
                    (1, None) => regex.push('+'),
                    (0, Some(1)) => regex.push('?'),
                    (least, None) => regex.push_str(&format!("{{{least},}}")),
                    (least, Some(most)) => regex.push_str(&format!("{{{least},{most}}}")),
                }
                continue;
            }
            Token::Close => {
                piece = groups.pop()?;
                regex.push(')');
                continue;
            }
            Token::Open => {
                groups.push(regex.len());
                regex.push_str("(?:");
                continue;
            }
            _ => piece = regex.len(),
        }
        match token {
            Token::Char(c) => regex.push_str(&format!("\\x{{{:x}}}", u32::from(*c))),
            Token::Class(class) => regex.push_str(class),
            Token::Alternative => regex.push('|'),
            Token::Anchor(anchor) => regex.push_str(anchor),
            Token::Open | Token::Close | Token::Repeat(..) => {}
        }
    }
    Some(regex)
}

/// The longest text outside of groups that is not repeated, if there are no alternatives.
fn required(tokens: &[Token]) -> String {
    let (mut best, mut now, mut depth) = (String::new(), String::new(), 0_usize);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Alternative if depth == 0 => return String::new(),
            Token::Char(c) if depth == 0 && !matches!(tokens.get(at + 1), Some(Token::Repeat(..))) => {
                now.push(*c);
                continue;
            }
            _ => {}
        }
        if now.len() > best.len() {
            best.clone_from(&now);
        }
        now.clear();
    }
    if now.len() > best.len() { now } else { best }
}

/// Single characters, of which only the last is repeated: there is one match from any place, but for its length, and a
/// repetition takes all it can.
fn longest(tokens: &[Token]) -> bool {
    let end = tokens.len();
    tokens.iter().enumerate().all(|(at, token)| match token {
        Token::Char(_) | Token::Class(_) => true,
        Token::Anchor(anchor) => (*anchor == "^" && at == 0) || (*anchor == "$" && at + 1 == end),
        Token::Repeat(..) => {
            at + 1 == end && !matches!(tokens.get(at.wrapping_sub(1)), Some(Token::Repeat(..)))
        }
        Token::Open | Token::Close | Token::Alternative => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_else_is_not_translated() {
        for (pattern, extended) in [
            ("\\(a\\)\\1", false),
            ("a\\d", false),
            ("a\\/b", true),
            ("[[.a.]]", false),
            ("[[=a=]]", false),
            ("[:alpha:]", false),
            ("[[:nothing:]]", false),
            ("[z-a]", false),
            ("[a", false),
            ("\\(a", false),
            ("a\\)", false),
            ("(a", true),
            ("a)", true),
            ("*a", true),
            ("a|*b", true),
            ("a{x", true),
            ("a{2,1}", true),
            ("a{1000}", true),
            ("a{,3}", true),
            ("\\{1\\}", false),
            ("a\\", false),
            ("^*", true),
            ("\\b*", false),
            ("a\\`", false),
            ("a\\B", false),
        ] {
            assert_eq!(translate(pattern, extended), None, "{pattern}");
        }
    }

    #[test]
    fn what_every_match_holds() {
        for (pattern, extended, required, longest) in [
            ("error: .* timed out", false, " timed out", false),
            ("abc+", true, "ab", true),
            ("a|b", true, "", false),
            ("(abc)?de", true, "de", false),
            ("x[0-9]*", false, "x", true),
            ("x[0-9]*y", false, "x", false),
            ("^abc$", false, "abc", true),
        ] {
            let said = translate(pattern, extended).unwrap();
            assert_eq!((said.required.as_str(), said.longest), (required, longest), "{pattern}");
        }
        assert_eq!(translate("a+b|(c)", false).unwrap().literal.as_deref(), Some("a+b|(c)"));
        assert_eq!(translate("a*", false).unwrap().literal, None);
    }
}
