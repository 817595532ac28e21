//! `grep`, `zgrep`.

mod lines;
mod matcher;
mod syntax;

use std::collections::VecDeque;

use self::lines::{LONGEST, Lines, survey};
use self::matcher::{Asked, Matcher, Syntax};
use super::files::{Found, Input, Opened};
use super::head::number;
use super::io::{Io, Stop, words};
use super::options::{self, COUNT, flag, value};

/// Which names are listed instead of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Matching,
    NotMatching,
}

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
struct Flags {
    invert: bool,
    numbers: bool,
    offsets: bool,
    count: bool,
    list: Option<List>,
    only: bool,
    quiet: bool,
    silent: bool,
    names: Option<bool>,
    text: bool,
    most: Option<u64>,
    before: Option<usize>,
    after: Option<usize>,
}

pub(super) struct Options {
    matcher: Matcher,
    flags: Flags,
}

const LINE_BUFFERED: char = '\u{1}';

pub(super) fn parse(arguments: &[&str]) -> Option<Options> {
    let known = [
        flag('i', &["ignore-case"]),
        flag('v', &["invert-match"]),
        flag('n', &["line-number"]),
        flag('c', &["count"]),
        flag('l', &["files-with-matches"]),
        flag('L', &["files-without-match"]),
        flag('w', &["word-regexp"]),
        flag('x', &["line-regexp"]),
        flag('E', &["extended-regexp"]),
        flag('F', &["fixed-strings"]),
        flag('G', &["basic-regexp"]),
        flag('o', &["only-matching"]),
        flag('q', &["quiet", "silent"]),
        flag('s', &["no-messages"]),
        flag('h', &["no-filename"]),
        flag('H', &["with-filename"]),
        flag('a', &["text"]),
        flag('b', &["byte-offset"]),
        flag(LINE_BUFFERED, &["line-buffered"]),
        value('m', &["max-count"]),
        value('A', &["after-context"]),
        value('B', &["before-context"]),
        value('C', &["context"]),
        value('e', &["regexp"]),
        value(COUNT, &[]),
    ];
    let parsed = options::parse(&known, arguments)?;
    let (mut flags, mut asked, mut syntax) = (Flags::default(), Asked::default(), Syntax::Basic);
    let (mut patterns, mut context) = (Vec::new(), None);
    let size = |value: &str| number(value).and_then(|n| usize::try_from(n).ok());
    for (letter, value) in parsed.options {
        match letter {
            'i' => asked.fold = true,
            'v' => flags.invert = true,
            'n' => flags.numbers = true,
            'c' => flags.count = true,
            'l' => flags.list = Some(List::Matching),
            'L' => flags.list = Some(List::NotMatching),
            'w' => asked.word = true,
            'x' => asked.line = true,
            'E' => syntax = Syntax::Extended,
            'F' => syntax = Syntax::Fixed,
            'G' => syntax = Syntax::Basic,
            'o' => flags.only = true,
            'q' => flags.quiet = true,
            's' => flags.silent = true,
            'h' => flags.names = Some(false),
            'H' => flags.names = Some(true),
            'a' => flags.text = true,
            'b' => flags.offsets = true,
            'm' => flags.most = Some(number(value)?),
            'A' => flags.after = Some(size(value)?),
            'B' => flags.before = Some(size(value)?),
            'C' | COUNT => context = Some(size(value)?),
            'e' => patterns.push(value),
            _ => {}
        }
    }
    if patterns.is_empty() {
        patterns.push(parsed.operands.first()?);
    }
    (flags.before, flags.after) = (flags.before.or(context), flags.after.or(context));
    let surrounded = flags.before.is_some() || flags.after.is_some();
    // Rare together, and each with rules of its own.
    let odd = (surrounded && (flags.only || flags.most.is_some())) || (flags.count && flags.list.is_some());
    // The program does not even look.
    if flags.invert && patterns.contains(&"") {
        return None;
    }
    asked.places = flags.only && !flags.invert;
    let matcher = Matcher::new(&patterns, syntax, asked)?;
    (!odd).then_some(Options { matcher, flags })
}

pub(super) fn run(options: &Options, mut inputs: Vec<Input>, io: &mut Io) -> Result<u8, Stop> {
    // Before anything is written: is there something that the program would treat in its own way?
    for input in &mut inputs {
        examine(options, input, io)?;
    }
    let named = options.flags.names.unwrap_or(inputs.len() > 1);
    let mut search = Search { options, named, used: false };
    let (mut selected, mut failed) = (false, false);
    for input in &mut inputs {
        let message = match &mut input.found {
            Found::Folder => "Is a directory".to_owned(),
            Found::Error(e) => words(e),
            Found::File(opened) => match search.file(&input.name, opened, io)? {
                Ok(count) => {
                    selected |= count > 0;
                    if options.flags.quiet && selected {
                        return Ok(0);
                    }
                    continue;
                }
                Err(message) => message,
            },
        };
        failed = true;
        if !options.flags.silent {
            io.complain(&format!("{}: {message}", input.name))?;
        }
    }
    Ok(if failed { 2 } else { u8::from(!selected) })
}

