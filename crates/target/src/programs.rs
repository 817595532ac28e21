//! Which file a program's name stands for, and the environment that it gets.

use std::path::{Path, PathBuf};

use crate::{Paths, files};

/// The folders in which actions find their programs.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The first of some absolute places that exists and that nobody but root can have changed.
pub(crate) fn first(paths: &Paths, places: &[String]) -> Result<PathBuf, String> {
    for place in places {
        let own = paths.at(place);
        if own.exists() {
            return trusted(paths, &own);
        }
        // A played root has only the programs that it plays; the others are the system's.
        if !paths.system && Path::new(place).exists() {
            return trusted(paths, Path::new(place));
        }
    }
    Err(format!("{} is not installed on this host", places.first().map_or("the program", String::as_str)))
}

/// A bare name in the fixed folders.
pub(crate) fn by_name(paths: &Paths, name: &str) -> Result<PathBuf, String> {
    let places: Vec<String> = FOLDERS.iter().map(|f| format!("{f}/{name}")).collect();
    first(paths, &places)
}

fn trusted(paths: &Paths, place: &Path) -> Result<PathBuf, String> {
    let real = place.canonicalize().map_err(|e| format!("{}: {e}", place.display()))?;
    let meta = std::fs::metadata(&real).map_err(|e| format!("{}: {e}", real.display()))?;
    if !meta.is_file() {
        return Err(format!("{}: not a program", real.display()));
    }
    files::check_owner(paths, &real, &meta)?;
    // As it was named: some programs do what their name says.
    Ok(place.to_path_buf())
}

/// The reader's home: root's, and empty. podman does not start without one.
pub(crate) const READER_HOME: &str = "/var/lib/mcp-linux-infra/home";

/// The home of what `pra-run` runs.
pub(crate) const ROOT_HOME: &str = "/root";

/// Where kubectl and helm find the cluster and their credentials: the reader's own, and the runner's for what runs as root. Never
/// what lies in a home, so that a host shows no more of a cluster than its root has decided.
fn kubeconfig(home: &str) -> &'static str {
    if home == ROOT_HOME {
        "/etc/mcp-linux-infra/kubeconfig-runner"
    } else {
        "/etc/mcp-linux-infra/kubeconfig"
    }
}

