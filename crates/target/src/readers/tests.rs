//! Each reader against the program itself, byte by byte: over awkward files and over every option that a form permits.

use std::cell::RefCell;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use policy::{Access, Account, Level, Limits, PathOperand, Profile};

use super::*;

mod compressed;
mod hostile;
mod races;

/// What somebody sees of a line.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    out: String,
    err: String,
    end: End,
}

struct Place {
    dir: tempfile::TempDir,
    differences: RefCell<Vec<String>>,
}

/// Bytes that readers trip over.
fn awkward() -> Vec<(&'static str, Vec<u8>)> {
    let mut long = vec![b'x'; 70_000];
    long.extend_from_slice(b" foo\nshort foo\n");
    let lines: String = (0..3000)
        .map(|n| {
            format!(
                "Nov {:2} host{} app[{n}]: {} took {} ms\n",
                n % 30,
                n % 7,
                ["error", "Warning", "ok"][n % 3],
                n * 37 % 1000
            )
        })
        .collect();
    vec![
        ("empty", Vec::new()),
        ("newline", b"\n".to_vec()),
        ("open", b"one foo\ntwo\nfoo bar".to_vec()),
        ("blanks", b"\n\n\nfoo\n\n\n\nbar\n\n".to_vec()),
        ("nul", b"foo\0bar\nfoo\n".to_vec()),
        ("invalid", b"foo \xff\xfe bar\nfoo\n\xc3".to_vec()),
        ("french", "échec foo\nFoo Échec\nkelvin \u{212a} \u{17f} foo\u{a0}bar\n".as_bytes().to_vec()),
        ("control", b"a\tb\rc\x0bd\x0ce \x01\x02 \x7f foo\r\nfoo_bar foo\r\n\x80foo\n".to_vec()),
        ("words", b"foo food foo-bar _foo foo_ (foo) Foo FOO ofoo\nafoob\nfoo\n  foo\nab aab abb a.b a*b a+b {ab} [ab]\n".to_vec()),
        ("log", lines.clone().into_bytes()),
        ("big", lines.repeat(20).into_bytes()),
        ("long", long),
        ("page", vec![b'z'; 4096]),
        ("pages", b"0123456\n".repeat(8192)),
    ]
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), differences: RefCell::default() };
        for (name, bytes) in awkward() {
            std::fs::write(place.path(name), bytes).unwrap();
        }
        std::fs::create_dir(place.path("folder")).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn permit(&self, native: &str, words: &[&str]) -> Permit {
        let root = format!("{}/", self.dir.path().display());
        let argv: Vec<String> = words
            .iter()
            .map(|w| w.strip_prefix('@').map_or_else(|| (*w).to_owned(), |name| format!("{root}{name}")))
            .collect();
        let paths = argv
            .iter()
            .enumerate()
            .filter(|(_, w)| w.starts_with(&root))
            .map(|(index, _)| PathOperand { index, roots: vec![root.clone()] })
            .collect();
        Permit {
            program: Vec::new(),
            argv,
            profile: Profile::File,
            limits: Limits { lines: 1 << 20, bytes: 64 << 20, seconds: 60 },
            account: Account::Reader,
            level: Level::Auto,
            paths,
            access: Access::Contents,
            reads: Vec::new(),
            helpers: Vec::new(),
            native: Some(native.to_owned()),
        }
    }

    /// What the reader says; `None` when it leaves the line to the program.
    fn native(permit: &Permit) -> Option<Seen> {
        let mut paths = Paths::beneath("/");
        paths.system = true;
        let reader = of(&paths, permit).unwrap()?;
        let (mut out, mut err) = (Sink::keep(1 << 30), Sink::keep(1 << 20));
        let kernel = Kernel::running();
        assert!(kernel.lacks().is_none(), "these tests need Landlock and seccomp: {kernel:?}");
        let end = reader.run(Some(kernel), permit, &mut out, &mut err).unwrap()?;
        Some(Seen { out: out.text(), err: err.text(), end })
    }

    /// The same of the program.
    fn program(permit: &Permit) -> Seen {
        let mut command = Command::new(Path::new("/usr/bin").join(&permit.argv[0]));
        command
            .arg0(&permit.argv[0])
            .args(&permit.argv[1..])
            .env_clear()
            .envs([("LC_ALL", "C.UTF-8"), ("PATH", "/usr/bin:/bin")]);
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Seen {
            out: text(&output.stdout),
            err: text(&output.stderr),
            end: End::Exit(output.status.code().unwrap()),
        }
    }

    /// Whether the reader served the line; what it said is what the program says.
    fn same(&self, words: &[&str]) -> bool {
        let permit = self.permit(words[0], words);
        let Some(ours) = Self::native(&permit) else { return false };
        let theirs = Self::program(&permit);
        if ours != theirs {
            let cut = |text: &str| text.chars().take(600).collect::<String>();
            self.differences.borrow_mut().push(format!(
                "{:?}\nours:   {:?} {:?} {:?}\ntheirs: {:?} {:?} {:?}",
                permit.argv,
                ours.end,
                cut(&ours.out),
                ours.err,
                theirs.end,
                cut(&theirs.out),
                theirs.err
            ));
        }
        true
    }

    /// That nothing was different.
    fn agrees(&self) {
        let differences = self.differences.borrow();
        let shown: Vec<&str> = differences.iter().take(20).map(String::as_str).collect();
        assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), shown.join("\n"));
    }

    /// Every set of options over every file, and over several; how many lines were served, of how many.
    fn compare(&self, program: &str, options: &[&str]) -> (usize, usize) {
        let names: Vec<String> = awkward().iter().map(|(name, _)| format!("@{name}")).collect();
        let mut sets: Vec<Vec<&str>> = names.iter().map(|n| vec![n.as_str()]).collect();
        sets.push(vec!["@missing"]);
        sets.push(vec!["@folder"]);
        sets.push(vec!["@open", "@blanks", "@empty", "@log"]);
        sets.push(vec!["@missing", "@open", "@folder", "@blanks", "@log/x"]);
        sets.push(vec!["@blanks", "@blanks"]);
        let (mut served, mut all) = (0, 0);
        for option in options {
            for files in &sets {
                let mut words = vec![program];
                words.extend(option.split(' ').filter(|w| !w.is_empty()));
                words.extend(files);
                served += usize::from(self.same(&words));
                all += 1;
            }
        }
        self.agrees();
        (served, all)
    }
}

