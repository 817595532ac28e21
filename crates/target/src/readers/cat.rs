//! `cat`, `zcat`.

use super::files::{Found, Input};
use super::io::{Io, Stop, words};
use super::options::{self, flag};

#[derive(Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(super) struct Options {
    number: bool,
    number_nonblank: bool,
    squeeze: bool,
    show_all: bool,
}

pub(super) fn parse(arguments: &[&str]) -> Option<Options> {
    let known = [
        flag('n', &["number"]),
        flag('b', &["number-nonblank"]),
        flag('s', &["squeeze-blank"]),
        flag('A', &["show-all"]),
    ];
    let mut options = Options::default();
    for (letter, _) in options::parse(&known, arguments)?.options {
        match letter {
            'n' => options.number = true,
            'b' => options.number_nonblank = true,
            's' => options.squeeze = true,
            _ => options.show_all = true,
        }
    }
    Some(options)
}

pub(super) fn run(options: &Options, inputs: Vec<Input>, io: &mut Io) -> Result<u8, Stop> {
    let mut status = 0;
    let mut page = Page { options, line: 0, at_start: true, blanks: 0 };
    let as_it_is = *options == Options::default();
    let mut chunk = vec![0; 16 << 10];
    for mut input in inputs {
        let result =
            copy(
                &mut input,
                io,
                &mut chunk,
                |bytes, io| {
                    if as_it_is { io.write(bytes) } else { page.print(bytes, io) }
                },
            )?;
        if let Err(message) = result {
            status = 1;
            io.complain(&format!("{}: {message}", input.name))?;
        }
    }
    Ok(status)
}

/// Hands all of a file to `to`; the inner error is the message.
fn copy(
    input: &mut Input,
    io: &mut Io,
    chunk: &mut [u8],
    mut to: impl FnMut(&[u8], &mut Io) -> Result<(), Stop>,
) -> Result<Result<(), String>, Stop> {
    let opened = match &mut input.found {
        Found::Folder => return Ok(Err("Is a directory".to_owned())),
        Found::Error(e) => return Ok(Err(words(e))),
        Found::File(opened) => opened,
    };
    if let Err(e) = opened.look() {
        return Ok(Err(words(&e)));
    }
    let mut source = opened.source(&io.stop);
    loop {
        match source.read(chunk) {
            Ok(0) => return Ok(Ok(())),
            Ok(size) => to(&chunk[..size], io)?,
            Err(e) => return Ok(Err(words(&e))),
        }
    }
}

/// Lines with what the options add; goes on from file to file.
struct Page<'a> {
    options: &'a Options,
    line: u64,
    at_start: bool,
    blanks: usize,
}

impl Page<'_> {
    fn print(&mut self, bytes: &[u8], io: &mut Io) -> Result<(), Stop> {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let blank = self.at_start && text.is_empty();
            self.blanks = if blank { self.blanks + 1 } else { 0 };
            if blank && self.options.squeeze && self.blanks > 1 {
                continue;
            }
            let numbered = if self.options.number_nonblank { !blank } else { self.options.number };
            if self.at_start && numbered {
                self.line += 1;
                io.write(format!("{:6}\t", self.line).as_bytes())?;
            }
            if self.options.show_all {
                show(text, io)?;
            } else {
                io.write(text)?;
            }
            if ends {
                io.write(if self.options.show_all { b"$\n" } else { b"\n" })?;
            }
            self.at_start = ends;
        }
        Ok(())
    }
}

/// `^X` and `M-X` for what does not print.
fn show(text: &[u8], io: &mut Io) -> Result<(), Stop> {
    for byte in text {
        let low = byte & 0x7f;
        if *byte >= 0x80 {
            io.write(b"M-")?;
        }
        match low {
            0..0x20 => io.write(&[b'^', low + 64])?,
            0x7f => io.write(b"^?")?,
            _ => io.write(&[low])?,
        }
    }
    Ok(())
}