/// All that a program finds in its environment.
pub(crate) fn environment(home: &str) -> Vec<(&'static str, String)> {
    let mut environment: Vec<(&'static str, String)> = [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TERM", "dumb"),
        ("PAGER", "cat"),
        ("SYSTEMD_PAGER", "cat"),
        ("SYSTEMD_PAGERSECURE", "1"),
        ("SYSTEMD_COLORS", "0"),
        ("SYSTEMD_URLIFY", "0"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        // A partial clone fetches what it lacks, and its remote may be a command.
        ("GIT_ALLOW_PROTOCOL", "none"),
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        // What a repository's own configuration must not say: a program to ask for changed files, and hooks.
        ("GIT_CONFIG_COUNT", "2"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", "false"),
        ("GIT_CONFIG_KEY_1", "core.hooksPath"),
        ("GIT_CONFIG_VALUE_1", "/dev/null"),
        // Without process accounting: atop would leave a semaphore behind.
        ("ATOPACCT", ""),
        ("KUBECONFIG", kubeconfig(home)),
        ("HOME", home),
    ]
    .into_iter()
    .map(|(k, v)| (k, v.to_owned()))
    .collect();
    if home == READER_HOME {
        // The containers of the host are root's: podman asks its service, and scratches only in the session's own folder.
        environment.push(("CONTAINER_HOST", "unix:///run/podman/podman.sock".to_owned()));
        environment.push(("XDG_RUNTIME_DIR", format!("/run/user/{}", rustix::process::getuid().as_raw())));
    }
    environment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::{READER_HOME, environment};

    struct Trap {
        dir: tempfile::TempDir,
    }

    impl Trap {
        /// A repository whose configuration names a program wherever git lets it, and one that lacks its objects.
        fn set() -> Self {
            let trap = Self { dir: tempfile::tempdir().unwrap() };
            let script = r#"
                set -eu
                printf '#!/bin/sh\n: > "%s/ran"\n' "$PWD" > evil; chmod 755 evil; evil=$PWD/evil
                git init -q full; cd full
                git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x
                signed=$(git cat-file commit HEAD | sed '/^committer/a gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----' |
                    git hash-object -t commit -w --stdin)
                git update-ref HEAD "$signed"; git tag t
                cd ..; cp -r full lazy
                for each in full lazy; do
                    git -C $each config gpg.program "$evil"
                    git -C $each config format.pretty '%GG'
                    git -C $each config log.showSignature true
                    git -C $each config core.fsmonitor "$evil"
                    git -C $each config core.pager "$evil"
                    git -C $each config diff.external "$evil"
                    git -C $each config tag.sort -signature
                    git -C $each config branch.sort -signature
                done
                cd lazy
                git config core.repositoryformatversion 1
                git config extensions.partialClone o
                git config remote.o.promisor true
                git config remote.o.url "ext::$evil x"
                git config protocol.ext.allow always
                find .git/objects -type f -delete
            "#;
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).current_dir(trap.dir.path());
            shell.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]);
            assert!(shell.status().unwrap().success());
            trap
        }

        fn repository(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        /// Whether git, so called, starts the program of the trap.
        fn springs(&self, argv: &[String], environment: &[(&str, String)]) -> bool {
            let ran = self.dir.path().join("ran");
            let _ = std::fs::remove_file(&ran);
            let mut git = Command::new("/usr/bin/git");
            git.args(&argv[1..]).env_clear().current_dir("/");
            git.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
            git.output().unwrap();
            ran.exists()
        }
    }

    fn owned(words: &[&str], repository: &Path) -> Vec<String> {
        let repository = repository.to_str().unwrap();
        words.iter().map(|w| w.replace("/srv/app", repository)).collect()
    }

    #[test]
    fn only_the_readers_podman_is_sent_to_the_service() {
        let names = |home: &str| environment(home).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        for name in ["CONTAINER_HOST", "XDG_RUNTIME_DIR"] {
            assert!(names(READER_HOME).contains(&name));
            assert!(!names("/root").contains(&name), "{name}: an action's podman works on the store itself");
        }
    }

    #[test]
    fn reader_and_runner_have_credentials_of_their_own() {
        let of = |home| environment(home).into_iter().find(|(name, _)| *name == "KUBECONFIG").unwrap().1;
        assert_eq!(of(READER_HOME), "/etc/mcp-linux-infra/kubeconfig");
        assert_eq!(of(super::ROOT_HOME), "/etc/mcp-linux-infra/kubeconfig-runner");
    }

    #[test]
    fn no_permitted_git_line_starts_what_a_repository_names() {
        let trap = Trap::set();
        let bare = [("PATH", "/usr/bin:/bin".to_owned())];
        // The trap works: without the policy's words and the wrapper's environment both repositories spring it.
        for name in ["full", "lazy"] {
            let plain = owned(&["git", "-C", "/srv/app", "log", "-n", "1"], &trap.repository(name));
            assert!(trap.springs(&plain, &bare), "{name}");
        }
        let catalogue = policy::Catalogue::builtin().unwrap();
        let ours = environment("/");
        let forms = catalogue.plugins().iter().flat_map(|p| &p.commands).filter(|c| c.name == "git");
        let lines: Vec<&String> = forms.flat_map(|c| &c.forms).flat_map(|f| &f.examples).collect();
        assert!(lines.len() >= 6);
        for line in lines {
            let judged = catalogue.judge(line);
            let argv: Vec<&str> = judged.argv.iter().map(String::as_str).collect();
            for name in ["full", "lazy"] {
                let argv = owned(&argv, &trap.repository(name));
                assert!(!trap.springs(&argv, &ours), "{name}: {argv:?}");
            }
        }
    }
}