fn examine(options: &Options, input: &mut Input, io: &Io) -> Result<(), Stop> {
    let opened = match &mut input.found {
        Found::Folder => return io.decline(),
        Found::Error(_) => return Ok(()),
        Found::File(opened) => opened,
    };
    // What cannot be read says so when it is searched.
    if opened.look().is_err() || !opened.is_plain() || io.alone {
        return Ok(());
    }
    let Ok(seen) = survey(&mut opened.source(&io.stop)) else { return Ok(()) };
    let kept = options.flags.before.unwrap_or(0) + 1;
    let known = seen.text && (seen.ascii || !options.matcher.ascii_only);
    if known && seen.longest.saturating_mul(kept) <= KEPT && seen.longest <= LONGEST {
        Ok(())
    } else {
        io.decline()
    }
}

/// The most bytes of lines in front of a match that are kept.
const KEPT: usize = 4 << 20;

/// A line that may be printed in front of a match.
struct Before {
    number: u64,
    offset: u64,
    text: Vec<u8>,
}

struct Search<'a> {
    options: &'a Options,
    named: bool,
    /// A line has been printed.
    used: bool,
}

impl Search<'_> {
    /// How many lines are selected; the inner error is the message.
    fn file(&mut self, name: &str, opened: &Opened, io: &mut Io) -> Result<Result<u64, String>, Stop> {
        let flags = &self.options.flags;
        let listed = flags.quiet || flags.list.is_some();
        let printed = !listed && !flags.count;
        let mut lines = Lines::new(opened.source(&io.stop));
        let mut before: VecDeque<Before> = VecDeque::new();
        let (mut count, mut number, mut offset, mut after) = (0, 0, 0, 0);
        let mut kept = 0;
        // The last line that has been printed.
        let mut last = 0;
        loop {
            let (line, ended) = match lines.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(e) => return Ok(Err(words(&e))),
            };
            number += 1;
            let here = offset;
            offset += line.len() as u64 + u64::from(ended);
            if self.options.matcher.selects(line) == flags.invert {
                if printed && after > 0 {
                    after -= 1;
                    last = number;
                    self.print(name, number, here, line, b'-', io)?;
                } else if let Some(most) = flags.before.filter(|most| printed && *most > 0) {
                    kept += line.len();
                    before.push_back(Before { number, offset: here, text: line.to_vec() });
                    while before.len() > most || kept > KEPT {
                        kept -= before.pop_front().map_or(0, |line| line.text.len());
                    }
                }
                continue;
            }
            count += 1;
            if printed {
                let binary = memchr::memchr(0, line).is_some() || std::str::from_utf8(line).is_err();
                if binary && !flags.text {
                    io.complain(&format!("{name}: binary file matches"))?;
                    return Ok(Ok(count));
                }
                let first = before.front().map_or(number, |line| line.number);
                let surrounded = flags.before.is_some() || flags.after.is_some();
                if surrounded && self.used && (last == 0 || last + 1 != first) {
                    io.write(b"--\n")?;
                }
                for line in before.drain(..) {
                    self.print(name, line.number, line.offset, &line.text, b'-', io)?;
                }
                kept = 0;
                if flags.only {
                    self.matches(name, number, here, line, io)?;
                } else {
                    self.print(name, number, here, line, b':', io)?;
                }
                last = number;
                after = flags.after.unwrap_or(0);
            }
            if listed || flags.most.is_some_and(|most| count >= most) {
                break;
            }
        }
        self.summary(name, count, io)?;
        Ok(Ok(count))
    }

    fn summary(&self, name: &str, count: u64, io: &mut Io) -> Result<(), Stop> {
        let flags = &self.options.flags;
        if flags.quiet {
            return Ok(());
        }
        match flags.list {
            Some(list) if (list == List::Matching) == (count > 0) => io.write(format!("{name}\n").as_bytes()),
            None if flags.count && self.named => io.write(format!("{name}:{count}\n").as_bytes()),
            None if flags.count => io.write(format!("{count}\n").as_bytes()),
            _ => Ok(()),
        }
    }

    fn print(
        &mut self,
        name: &str,
        number: u64,
        offset: u64,
        text: &[u8],
        mark: u8,
        io: &mut Io,
    ) -> Result<(), Stop> {
        self.used = true;
        if self.named {
            io.write(name.as_bytes())?;
            io.write(&[mark])?;
        }
        let mark = char::from(mark);
        if self.options.flags.numbers {
            io.write(format!("{number}{mark}").as_bytes())?;
        }
        if self.options.flags.offsets {
            io.write(format!("{offset}{mark}").as_bytes())?;
        }
        io.write(text)?;
        io.write(b"\n")
    }

    fn matches(
        &mut self,
        name: &str,
        number: u64,
        offset: u64,
        line: &[u8],
        io: &mut Io,
    ) -> Result<(), Stop> {
        if self.options.flags.invert {
            return Ok(());
        }
        let options = self.options;
        options.matcher.each(line, |start, end| {
            self.print(name, number, offset + start as u64, &line[start..end], b':', io)
        })
    }
}
