//! One permitted shape of a command's arguments, and whether a line has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::ValueType;
use crate::{Level, Limits, PathOperand, Profile, Risk};

/// A form: fixed words, options and typed operands.
#[derive(Debug, Clone)]
pub struct Form {
    /// Its name, unique within the command.
    pub name: String,
    /// The command that it is a form of.
    pub command: String,
    /// What it is for.
    pub title: String,
    /// Who may run it.
    pub level: Level,
    /// How bad it could be.
    pub risk: Risk,
    /// For a blocked form: why, and what to do instead.
    pub reason: String,
    /// Lines that it must permit.
    pub examples: Vec<String>,
    /// Lines that it must not permit.
    pub counter_examples: Vec<String>,
    pub(crate) any: bool,
    pub(crate) single_dash: bool,
    pub(crate) usage: String,
    pub(crate) items: Vec<Item>,
    pub(crate) options: Vec<OptionSpec>,
    pub(crate) require: Vec<usize>,
    pub(crate) leading: Vec<usize>,
    pub(crate) exclusive: Vec<usize>,
    pub(crate) force: Vec<(usize, Vec<String>)>,
    pub(crate) force_behind_words: bool,
    pub(crate) profile: Profile,
    pub(crate) limits: Limits,
    pub(crate) roots: Arc<Roots>,
}

/// A place for words that are no options.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// One of these words.
    Fixed(Vec<String>),
    /// Values of a type.
    Operand { ty: ValueType, min: usize, max: usize },
}

/// An option by all its names.
#[derive(Debug, Clone)]
pub(crate) struct OptionSpec {
    pub(crate) names: Vec<String>,
    pub(crate) value: OptionValue,
}

/// What follows an option.
#[derive(Debug, Clone)]
pub(crate) enum OptionValue {
    None,
    /// `-n5`, `-n 5`, `--lines=5`, `--lines 5`
    Required(ValueType),
    /// `--color`, `--color=auto`, `-c5`
    Optional(ValueType),
}

/// How far a line fits a form before it fails, and at which word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// Words that fit.
    pub(crate) fits: usize,
    /// Which word failed and why.
    pub(crate) cause: String,
}

/// A line that has the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) argv: Vec<String>,
    pub(crate) paths: Vec<PathOperand>,
}

impl Form {
    pub(crate) fn named(mut self, command: &str) -> Self {
        command.clone_into(&mut self.command);
        self.usage = self.written();
        self
    }

    /// Whether it could be the form of these words, as far as a glance tells: its first fixed word is among them.
    pub(crate) fn may_fit(&self, words: &[String]) -> bool {
        match self.items.first() {
            Some(Item::Fixed(fixed)) => words[1..].iter().any(|w| fixed.contains(w)),
            _ => true,
        }
    }

    /// The names of the options that it lists, and whether each can stand without a value.
    pub fn options(&self) -> impl Iterator<Item = (&str, bool)> {
        let alone = |o: &OptionSpec| !matches!(o.value, OptionValue::Required(_));
        self.options.iter().flat_map(move |o| o.names.iter().map(move |n| (n.as_str(), alone(o))))
    }

    /// How it is written: `systemctl status UNIT...`.
    pub fn usage(&self) -> &str {
        &self.usage
    }

    fn written(&self) -> String {
        let mut words = vec![self.command.clone()];
        for option in &self.require {
            let option = &self.options[*option];
            words.push(option.names[0].clone());
            if let OptionValue::Required(ty) = &option.value {
                words.push(placeholder(ty));
            }
        }
        if self.any {
            words.push("...".to_owned());
        }
        for item in &self.items {
            words.push(match item {
                Item::Fixed(all) => all.join("|"),
                Item::Operand { ty, min, max } => {
                    let name = placeholder(ty);
                    match (min, max) {
                        (1, 1) => name,
                        (0, 1) => format!("[{name}]"),
                        (0, _) => format!("[{name}...]"),
                        _ => format!("{name}..."),
                    }
                }
            });
        }
        words.join(" ")
    }

    /// Whether the forced words are what the form itself permits: options with good values, nothing else.
    pub(crate) fn check_forced(&self) -> Result<(), String> {
        for (option, forced) in &self.force {
            let words = [&[String::new()], forced.as_slice()].concat();
            let mut scan = Scan::new(self, &words);
            scan.options().map_err(|misfit| format!("force: {}", misfit.cause))?;
            let alone = scan.operands.is_empty() && scan.paths.is_empty() && scan.end.is_none();
            let given = scan.given.iter().filter(|given| **given).count();
            if !alone || given != 1 || !scan.given[*option] {
                return Err(format!("force: {:?} must be one option that names no path", forced.join(" ")));
            }
        }
        Ok(())
    }

