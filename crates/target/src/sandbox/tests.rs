//! Real programs in real sandboxes, also as older kernels would make them. The attempts to get out are in `tests/escape`.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Output;

use policy::{Account, Level, Limits};
use rustix::fs::{Mode, OFlags, open};

use super::*;

/// This kernel's, with its Landlock cut to an older ABI.
fn kernel(abi: u32) -> Kernel {
    let running = Kernel::running();
    assert!(running.lacks().is_none(), "these tests need Landlock and seccomp: {running:?}");
    Kernel { landlock: running.landlock.min(abi), ..running }
}

fn permit(profile: Profile) -> Permit {
    Permit {
        program: Vec::new(),
        argv: Vec::new(),
        profile,
        limits: Limits { lines: 100, bytes: 100_000, seconds: 20 },
        account: Account::Reader,
        level: Level::Auto,
        paths: Vec::new(),
        access: Access::Contents,
        reads: Vec::new(),
        helpers: Vec::new(),
        native: None,
    }
}

fn object(place: &Path) -> OwnedFd {
    open(place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

struct Try {
    kernel: Kernel,
    permit: Permit,
    operands: Vec<PathBuf>,
}

impl Try {
    fn new(profile: Profile) -> Self {
        Self { kernel: kernel(u32::MAX), permit: permit(profile), operands: Vec::new() }
    }

    fn run(&self, program: &str, arguments: &[&OsStr]) -> Output {
        let operands = self.operands.iter().map(|place| object(place)).collect();
        let sandbox = Sandbox::prepare(self.kernel, &self.permit, Path::new(program), operands).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::null());
        sandbox.enclose(&mut command);
        command.output().unwrap()
    }

    fn shell(&self, script: &str) -> Output {
        let mut with_helpers =
            Self { kernel: self.kernel, permit: self.permit.clone(), operands: self.operands.clone() };
        let helpers = ["id", "cat", "touch", "rm", "chmod", "ln", "ls", "dd", "sleep", "ps", "mv"];
        with_helpers.permit.helpers = helpers.map(|name| format!("/usr/bin/{name}")).to_vec();
        with_helpers.run("/bin/sh", &["-c".as_ref(), script.as_ref()])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_named_file_is_read_and_none_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let (named, beside) = (dir.path().join("named"), dir.path().join("beside"));
    std::fs::write(&named, "content").unwrap();
    std::fs::write(&beside, "secret").unwrap();
    for abi in [1, 2, 3, 4, 5, 6, u32::MAX] {
        let mut attempt = Try::new(Profile::File);
        attempt.kernel = kernel(abi);
        attempt.operands.push(named.clone());
        let output = attempt.run("/usr/bin/cat", &[named.as_ref(), beside.as_ref()]);
        assert_eq!(text(&output.stdout), "content", "ABI {abi}: {output:?}");
        assert!(text(&output.stderr).contains("Permission denied") && output.status.code() == Some(1));
    }
}

/// What was checked is what is read: a path that has become something else in between leads nowhere.
#[test]
fn a_file_that_was_swapped_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (named, secret) = (dir.path().join("named"), dir.path().join("secret"));
    std::fs::write(&named, "content").unwrap();
    std::fs::write(&secret, "secret").unwrap();
    let operands = vec![object(&named)];
    let sandbox =
        Sandbox::prepare(kernel(u32::MAX), &permit(Profile::File), Path::new("/usr/bin/cat"), operands)
            .unwrap();
    std::fs::remove_file(&named).unwrap();
    std::os::unix::fs::symlink(&secret, &named).unwrap();
    let mut command = Command::new("/usr/bin/cat");
    command.arg(&named);
    sandbox.enclose(&mut command);
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty() && output.status.code() == Some(1), "{output:?}");
}

