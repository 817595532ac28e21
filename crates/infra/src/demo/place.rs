//! The folder in which the demo lives: keys, the server's config, the target's root.

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::ssh::public_line;

/// Name of the demo's host.
pub(super) const HOST: &str = "demo01";

/// The action that brings the demo's service back; a target gets it by this one file.
const ACTION: &str = include_str!("restart_demo_dns.toml");

/// The demo's folder and what was made in it.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) program: PathBuf,
    keep: bool,
}

impl Place {
    /// Makes a private folder with keys, the target's root and its catalogue.
    pub(super) fn make(keep: bool) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("where is this program?")?;
        let base = std::env::temp_dir();
        let id = crate::recovery::fresh_id("mcp-linux-infra-demo-", 6)?;
        let dir = base.join(id);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("cannot make {}", dir.display()))?;
        let place = Self { dir: dir.canonicalize()?, program, keep };
        for key in ["reader", "runner", "alice", "host"] {
            place.make_key(key)?;
        }
        place.fill_root()?;
        Ok(place)
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The target's root.
    pub(super) fn root(&self) -> PathBuf {
        self.path("target")
    }

    fn make_key(&self, name: &str) -> anyhow::Result<()> {
        let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)?;
        key.set_comment(format!("{name}@demo"));
        write(&self.path(&format!("{name}.key")), key.to_openssh(LineEnding::LF)?.as_bytes(), 0o600)?;
        write(
            &self.path(&format!("{name}.key.pub")),
            format!("{}\n", public_line(key.public_key()).0).as_bytes(),
            0o644,
        )
    }

    pub(super) fn public_key(&self, name: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.path(&format!("{name}.key.pub")))?.trim().to_owned())
    }

    fn fill_root(&self) -> anyhow::Result<()> {
        let root = self.root();
        for dir in [
            "etc/mcp-linux-infra/actions.d",
            "etc/mcp-linux-infra/plugins.d",
            "etc/ssh",
            "proc",
            "var/lib",
            "var/log",
            "usr/bin",
            "run",
        ] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root.join(dir))?;
        }
        let etc = root.join("etc/mcp-linux-infra");
        write(
            &etc.join("target.toml"),
            format!("host = \"{HOST}\"\ntenant = \"default\"\n").as_bytes(),
            0o600,
        )?;
        write(
            &etc.join("approvers"),
            format!("alice@example.org {}\n", self.public_key("alice")?).as_bytes(),
            0o600,
        )?;
        write(&etc.join("actions.d/restart_demo_dns.toml"), ACTION.as_bytes(), 0o600)?;
        write(
            &root.join("etc/machine-id"),
            format!("{}\n", crate::recovery::fresh_id("", 16)?).as_bytes(),
            0o600,
        )?;
        write(
            &root.join("etc/ssh/ssh_host_ed25519_key.pub"),
            format!("{}\n", self.public_key("host")?).as_bytes(),
            0o600,
        )?;
        // The native readers look beneath the demo's root only.
        let memory = std::fs::read("/proc/meminfo").context("/proc/meminfo")?;
        write(&root.join("proc/meminfo"), &memory, 0o600)?;
        super::target::initialise(&root)?;
        let play = format!(
            "#!/bin/sh\nexec {} demo-target systemctl {} \"$@\"\n",
            quote(&self.program),
            quote(&root)
        );
        write(&root.join("usr/bin/systemctl"), play.as_bytes(), 0o700)
    }

    /// Writes the server's config for a target on this port.
    pub(super) fn write_config(&self, port: u16, user: &str) -> anyhow::Result<PathBuf> {
        let host_key = self.public_key("host")?;
        let text = format!(
            "# Made by `mcp-linux-infra demo`.\nstate_dir = \"state\"\nactions_dir = \"target/etc/mcp-linux-infra/actions.d\"\n\
             approvers = \"target/etc/mcp-linux-infra/approvers\"\n\n\
             [defaults]\nreader_key = \"reader.key\"\nrunner_key = \"runner.key\"\nreader_user = {user:?}\nrunner_user = {user:?}\n\n\
             [[hosts]]\nname = \"{HOST}\"\naddress = \"127.0.0.1\"\nport = {port}\nhost_key = \"{host_key}\"\ntags = [\"dns\"]\n"
        );
        let path = self.path("mcp-linux-infra.toml");
        write(&path, text.as_bytes(), 0o600)?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            super::systemctl::stop_all(&self.root());
            // The folder is private to this run; what cannot be removed is not worth a second error.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    Ok(file.write_all(bytes)?)
}

/// A word for `sh`.
pub(super) fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