    /// Whether `words` (the command's name first) have this form.
    pub(crate) fn fit(&self, words: &[String]) -> Result<Fit, Misfit> {
        if self.any {
            return Ok(Fit { argv: words.to_vec(), paths: Vec::new() });
        }
        let mut scan = Scan::new(self, words);
        scan.options()?;
        let behind = scan.items()?;
        for required in &self.require {
            if !scan.given[*required] {
                return Err(Misfit {
                    fits: words.len(),
                    cause: format!("{} is required", self.options[*required].names[0]),
                });
            }
        }
        let Scan { given, mut paths, .. } = scan;
        let mut argv = words.to_vec();
        let at = if self.force_behind_words { behind } else { 1 };
        let added: Vec<String> =
            self.force.iter().filter(|(o, _)| !given[*o]).flat_map(|(_, w)| w.clone()).collect();
        for path in &mut paths {
            if path.index >= at {
                path.index += added.len();
            }
        }
        argv.splice(at..at, added);
        Ok(Fit { argv, paths })
    }
}

fn placeholder(ty: &ValueType) -> String {
    match ty {
        ValueType::Unit | ValueType::SafeUnit => "UNIT".to_owned(),
        ValueType::Container => "CONTAINER".to_owned(),
        ValueType::Path(_) => "PATH".to_owned(),
        ValueType::Host | ValueType::Domain => "HOST".to_owned(),
        ValueType::Ip | ValueType::NameServer => "IP".to_owned(),
        ValueType::Port => "PORT".to_owned(),
        ValueType::Interface => "INTERFACE".to_owned(),
        ValueType::Pid => "PID".to_owned(),
        ValueType::User => "USER".to_owned(),
        ValueType::Int(..) | ValueType::Count(..) => "NUMBER".to_owned(),
        ValueType::Size => "SIZE".to_owned(),
        ValueType::Duration => "SECONDS".to_owned(),
        ValueType::Time => "TIME".to_owned(),
        ValueType::Priority => "PRIORITY".to_owned(),
        ValueType::Pattern => "PATTERN".to_owned(),
        ValueType::Name => "NAME".to_owned(),
        // A long list would hide the shape.
        ValueType::Set(words) | ValueType::Enum(words) if words.len() > 8 => {
            format!("{}|…", words[..8].join("|"))
        }
        ValueType::Set(words) | ValueType::Enum(words) => words.join("|"),
        ValueType::Endpoint => "HOST:PORT".to_owned(),
        ValueType::HttpUrl => "http://HOST[:PORT][/PATH]".to_owned(),
        ValueType::LocalEndpoint => "localhost:PORT".to_owned(),
        ValueType::Object(_) => "KIND/NAME".to_owned(),
        ValueType::Field(names) => format!("{}=VALUE", names[0]),
        ValueType::Resolver => "@IP".to_owned(),
        ValueType::Mode => "MODE".to_owned(),
        ValueType::PortProtocol => "PORT/tcp".to_owned(),
        ValueType::Char => "CHARACTER".to_owned(),
        ValueType::Ranges => "LIST".to_owned(),
        ValueType::SortKey => "KEY".to_owned(),
        ValueType::Sed | ValueType::Awk => "PROGRAM".to_owned(),
        ValueType::Format(_) | ValueType::Template(_) => "FORMAT".to_owned(),
    }
}

/// The name of an option that is a number: `head -20`.
pub(crate) const COUNT: &str = "-NUMBER";

/// One pass over the words.
struct Scan<'a> {
    form: &'a Form,
    words: &'a [String],
    given: Vec<bool>,
    /// Indices of the words that are no options.
    operands: Vec<usize>,
    /// Where `--` stands.
    end: Option<usize>,
    paths: Vec<PathOperand>,
}

impl<'a> Scan<'a> {
    fn new(form: &'a Form, words: &'a [String]) -> Self {
        Self {
            form,
            words,
            given: vec![false; form.options.len()],
            operands: Vec::new(),
            end: None,
            paths: Vec::new(),
        }
    }

    fn misfit(&self, at: usize, cause: impl AsRef<str>) -> Misfit {
        let word = self.words.get(at).map_or("the end", String::as_str);
        Misfit { fits: at, cause: format!("{word:?}: {}", cause.as_ref()) }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.form.options.iter().position(|o| o.names.iter().any(|n| n == name))
    }