#[test]
fn cat_prints_what_the_program_prints() {
    let options = [
        "",
        "-n",
        "-b",
        "-s",
        "-A",
        "-ns",
        "-bs",
        "-nA",
        "-bA",
        "-sA",
        "-nb",
        "-nbsA",
        "--number --squeeze-blank",
    ];
    let (served, all) = Place::new().compare("cat", &options);
    assert_eq!(served, all);
}

#[test]
fn head_prints_what_the_program_prints() {
    let options = [
        "",
        "-1",
        "-n 1",
        "-n5",
        "--lines=10000",
        "-c 1",
        "-c 4097",
        "--bytes 1000000",
        "-q",
        "-v",
        "-qv",
        "-vq -n 3",
        "-n 2 -c 5",
        "-c 5 -n 2",
        "-20 -v",
        "-3 -q",
    ];
    let (served, all) = Place::new().compare("head", &options);
    assert_eq!(served, all);
}

#[test]
fn tail_prints_what_the_program_prints() {
    let options = [
        "",
        "-n 1",
        "-n5",
        "--lines=10000",
        "-c 1",
        "-c 4097",
        "--bytes 1000000",
        "-q",
        "-v",
        "-qv",
        "-vq -n 3",
        "-n 2 -c 5",
        "-c 5 -n 2",
        "-n +1",
        "-n +2",
        "-n +100",
        "-n +1000000",
        "-n +2 -v",
    ];
    let place = Place::new();
    let (served, all) = place.compare("tail", &options);
    assert_eq!(served + 2 * options.len(), all, "all but those with a folder");
    for name in ["@log", "@big", "@open", "@empty", "@missing"] {
        assert!(place.same(&["tail", "-50", name]));
    }
    place.agrees();
    assert!(!place.same(&["tail", "-50", "@log", "@open"]), "the program refuses that");
}

#[test]
fn wc_counts_what_the_program_counts() {
    let options = [
        "",
        "-l",
        "-w",
        "-c",
        "-m",
        "-L",
        "-lw",
        "-lc",
        "-cm",
        "-lwcmL",
        "-wL",
        "--lines --bytes",
        "--chars",
        "--max-line-length",
    ];
    let (served, all) = Place::new().compare("wc", &options);
    assert!(served * 10 > all * 7 && served < all, "{served} of {all}");
}

#[test]
fn grep_selects_what_the_program_selects() {
    let flags = [
        "",
        "-i",
        "-v",
        "-n",
        "-c",
        "-l",
        "-L",
        "-w",
        "-x",
        "-q",
        "-s",
        "-h",
        "-H",
        "-b",
        "-m 2",
        "-m1 -c",
        "-vn",
        "-vc",
        "-A 1",
        "-B 2",
        "-C 1 -n",
        "-3",
        "-A 0",
        "-nb",
        "-lv",
        "-Lv",
        "-iw",
        "-ix",
        "-hn",
        "-Hc",
        "-qs",
        "-qv",
        "--line-buffered -b -A 2 -n",
        "-o",
        "-on",
        "-ob",
        "-oi",
        "-ov",
        "-wo",
        "-a",
        "-xo",
        "-A 1 -B 0 -v",
        "-C 2 -A 0",
    ];
    let patterns = ["-F foo", "-E fo+", "-e foo -e bar"];
    let options: Vec<String> = flags.iter().flat_map(|f| patterns.map(|p| format!("{f} {p}"))).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let (served, all) = Place::new().compare("grep", &options);
    assert!(served * 10 > all * 5 && served < all, "{served} of {all}");
}

