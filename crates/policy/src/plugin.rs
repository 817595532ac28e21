//! Plugins: what a TOML file says, and the forms that it becomes. The format is described in `docs/PLUGINS.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::form::{COUNT, Form, Item, OptionSpec, OptionValue, Roots};
use crate::types::ValueType;
use crate::{Access, Level, Limits, Profile, Risk};

/// A family of commands.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// The category that its verdicts carry.
    pub category: String,
    /// The file it is from.
    pub file: String,
    /// Its commands.
    pub commands: Vec<Command>,
}

/// A program and the shapes of its arguments.
#[derive(Debug, Clone)]
pub struct Command {
    /// The bare name by which it is called.
    pub name: String,
    /// Absolute places of the program; the target takes the first that exists.
    pub program: Vec<String>,
    /// What it may do with the paths on its command line.
    pub access: Access,
    /// What else it reads of the system.
    pub reads: Vec<String>,
    /// Programs that it starts.
    pub helpers: Vec<String>,
    /// The target's own reader that does the same without the program.
    pub native: Option<String>,
    /// Its forms.
    pub forms: Vec<Form>,
}

/// Why a plugin file is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub cause: String,
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.cause)
    }
}

impl std::error::Error for PluginError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginFile {
    name: String,
    title: String,
    category: String,
    #[serde(default)]
    roots: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    command: Vec<toml::Spanned<CommandFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandFile {
    name: String,
    #[serde(default)]
    program: Vec<String>,
    #[serde(default = "default_profile")]
    profile: Profile,
    /// Long options with one dash, values as separate words: find, ip.
    #[serde(default)]
    single_dash: bool,
    /// What it may do with the paths on its command line.
    #[serde(default)]
    access: Access,
    /// What else it reads of the system; a folder ends with `/`.
    #[serde(default)]
    reads: Vec<String>,
    /// Programs that it starts.
    #[serde(default)]
    helpers: Vec<String>,
    /// The target's own reader that does the same.
    #[serde(default)]
    native: Option<String>,
    /// Options that every form has.
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    form: Vec<toml::Spanned<FormFile>>,
}

fn default_profile() -> Profile {
    Profile::Proc
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormFile {
    name: String,
    level: Level,
    #[serde(default)]
    risk: Option<Risk>,
    #[serde(default)]
    title: String,
    /// For a blocked form: why, and what to do instead.
    #[serde(default)]
    reason: String,
    /// For a blocked form: it has every shape.
    #[serde(default)]
    any: bool,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
    /// Options of which each must be given, by one of its names.
    #[serde(default)]
    require: Vec<String>,
    /// Options that must stand in front of every word that is no option: behind a subcommand they mean something else.
    #[serde(default)]
    leading: Vec<String>,
    /// Options of which one may be given, once: a second one would mean something else.
    #[serde(default)]
    exclusive: Vec<String>,
    /// Options that are added unless given.
    #[serde(default)]
    force: Vec<String>,
    /// Where forced options stand: behind the program's name, or behind the leading fixed words.
    #[serde(default)]
    force_behind_words: bool,
    #[serde(default)]
    profile: Option<Profile>,
    #[serde(default)]
    lines: Option<u64>,
    #[serde(default)]
    bytes: Option<u64>,
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    counter_examples: Vec<String>,
}

/// The 1-based line of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

impl Plugin {
    /// Reads a plugin file.
    ///
    /// # Errors
    /// The first thing that is wrong in it; nothing of a wrong file is used.
    pub fn parse(file: &str, text: &str) -> Result<Self, PluginError> {
        let wrong = |offset: usize, cause: String| PluginError {
            file: file.to_owned(),
            line: line_of(text, offset),
            cause,
        };
        let parsed: PluginFile = toml::from_str(text)
            .map_err(|e| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned()))?;
        if parsed.name.is_empty()
            || !parsed.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(wrong(
                0,
                format!("{:?} is no plugin name: lower-case letters, digits and '-'", parsed.name),
            ));
        }
        let roots = Arc::new(Roots::new(&parsed.roots, &parsed.exclude).map_err(|cause| wrong(0, cause))?);
        let mut commands = Vec::new();
        for command in parsed.command {
            let at = command.span().start;
            commands.push(read_command(command.into_inner(), at, &roots, &wrong)?);
        }
        if commands.is_empty() {
            return Err(wrong(0, "the plugin has no command".to_owned()));
        }
        Ok(Self {
            name: parsed.name,
            title: parsed.title,
            category: parsed.category,
            file: file.to_owned(),
            commands,
        })
    }
}

type Wrong<'a> = &'a dyn Fn(usize, String) -> PluginError;

