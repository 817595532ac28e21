//! A private OpenSSH server on loopback, as the calling user, with one forced command per key.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A played target's plugin, with a command that the forced `mcp-wrapper` permits.
#[allow(dead_code, reason = "not every test program plays a target")]
pub(crate) const PLUGIN: &str = r#"
name = "play"
title = "t"
category = "test"
[[command]]
name = "play"
program = ["/usr/bin/play"]
profile = "proc"
[[command.form]]
name = "act"
level = "auto"
words = ["say|slow|kill", "{int:0..9999}"]
examples = ["play say 1"]
counter_examples = ["play other 1"]
"#;

/// A running sshd; it ends with the value.
pub(crate) struct Sshd {
    child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) user: String,
}

fn keygen(path: &Path) {
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(status.success());
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(arguments).output().unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

impl Sshd {
    /// Starts one whose reader key runs `script` with `sh`; the client's line is in `$SSH_ORIGINAL_COMMAND`.
    pub(crate) fn start(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for key in ["host", "reader", "stranger"] {
            keygen(&at(key));
        }
        std::fs::write(at("forced.sh"), format!("cd '{}' || exit 1\n{script}\n", dir.path().display()))
            .unwrap();
        let reader = std::fs::read_to_string(at("reader.pub")).unwrap();
        let line = format!("restrict,command=\"sh '{}'\" {reader}", at("forced.sh").display());
        std::fs::write(at("authorized_keys"), line).unwrap();
        let user = output_of("id", &["-un"]);
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey \"{}\"\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAuthorizedKeysFile \"{}\"\nMaxStartups 100\n",
            at("host").display(),
            at("authorized_keys").display()
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        if user == "root" {
            // sshd's privilege separation wants it; a machine that never ran sshd lacks it.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(at("sshd.log")).unwrap())
            .spawn()
            .expect("sshd is installed (apt-get install openssh-server)");
        let mut sshd = Self { child, dir, port, user };
        sshd.wait_until_it_listens();
        sshd
    }

    /// Starts one whose reader key runs what `mcp-wrapper` is, over a played root in `target/`.
    #[allow(dead_code, reason = "not every test program plays a target")]
    pub(crate) fn with_wrapper(idle_seconds: u32) -> Self {
        let program = env!("CARGO_BIN_EXE_mcp-linux-infra");
        // $PPID of the played program is the wrapper.
        let play = "#!/bin/sh\ncase $1 in say) echo \"said $2\"; exit 7;; slow) echo $$ > \"${0%/usr/bin/play}/slow.$2\"; exec sleep 60;; kill) kill -9 $PPID;; esac";
        let script = format!(
            "umask 022; [ -d target ] || {{ mkdir -p target/etc/mcp-linux-infra/plugins.d target/usr/bin target/var/log
             cat > target/etc/mcp-linux-infra/plugins.d/play.toml <<'END'\n{PLUGIN}\nEND
             echo 'session_idle_seconds = {idle_seconds}' > target/etc/mcp-linux-infra/target.toml
             cat > target/usr/bin/play <<'END'\n{play}\nEND
             chmod 755 target/usr/bin/play; }}
             exec '{program}' demo-target reader \"$PWD/target\""
        );
        Self::start(&script)
    }

    fn wait_until_it_listens(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                self.child.try_wait().unwrap().is_none() && Instant::now() < until,
                "sshd: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("sshd.log")).unwrap_or_default()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `ssh-ed25519 AAAA…` of a key made for this server.
    pub(crate) fn public(&self, name: &str) -> String {
        let line = std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap();
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// A `[[hosts]]` entry.
    pub(crate) fn host_entry(&self, name: &str, host_key: Option<&str>, key: &str) -> String {
        let pinned = host_key.map(|k| format!("host_key = \"{k}\"\n")).unwrap_or_default();
        format!(
            "[[hosts]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\nport = {}\n{pinned}reader_user = \"{}\"\nreader_key = \"{}\"\n",
            self.port,
            self.user,
            self.path(key).display()
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
