//! What is sent to a host: `install-target.sh`, its arguments and the files that they name, as one tar archive.

/// The one description of a target; everything here runs it.
const SCRIPT: &str = include_str!("../../../../scripts/install-target.sh");

/// The remote command. No word of it depends on anything: arguments and files come in the archive. The arguments come last, so that an
/// archive that was cut short runs nothing.
pub(super) const REMOTE: &str = "sudo -n /bin/bash -c 'set -eu; umask 077; d=$(mktemp -d); trap \"rm -rf $d\" EXIT; cd \"$d\"; \
     tar -x -m --no-same-owner -f -; mapfile -t a < arguments; /bin/bash install-target.sh \"${a[@]}\"'";

/// An archive in the making.
#[derive(Debug, Clone)]
pub struct Bundle {
    arguments: Vec<String>,
    files: Vec<(String, Vec<u8>, u32)>,
}

impl Bundle {
    /// A run of the script with these arguments. They are words of printable ASCII; any other is left out of nothing: it is an error.
    pub fn new(arguments: &[&str]) -> Result<Self, String> {
        let mut bundle = Self {
            arguments: Vec::new(),
            files: vec![("install-target.sh".to_owned(), SCRIPT.into(), 0o755)],
        };
        arguments.iter().try_for_each(|a| bundle.argument(a))?;
        Ok(bundle)
    }

    /// One more argument.
    pub fn argument(&mut self, word: &str) -> Result<(), String> {
        if word.is_empty() || !word.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{word:?} cannot be an argument: printable ASCII without blanks only"));
        }
        self.arguments.push(word.to_owned());
        Ok(())
    }

    /// An option and the file that it names.
    pub fn file(&mut self, option: &str, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        self.argument(option)?;
        self.argument(name)?;
        self.files.push((name.to_owned(), bytes, 0o644));
        Ok(())
    }

    /// A program, in the folder `programs`.
    pub fn program(&mut self, name: &str, bytes: Vec<u8>) {
        self.files.push((format!("programs/{name}"), bytes, 0o755));
    }

    /// The arguments, for the record.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The archive (POSIX ustar).
    pub fn tar(&self) -> Vec<u8> {
        let words: String = self.arguments.iter().flat_map(|a| [a, "\n"]).collect();
        let arguments = ("arguments".to_owned(), words.into_bytes(), 0o644);
        archive(self.files.iter().chain([&arguments]))
    }
}

/// An archive (POSIX ustar) of these files: name of at most 100 bytes, bytes, mode.
pub fn archive<'a>(files: impl IntoIterator<Item = &'a (String, Vec<u8>, u32)>) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes, mode) in files {
        member(&mut tar, name, bytes, *mode);
    }
    tar.extend([0; 1024]);
    tar
}

fn member(tar: &mut Vec<u8>, name: &str, bytes: &[u8], mode: u32) {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", bytes.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(header);
    tar.extend(bytes);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test stops at what it does not expect")]
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn bundle() -> Bundle {
        let mut bundle = Bundle::new(&["--check"]).unwrap();
        bundle.file("--approvers", "approvers", b"a$(id)'\n\"b".to_vec()).unwrap();
        bundle.program("pra-run", vec![7; 1000]);
        bundle
    }

    fn unpack(tar: &[u8]) -> (bool, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new("tar")
            .args(["-x", "-m", "--no-same-owner", "-f", "-", "-C"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // tar may have ended already, at what it does not like.
        let _ = child.stdin.take().unwrap().write_all(tar);
        (child.wait().unwrap().success(), dir)
    }

    #[test]
    fn tar_reads_it_back_byte_for_byte() {
        let (ok, dir) = unpack(&bundle().tar());
        assert!(ok);
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        assert_eq!(read("install-target.sh"), SCRIPT.as_bytes());
        assert_eq!(read("approvers"), b"a$(id)'\n\"b");
        assert_eq!(read("programs/pra-run"), vec![7; 1000]);
        assert_eq!(read("arguments"), b"--check\n--approvers\napprovers\n");
    }

    #[test]
    fn an_archive_that_was_cut_short_brings_no_arguments() {
        let tar = bundle().tar();
        for cut in (0..tar.len() - 1024).step_by(512).chain([tar.len() - 1025]) {
            let (ok, dir) = unpack(&tar[..cut]);
            let whole =
                std::fs::read(dir.path().join("arguments")).is_ok_and(|a| a.ends_with(b"approvers\n"));
            assert!(!ok || !whole || cut >= tar.len() - 1536, "cut at {cut}");
        }
    }

    #[test]
    fn a_word_that_is_not_one_is_refused() {
        for bad in ["", "a b", "a\nb", "é", "a\0"] {
            assert!(Bundle::new(&[bad]).is_err(), "{bad:?}");
        }
    }
}
