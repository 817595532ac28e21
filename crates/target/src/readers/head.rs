//! `head`.

use super::files::{Found, Input};
use super::io::{Io, Stop, words};
use super::options::{self, flag, value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    Lines(u64),
    Bytes(u64),
}

pub(super) struct Options {
    amount: Amount,
    names: Names,
}

/// Whether the names of files stand above what is theirs.
#[derive(Clone, Copy)]
pub(super) enum Names {
    IfSeveral,
    Always,
    Never,
}

impl Names {
    pub(super) fn shown(self, files: usize) -> bool {
        match self {
            Self::IfSeveral => files > 1,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

pub(super) fn parse(arguments: &[&str]) -> Option<Options> {
    let known = [
        value('n', &["lines"]),
        value('c', &["bytes"]),
        flag('q', &["quiet", "silent"]),
        flag('v', &["verbose"]),
    ];
    let mut options = Options { amount: Amount::Lines(10), names: Names::IfSeveral };
    // A number by itself is an option only where it is the first word.
    let count = arguments.first().and_then(|word| number(word.strip_prefix('-')?));
    options.amount = count.map_or(options.amount, Amount::Lines);
    for (letter, value) in options::parse(&known, &arguments[usize::from(count.is_some())..])?.options {
        match letter {
            'n' => options.amount = Amount::Lines(number(value)?),
            'c' => options.amount = Amount::Bytes(number(value)?),
            'q' => options.names = Names::Never,
            _ => options.names = Names::Always,
        }
    }
    Some(options)
}

/// Digits alone.
pub(super) fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

pub(super) fn run(options: &Options, inputs: Vec<Input>, io: &mut Io) -> Result<u8, Stop> {
    let shown = options.names.shown(inputs.len());
    let mut title = Title { shown, first: true };
    let mut status = 0;
    for mut input in inputs {
        if let Err(message) = one(options.amount, &mut input, &mut title, io)? {
            status = 1;
            io.complain(&message)?;
        }
    }
    Ok(status)
}

/// `==> NAME <==`, with a blank line in front of all but the first.
pub(super) struct Title {
    pub(super) shown: bool,
    pub(super) first: bool,
}

impl Title {
    pub(super) fn print(&mut self, name: &str, io: &mut Io) -> Result<(), Stop> {
        if self.shown {
            let before = if self.first { "" } else { "\n" };
            io.write(format!("{before}==> {name} <==\n").as_bytes())?;
            self.first = false;
        }
        Ok(())
    }
}

fn one(
    amount: Amount,
    input: &mut Input,
    title: &mut Title,
    io: &mut Io,
) -> Result<Result<(), String>, Stop> {
    let name = &input.name;
    let opened = match &mut input.found {
        Found::Error(e) => return Ok(Err(format!("cannot open '{name}' for reading: {}", words(e)))),
        Found::Folder => {
            title.print(name, io)?;
            return Ok(Err(format!("error reading '{name}': Is a directory")));
        }
        Found::File(opened) => opened,
    };
    title.print(name, io)?;
    let failed = |e: &std::io::Error| Ok(Err(format!("error reading '{name}': {}", words(e))));
    if let Err(e) = opened.look() {
        return failed(&e);
    }
    let mut source = opened.source(&io.stop);
    let mut chunk = vec![0; 16 << 10];
    let mut left = amount;
    while !matches!(left, Amount::Lines(0) | Amount::Bytes(0)) {
        let size = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => size,
            Err(e) => return failed(&e),
        };
        let kept = first(&chunk[..size], &mut left);
        io.write(&chunk[..kept])?;
    }
    Ok(Ok(()))
}

/// How many of these bytes belong to the amount, which they lessen.
pub(super) fn first(bytes: &[u8], left: &mut Amount) -> usize {
    match left {
        Amount::Bytes(left) => {
            let kept = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= kept as u64;
            kept
        }
        Amount::Lines(left) => {
            for end in memchr::memchr_iter(b'\n', bytes) {
                if *left == 0 {
                    break;
                }
                *left -= 1;
                if *left == 0 {
                    return end + 1;
                }
            }
            if *left == 0 { 0 } else { bytes.len() }
        }
    }
}