fn read_command(
    command: CommandFile,
    at: usize,
    roots: &Arc<Roots>,
    wrong: Wrong<'_>,
) -> Result<Command, PluginError> {
    let bare = !command.name.is_empty()
        && command.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
        && !command.name.starts_with(['-', '.']);
    if !bare {
        return Err(wrong(at, format!("{:?} is no bare program name", command.name)));
    }
    for (what, places) in
        [("program", &command.program), ("reads", &command.reads), ("helpers", &command.helpers)]
    {
        let bad = |p: &&String| !p.starts_with('/') || p.contains("..") || p.contains("//") || *p == "/";
        if let Some(bad) = places.iter().find(bad) {
            return Err(wrong(at, format!("{what} {bad:?}: it must be an absolute path")));
        }
    }
    let named = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase());
    if let Some(bad) = command.native.as_ref().filter(|name| !named(name)) {
        return Err(wrong(at, format!("native {bad:?}: a reader's name has lower-case letters only")));
    }
    let program = if command.program.is_empty() {
        ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().map(|d| format!("{d}/{}", command.name)).collect()
    } else {
        command.program
    };
    let mut forms = Vec::new();
    for form in command.form {
        let at = form.span().start;
        let mut form = form.into_inner();
        form.options.splice(0..0, command.options.iter().cloned());
        let profile = form.profile.unwrap_or(command.profile);
        let form = read_form(form, command.single_dash, profile, roots).map_err(|cause| wrong(at, cause))?;
        forms.push(form.named(&command.name));
    }
    if forms.is_empty() {
        return Err(wrong(at, format!("{} has no form", command.name)));
    }
    Ok(Command {
        name: command.name,
        program,
        access: command.access,
        reads: command.reads,
        helpers: command.helpers,
        native: command.native,
        forms,
    })
}