    fn letter(&self, letter: char) -> Option<usize> {
        let is = |n: &String| n.len() == 2 && n.starts_with('-') && n.ends_with(letter);
        self.form.options.iter().position(|o| o.names.iter().any(is))
    }

    fn options(&mut self) -> Result<(), Misfit> {
        let mut at = 1;
        while at < self.words.len() {
            let word = &self.words[at];
            let dashed = word.len() > 1 && word.starts_with('-');
            if self.end.is_some() || !(dashed || (self.form.single_dash && self.find(word).is_some())) {
                self.operands.push(at);
                at += 1;
            } else if word == "--" && !self.form.single_dash {
                self.end = Some(at);
                at += 1;
            } else if !word.is_ascii() {
                return Err(self.misfit(at, "an option must be ASCII"));
            } else if self.form.single_dash || word.starts_with("--") {
                at = self.long(at)?;
            } else {
                at = self.cluster(at)?;
            }
        }
        Ok(())
    }

    fn give(&mut self, at: usize, option: usize) -> Result<(), Misfit> {
        if self.form.leading.contains(&option) && !self.operands.is_empty() {
            let name = &self.form.options[option].names[0];
            return Err(self.misfit(at, format!("{name} must stand in front of every other word")));
        }
        let exclusive = &self.form.exclusive;
        if exclusive.contains(&option) && exclusive.iter().any(|o| self.given[*o]) {
            return Err(self.misfit(at, "only one option of this kind may be given, once"));
        }
        self.given[option] = true;
        Ok(())
    }

    /// `--name`, `--name=value`, `--name value`, and `-name value` of programs with single dashes.
    fn long(&mut self, at: usize) -> Result<usize, Misfit> {
        let words = self.words;
        let form = self.form;
        let word = words[at].as_str();
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if !self.form.single_dash => (name, Some(value)),
            _ => (word, None),
        };
        let option = self.find(name).ok_or_else(|| self.misfit(at, "this option is not permitted here"))?;
        self.give(at, option)?;
        match (&form.options[option].value, attached) {
            (OptionValue::None | OptionValue::Optional(_), None) => Ok(at + 1),
            (OptionValue::None, Some(_)) => Err(self.misfit(at, "this option takes no value")),
            (OptionValue::Required(ty) | OptionValue::Optional(ty), Some(value)) => {
                self.check(at, ty, value, false)?;
                Ok(at + 1)
            }
            (OptionValue::Required(ty), None) => self.separate(at, ty),
        }
    }

    /// `-l`, `-la`, `-n5`, `-n 5`, `-5`
    fn cluster(&mut self, at: usize) -> Result<usize, Misfit> {
        let (form, words) = (self.form, self.words);
        let word = words[at].as_str();
        let digits = word.bytes().skip(1).all(|b| b.is_ascii_digit());
        if let Some(option) = self.find(COUNT).filter(|_| digits) {
            self.give(at, option)?;
            if let OptionValue::Required(ty) = &form.options[option].value {
                self.check(at, ty, &word[1..], false)?;
            }
            return Ok(at + 1);
        }
        // ASCII was checked: bytes are characters.
        for (index, letter) in word.char_indices().skip(1) {
            let option = self
                .letter(letter)
                .ok_or_else(|| self.misfit(at, format!("the option -{letter} is not permitted here")))?;
            self.give(at, option)?;
            let rest = &word[index + 1..];
            match &form.options[option].value {
                OptionValue::None => {}
                OptionValue::Required(ty) if rest.is_empty() => return self.separate(at, ty),
                OptionValue::Optional(_) if rest.is_empty() => return Ok(at + 1),
                OptionValue::Required(ty) | OptionValue::Optional(ty) => {
                    self.check(at, ty, rest, false)?;
                    return Ok(at + 1);
                }
            }
        }
        Ok(at + 1)
    }

    /// The value of an option as the next word.
    fn separate(&mut self, at: usize, ty: &ValueType) -> Result<usize, Misfit> {
        let words = self.words;
        let Some(value) = words.get(at + 1) else {
            return Err(self.misfit(at, "a value must follow"));
        };
        self.check(at + 1, ty, value, true)?;
        Ok(at + 2)
    }

    /// What is left to check of a word that begins with a dash: behind `--` the one pattern of a form may, no other operand ever.
    fn undashed(&self, at: usize, ty: &ValueType, one: bool) -> Result<&'a str, Misfit> {
        let text = self.words[at].trim_start_matches('-');
        let is_data = one && self.end.is_some_and(|end| at > end) && matches!(ty, ValueType::Pattern);
        if is_data && !text.is_empty() {
            Ok(text)
        } else {
            Err(self.misfit(at, "an operand must not begin with '-'"))
        }
    }

    fn check(&mut self, at: usize, ty: &ValueType, value: &str, whole_word: bool) -> Result<(), Misfit> {
        ty.check(value).map_err(|cause| self.misfit(at, cause))?;
        if let ValueType::Path(names) = ty {
            if !whole_word {
                return Err(self.misfit(at, "a path must be a word of its own"));
            }
            let roots = self.form.roots.confine(names, value).map_err(|cause| self.misfit(at, cause))?;
            self.paths.push(PathOperand { index: at, roots });
        }
        Ok(())
    }

    /// Gives the operands to the items; the result is the index behind the leading fixed words.
    fn items(&mut self) -> Result<usize, Misfit> {
        let (items, words) = (&self.form.items, self.words);
        let operands = std::mem::take(&mut self.operands);
        let mut left: &[usize] = &operands;
        let mut behind = 1;
        let mut leading = true;
        for (number, item) in items.iter().enumerate() {
            match item {
                Item::Fixed(fixed) => {
                    let Some((at, rest)) = left.split_first() else {
                        return Err(self.misfit(words.len(), format!("{} is missing", fixed.join(" or "))));
                    };
                    if !fixed.contains(&words[*at]) {
                        return Err(self.misfit(*at, format!("expected {}", fixed.join(" or "))));
                    }
                    left = rest;
                    if leading {
                        behind = at + 1;
                    }
                }
                Item::Operand { ty, min, max } => {
                    leading = false;
                    let later: usize = items[number + 1..].iter().map(Item::least).sum();
                    let take = left.len().saturating_sub(later).min(*max);
                    if take < *min {
                        return Err(self.misfit(words.len(), format!("{ty} is missing")));
                    }
                    let (mine, rest) = left.split_at(take);
                    for at in mine {
                        let word = words[*at].as_str();
                        let one = (*min, *max) == (1, 1);
                        let text = if word.starts_with('-') { self.undashed(*at, ty, one)? } else { word };
                        self.check(*at, ty, text, true)?;
                    }
                    left = rest;
                }
            }
        }
        match left.first() {
            None => Ok(behind),
            Some(at) => Err(self.misfit(*at, "nothing more may stand here")),
        }
    }
}

