//! `tail`. A long file is read from its end; a compressed one twice, so that nothing of it is kept.

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::decode::Source;
use super::files::{Found, Input, Opened};
use super::head::{Amount, Names, Title, first, number};
use super::io::{Io, Stop, words};
use super::options::{self, flag, value};

pub(super) struct Options {
    amount: Amount,
    /// Count from the start: what stands in front of this line is left out.
    from_start: bool,
    names: Names,
}

/// A plain file of this size at most, and one whose size the kernel does not say, is read whole.
const SMALL: u64 = 64 << 10;
/// The most that is kept of one whose size the kernel does not say.
const KEPT: usize = 16 << 20;

pub(super) fn parse(arguments: &[&str]) -> Option<Options> {
    let known = [
        value('n', &["lines"]),
        value('c', &["bytes"]),
        flag('q', &["quiet", "silent"]),
        flag('v', &["verbose"]),
    ];
    let mut options = Options { amount: Amount::Lines(10), from_start: false, names: Names::IfSeveral };
    // A number by itself is an option only where it is the first word and one file follows.
    if let [count, file] = arguments
        && let Some(count) = count.strip_prefix('-').and_then(number)
        && !file.starts_with('-')
    {
        options.amount = Amount::Lines(count);
        return Some(options);
    }
    for (letter, value) in options::parse(&known, arguments)?.options {
        match letter {
            'n' => {
                options.from_start = value.starts_with('+');
                options.amount = Amount::Lines(number(value.strip_prefix('+').unwrap_or(value))?);
            }
            'c' => {
                options.from_start = false;
                options.amount = Amount::Bytes(number(value)?);
            }
            'q' => options.names = Names::Never,
            _ => options.names = Names::Always,
        }
    }
    Some(options)
}

pub(super) fn run(options: &Options, inputs: Vec<Input>, io: &mut Io) -> Result<u8, Stop> {
    // Of a folder the program's words depend on the options.
    if inputs.iter().any(|input| matches!(input.found, Found::Folder)) {
        io.decline()?;
    }
    let mut title = Title { shown: options.names.shown(inputs.len()), first: true };
    let mut status = 0;
    for mut input in inputs {
        let name = input.name.clone();
        let opened = match &mut input.found {
            Found::Error(e) => {
                status = 1;
                io.complain(&format!("cannot open '{name}' for reading: {}", words(e)))?;
                continue;
            }
            found => {
                title.print(&name, io)?;
                match found {
                    Found::File(opened) => Some(opened),
                    _ => None,
                }
            }
        };
        let result = match opened {
            Some(opened) => one(options, opened, io)?,
            None => Err("Is a directory".to_owned()),
        };
        if let Err(message) = result {
            status = 1;
            io.complain(&format!("error reading '{name}': {message}"))?;
        }
    }
    Ok(status)
}

/// The inner error is the message.
type Told = Result<Result<(), String>, Stop>;

fn one(options: &Options, opened: &mut Opened, io: &mut Io) -> Told {
    if let Err(e) = opened.look() {
        return Ok(Err(words(&e)));
    }
    let mut source = opened.source(&io.stop);
    if options.from_start {
        let (Amount::Lines(from) | Amount::Bytes(from)) = options.amount;
        return copy_behind(&mut source, Amount::Lines(from.saturating_sub(1)), io);
    }
    if !opened.is_plain() {
        let total = match count(&mut source, options.amount) {
            Ok(total) => total,
            Err(e) => return Ok(Err(words(&e))),
        };
        // Its turn is over: the second one takes its own.
        drop(source);
        return copy_behind(&mut opened.source(&io.stop), left_out(options.amount, total), io);
    }
    if opened.size > SMALL {
        let from = match options.amount {
            Amount::Bytes(count) => Ok(opened.size.saturating_sub(count)),
            Amount::Lines(count) => last_lines(opened, count, io),
        };
        return match from {
            Ok(from) => {
                source.seek(from);
                copy_behind(&mut source, Amount::Bytes(0), io)
            }
            Err(e) => Ok(Err(words(&e))),
        };
    }
    let whole = match keep(&mut source) {
        Ok(whole) => whole,
        Err(e) => return Ok(Err(words(&e))),
    };
    let mut left = left_out(options.amount, total(&whole, options.amount, 0));
    let from = if matches!(left, Amount::Lines(0)) { 0 } else { first(&whole, &mut left) };
    io.write(&whole[from..])?;
    Ok(Ok(()))
}

