//! The wrapper's log: one line to the system's log socket, facility authpriv.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::{Log, Paths};

/// authpriv.info and authpriv.warning (RFC 3164: facility 10 times 8 plus severity).
const INFO: u8 = 86;
const WARNING: u8 = 84;

/// Sends one line. Nothing may run before its line was taken.
pub(crate) fn write(paths: &Paths, program: &str, refused: bool, text: &str) -> Result<(), String> {
    let pid = std::process::id();
    match &paths.log {
        Log::Syslog(socket) => {
            let priority = if refused { WARNING } else { INFO };
            let line = format!("<{priority}>{program}[{pid}]: {text}");
            let fail = |e: std::io::Error| format!("{}: {e}", socket.display());
            let sender = UnixDatagram::unbound().map_err(fail)?;
            // A log service that hangs must not hold a request for ever.
            sender.set_write_timeout(Some(Duration::from_secs(5))).map_err(fail)?;
            sender.send_to(line.as_bytes(), socket).map_err(fail)?;
        }
        Log::File(path) => {
            let fail = |e: std::io::Error| format!("{}: {e}", path.display());
            let mut file =
                std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(fail)?;
            file.write_all(format!("{program}[{pid}]: {text}\n").as_bytes()).map_err(fail)?;
        }
    }
    Ok(())
}

/// A field's value: quoted, without anything that a reader of logs could take for a line, a field or a terminal command.
pub(crate) fn field(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars().take(1024) {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ => out.extend(c.escape_unicode()),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_value_is_one_field_of_one_line() {
        assert_eq!(field("a\n<86>x\" b=\u{1b}[2J\u{202e}"), "\"a\\u{a}<86>x\\\" b=\\u{1b}[2J\\u{202e}\"");
    }
}
