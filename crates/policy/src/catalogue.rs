//! All plugins together, and the judge.

use std::collections::HashMap;

use crate::form::{Fit, Form, Misfit};
use crate::lex::{MAX_LINE, MAX_WORDS, Words, lex, quote};
use crate::plugin::{Command, Listing, Plugin, PluginError};
use crate::{Account, Judgement, Level, Permit, Risk, sha256_hex};

include!(concat!(env!("OUT_DIR"), "/plugins.rs"));
include!(concat!(env!("OUT_DIR"), "/listed.rs"));

/// The form that comes nearest to a blocked line.
#[derive(Debug, Clone)]
pub struct Nearest<'a> {
    /// The plugin that lists it.
    pub plugin: &'a Plugin,
    /// The form.
    pub form: &'a Form,
    /// The word that failed; `None` when something is missing at the end.
    pub word: Option<String>,
    /// Why it failed.
    pub cause: String,
}

/// The text of a built-in plugin.
fn text(bytes: &[u8]) -> String {
    let bytes = if DEFLATED { inflate(bytes) } else { bytes.to_vec() };
    String::from_utf8(bytes).unwrap_or_default()
}

/// In bytes, far more than any plugin has.
const MOST: usize = 1 << 20;

/// Nothing when it is too much or no deflated text: nothing is no plugin and would be refused.
fn inflate(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec_with_limit(bytes, MOST).unwrap_or_default()
}

/// A plugin file.
struct Source {
    file: String,
    /// `None` for a built-in one that is not read.
    text: Option<String>,
    /// SHA-256 of the file; the text may be a shorter one that judges alike.
    digest: String,
}

impl Source {
    fn new((file, text): (String, String)) -> Self {
        let digest = sha256_hex(&[text.as_bytes()]);
        Self { file, text: Some(text), digest }
    }
}

/// The built-in plugins: all of them, or of those that list a command what they say of it.
fn builtin(command: Option<&str>) -> impl Iterator<Item = Source> {
    PLUGINS.iter().enumerate().map(move |(index, (name, bytes, digest))| Source {
        file: format!("builtin/{name}"),
        text: match (command, LISTED.get(index)) {
            (Some(command), Some(listed)) => listed.contains(&command).then(|| part(&text(bytes), command)),
            _ => Some(text(bytes)),
        },
        digest: (*digest).to_owned(),
    })
}

/// A built-in plugin's text with one of its commands alone: most of the time that a one-shot line takes before its program starts
/// would go into reading the others.
fn part(text: &str, command: &str) -> String {
    const HEADER: &str = "[[command]]\n";
    let named = format!("name = \"{command}\"\n");
    let mut pieces = text.split(HEADER);
    let mut short = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces.filter(|piece| piece.starts_with(&named)) {
        short.push_str(HEADER);
        short.push_str(piece);
    }
    short
}

/// The policy: every plugin that is in force.
#[derive(Debug, Clone)]
pub struct Catalogue {
    plugins: Vec<Plugin>,
    /// Which commands of which plugins have a name.
    names: HashMap<String, Vec<(usize, usize)>>,
    digest: String,
}

impl Catalogue {
    /// The built-in plugins alone.
    ///
    /// # Errors
    /// A built-in file that is wrong; a test keeps that from happening.
    pub fn builtin() -> Result<Self, PluginError> {
        Self::with_plugins([])
    }

