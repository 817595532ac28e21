//! Finds secrets in text and replaces them.
//!
//! One regular expression finds where a secret begins, in one pass; how far it goes is decided by hand, bounded,
//! so that the whole is linear. What only looks random (hashes, UUIDs, certificates, public keys) has no rule.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands where a secret was.
pub(super) const MARK: &str = "[redacted]";

/// Longest credentials of a URL.
const LONGEST_URL: usize = 2048;
/// Longest private key.
const LONGEST_KEY: usize = 64 << 10;

/// Words that say: what follows is a secret.
const NAMES: &str = "password|passphrase|passcode|secret(?:[_-]?(?:access)?[_-]?key)?|api[_-]?key|access[_-]?key\
    |auth[_-]?key|private[_-]?key|account[_-]?key|encryption[_-]?key|signing[_-]?key|preshared[_-]?key|psk\
    |(?:access|auth|api|refresh|session|id|bearer|csrf)?[_-]?token|credentials?";

/// Where each kind of secret begins; the groups tell the kinds apart. Every branch looks ahead a bounded way, which
/// keeps repeated searches linear; where a secret ends is decided by hand.
static BEGINS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let pattern = format!(
        r#"(?x-u)
          (?P<pem> -----BEGIN\ [A-Z0-9\ ]{{0,40}}PRIVATE\ KEY(?:\ BLOCK)?----- )
        | (?P<header> (?i: \b (?:proxy-)?authorization | \b (?:set-)?cookie
            | \b x-(?:api-key|auth-token|vault-token|amz-security-token) ) ["']? [\ \t]{{0,4}} [:=] [\ \t]{{0,4}} )
        | (?P<url> \b [A-Za-z][A-Za-z0-9+.-]{{1,20}} :// )
        | (?P<exact> \b (?: (?:AKIA|ASIA)[A-Z0-9]{{16}} | AIza[A-Za-z0-9_-]{{35}} | npm_[A-Za-z0-9]{{36}}
            | AGE-SECRET-KEY-1[A-Z0-9]{{58}} ) \b )
        | (?P<token> \b (?: gh[pousr]_[A-Za-z0-9]{{20}} | github_pat_[A-Za-z0-9_]{{20}}
            | gl(?:pat|rt|dt|ptt|oas|ft)-[A-Za-z0-9_-]{{16}} | xox[a-z]-[A-Za-z0-9-]{{10}} | xapp-[A-Za-z0-9-]{{10}}
            | sk-(?:ant-[a-z0-9]{{1,10}}-|proj-)?[A-Za-z0-9_]{{20}} | [rs]k_live_[A-Za-z0-9]{{16}}
            | pypi-[A-Za-z0-9_-]{{40}} | hv[sb]\.[A-Za-z0-9_-]{{20}} ) )
        | (?P<jwt> \b eyJ[A-Za-z0-9_-]{{8}} )
        | (?P<hash> \$ (?:1|2[abxy]|5|6|7|y|gy|apr1) \$ [./A-Za-z0-9$=,]{{20}} )
        | (?P<bearer> (?i: \b bearer ) [\ \t]{{1,4}} [A-Za-z0-9._~+/=-]{{8}} )
        | (?P<xml> < [A-Za-z0-9_.:-]{{0,20}} (?i:{NAMES}) > )
        | (?P<pair> (?i: --(?:{NAMES}) ) [\ \t]{{1,4}}
            | (?: (?i:{NAMES}) \\? ["']? [\ \t]{{0,8}} (?: := | => | = | : ) | (?i: \b (?:passwd|pwd) = ) ) [\ \t]{{0,8}} )
        "#
    );
    // The pattern is fixed and tests run it; should it ever not compile, `redact` hides everything.
    Regex::new(&pattern).ok()
});

static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("(?i-u)(?:{NAMES}|passwd|pwd)$")).ok());

/// Whether a key of a map or a variable is the name of a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    NAME.as_ref().is_none_or(|r| r.is_match(name))
}

/// Replaces secrets. Takes and gives whether a private key goes on beyond the text; gives the number of
/// replacements.
pub(super) fn redact(text: &str, in_key: bool) -> (String, usize, bool) {
    let Some(begins) = BEGINS.as_ref() else {
        return (MARK.to_owned(), 1, false);
    };
    let mut pass = Pass {
        text,
        at: 0,
        out: String::with_capacity(text.len()),
        count: 0,
        next_end: None,
        no_jwt_to: 0,
        word_end: 0,
        in_key,
    };
    if in_key {
        pass.key_lines();
    }
    while let Some(found) = begins.captures_at(text, pass.at) {
        pass.one(&found);
    }
    pass.out.push_str(&text[pass.at..]);
    (pass.out, pass.count, pass.in_key)
}

/// One way through a text.
struct Pass<'a> {
    text: &'a str,
    /// Everything in front of this is decided.
    at: usize,
    out: String,
    count: usize,
    /// Where the next `-----END` stands, looked up once for all keys in front of it; the text's length for none.
    next_end: Option<usize>,
    /// No JSON Web Token begins in front of this.
    no_jwt_to: usize,
    /// Where the word ends that the last URL stood in.
    word_end: usize,
    in_key: bool,
}

