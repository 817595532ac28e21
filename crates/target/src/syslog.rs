//! The wrapper's log: one record to the system's log socket, facility authpriv, with structured data.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::{Log, Paths};

/// authpriv.info and authpriv.warning (RFC 3164: facility 10 times 8 plus severity).
const INFO: u8 = 86;
const WARNING: u8 = 84;
/// Names the element of structured data (RFC 5424, 6.3); 32473 is the number for what has none registered.
const ELEMENT: &str = "mcp-linux-infra@32473";
/// authpriv.alert: somebody should look now.
const ALERT: u8 = 81;
/// How long a log service may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends one record. Nothing may run before its record was taken.
pub(crate) fn write(
    paths: &Paths,
    program: &str,
    refused: bool,
    fields: &[(&str, &str)],
) -> Result<(), String> {
    send(paths, program, if refused { WARNING } else { INFO }, fields)
}

/// Sends one record that somebody should look at now.
pub(crate) fn alert(paths: &Paths, program: &str, fields: &[(&str, &str)]) -> Result<(), String> {
    send(paths, program, ALERT, fields)
}

fn send(paths: &Paths, program: &str, priority: u8, fields: &[(&str, &str)]) -> Result<(), String> {
    let pid = std::process::id();
    let text = element(fields);
    match &paths.log {
        Log::Syslog(socket) => {
            let line = format!("<{priority}>{program}[{pid}]: {text}");
            let fail = |e: std::io::Error| format!("{}: {e}", socket.display());
            let sender = UnixDatagram::unbound().map_err(fail)?;
            // A log service that hangs must not hold a request for ever.
            sender.set_write_timeout(Some(PATIENCE)).map_err(fail)?;
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

/// `[ID name="value" …]`
fn element(fields: &[(&str, &str)]) -> String {
    let parameters: String =
        fields.iter().map(|(name, value)| format!(" {name}={}", quoted(value))).collect();
    format!("[{ELEMENT}{parameters}]")
}

/// A value in quotes, without anything that a reader of logs could take for a line, a field or a terminal command.
fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars().take(1024) {
        match c {
            '"' | '\\' | ']' => {
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
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn at(socket: &std::path::Path) -> Paths {
        let mut paths = Paths::system();
        paths.log = Log::Syslog(socket.to_owned());
        paths
    }

    #[test]
    fn a_value_is_one_field_of_one_line() {
        assert_eq!(
            element(&[("line", "a\n<86>x\"] b=\u{1b}[2J\u{202e}"), ("exit", "0")]),
            "[mcp-linux-infra@32473 line=\"a\\u{a}<86>x\\\"\\] b=\\u{1b}[2J\\u{202e}\" exit=\"0\"]"
        );
    }

    #[test]
    fn a_record_arrives_whole() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("log");
        let service = UnixDatagram::bind(&socket).unwrap();
        let long = "x".repeat(9000);
        write(&at(&socket), "mcp-wrapper", true, &[("line", &long), ("verdict", "blocked")]).unwrap();
        let mut buffer = vec![0; 16 << 10];
        let size = service.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..size]).unwrap();
        assert!(text.starts_with("<84>mcp-wrapper["), "{text}");
        assert!(
            text.contains(&format!("line=\"{}\"", &long[..1024])) && text.ends_with("verdict=\"blocked\"]"),
            "{text}"
        );
    }

    #[test]
    fn an_alert_has_its_own_priority() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("log");
        let service = UnixDatagram::bind(&socket).unwrap();
        alert(&at(&socket), "pra-run", &[("alarm", "break_glass")]).unwrap();
        let mut buffer = vec![0; 1 << 10];
        let size = service.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..size]).unwrap();
        assert!(text.starts_with("<81>pra-run[") && text.ends_with(" alarm=\"break_glass\"]"), "{text}");
    }

    #[test]
    fn no_service_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("log");
        let fields = [("verdict", "auto")];
        assert!(write(&at(&socket), "x", false, &fields).unwrap_err().contains("No such file"));
        // A service that has ended leaves its socket behind.
        drop(UnixDatagram::bind(&socket).unwrap());
        assert!(write(&at(&socket), "x", false, &fields).unwrap_err().contains("refused"));
    }

    #[test]
    fn a_service_that_does_not_read_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("log");
        let _service = UnixDatagram::bind(&socket).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        rustix::io::ioctl_fionbio(filler.as_fd(), true).unwrap();
        while filler.send_to(b"x", &socket).is_ok() {}
        let started = std::time::Instant::now();
        assert!(write(&at(&socket), "x", false, &[("verdict", "auto")]).is_err());
        assert!((4..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    }
}