    /// The built-in plugins and others, given as file name and text.
    ///
    /// # Errors
    /// The first wrong file, with its line. A plugin may add forms to a command that another one lists; a `blocked` form
    /// beats every other. Two plugins cannot have the same name.
    pub fn with_plugins(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, PluginError> {
        Self::load(builtin(None).chain(files.into_iter().map(Source::new)))
    }

    /// These plugins alone, without the built-in ones: to judge a plugin by itself.
    ///
    /// # Errors
    /// As [`Self::with_plugins`].
    pub fn of(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, PluginError> {
        Self::load(files.into_iter().map(Source::new))
    }

    /// As [`Self::with_plugins`], but of the built-in plugins only what they say of the command of this line is read: its verdict is
    /// the same, in a fiftieth of the time. The digest is that of the whole policy.
    ///
    /// # Errors
    /// As [`Self::with_plugins`], for the plugins that are read.
    pub fn for_line(
        line: &str,
        files: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, PluginError> {
        let words = lex(line).ok();
        // A line that is none has no command, and no plugin lists it.
        let command = words.as_ref().map_or("", |w| w[0].as_str());
        Self::load(builtin(Some(command)).chain(files.into_iter().map(Source::new)))
    }

    fn load(sources: impl Iterator<Item = Source>) -> Result<Self, PluginError> {
        let sources: Vec<Source> = sources.collect();
        let mut plugins: Vec<Plugin> = Vec::new();
        // A built-in file that is not read has the name of its plugin; a test holds it to that.
        let mut taken: Vec<(String, &str)> = Vec::new();
        for Source { file, text, .. } in &sources {
            let name = match text {
                Some(text) => {
                    let plugin = Plugin::parse(file, text)?;
                    let name = plugin.name.clone();
                    plugins.push(plugin);
                    name
                }
                None => stem(file).to_owned(),
            };
            if let Some((_, other)) = taken.iter().find(|(n, _)| *n == name) {
                let cause = format!("the plugin {name} is defined in {other} already");
                return Err(PluginError { file: file.clone(), line: 1, cause });
            }
            taken.push((name, file));
        }
        // Where a file lies differs between server and target; its name and bytes do not.
        let mut named: Vec<(&str, &str)> = sources
            .iter()
            .map(|source| (source.file.rsplit('/').next().unwrap_or(&source.file), source.digest.as_str()))
            .collect();
        named.sort_unstable();
        let listed: String = named.iter().map(|(name, digest)| format!("{name}\n{digest}\n")).collect();
        let digest = sha256_hex(&[listed.as_bytes()]);
        let mut index: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (p, plugin) in plugins.iter().enumerate() {
            for (c, command) in plugin.commands.iter().enumerate() {
                index.entry(command.name.clone()).or_default().push((p, c));
            }
        }
        Ok(Self { plugins, names: index, digest })
    }

    /// SHA-256 over the names and SHA-256s of all plugin files: equal digests, equal verdicts.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The plugins, built-in ones first.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// What `policy list --json` prints.
    pub fn listing(&self) -> Listing<'_> {
        Listing::new(&self.digest, &self.plugins)
    }

    /// The verdict on a line. Total and deterministic.
    pub fn judge(&self, line: &str) -> Judgement {
        match lex(line) {
            Ok(words) => self.judge_words(line, &words),
            Err(e) => blocked(line, Risk::High, None, e.to_string()),
        }
    }

    fn named(&self, name: &str) -> impl Iterator<Item = (&Plugin, &Command)> {
        let places = self.names.get(name).map(Vec::as_slice).unwrap_or_default();
        places.iter().map(|(p, c)| (&self.plugins[*p], &self.plugins[*p].commands[*c]))
    }

    fn judge_words(&self, line: &str, words: &Words) -> Judgement {
        let name = &words[0];
        let mut found: Vec<(&Plugin, &Command, &Form)> = Vec::new();
        for (plugin, command) in self.named(name) {
            found.extend(command.forms.iter().map(|form| (plugin, command, form)));
        }
        if found.is_empty() {
            let shown: String = name.chars().take(64).collect();
            return blocked(line, Risk::High, None, format!("no plugin lists the command {shown:?}"));
        }
        // A blocked form beats every other, and no approval stands above what may run at once.
        found.sort_by_key(|(_, _, form)| match form.level {
            Level::Blocked => 0,
            Level::Auto => 1,
            Level::Manual => 2,
        });
        for (plugin, command, form) in found.iter().filter(|(_, _, form)| form.may_fit(words)) {
            if let Ok(fit) = form.fit(words) {
                if form.level != Level::Blocked
                    && let Err(cause) = settled(&found, form, line, words, &fit)
                {
                    return blocked(line, Risk::High, Some(plugin), cause);
                }
                return permitted(line, plugin, command, form, fit);
            }
        }
        match self.nearest_form(words) {
            None => blocked(line, Risk::High, None, format!("{name} is not permitted")),
            Some((plugin, form, misfit)) => {
                let reason = format!("{}; the nearest permitted form is: {}", misfit.cause, form.usage());
                blocked(line, form.risk.max(Risk::Medium), Some(plugin), reason)
            }
        }
    }

    /// The form that most words of the line fit, blocked forms left out.
    fn nearest_form(&self, words: &Words) -> Option<(&Plugin, &Form, Misfit)> {
        let mut nearest: Option<(&Plugin, &Form, Misfit)> = None;
        for (plugin, command) in self.named(&words[0]) {
            for form in &command.forms {
                if form.level == Level::Blocked {
                    continue;
                }
                if let Err(misfit) = form.fit(words) {
                    // Of equal ones the form that needs no person.
                    let nearer = nearest.as_ref().is_none_or(|(_, best_form, best)| {
                        (misfit.fits, best_form.level) > (best.fits, form.level)
                    });
                    if nearer {
                        nearest = Some((plugin, form, misfit));
                    }
                }
            }
        }
        nearest
    }

    /// For a line that no form permits: the form that comes nearest, and the word at which the line leaves it.
    pub fn nearest(&self, line: &str) -> Option<Nearest<'_>> {
        let words = lex(line).ok()?;
        let (plugin, form, misfit) = self.nearest_form(&words)?;
        Some(Nearest { plugin, form, word: words.get(misfit.fits).cloned(), cause: misfit.cause })
    }

    /// Judges every example and counter-example; what comes back is what is wrong.
    pub fn check_examples(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for plugin in &self.plugins {
            for form in plugin.commands.iter().flat_map(|c| &c.forms) {
                let name = format!("{}/{}", form.command, form.name);
                for line in &form.examples {
                    let judged = self.judge(line);
                    if judged.verdict != form.level || judged.form.as_deref() != Some(&name) {
                        problems.push(format!(
                            "{}: {name}: example {line:?} is {}: {}",
                            plugin.file, judged.verdict, judged.reason
                        ));
                    }
                }
                for line in &form.counter_examples {
                    let judged = self.judge(line);
                    if judged.verdict <= form.level && judged.verdict != Level::Blocked {
                        problems.push(format!(
                            "{}: {name}: counter-example {line:?} is {}",
                            plugin.file, judged.verdict
                        ));
                    }
                }
            }
        }
        problems
    }
}

/// Whether the words that run, forced options included, are themselves a line with this very form: a grant carries them, and
/// the target judges what it carries.
fn settled(
    found: &[(&Plugin, &Command, &Form)],
    form: &Form,
    line: &str,
    words: &Words,
    fit: &Fit,
) -> Result<(), String> {
    // Quoting makes a line less than eight times as long.
    if fit.argv.len() > MAX_WORDS || (line.len() > MAX_LINE / 8 && quote(&fit.argv).len() > MAX_LINE) {
        return Err(format!(
            "quoted and with forced options the line has more than {MAX_WORDS} words or {MAX_LINE} bytes"
        ));
    }
    if fit.argv.len() == words.len() {
        return Ok(());
    }
    let again = found.iter().find_map(|(_, _, other)| Some((*other, other.fit(&fit.argv).ok()?)));
    match again {
        Some((other, again)) if std::ptr::eq(other, form) && again == *fit => Ok(()),
        _ => Err(format!("forced options cannot be added to this line: {}", form.usage())),
    }
}

fn stem(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".toml").unwrap_or(name)
}