/// A service that swaps a folder for a link, over and over, while its log is read: its secret never comes out.
#[test]
fn toctou_03_a_racing_writer_gains_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("played/log");
    let secrets = dir.path().join("secrets");
    for (folder, content) in [(log.join("sub"), "content"), (secrets.clone(), "secret")] {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), content).unwrap();
    }
    std::os::unix::fs::symlink(&secrets, log.join("link")).unwrap();
    let paths = crate::Paths::beneath(dir.path());
    let words = ["cat".to_owned(), "/played/log/sub/file".to_owned()];
    let operand = policy::PathOperand { index: 1, roots: vec!["/played/log/".to_owned()] };
    let over = std::sync::atomic::AtomicBool::new(false);
    let (mut read, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder =
                open(&log, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let swap = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&folder, "sub", &folder, "link", swap).unwrap();
                std::thread::yield_now();
            }
        });
        // Until both have been seen, and at least so often.
        let started = std::time::Instant::now();
        for round in 0.. {
            if round >= 100 && (read > 0 && refused > 0 || started.elapsed().as_secs() > 30) {
                break;
            }
            let Ok(operands) = crate::confine::open_all(&paths, &words, std::slice::from_ref(&operand))
            else {
                refused += 1;
                continue;
            };
            let permit = permit(Profile::File);
            let sandbox =
                Sandbox::prepare(kernel(u32::MAX), &permit, Path::new("/usr/bin/cat"), operands).unwrap();
            let mut command = Command::new("/usr/bin/cat");
            command.arg(log.join("sub/file"));
            sandbox.enclose(&mut command);
            match text(&command.output().unwrap().stdout).as_str() {
                "content" => read += 1,
                "" => refused += 1,
                other => {
                    over.store(true, std::sync::atomic::Ordering::Relaxed);
                    panic!("round {round}: {other}");
                }
            }
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(read > 0 && refused > 0, "the race was one: {read} read, {refused} refused");
}

/// Opening a pipe without a writer would hang, and reading a device may never end.
#[test]
fn toctou_04_a_pipe_at_a_permitted_place_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for (access, place) in [
        (Access::Contents, pipe.as_path()),
        (Access::Tree, &pipe),
        (Access::Contents, Path::new("/dev/kmsg")),
    ] {
        let mut attempt = Try::new(Profile::File);
        attempt.permit.access = access;
        attempt.operands.push(place.to_owned());
        let output = attempt.run("/usr/bin/cat", &[place.as_ref()]);
        assert!(output.stdout.is_empty() && output.status.code() == Some(1), "{output:?}");
    }
}

#[test]
fn access_decides_between_names_and_contents() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "content").unwrap();
    let file = dir.path().join("file");
    for (access, names, contents) in
        [(Access::Names, true, false), (Access::Contents, true, false), (Access::Tree, true, true)]
    {
        let mut attempt = Try::new(Profile::File);
        attempt.permit.access = access;
        attempt.operands.push(dir.path().to_owned());
        let listed = attempt.run("/usr/bin/ls", &[dir.path().as_ref()]);
        assert_eq!(text(&listed.stdout) == "file\n", names, "{access}");
        let read = attempt.run("/usr/bin/cat", &[file.as_ref()]);
        assert_eq!(text(&read.stdout) == "content", contents, "{access}");
    }
    let mut attempt = Try::new(Profile::File);
    attempt.permit.access = Access::Names;
    attempt.operands.push(file.clone());
    assert!(attempt.run("/usr/bin/cat", &[file.as_ref()]).stdout.is_empty());
}

#[test]
fn nothing_is_written_whatever_the_abi() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    for abi in [0, 1, 2, 3, 5, u32::MAX] {
        std::fs::write(&own, "content").unwrap();
        let mut attempt = Try::new(Profile::File);
        attempt.kernel = kernel(abi);
        attempt.permit.access = Access::Tree;
        attempt.operands.push(dir.path().to_owned());
        let at = dir.path().display();
        let script = format!(
            "cd {at}; touch new; (: > own); (echo x >> own); rm -f own; mv own other; ln own hard; ln -s own symbolic; chmod 777 own; \
             dd if=/dev/zero of=own conv=notrunc count=1; touch -d 2001-01-01 own; echo done"
        );
        let output = attempt.shell(&script);
        assert!(text(&output.stdout).ends_with("done\n"), "ABI {abi}: {output:?}");
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["own"], "ABI {abi}: {output:?}");
        let meta = std::fs::metadata(&own).unwrap();
        assert_eq!(std::fs::read_to_string(&own).unwrap(), "content", "ABI {abi}");
        assert!(meta.modified().unwrap().elapsed().unwrap().as_secs() < 3600, "ABI {abi}");
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777, 0o644, "ABI {abi}");
    }
}