fn read_form(
    form: FormFile,
    single_dash: bool,
    profile: Profile,
    roots: &Arc<Roots>,
) -> Result<Form, String> {
    let name = form.name.clone();
    let within = |cause: String| format!("form {name:?}: {cause}");
    if form.any && form.level != Level::Blocked {
        return Err(within("only a blocked form may have any = true".to_owned()));
    }
    if form.any && !form.words.is_empty() {
        return Err(within("a form with any = true has every shape: it has no words".to_owned()));
    }
    if form.level == Level::Blocked && form.reason.is_empty() {
        return Err(within("a blocked form needs a reason".to_owned()));
    }
    if form.level != Level::Blocked && (form.examples.is_empty() || form.counter_examples.is_empty()) {
        return Err(within("it needs examples and counter_examples".to_owned()));
    }
    let items =
        form.words.iter().map(|w| read_item(w, roots)).collect::<Result<Vec<_>, _>>().map_err(within)?;
    let options = form
        .options
        .iter()
        .map(|o| read_option(o, single_dash, roots))
        .collect::<Result<Vec<_>, _>>()
        .map_err(within)?;
    let mut seen: Vec<&str> = Vec::new();
    for spelled in options.iter().flat_map(|o| &o.names) {
        if seen.contains(&spelled.as_str()) {
            return Err(within(format!("the option {spelled} stands twice")));
        }
        seen.push(spelled);
    }
    let named = |names: &[String]| {
        names.iter().map(|r| find(&options, r)).collect::<Result<Vec<_>, _>>().map_err(within)
    };
    let require = named(&form.require)?;
    let leading = named(&form.leading)?;
    let exclusive = named(&form.exclusive)?;
    let force = form
        .force
        .iter()
        .map(|f| {
            let words: Vec<String> = f.split(' ').map(str::to_owned).collect();
            let name = words[0].split('=').next().unwrap_or_default();
            find(&options, name).map(|option| (option, words))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(within)?;
    let default_risk = match form.level {
        Level::Auto => Risk::Low,
        Level::Manual => Risk::Medium,
        Level::Blocked => Risk::High,
    };
    let form = Form {
        name: form.name,
        command: String::new(),
        title: form.title,
        level: form.level,
        risk: form.risk.unwrap_or(default_risk),
        reason: form.reason,
        any: form.any,
        single_dash,
        usage: String::new(),
        items,
        options,
        require,
        leading,
        exclusive,
        force,
        force_behind_words: form.force_behind_words,
        profile,
        limits: Limits {
            lines: form.lines.unwrap_or(20_000),
            bytes: form.bytes.unwrap_or(1 << 20),
            seconds: form.seconds.unwrap_or(30),
        },
        roots: Arc::clone(roots),
        examples: form.examples,
        counter_examples: form.counter_examples,
    };
    form.check_forced().map_err(within)?;
    Ok(form)
}

fn find(options: &[OptionSpec], name: &str) -> Result<usize, String> {
    options
        .iter()
        .position(|o| o.names.iter().any(|n| n == name))
        .ok_or_else(|| format!("the option {name} is not listed"))
}

fn read_type(text: &str, roots: &Roots) -> Result<ValueType, String> {
    let ty: ValueType = text.parse()?;
    if let ValueType::Path(names) = &ty
        && let Some(name) = names.iter().find(|name| !roots.has(name))
    {
        return Err(format!("the root {name:?} is not defined in [roots]"));
    }
    Ok(ty)
}

/// `word`, `one|other`, `{type}`, `{type}?`, `{type}*`, `{type}+`
fn read_item(text: &str, roots: &Roots) -> Result<Item, String> {
    let Some(inner) = text.strip_prefix('{') else {
        let words: Vec<String> = text.split('|').map(str::to_owned).collect();
        return if words.iter().any(String::is_empty) {
            Err(format!("{text:?} is no word"))
        } else {
            Ok(Item::Fixed(words))
        };
    };
    let (ty, count) = inner.rsplit_once('}').ok_or_else(|| format!("{text:?}: '}}' is missing"))?;
    let (min, max) = match count {
        "" => (1, 1),
        "?" => (0, 1),
        "*" => (0, 32),
        "+" => (1, 32),
        _ => return Err(format!("{text:?}: '?', '*' or '+' may follow")),
    };
    Ok(Item::Operand { ty: read_type(ty, roots)?, min, max })
}

/// `-l|--full`, `-n|--lines|-NUMBER {int:1..1000}`, `--color[{enum:auto|never}]`; with single dashes also `+short`.
fn read_option(text: &str, single_dash: bool, roots: &Roots) -> Result<OptionSpec, String> {
    let (names, value) = match text.split_once('{') {
        None => (text, OptionValue::None),
        Some((names, rest)) => {
            if let Some(names) = names.strip_suffix('[') {
                let ty = rest.strip_suffix("}]").ok_or_else(|| format!("{text:?}: '}}]' is missing"))?;
                (names, OptionValue::Optional(read_type(ty, roots)?))
            } else {
                let names = names
                    .strip_suffix(' ')
                    .ok_or_else(|| format!("{text:?}: a blank must stand before '{{'"))?;
                let ty = rest.strip_suffix('}').ok_or_else(|| format!("{text:?}: '}}' is missing"))?;
                (names, OptionValue::Required(read_type(ty, roots)?))
            }
        }
    };
    let names: Vec<String> = names.split('|').map(str::to_owned).collect();
    for name in &names {
        let dashed = name.starts_with('-') && name.len() > 1 && name != "--";
        let shape = if single_dash {
            dashed || matches!(name.as_str(), "(" | ")" | "!") || (name.starts_with('+') && name.len() > 1)
        } else {
            (dashed && (name.starts_with("--") || name.chars().count() == 2)) || name == COUNT
        };
        // With single dashes `-type=MX` is one word, known as a whole.
        if !shape || !name.bytes().all(|b| b.is_ascii_graphic() && (b != b'=' || single_dash)) {
            return Err(format!("{name:?} is no option name"));
        }
    }
    Ok(OptionSpec { names, value })
}

/// What `policy list --json` prints.
#[derive(Debug, Serialize)]
pub struct Listing<'a> {
    digest: &'a str,
    plugins: Vec<PluginRow<'a>>,
}

#[derive(Debug, Serialize)]
struct PluginRow<'a> {
    name: &'a str,
    title: &'a str,
    category: &'a str,
    commands: Vec<CommandRow<'a>>,
}

#[derive(Debug, Serialize)]
struct CommandRow<'a> {
    name: &'a str,
    program: &'a [String],
    forms: Vec<FormRow<'a>>,
}

#[derive(Debug, Serialize)]
struct FormRow<'a> {
    name: &'a str,
    title: &'a str,
    usage: &'a str,
    level: Level,
    risk: Risk,
    reason: &'a str,
    examples: &'a [String],
}

impl<'a> Listing<'a> {
    pub(crate) fn new(digest: &'a str, plugins: &'a [Plugin]) -> Self {
        let form = |f: &'a Form| FormRow {
            name: &f.name,
            title: &f.title,
            usage: f.usage(),
            level: f.level,
            risk: f.risk,
            reason: &f.reason,
            examples: &f.examples,
        };
        let command = |c: &'a Command| CommandRow {
            name: &c.name,
            program: &c.program,
            forms: c.forms.iter().map(form).collect(),
        };
        let row = |p: &'a Plugin| PluginRow {
            name: &p.name,
            title: &p.title,
            category: &p.category,
            commands: p.commands.iter().map(command).collect(),
        };
        Self { digest, plugins: plugins.iter().map(row).collect() }
    }
}