/// Lines (a last one without its newline is one) or bytes; `before` of them have been counted.
fn total(bytes: &[u8], kind: Amount, before: u64) -> u64 {
    match kind {
        Amount::Bytes(_) => before + bytes.len() as u64,
        Amount::Lines(_) => {
            let lines = before + memchr::memchr_iter(b'\n', bytes).count() as u64;
            lines + u64::from(bytes.last().is_some_and(|last| *last != b'\n'))
        }
    }
}

/// What stands in front of the last `amount` of `total`.
fn left_out(amount: Amount, total: u64) -> Amount {
    match amount {
        Amount::Bytes(count) => Amount::Bytes(total.saturating_sub(count)),
        Amount::Lines(count) => Amount::Lines(total.saturating_sub(count)),
    }
}

/// How much a source holds, in lines or bytes.
fn count(source: &mut Source, kind: Amount) -> std::io::Result<u64> {
    let mut chunk = vec![0; 32 << 10];
    let (mut counted, mut open_line) = (0, false);
    loop {
        let size = source.read(&mut chunk)?;
        if size == 0 {
            return Ok(counted + u64::from(open_line));
        }
        match kind {
            Amount::Bytes(_) => counted += size as u64,
            Amount::Lines(_) => {
                counted += memchr::memchr_iter(b'\n', &chunk[..size]).count() as u64;
                open_line = chunk[size - 1] != b'\n';
            }
        }
    }
}

/// Prints what follows the first `left`.
fn copy_behind(source: &mut Source, mut left: Amount, io: &mut Io) -> Told {
    let mut chunk = vec![0; 32 << 10];
    loop {
        let size = match source.read(&mut chunk) {
            Ok(0) => return Ok(Ok(())),
            Ok(size) => size,
            Err(e) => return Ok(Err(words(&e))),
        };
        let from = match left {
            Amount::Lines(0) | Amount::Bytes(0) => 0,
            _ => first(&chunk[..size], &mut left),
        };
        io.write(&chunk[from..size])?;
    }
}

/// Where the last `count` lines begin.
fn last_lines(opened: &Opened, count: u64, io: &Io) -> std::io::Result<u64> {
    if count == 0 {
        return Ok(opened.size);
    }
    let mut block = vec![0; 32 << 10];
    let mut end = opened.size;
    let mut left = count;
    while end > 0 {
        // It may be a hole of a terabyte.
        if io.stop.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let start = (end - 1) / (32 << 10) * (32 << 10);
        let size = usize::try_from(end - start).unwrap_or(block.len());
        let read = opened.file.read_at(&mut block[..size], start)?;
        for at in memchr::memrchr_iter(b'\n', &block[..read]) {
            let behind = start + at as u64 + 1;
            // The newline at the very end belongs to the last line.
            if behind == opened.size {
                continue;
            }
            left -= 1;
            if left == 0 {
                return Ok(behind);
            }
        }
        end = start;
    }
    Ok(0)
}

/// All of a file that has no size.
fn keep(source: &mut Source) -> std::io::Result<Vec<u8>> {
    let mut whole = Vec::new();
    let mut chunk = vec![0; 32 << 10];
    loop {
        match source.read(&mut chunk)? {
            0 => return Ok(whole),
            size if whole.len() + size > KEPT => {
                return Err(std::io::Error::other("too much without a size"));
            }
            size => whole.extend_from_slice(&chunk[..size]),
        }
    }
}
