//! `wc`.

use super::files::{Found, Input, Opened};
use super::io::{Io, Stop, words};
use super::options::{self, flag};

#[derive(Debug, Default)]
pub(super) struct Options {
    /// Which counts are printed: lines, words, characters, bytes, the longest line.
    shown: [bool; 5],
}

const LINES: usize = 0;
const WORDS: usize = 1;
const CHARS: usize = 2;
const BYTES: usize = 3;
const LONGEST: usize = 4;

pub(super) fn parse(arguments: &[&str]) -> Option<Options> {
    let known = [
        flag('l', &["lines"]),
        flag('w', &["words"]),
        flag('m', &["chars"]),
        flag('c', &["bytes"]),
        flag('L', &["max-line-length"]),
    ];
    let mut options = Options::default();
    for (letter, _) in options::parse(&known, arguments)?.options {
        let which = match letter {
            'l' => LINES,
            'w' => WORDS,
            'm' => CHARS,
            'c' => BYTES,
            _ => LONGEST,
        };
        options.shown[which] = true;
    }
    if options.shown == [false; 5] {
        options.shown = [true, true, false, true, false];
    }
    Some(options)
}

pub(super) fn run(options: &Options, mut inputs: Vec<Input>, io: &mut Io) -> Result<u8, Stop> {
    let mut rows = Vec::new();
    let mut sum = [0; 5];
    let mut on_disk = 0;
    let mut width = 1;
    for input in &mut inputs {
        let result = match &mut input.found {
            Found::Error(e) => Err((words(e), None)),
            Found::Folder => {
                width = 7;
                Err(("Is a directory".to_owned(), Some([0; 5])))
            }
            Found::File(opened) => {
                on_disk += opened.size;
                let counted = one(options, opened, io)?;
                if !opened.is_plain() {
                    width = 7;
                }
                counted.map_err(|message| (message, None))
            }
        };
        let counts = result.as_ref().map_or_else(|(_, counts)| *counts, |counts| Some(*counts));
        if let Some(counts) = counts {
            for (place, (sum, count)) in sum.iter_mut().zip(counts).enumerate() {
                *sum = if place == LONGEST { count.max(*sum) } else { *sum + count };
            }
        }
        rows.push((counts, result.err().map(|(message, _)| message)));
    }
    let single = inputs.len() == 1 && options.shown.iter().filter(|shown| **shown).count() == 1;
    let width = if single { 1 } else { width.max(on_disk.to_string().len()) };
    let mut status = 0;
    for (input, (counts, message)) in inputs.iter().zip(rows) {
        if let Some(message) = message {
            status = 1;
            io.complain(&format!("{}: {message}", input.name))?;
        }
        if let Some(counts) = counts {
            print(options, &counts, width, &input.name, io)?;
        }
    }
    if inputs.len() > 1 {
        print(options, &sum, width, "total", io)?;
    }
    Ok(status)
}

fn print(options: &Options, counts: &[u64; 5], width: usize, name: &str, io: &mut Io) -> Result<(), Stop> {
    for (count, _) in counts.iter().zip(options.shown).filter(|(_, shown)| *shown) {
        io.write(format!("{count:width$} ").as_bytes())?;
    }
    io.write(format!("{name}\n").as_bytes())
}

fn one(options: &Options, opened: &mut Opened, io: &Io) -> Result<Result<[u64; 5], String>, Stop> {
    if let Err(e) = opened.look() {
        return Ok(Err(words(&e)));
    }
    let mut source = opened.source(&io.stop);
    let mut tally = Tally::default();
    if options.shown == [false, false, false, true, false] && opened.is_plain() && opened.size > 0 {
        // As the program: files of the kernel tell a whole page as their size, so the last part is read.
        let from = opened.size - opened.size % (opened.block + 1);
        source.seek(from);
        tally.counts[BYTES] = from;
    }
    let words_matter = options.shown[WORDS] || options.shown[LONGEST];
    let mut chunk = vec![0; 32 << 10];
    loop {
        let size = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => size,
            Err(e) => return Ok(Err(words(&e))),
        };
        let bytes = &chunk[..size];
        tally.counts[BYTES] += size as u64;
        tally.counts[LINES] += memchr::memchr_iter(b'\n', bytes).count() as u64;
        // The program asks the locale what a letter is and how wide, and skips what is none.
        if (words_matter || options.shown[CHARS]) && !bytes.is_ascii() {
            io.decline()?;
        }
        if options.shown[CHARS] {
            tally.counts[CHARS] += bytes.iter().filter(|b| **b & 0xc0 != 0x80).count() as u64;
        }
        if words_matter {
            tally.look(bytes);
        }
    }
    tally.end_line();
    Ok(Ok(tally.counts))
}

#[derive(Default)]
struct Tally {
    counts: [u64; 5],
    in_word: bool,
    column: u64,
}

impl Tally {
    fn look(&mut self, bytes: &[u8]) {
        for byte in bytes {
            // What is no control character; of a longer character the first byte.
            let begins = matches!(byte, 0x21..=0x7e | 0x80..);
            match byte {
                b'\n' | b'\r' | 0x0c => self.end_line(),
                b'\t' => self.column += 8 - self.column % 8,
                b' ' => self.column += 1,
                0x80..=0xbf => {}
                _ => self.column += u64::from(begins),
            }
            let separates = matches!(byte, b' ' | b'\t'..=b'\r');
            if begins && !self.in_word {
                self.counts[WORDS] += 1;
            }
            self.in_word = begins || (self.in_word && !separates);
        }
    }

    fn end_line(&mut self) {
        self.counts[LONGEST] = self.counts[LONGEST].max(self.column);
        self.column = 0;
    }
}