#[test]
fn patterns_mean_what_they_mean_to_grep() {
    let patterns = [
        "foo",
        "^foo",
        "foo$",
        "^foo$",
        "^",
        "$",
        "^$",
        "",
        "f.o",
        "fo*",
        "fo\\+",
        "fo\\?",
        "o\\{2\\}",
        "o\\{1,\\}",
        "\\(fo\\|ba\\)r*",
        "[fb]oo",
        "[^f]oo",
        "[a-f]oo",
        "[]a]",
        "[^]a]",
        "[a\\]",
        "[-a]",
        "[a-]",
        "a*b",
        "*b",
        "^*b",
        "\\(*b\\)",
        "a+b",
        "a\\+b",
        "a.b",
        "a\\.b",
        "a\\*b",
        "{ab}",
        "a{1}b",
        "\\[ab\\]",
        "(foo)",
        "foo|bar",
        "foo\\|bar",
        "\\<foo\\>",
        "\\<foo",
        "foo\\>",
        "\\bfoo\\b",
        "\\w\\+",
        "\\W",
        "\\s",
        "\\S\\+$",
        "[[:alpha:]]*",
        "[[:digit:]]\\+",
        "[[:space:]]foo",
        "[^[:alnum:]]foo",
        "[[:upper:]]",
        "[[:punct:]]",
        "a^b",
        "a$b",
        "x\\(^foo\\)",
        "\\(foo$\\)",
        "^\\(\\(a\\|ab\\)\\(c\\|bcd\\)*\\)",
        "a**b",
        "\\(a*\\)*",
        "\\(a\\|\\)b",
        "app\\[1[0-9]*\\]",
        "took [0-9]\\{3\\} ms",
        "error took .* ms$",
        "é",
        "É",
        "[é]chec",
        ".chec",
        "[[:alpha:]]chec",
        "k",
        "s",
        "fo*o",
        "\\(foo\\)\\1",
        "\\d",
        "a\\/b",
        "[",
        "\\(",
        "[[:foo:]]",
        "[:alpha:]",
        "x\\{3",
        "a\\{1,2\\}\\{2\\}",
    ];
    let extended = [
        "fo+",
        "fo?o",
        "(foo|bar)+",
        "(fo|foo)(o|)",
        "a{2}b",
        "a{1,2}b",
        "a{1,}b",
        "^(foo|bar)",
        "(^| )foo( |$)",
        "a+?b",
        "(a|ab)(c|bcd)?",
        "()",
        "foo|",
        "|foo",
        "a{,2}b",
        "a{x",
        "(",
        ")",
        "+",
        "a|*b",
        "^*",
        "a$b",
        "[[:alpha:]_]+",
        "\\w+ \\w+",
        "((a)|(b))+",
        "a.{0,3}b",
        "a\\{1\\}",
        "\\(foo\\)",
        "a++b",
        "(a+)+b",
        "x{300}{300}",
    ];
    let place = Place::new();
    let (mut served, mut all) = (0, 0);
    let flags = ["-n", "-in", "-wn", "-on", "-xn", "-oib", "-vc", "-iw", "-won", "-xo", "-ix"];
    for (syntax, patterns, flags) in [
        ("-G", &patterns[..], &flags[..]),
        ("-E", &extended, &flags),
        ("-E", &patterns, &flags[..2]),
        ("-F", &patterns, &flags[..4]),
    ] {
        for pattern in patterns {
            for flags in flags {
                for file in ["@words", "@french"] {
                    served += usize::from(place.same(&["grep", syntax, flags, "-e", pattern, file]));
                    all += 1;
                }
            }
        }
    }
    place.agrees();
    assert!(served * 10 > all * 4 && served < all, "{served} of {all}");
}

#[test]
fn a_line_that_no_program_serves_is_refused() {
    let place = Place::new();
    let mut paths = Paths::beneath("/");
    paths.system = true;
    for words in [&["zcat", "--x", "@log"][..], &["zgrep", "\\(a\\)\\1", "@log"], &["zcat", "/dev/null"]] {
        let mut permit = place.permit(words[0], words);
        if words[1] == "/dev/null" {
            permit.paths = vec![PathOperand { index: 1, roots: vec!["/dev/null".to_owned()] }];
        }
        assert!(of(&paths, &permit).is_err(), "{words:?}");
    }
    for words in [&["cat", "/proc/self/status"][..], &["frob", "@log"], &["cat", "-v", "@log"]] {
        assert!(
            of(&paths, &place.permit(words[0], words)).unwrap().is_none() || words[1].starts_with("/proc"),
            "{words:?}"
        );
    }
}

#[test]
fn a_peer_that_goes_away_ends_the_reader() {
    use std::os::fd::AsFd;
    let place = Place::new();
    let (read, write) = std::io::pipe().unwrap();
    rustix::fs::fcntl_setfl(&write, rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK).unwrap();
    drop(read);
    let mut paths = Paths::beneath("/");
    paths.system = true;
    let permit = place.permit("cat", &["cat", "@big"]);
    let reader = of(&paths, &permit).unwrap().unwrap();
    let end = reader.run(None, &permit, &mut Sink::peer(write.as_fd()), &mut Sink::keep(100)).unwrap();
    assert_eq!(end, Some(End::Gone));
}
