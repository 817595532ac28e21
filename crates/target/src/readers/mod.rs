//! Native readers: what `cat`, `head`, `tail`, `wc` and `grep` print of permitted files, without the program; compressed files
//! (`.gz`, `.zst`, `.xz`, known by their first bytes) as what they hold.
//!
//! A reader works in a thread that has given up everything but reading the opened files and writing its two pipes
//! ([`ThreadSandbox`](crate::sandbox::ThreadSandbox)). What it cannot print exactly as the program would, it hands back before its
//! first byte, and the program runs. `docs/READERS.md` says what is served.

mod cat;
mod decode;
mod files;
mod grep;
mod head;
pub(crate) mod io;
mod options;
pub(crate) mod relay;
mod tail;
mod wc;

use std::os::fd::BorrowedFd;

use policy::Permit;

use self::files::Input;
use self::io::{Io, Stop};
use self::relay::Task;
use crate::run::{End, Sink};
use crate::sandbox::{Kernel, ThreadSandbox};
use crate::{Paths, confine};

/// What a line asks for.
enum Kind {
    Cat(cat::Options),
    Head(head::Options),
    Tail(tail::Options),
    Wc(wc::Options),
    Grep(Box<grep::Options>),
}

/// A line that a reader serves.
pub(crate) struct Reader {
    /// As the program calls itself in messages.
    name: &'static str,
    kind: Kind,
    /// There is no program that does the same: the line is never handed back.
    alone: bool,
    inputs: Vec<Input>,
}

/// The reader that serves a line; `None` for a line that the program must serve.
///
/// # Errors
/// No program serves the line either; or it leads out of the permitted folders.
pub(crate) fn of(paths: &Paths, permit: &Permit) -> Result<Option<Reader>, String> {
    let Some(native) = permit.native.as_deref() else { return Ok(None) };
    let arguments: Vec<&str> = permit.argv.iter().skip(1).map(String::as_str).collect();
    let (name, kind, alone) = match native {
        "cat" => ("cat", cat::parse(&arguments).map(Kind::Cat), false),
        "head" => ("head", head::parse(&arguments).map(Kind::Head), false),
        "tail" => ("tail", tail::parse(&arguments).map(Kind::Tail), false),
        "wc" => ("wc", wc::parse(&arguments).map(Kind::Wc), false),
        "grep" => ("grep", grep::parse(&arguments).map(|o| Kind::Grep(Box::new(o))), false),
        "zcat" => ("zcat", cat::parse(&arguments).map(Kind::Cat), true),
        "zgrep" => ("zgrep", grep::parse(&arguments).map(|o| Kind::Grep(Box::new(o))), true),
        _ => return Ok(None),
    };
    let Some(kind) = kind else {
        return if alone {
            Err(format!("{name} does not serve these arguments: see READERS.md"))
        } else {
            Ok(None)
        };
    };
    let words = permit.paths.iter().filter_map(|operand| permit.argv.get(operand.index));
    // The program would quote another one in its messages, and of itself /proc/self says something else.
    let plain = |word: &String| {
        !word.starts_with("/proc/self/")
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+,@%".contains(&b))
    };
    if !alone && !words.clone().all(plain) {
        return Ok(None);
    }
    let objects = confine::open_each(paths, &permit.argv, &permit.paths)?;
    let inputs =
        words.zip(objects).map(|(word, object)| Input::open(word, object)).collect::<Option<Vec<_>>>();
    match inputs {
        Some(inputs) => Ok(Some(Reader { name, kind, alone, inputs })),
        None if alone => Err(format!("{name} reads regular files only")),
        None => Ok(None),
    }
}

impl Reader {
    /// Serves the line, in a thread in its sandbox (`kernel`: what it offers; `None` for a played root). `None`: nothing was
    /// written, and the program must serve it.
    ///
    /// # Errors
    /// The thread or its sandbox could not be made.
    pub(crate) fn run(
        self,
        kernel: Option<Kernel>,
        permit: &Permit,
        out: &mut Sink<'_>,
        err: &mut Sink<'_>,
    ) -> Result<Option<End>, String> {
        relay::run(self, kernel, permit, out, err)
    }
}

impl Task for Reader {
    type Sandbox = ThreadSandbox;

    fn alone(&self) -> bool {
        self.alone
    }

    fn sandbox(&self, kernel: Kernel, pipes: [BorrowedFd<'_>; 2]) -> Result<ThreadSandbox, String> {
        let read: Vec<_> = self.inputs.iter().filter_map(Input::fd).collect();
        ThreadSandbox::prepare(kernel, &read, &pipes)
    }

    fn work(self, sandbox: Option<ThreadSandbox>, io: &mut Io) -> Result<u8, Stop> {
        if sandbox.is_some_and(|sandbox| sandbox.enter().is_err()) {
            return Err(Stop::Gone);
        }
        io.name = self.name;
        io.alone = self.alone;
        let status = match self.kind {
            Kind::Cat(options) => cat::run(&options, self.inputs, io),
            Kind::Head(options) => head::run(&options, self.inputs, io),
            Kind::Tail(options) => tail::run(&options, self.inputs, io),
            Kind::Wc(options) => wc::run(&options, self.inputs, io),
            Kind::Grep(options) => grep::run(&options, self.inputs, io),
        }?;
        io.flush()?;
        Ok(status)
    }
}

#[cfg(test)]
mod tests;
