//! Tries everything that a program taken over by somebody might try, and says of each attempt whether it worked.
//!
//! `escape PID FILE`: PID is a process of the same user outside; FILE is what the command line names. One line for each attempt:
//! its name, a tab, and `yes` or why not. Nothing is harmed where it works: what is changed is made for it in `/srv/escape`.
#![allow(unsafe_code, reason = "attempts are system calls as no safe interface would make them")]

mod attempts;
mod call;

use std::io::Write;

fn main() {
    // Before anything is opened here.
    let left_open = attempts::left_open();
    let mut arguments = std::env::args().skip(1);
    let pid = arguments.next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
    let named = arguments.next().unwrap_or_default();
    let mut out = std::io::stdout();
    for (name, attempt) in attempts::all(pid, &named, left_open) {
        let word = match attempt() {
            Ok(()) => "yes".to_owned(),
            Err(errno) => call::name(errno),
        };
        // A line at a time: an attempt may end the program.
        let _ = writeln!(out, "{name}\t{word}");
        let _ = out.flush();
    }
}
