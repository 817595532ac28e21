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
        ("GIT_CONFIG_COUNT", "3"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", "false"),
        ("GIT_CONFIG_KEY_1", "core.hooksPath"),
        ("GIT_CONFIG_VALUE_1", "/dev/null"),
        // Those of other accounts too: in the sandbox git starts nothing that a repository names, and reads nothing outside it.
        ("GIT_CONFIG_KEY_2", "safe.directory"),
        ("GIT_CONFIG_VALUE_2", "*"),
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
        // By this podman's libraries take their folder to be root's /run/libpod, which they do not make, instead of one in the
        // session's that they would: with a service it needs none.
        environment.push(("_CONTAINERS_ROOTLESS_UID", "0".to_owned()));
        environment.push(("XDG_RUNTIME_DIR", format!("/run/user/{}", rustix::process::getuid().as_raw())));
    }
    environment
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output, Stdio};

    use policy::Permit;
    use rustix::fs::{Mode, OFlags, open};

    use super::{READER_HOME, environment};
    use crate::sandbox::{Kernel, Sandbox};

    const GIT: &str = "/usr/bin/git";

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
                printf one > file; touch -d @1 file; git add file
                git -c user.name=a -c user.email=a@b commit -q -m x
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
                    git -C $each config diff.x.command "$evil"
                    git -C $each config diff.x.textconv "$evil"
                    git -C $each config filter.x.clean "$evil"
                    git -C $each config filter.x.smudge "$evil"
                    git -C $each config filter.x.process "$evil"
                    git -C $each config core.hooksPath "$PWD"
                    echo '* filter=x diff=x' > $each/.git/info/attributes
                    # Of the same size and of another time than in the index: only its content tells.
                    printf two > $each/file
                done
                cp evil fsmonitor-watchman; cp evil post-index-change
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

        /// Whether git, so called, starts the program of the trap; and what it says.
        fn springs(
            &self,
            argv: &[String],
            environment: &[(&str, String)],
            sandbox: Option<&Sandbox>,
        ) -> (bool, Output) {
            let ran = self.dir.path().join("ran");
            let _ = std::fs::remove_file(&ran);
            let mut git = Command::new(GIT);
            git.args(&argv[1..]).env_clear().current_dir("/").stdin(Stdio::null());
            git.envs(environment.iter().map(|(k, v)| (*k, v.as_str())));
            if let Some(sandbox) = sandbox {
                sandbox.enclose(&mut git);
            }
            let output = git.output().unwrap();
            (ran.exists(), output)
        }

        /// As the wrapper would run it.
        fn springs_in_sandbox(&self, permit: &Permit, repository: &Path) -> (bool, Output) {
            let operands = permit
                .paths
                .iter()
                .map(|_| open(repository, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap());
            let kernel = Kernel::running();
            assert!(kernel.lacks().is_none(), "this test needs Landlock and seccomp: {kernel:?}");
            let sandbox = Sandbox::prepare(kernel, permit, Path::new(GIT), operands.collect()).unwrap();
            let argv: Vec<&str> = permit.argv.iter().map(String::as_str).collect();
            self.springs(&owned(&argv, repository), &environment("/"), Some(&sandbox))
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

    /// The examples of git's forms, as they would run.
    fn git_lines() -> Vec<(String, Permit)> {
        let catalogue = policy::Catalogue::builtin().unwrap();
        let forms = catalogue.plugins().iter().flat_map(|p| &p.commands).filter(|c| c.name == "git");
        let lines = forms.flat_map(|c| &c.forms).flat_map(|f| &f.examples);
        lines
            .map(|line| {
                let judged = catalogue.judge(line);
                (judged.form.unwrap(), judged.permit.unwrap())
            })
            .collect()
    }

    #[test]
    fn no_permitted_git_line_starts_what_a_repository_names() {
        let trap = Trap::set();
        let bare = [("PATH", "/usr/bin:/bin".to_owned())];
        // The trap works: without the policy's words and the wrapper's environment both repositories spring it.
        for name in ["full", "lazy"] {
            let plain = owned(&["git", "-C", "/srv/app", "log", "-n", "1"], &trap.repository(name));
            assert!(trap.springs(&plain, &bare, None).0, "{name}");
        }
        let lines = git_lines();
        assert!(lines.len() >= 10);
        for (form, permit) in lines {
            let argv: Vec<&str> = permit.argv.iter().map(String::as_str).collect();
            for name in ["full", "lazy"] {
                let argv = owned(&argv, &trap.repository(name));
                // What looks at the working tree has the filters of the repository to fear, which only the sandbox stops.
                if !["git/status", "git/diff"].contains(&form.as_str()) {
                    assert!(!trap.springs(&argv, &environment("/"), None).0, "{name}: {argv:?}");
                }
                let (sprung, said) = trap.springs_in_sandbox(&permit, &trap.repository(name));
                assert!(!sprung, "{name}: {argv:?}: {said:?}");
            }
        }
    }

    #[test]
    fn the_sandbox_stops_the_filters_of_a_repository_and_git_still_answers() {
        let trap = Trap::set();
        let looks =
            git_lines().into_iter().filter(|(form, _)| ["git/status", "git/diff"].contains(&form.as_str()));
        let looks: Vec<Permit> = looks.map(|(_, permit)| permit).collect();
        assert!(looks.len() >= 4);
        for permit in looks {
            let repository = trap.repository("full");
            let argv: Vec<&str> = permit.argv.iter().map(String::as_str).collect();
            let (sprung, _) = trap.springs(&owned(&argv, &repository), &environment("/"), None);
            assert!(sprung, "without a sandbox the filter runs: {argv:?}");
            let (sprung, said) = trap.springs_in_sandbox(&permit, &repository);
            let text = String::from_utf8_lossy(&said.stdout).into_owned();
            assert!(!sprung && said.status.success() && text.contains("file"), "{argv:?}: {said:?}");
        }
    }

    #[test]
    fn a_repository_of_another_account_is_read() {
        let trap = Trap::set();
        let words = owned(&["git", "-C", "/srv/app", "rev-parse", "HEAD"], &trap.repository("full"));
        // How git's own tests play another owner.
        let mut ours = environment("/");
        ours.push(("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1".to_owned()));
        let (_, said) = trap.springs(&words, &ours, None);
        assert!(said.status.success() && said.stdout.len() == 41, "{said:?}");
        ours.retain(|(name, _)| *name != "GIT_CONFIG_COUNT");
        let (_, refused) = trap.springs(&words, &ours, None);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("dubious ownership"), "{refused:?}");
    }
}