#[test]
fn only_the_program_and_its_helpers_are_started() {
    let attempt = Try::new(Profile::Proc);
    assert_eq!(text(&attempt.shell("id -u").stdout).trim(), rustix::process::getuid().as_raw().to_string());
    let refused = attempt.shell("date; echo $?; env true; echo $?");
    assert_eq!(text(&refused.stdout), "126\n126\n", "{refused:?}");
}

#[test]
fn it_has_its_own_session_no_descriptors_and_limits() {
    let leaked = std::fs::File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let output = Try::new(Profile::Proc).shell("umask; exec cat /proc/self/status");
    let said = text(&output.stdout);
    assert!(said.starts_with("0077\n"), "{output:?}");
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"] {
        assert!(said.contains(line), "{line}: {output:?}");
    }
    let output = Try::new(Profile::Proc)
        .shell("ls -l /proc/self/fd; ulimit -c; ulimit -f; ulimit -t; ps -o sid=,pgid= -p $$; echo $$");
    let said = text(&output.stdout);
    // 0, 1, 2 and the folder that ls itself has open.
    assert_eq!(said.matches(" -> ").count(), 4, "{output:?}");
    assert!(said.contains("\n0\n0\n25\n"), "{output:?}");
    let mut lines = said.lines().rev();
    let (own, ids) = (lines.next().unwrap().trim(), lines.next().unwrap());
    assert!(ids.split_whitespace().all(|id| id == own), "session and group {ids}, process {own}");
    drop(leaked);
}

#[test]
fn a_program_may_end_itself_but_no_other_process() {
    let mut victim = Command::new("/usr/bin/sleep").arg("60").spawn().unwrap();
    for abi in [1, 5, 6, u32::MAX] {
        let mut attempt = Try::new(Profile::Proc);
        attempt.kernel = kernel(abi);
        let output = attempt.shell(&format!(
            "kill -9 {} || echo refused; kill -9 {}; kill -9 $$",
            victim.id(),
            std::process::id()
        ));
        assert_eq!(text(&output.stdout), "refused\n", "ABI {abi}: {output:?}");
        assert_eq!(output.status.signal(), Some(9), "ABI {abi}: its own: {output:?}");
    }
    assert!(victim.try_wait().unwrap().is_none(), "the other process lives");
    victim.kill().unwrap();
    victim.wait().unwrap();
}

#[test]
fn many_with_different_profiles_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let own = dir.path().join(format!("file{number}"));
            let other = dir.path().join(format!("file{}", (number + 1) % 16));
            scope.spawn(move || {
                std::fs::write(&own, number.to_string()).unwrap();
                let mut attempt = Try::new(if number % 2 == 0 { Profile::File } else { Profile::Journal });
                attempt.operands.push(own.clone());
                for _ in 0..5 {
                    let output = attempt.run("/usr/bin/cat", &[own.as_ref(), other.as_ref()]);
                    assert_eq!(text(&output.stdout), number.to_string());
                }
            });
        }
    });
    // This process and its threads are as free as before.
    std::fs::write(dir.path().join("free"), "x").unwrap();
}

#[test]
fn what_a_kernel_lacks_is_said() {
    let lacks = |landlock, seccomp| Kernel { landlock, seccomp }.lacks();
    assert_eq!(lacks(7, true), None);
    assert_eq!(lacks(1, true), None);
    assert_eq!(lacks(0, true), Some("Landlock"));
    assert_eq!(lacks(3, false), Some("seccomp"));
    assert_eq!(lacks(0, false), Some("Landlock and seccomp"));
    let gaps = |landlock| Kernel { landlock, seccomp: true }.gaps();
    assert!(gaps(1)[&Profile::File].is_empty() && gaps(9).values().all(Vec::is_empty));
    assert_eq!(gaps(7)[&Profile::Dbus].len(), 1);
    assert_eq!(gaps(1)[&Profile::Container].len(), 2);
    assert_eq!(gaps(0)[&Profile::File].len(), 1);
}

/// A run that cannot enter its sandbox does not start.
#[test]
fn what_cannot_be_entered_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("mark");
    let mut sandbox = Sandbox::limits_only(&permit(Profile::File));
    // No filter of this kind: the kernel refuses it.
    sandbox.filter = vec![Instruction { code: 0xffff, jump_true: 0, jump_false: 0, value: 0 }];
    let mut command = Command::new("/usr/bin/touch");
    command.arg(&mark);
    sandbox.enclose(&mut command);
    assert!(command.spawn().is_err());
    assert!(!mark.exists());
}