fn permitted(line: &str, plugin: &Plugin, command: &Command, form: &Form, fit: Fit) -> Judgement {
    let name = format!("{}/{}", form.command, form.name);
    let (account, reason) = match form.level {
        Level::Auto => (Account::Reader, format!("permitted: {}", form.usage())),
        Level::Manual => (Account::Runner, format!("a person must approve: {}", form.usage())),
        Level::Blocked => {
            let mut judged = blocked(line, form.risk, Some(plugin), form.reason.clone());
            judged.form = Some(name);
            return judged;
        }
    };
    let permit = Permit {
        program: command.program.clone(),
        argv: fit.argv.clone(),
        profile: form.profile,
        limits: form.limits,
        account,
        level: form.level,
        paths: fit.paths,
        access: command.access,
        reads: command.reads.clone(),
        helpers: command.helpers.clone(),
        native: command.native.clone(),
    };
    Judgement {
        line: line.to_owned(),
        verdict: form.level,
        risk: form.risk,
        category: plugin.category.clone(),
        plugin: Some(plugin.name.clone()),
        form: Some(name),
        argv: fit.argv,
        account,
        reason,
        permit: Some(permit),
    }
}

fn blocked(line: &str, risk: Risk, plugin: Option<&Plugin>, reason: String) -> Judgement {
    Judgement {
        line: line.to_owned(),
        verdict: Level::Blocked,
        risk,
        category: plugin.map_or_else(|| "unknown".to_owned(), |p| p.category.clone()),
        plugin: plugin.map(|p| p.name.clone()),
        form: None,
        argv: Vec::new(),
        account: Account::Reader,
        reason,
        permit: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::compact;

    #[test]
    fn the_compact_catalogue_judges_as_the_whole_one_does() {
        let whole = Catalogue::builtin().unwrap();
        let files = PLUGINS.iter().map(|(name, bytes, _)| ((*name).to_owned(), compact(&text(bytes))));
        let short = Catalogue::of(files.clone()).unwrap();
        let mut judged = 0;
        for form in whole.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms) {
            for line in form.examples.iter().chain(&form.counter_examples) {
                assert_eq!(whole.judge(line), short.judge(line), "{line}");
                judged += 1;
            }
        }
        assert!(judged > 1000, "{judged}");
        let long: usize = PLUGINS.iter().map(|p| text(p.1).len()).sum();
        let brief: usize = files.map(|f| f.1.len()).sum();
        assert!(brief < long * 2 / 3, "{brief} of {long} bytes");
    }

    #[test]
    fn a_deflated_plugin_is_inflated_up_to_a_bound() {
        let deflated = |n: usize| miniz_oxide::deflate::compress_to_vec(&vec![b'a'; n], 1);
        assert_eq!(inflate(&deflated(1 << 20)), vec![b'a'; 1 << 20]);
        assert!(inflate(&deflated((1 << 20) + 1)).is_empty());
        assert!(inflate(b"no deflated text").is_empty());
    }

    #[test]
    fn the_digest_is_that_of_the_files() {
        let whole = Catalogue::builtin().unwrap();
        let files = PLUGINS.iter().map(|(name, bytes, _)| ((*name).to_owned(), text(bytes)));
        assert_eq!(whole.digest(), Catalogue::of(files).unwrap().digest());
    }

    #[test]
    fn the_index_of_the_built_in_plugins_is_what_they_list() {
        let catalogue = Catalogue::builtin().unwrap();
        assert_eq!(catalogue.plugins.len(), LISTED.len());
        for (plugin, listed) in catalogue.plugins.iter().zip(LISTED) {
            assert_eq!(plugin.name, stem(&plugin.file));
            let names: Vec<&str> = plugin.commands.iter().map(|c| c.name.as_str()).collect();
            assert_eq!(names, **listed, "{}", plugin.name);
        }
    }

    #[test]
    fn a_line_is_judged_the_same_by_a_part_of_the_plugins() {
        let whole = Catalogue::builtin().unwrap();
        let forms = whole.plugins().iter().flat_map(|p| &p.commands).flat_map(|c| &c.forms);
        let examples = forms.flat_map(|f| f.examples.iter().chain(&f.counter_examples)).map(String::as_str);
        for line in examples.chain(["", "'", "unheard-of", "ls;id"]) {
            let part = Catalogue::for_line(line, []).unwrap();
            assert_eq!(part.judge(line), whole.judge(line), "{line}");
            assert_eq!(part.digest(), whole.digest());
            assert!(part.plugins.len() <= 2 && part.plugins.iter().all(|p| p.commands.len() == 1), "{line}");
        }
        let taken = ("x/git.toml".to_owned(), "name = \"git\"\ntitle = \"\"\ncategory = \"\"\n[[command]]\nname = \"a\"\n[[command.form]]\nname = \"a\"\nlevel = \"blocked\"\nany = true\nreason = \"x\"\n".to_owned());
        let error = Catalogue::for_line("ls", [taken]).unwrap_err();
        assert!(error.cause.contains("builtin/git.toml"), "{error}");
    }
}
