//! Each reader against the program itself, byte by byte: over awkward files and over every option that a form permits.

use std::cell::RefCell;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use policy::{Access, Account, Level, Limits, PathOperand, Profile};

use super::*;

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

/// `name` compressed in a way, as a file beside it.
fn compress(place: &Place, name: &str, by: &[&str]) -> Vec<u8> {
    let output = Command::new(by[0]).args(&by[1..]).arg(place.path(name)).output().unwrap();
    assert!(output.status.success(), "{by:?}: {output:?}");
    output.stdout
}

const COMPRESSORS: [&[&str]; 9] = [
    &["gzip", "-c"],
    &["gzip", "-1nc"],
    &["zstd", "-qc"],
    &["zstd", "-19qc", "--check"],
    &["zstd", "-qc", "--no-check"],
    &["xz", "-c"],
    &["xz", "-0c", "--check=crc32"],
    &["xz", "-c", "--check=none"],
    &["xz", "-c", "--block-size=65536"],
];

#[test]
fn compressed_files_are_read_as_what_they_hold() {
    let place = Place::new();
    // Of each plain file the program is asked once.
    let mut said = std::collections::HashMap::new();
    for by in COMPRESSORS {
        for name in ["empty", "open", "log", "nul"] {
            let packed = compress(&place, name, by);
            let plain = std::fs::read(place.path(name)).unwrap();
            for (packed, plain) in [
                (packed.clone(), plain.clone()),
                ([packed.clone(), packed].concat(), [plain.clone(), plain].concat()),
            ] {
                std::fs::write(place.path("packed"), packed).unwrap();
                let known_len = plain.len();
                std::fs::write(place.path("plain"), plain).unwrap();
                for line in [
                    "cat",
                    "cat -n",
                    "head -3",
                    "head -c 70000",
                    "tail",
                    "tail -n 4000",
                    "tail -c 9",
                    "tail -n +2990",
                    "wc -lc",
                    "grep -c o",
                    "grep -n foo",
                ] {
                    let mut words: Vec<&str> = line.split(' ').collect();
                    words.push("@packed");
                    let ours = Place::native(&place.permit(words[0], &words)).unwrap();
                    words.pop();
                    words.push("@plain");
                    let key = (name, line, known_len);
                    let program = || Place::program(&place.permit(words[0], &words));
                    let theirs = said.entry(key).or_insert_with(program);
                    // Its name stands in the answer of wc, and binary data in its own words.
                    if name == "nul" && line.starts_with("grep -n") {
                        assert!(ours.err.contains("binary file matches"), "{ours:?}");
                        continue;
                    }
                    let same = |text: &str| {
                        text.replace("packed", "plain")
                            .split_whitespace()
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                    };
                    let equal = if line.starts_with("wc") {
                        same(&ours.out) == same(&theirs.out)
                    } else {
                        ours.out == theirs.out
                    };
                    assert!(
                        equal && ours.err == theirs.err && ours.end == theirs.end,
                        "{by:?} {name} {line}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_damaged_is_said_and_nothing_breaks() {
    let place = Place::new();
    for by in COMPRESSORS {
        let packed = compress(&place, "log", by);
        let whole = std::fs::read_to_string(place.path("log")).unwrap();
        for cut in [7, packed.len() / 2, packed.len() - 1] {
            std::fs::write(place.path("packed"), &packed[..cut]).unwrap();
            let said = Place::native(&place.permit("zcat", &["zcat", "@packed"])).unwrap();
            assert_eq!(said.end, End::Exit(1), "{by:?} {cut}: {}", said.err);
            assert!(whole.starts_with(&said.out) && said.err.starts_with("zcat: ") && said.err.len() < 200);
        }
        // Without a checksum some damage cannot be seen; none may stop the thread in its tracks.
        for at in (0..packed.len()).step_by(packed.len() / 60 + 1) {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x55;
            std::fs::write(place.path("packed"), damaged).unwrap();
            let said = Place::native(&place.permit("zcat", &["zcat", "@packed"])).unwrap();
            let checked = by[0] == "gzip" || (by[0] == "xz" && !by.contains(&"--check=none"));
            assert!(matches!(said.end, End::Exit(0 | 1)), "{by:?} {at}");
            assert!(
                !checked || at < 12 || said.end == End::Exit(1) || said.out == whole,
                "{by:?} {at}: {}",
                said.err
            );
        }
    }
}

#[test]
fn a_bomb_ends_at_the_caps() {
    let place = Place::new();
    std::fs::File::create(place.path("zeros")).unwrap().set_len(48 << 20).unwrap();
    for by in [&["gzip", "-1c"][..], &["zstd", "-qc"], &["xz", "-0c"]] {
        std::fs::write(place.path("bomb"), compress(&place, "zeros", by)).unwrap();
        let mut permit = place.permit("zcat", &["zcat", "@bomb"]);
        permit.limits.bytes = 1 << 20;
        let said = Place::native(&permit).unwrap();
        assert_eq!((said.end, said.out.len()), (End::Output, 1 << 20), "{by:?}");
        // One line that never ends, and a search that finds no end.
        let said = Place::native(&place.permit("zgrep", &["zgrep", "x", "@bomb"])).unwrap();
        assert!(said.end == End::Exit(2) && said.err.contains("a line is too long"), "{by:?}: {said:?}");
    }
    let mut permit = place.permit("tail", &["tail", "@bomb"]);
    permit.limits.seconds = 0;
    assert_eq!(Place::native(&permit).unwrap().end, End::Time);
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    let place = Place::new();
    std::fs::write(
        place.path("noise"),
        (0..12_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect::<Vec<_>>(),
    )
    .unwrap();
    for by in [&["xz", "-0c", "--lzma2=preset=0,dict=64MiB"][..], &["zstd", "-1qc", "--long=25"]] {
        std::fs::write(place.path("packed"), compress(&place, "noise", by)).unwrap();
        let said = Place::native(&place.permit("zcat", &["zcat", "@packed"])).unwrap();
        assert!(said.end == End::Exit(1) && said.err.contains("MiB of memory"), "{by:?}: {}", said.err);
    }
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
