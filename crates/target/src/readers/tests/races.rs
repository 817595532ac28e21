//! Files that others swap, link or put in the place of logs.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags, mknodat, open, renameat_with};

use super::*;

const SECRET: &str = "root:$y$j9T$secret";

/// A folder of logs with one log, and what no reader may show.
struct Logs {
    dir: tempfile::TempDir,
}

impl Logs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/log/app")).unwrap();
        std::fs::write(dir.path().join("shadow"), SECRET).unwrap();
        let logs = Self { dir };
        std::fs::write(logs.at("file"), "content").unwrap();
        logs
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("var/log/app").join(name)
    }

    fn folder(&self) -> OwnedFd {
        open(self.at(""), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    /// What a line with this log as its operand shows; an error if it is refused, `None` if a program must serve it.
    fn ask(&self, native: &str, words: &[&str], name: &str) -> Result<Option<Seen>, String> {
        let mut argv: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        argv.push(format!("/var/log/app/{name}"));
        let index = argv.len() - 1;
        let permit = Permit {
            program: Vec::new(),
            argv,
            profile: Profile::File,
            limits: Limits { lines: 100, bytes: 1 << 20, seconds: 20 },
            account: Account::Reader,
            level: Level::Auto,
            paths: vec![PathOperand { index, roots: vec!["/var/log/".to_owned()] }],
            access: Access::Contents,
            reads: Vec::new(),
            helpers: Vec::new(),
            native: Some(native.to_owned()),
        };
        let Some(reader) = of(&Paths::beneath(self.dir.path()), &permit)? else { return Ok(None) };
        let (mut out, mut err) = (Sink::keep(1 << 20), Sink::keep(1 << 20));
        let end = reader.run(Some(Kernel::running()), &permit, &mut out, &mut err)?;
        Ok(end.map(|end| Seen { out: out.text(), err: err.text(), end }))
    }
}

const LINES: [(&str, &[&str]); 5] = [
    ("cat", &["cat"]),
    ("tail", &["tail", "-n", "5"]),
    ("grep", &["grep", "-c", ""]),
    ("zcat", &["zcat"]),
    ("wc", &["wc", "-c"]),
];

/// Asks over and over while the log is exchanged with each of these in turn, until both its content and a refusal have come, and at
/// least so often. Nothing but the content comes out, and nothing hangs.
fn race(logs: &Logs, others: &[&str]) {
    let over = AtomicBool::new(false);
    let (mut read, mut refused) = (0, 0);
    let folder = logs.folder();
    let ask = |native: &str| match logs.ask(native, &[native], "file") {
        Ok(Some(seen)) if seen.out == "content" => true,
        Ok(Some(seen)) if seen.out.is_empty() => false,
        Ok(Some(seen)) => panic!("{seen:?}"),
        Ok(None) | Err(_) => false,
    };
    std::thread::scope(|scope| {
        let swap = || {
            while !over.load(Ordering::Relaxed) {
                for other in others {
                    for _ in 0..2 {
                        renameat_with(&folder, "file", &folder, *other, RenameFlags::EXCHANGE).unwrap();
                        std::thread::yield_now();
                    }
                }
            }
        };
        let swapping = scope.spawn(swap);
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let started = std::time::Instant::now();
            for round in 0.. {
                if round >= 1000 && (read > 0 && refused > 0 || started.elapsed().as_secs() > 30) {
                    break;
                }
                let native = ["cat", "zcat"][round % 2];
                *if ask(native) { &mut read } else { &mut refused } += 1;
            }
        }));
        over.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
        asked.unwrap();
    });
    assert!(read > 0 && refused > 0, "the race was one: {read} read, {refused} refused");
}

#[test]
fn toctou_03_a_log_that_becomes_a_link_shows_nothing_else() {
    let logs = Logs::new();
    std::os::unix::fs::symlink(logs.dir.path().join("shadow"), logs.at("link")).unwrap();
    for (native, words) in LINES {
        let said = logs.ask(native, words, "link");
        assert!(said.as_ref().is_err_and(|e| e.contains("through a link")), "{native}: {said:?}");
    }
    race(&logs, &["link"]);
}

#[test]
fn toctou_04_a_log_that_becomes_a_pipe_or_device_is_not_opened() {
    let logs = Logs::new();
    mknodat(CWD, logs.at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(logs.at("socket")).unwrap();
    let mut others = vec!["pipe", "socket"];
    // /dev/zero by another name, where one may be made.
    let zero = rustix::fs::makedev(1, 5);
    if mknodat(CWD, logs.at("device"), FileType::CharacterDevice, Mode::RUSR, zero).is_ok() {
        others.push("device");
    }
    for other in &others {
        for (native, words) in LINES {
            let said = logs.ask(native, words, other);
            let none = if native == "zcat" { said.is_err() } else { said == Ok(None) };
            assert!(none, "{native} {other}: {said:?}");
        }
    }
    race(&logs, &others);
}

/// Who can write in a folder of logs gives somebody else's file a second name there.
#[test]
fn toctou_05_a_second_name_of_a_secret_shows_nothing() {
    let logs = Logs::new();
    let secret = logs.dir.path().join("shadow");
    std::fs::hard_link(&secret, logs.at("link")).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for folder in [0o775, 0o757, 0o1777] {
        mode(&logs.at(""), folder);
        for file in [0o600, 0o640] {
            mode(&secret, file);
            for (native, words) in LINES {
                let said = logs.ask(native, words, "link");
                assert!(said.as_ref().is_err_and(|e| e.contains("several names")), "{native}: {said:?}");
            }
        }
    }
    let shown = || logs.ask("cat", &["cat"], "link").unwrap().unwrap().out;
    // What everybody may read is no secret; in a folder that the owner alone can write, the link is the owner's; a file with one
    // name is what it is.
    mode(&secret, 0o644);
    assert_eq!(shown(), SECRET);
    mode(&secret, 0o640);
    mode(&logs.at(""), 0o755);
    assert_eq!(shown(), SECRET);
    mode(&logs.at(""), 0o1777);
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(shown(), SECRET);
}