impl Pass<'_> {
    fn one(&mut self, found: &Captures<'_>) {
        let Some(whole) = found.get(0) else { return };
        let kind = |name| found.name(name).is_some();
        let (start, end) = (whole.start(), whole.end());
        if kind("pem") {
            self.keep_to(start);
            self.private_key(end);
        } else if kind("exact") {
            self.keep_to(start);
            self.replace_to(end);
        } else if kind("token") {
            self.run(start, end, b"_-");
        } else if kind("hash") {
            self.run(start, end, b"./$=,");
        } else if kind("bearer") {
            self.run(start, end, b"._~+/=-");
        } else if kind("jwt") {
            self.jwt(start, end);
        } else if kind("url") {
            self.keep_to(end);
            self.url();
        } else if kind("xml") {
            self.keep_to(end);
            let rest = &self.text[end..];
            self.replace_to(end + rest.find(['<', '\n']).unwrap_or(rest.len()));
        } else if kind("header") {
            self.keep_to(end);
            self.header(start);
        } else {
            self.keep_to(end);
            self.value(start);
        }
    }

    /// A token whose first characters are found: to the end of its alphabet.
    fn run(&mut self, start: usize, end: usize, marks: &[u8]) {
        let more =
            self.text.as_bytes()[end..].iter().take_while(|b| b.is_ascii_alphanumeric() || marks.contains(b));
        let end = end + more.count();
        self.keep_to(start);
        self.replace_to(end);
    }

    /// Three parts with dots between, or no token at all. What begins later in the same run has no more dots.
    fn jwt(&mut self, start: usize, end: usize) {
        if start < self.no_jwt_to {
            return self.keep_to(end);
        }
        let rest = &self.text.as_bytes()[start..];
        let run = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b)).count();
        if rest[..run].iter().filter(|b| **b == b'.').take(2).count() == 2 {
            self.keep_to(start);
            self.replace_to(start + run);
        } else {
            self.no_jwt_to = start + run;
            self.keep_to(end);
        }
    }

    /// The value of an HTTP header: to the end of the line, or to the quote that the header stands in.
    fn header(&mut self, name: usize) {
        let rest = &self.text[self.at..];
        let own = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let around = self.text[..name].chars().next_back().filter(|c| matches!(c, '"' | '\''));
        let (skip, len) = match (own, around) {
            (Some(quote), _) => (1, to_quote(&rest[1..], quote)),
            (None, Some(quote)) => (0, to_quote(rest, quote)),
            (None, None) => (0, line_end(rest, 0)),
        };
        self.keep_to(self.at + skip);
        self.replace_to(self.at + len);
    }

    fn keep_to(&mut self, end: usize) {
        self.out.push_str(&self.text[self.at..end]);
        self.at = end;
    }

    fn replace_to(&mut self, end: usize) {
        if end > self.at {
            self.out.push_str(MARK);
            self.count += 1;
            self.at = end;
        }
    }

    /// A key whose BEGIN line ends at `body`: to its END line, or as far as lines look like key material.
    fn private_key(&mut self, body: usize) {
        let known = self.next_end.filter(|end| *end >= body);
        let end =
            known.unwrap_or_else(|| self.text[body..].find("-----END").map_or(self.text.len(), |n| body + n));
        self.next_end = Some(end);
        self.out.push_str("[redacted private key]");
        self.count += 1;
        if end < self.text.len() && end - body <= LONGEST_KEY {
            self.at = line_end_of_mark(self.text, end);
            return;
        }
        self.at = body;
        self.key_lines();
    }

    /// Takes lines out while they look like the inside of a private key.
    fn key_lines(&mut self) {
        self.in_key = false;
        loop {
            let rest = &self.text[self.at..];
            let line = rest.trim_start_matches([' ', '\t', '\r']);
            if line.starts_with("-----END") {
                self.at = line_end_of_mark(self.text, self.text.len() - line.len());
                return;
            }
            let end = if is_key_header(line) {
                line_end(line, 0)
            } else {
                line.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/= \t\r".contains(b)).count()
            };
            let end = self.text.len() - line.len() + end;
            if end == self.text.len() {
                self.at = end;
                self.in_key = true;
                return;
            }
            if self.text.as_bytes()[end] != b'\n'
                || self.text[self.at..end].trim().contains(' ') && !is_key_header(line)
            {
                return;
            }
            // Past the newline; the next line may still belong to the key.
            self.at = end + 1;
        }
    }

    /// The value of `password=…`, whose name begins at `name`.
    fn value(&mut self, name: usize) {
        let rest = &self.text[self.at..];
        let is_pwd = self.text[name..self.at].to_ascii_lowercase().starts_with("pwd");
        // A key in there has a rule of its own, which knows where it ends; `token::x` is a path in a program; PWD is
        // a folder more often than a password.
        if is_pwd && rest.starts_with('/')
            || rest.trim_start_matches(['"', '\'', '\\']).starts_with("-----BEGIN")
            || rest.starts_with(':')
        {
            return;
        }
        let (skip, len) = extent(rest, self.in_query(name));
        let value = &rest[skip..skip + len];
        let shown = value.trim_matches(['*', 'x', 'X', '.', '<', '>', '"', '\'', ',', '}']).is_empty()
            || value.starts_with("[redacted");
        self.keep_to(self.at + skip);
        if shown {
            self.keep_to(self.at + len);
        } else {
            self.replace_to(self.at + len);
        }
    }

    /// Whether the name that ends in what was found at `name` is a parameter of a URL's query.
    fn in_query(&self, name: usize) -> bool {
        let before = self.text[..name]
            .bytes()
            .rev()
            .take(64)
            .find(|b| !(b.is_ascii_alphanumeric() || b"_-.".contains(b)));
        matches!(before, Some(b'?' | b'&'))
    }

    /// Behind `scheme://`: credentials up to the `@` in front of the host.
    fn url(&mut self) {
        if self.word_end < self.at {
            let rest = &self.text[self.at..];
            let blank = rest.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c));
            self.word_end = self.at + blank.unwrap_or(rest.len());
        }
        let word = window(self.text, self.at, LONGEST_URL.min(self.word_end - self.at));
        let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
        // A password with an unescaped slash in it still ends at an `@`; a port in front of the slash is none.
        let port = authority.rsplit_once(':').is_some_and(|(_, p)| p.bytes().all(|b| b.is_ascii_digit()));
        let user = if authority.contains('@') {
            authority
        } else if authority.contains(':') && !port {
            word
        } else {
            return;
        };
        let Some(at_sign) = user.rfind('@') else { return };
        match user[..at_sign].find(':') {
            Some(colon) => {
                self.keep_to(self.at + colon + 1);
                self.replace_to(self.at + at_sign - colon - 1);
            }
            // A token in the place of the user.
            None if at_sign >= 16 => self.replace_to(self.at + at_sign),
            None => {}
        }
    }
}

