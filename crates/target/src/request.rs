//! How sshd calls a forced command, and what the client asked for.
//!
//! The program is the account's login shell and its forced command. sshd then runs `PROGRAM -c "PROGRAM"` with the client's
//! line in `SSH_ORIGINAL_COMMAND`; without a forced command it runs `PROGRAM -c "LINE"`; as a forced command under another
//! shell it runs `PROGRAM`. Whatever the way, the line is judged.

use std::ffi::OsString;

/// The client's line, or why there is none. `places` are those of the forced command itself.
///
/// # Errors
/// Why there is none.
pub fn line(places: &[&str], arguments: &[OsString], original: Option<OsString>) -> Result<String, String> {
    let text = |raw: OsString| raw.into_string().map_err(|_| "the request is not UTF-8".to_owned());
    let interactive = || "no command was given, and there is no shell here".to_owned();
    match arguments {
        [] => original.map_or_else(|| Err(interactive()), text),
        [flag, command] if flag == "-c" => {
            if places.iter().any(|place| command == place) {
                original.map_or_else(|| Err(interactive()), text)
            } else {
                text(command.clone())
            }
        }
        _ => Err("only sshd starts this program".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(arguments: &[&str], original: Option<&str>) -> Result<String, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        line(&crate::Paths::WRAPPER, &arguments, original.map(OsString::from))
    }

    #[test]
    fn every_way_in_which_sshd_calls() {
        assert_eq!(ask(&["-c", "/usr/local/bin/mcp-wrapper"], Some("uptime")).unwrap(), "uptime");
        assert_eq!(ask(&["-c", "/usr/bin/mcp-wrapper"], Some("uptime")).unwrap(), "uptime");
        assert_eq!(ask(&["-c", "uptime"], None).unwrap(), "uptime");
        assert_eq!(ask(&["-c", "uptime"], Some("reboot")).unwrap(), "uptime");
        assert_eq!(ask(&[], Some("uptime")).unwrap(), "uptime");
        for (arguments, original) in [
            (&[][..], None),
            (&["-c", "/usr/local/bin/mcp-wrapper"][..], None),
            (&["-c", "/usr/bin/mcp-wrapper"][..], None),
            (&["-i"][..], Some("x")),
            (&["-c"][..], Some("x")),
            (&["-c", "a", "b"][..], None),
        ] {
            assert!(ask(arguments, original).is_err(), "{arguments:?}");
        }
    }
}