impl Item {
    fn least(&self) -> usize {
        match self {
            Self::Fixed(_) => 1,
            Self::Operand { min, .. } => *min,
        }
    }
}

/// Named sets of folders and files, and what is left out of all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roots {
    named: BTreeMap<String, Vec<String>>,
    exclude: Vec<String>,
}

impl Roots {
    pub(crate) fn new(named: &BTreeMap<String, Vec<String>>, exclude: &[String]) -> Result<Self, String> {
        for path in named.values().flatten().chain(exclude) {
            if !path.starts_with('/') || path.contains("..") || path.contains("//") {
                return Err(format!("root {path:?}: an absolute path is expected; a folder ends with '/'"));
            }
        }
        Ok(Self { named: named.clone(), exclude: exclude.to_vec() })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// The roots beneath which the path lies.
    fn confine(&self, names: &[String], path: &str) -> Result<Vec<String>, String> {
        if self.exclude.iter().any(|e| beneath(path, e)) {
            return Err("this path is never shown".to_owned());
        }
        let roots: Vec<String> = names
            .iter()
            .filter_map(|n| self.named.get(n))
            .flatten()
            .filter(|r| beneath(path, r))
            .cloned()
            .collect();
        if roots.is_empty() {
            Err(format!("this path lies beneath no permitted root ({})", names.join(", ")))
        } else {
            Ok(roots)
        }
    }
}

/// Whether a path is a root or lies beneath it. A root that ends with `/` is a folder with all in it; `{pid}` as a
/// component stands for a number, `*` at the end of a component for the rest of a name.
pub(crate) fn beneath(path: &str, root: &str) -> bool {
    if root == "/" {
        // The root folder itself; nothing may ever permit all that is beneath it.
        return path == "/";
    }
    let folder = root.ends_with('/');
    let mut parts = path.trim_end_matches('/').split('/');
    for want in root.trim_end_matches('/').split('/') {
        let Some(part) = parts.next() else { return false };
        let same = match want.strip_suffix('*') {
            Some(prefix) => part.starts_with(prefix),
            None if want == "{pid}" => !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()),
            None => part == want,
        };
        if !same {
            return false;
        }
    }
    folder || parts.next().is_none()
}