/// Where a value begins and how long it is: quoted to its quote, else to a blank; `Bearer x` is one value.
fn extent(rest: &str, in_query: bool) -> (usize, usize) {
    let plain =
        |text: &str| text.find(|c: char| c.is_whitespace() || (in_query && c == '&')).unwrap_or(text.len());
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        return (1, to_quote(&rest[1..], quote));
    }
    let len = plain(rest);
    let scheme = ["bearer", "basic", "token"].iter().any(|s| rest[..len].eq_ignore_ascii_case(s));
    match rest[len..].strip_prefix(' ') {
        Some(next) if scheme => (0, len + 1 + plain(next)),
        _ => (0, len),
    }
}

/// How far it is to the first quote that no backslash stands before, or to the end of the line.
fn to_quote(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let ends = *c == '\n' || (*c == quote && !escaped);
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at)
}

fn is_key_header(line: &str) -> bool {
    ["Proc-Type: ", "DEK-Info: ", "Comment: ", "Version: "].iter().any(|name| line.starts_with(name))
}

fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |n| from + n)
}

/// The end of `-----END … -----` that begins at or behind `from`.
fn line_end_of_mark(text: &str, from: usize) -> usize {
    let end = line_end(text, from);
    let mark = text[from..end].find("-----END").map_or(from, |n| from + n + 5);
    text[mark..end].find("-----").map_or(end, |n| mark + n + 5)
}

/// At most `bytes` of the text from `from`.
fn window(text: &str, from: usize, bytes: usize) -> &str {
    let mut end = text.len().min(from + bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[from..end]
}
