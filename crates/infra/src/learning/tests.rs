#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

use std::sync::LazyLock;

use policy::Level;

use super::*;
use crate::store::Store;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::builtin().unwrap());

fn shape(line: &str) -> String {
    super::shape(&CATALOGUE, line)
}

fn seen(line: &str) -> Seen {
    super::seen(&CATALOGUE, line)
}

fn advice(line: &str) -> Suggestion {
    let seen = seen(line);
    let row = BlockedCommand {
        shape: seen.shape,
        command: seen.command,
        example: seen.example,
        count: 7,
        first_seen: 1,
        last_seen: 2,
        hosts: vec!["web01".into()],
        callers: vec!["assistant".into()],
        decided: None,
    };
    suggestion(&CATALOGUE, row)
}

#[test]
fn a_shape_keeps_names_and_drops_operands() {
    for (line, expected) in [
        ("lsscsi", "lsscsi"),
        ("apt install nginx", "apt install WORD"),
        ("mysql -v --json /a /b /c 12 13 x y", "mysql -v --json PATH NUMBER WORD"),
        (
            "mysql -n5 -psecret --name=v --lines=3 --file=/x",
            "mysql -nNUMBER -pVALUE --name=WORD --lines=NUMBER --file=PATH",
        ),
        ("mysql Bar", "mysql WORD"),
        // A word behind the program may be a password: only subcommands that are known are kept.
        ("mysql hunter", "mysql WORD"),
        ("mysql correct-horse x", "mysql WORD"),
        ("mysql -5 -x", "mysql WORD -x"),
        ("mysql -- -x --y", "mysql -- WORD"),
        ("mysql --Key=1 --a1b2c3d4e5 --hunter=x --hunter", "mysql --OPTION --OPTION --OPTION --OPTION"),
        ("mysql ''", "mysql WORD"),
        // Attached letters are flags only where the program's own forms say so.
        ("ls -zla /x", "ls -zVALUE PATH"),
        ("ls -la hunter2", "ls -la WORD"),
        ("mysql -pabc", "mysql -pVALUE"),
        ("ls /etc | sh secret", "(shell syntax) ls"),
        ("A=secret ls", "(shell syntax)"),
        ("hunter2 | ls", "(shell syntax)"),
        ("'secret", "(shell syntax)"),
        ("", "(shell syntax)"),
        ("python3.11 x", "python3 WORD"),
        ("/bin/bash -c id", "bash -c WORD"),
        ("hunter2", "(unknown program)"),
        ("/usr/bin/foo x", "(unknown program)"),
        ("föö x", "(unknown program)"),
        ("'a b' c", "(unknown program)"),
        ("-x", "(unknown program)"),
        ("'' x", "(unknown program)"),
    ] {
        assert_eq!(shape(line), expected, "{line}");
    }
    assert!(shape(&format!("mysql{}", " -a x".repeat(99))).ends_with(" MORE"));
}

#[test]
fn an_example_shows_folders_only() {
    assert_eq!(seen("mysql /var/log/app/secret.log").example, "mysql /var/log/PATH");
    assert_eq!(seen("mysql /hunter2/x /secret").example, "mysql /PATH /PATH");
}

#[test]
fn any_text_has_a_bounded_shape() {
    for line in
        ["a".repeat(9000), "'a".repeat(4000), "-".repeat(8000), "a ".repeat(4000), "ls -b ".repeat(120)]
    {
        assert!(shape(&line).len() < 600, "{line}");
    }
}

#[test]
fn lines_that_differ_in_operands_count_as_one_and_no_operand_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    let lines = [
        "psql show --password=hunter2 s3cret -phunter2 /home/hunter2/s3cret 1234567",
        "psql show --password=other s3cret2 -pother /srv/s3cret 7654321",
        "psql --token hunter2 | tee s3cret",
    ];
    for line in lines {
        let seen = seen(line);
        store.record_blocked(&seen.shape, &seen.command, &seen.example, "web01", "me", 5).unwrap();
    }
    let rows = store.blocked_commands(1, 0, 5).unwrap();
    assert_eq!((rows.len(), rows[0].count), (2, 2), "{rows:?}");
    let text = serde_json::to_string(&rows).unwrap();
    for secret in ["hunter", "s3cret", "other", "1234567", "7654321"] {
        assert!(!text.contains(secret), "{text}");
    }
    for file in std::fs::read_dir(dir.path().join("state")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [&b"hunter"[..], b"s3cret"] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "in the database file");
        }
    }
}

#[test]
fn only_known_readers_without_free_words_are_suggested_as_auto() {
    for line in ["lsscsi", "lsscsi -l --json", "lsscsi -p 12", "lsscsi -p12", "lsscsi --limit=12"] {
        let said = advice(line);
        assert_eq!(said.recommended, Recommendation::AddAuto, "{line}: {}", said.why);
        let text = said.suggested_plugin.unwrap();
        Plugin::parse("x.toml", &text).unwrap();
        let with = Catalogue::with_plugins([("x.toml".to_owned(), text)]).unwrap();
        assert_eq!(with.judge(line).verdict, Level::Auto, "{line}");
        assert_eq!(with.judge(&format!("{line} other")).verdict, Level::Blocked, "{line}");
    }
    let catalogue = Catalogue::builtin().unwrap();
    for command in catalogue.plugins().iter().flat_map(|p| &p.commands) {
        let (said, _, text) = advise(&catalogue, &format!("{} --not-listed", command.name));
        assert!(said != Recommendation::AddAuto && text.is_none(), "{}", command.name);
    }
    for line in [
        "lsscsi -o NAME",
        "lsscsi --name=x",
        "lsscsi --file=/x",
        "lsscsi -lp",
        "lsscsi --unheard",
        "lsattr /etc",
        "unheard-of",
        "unheard-of -l",
        "lsscsi --OutPut=x",
        "lsscsi -- x",
        "cat /etc/shadow",
        "ls -Z",
        "find /x -delete",
        "sort -o x y",
        "Lsns -l",
        "lsscsi.sh -l",
        "mysql -psecret",
    ] {
        let said = advice(line);
        assert_eq!(said.recommended, Recommendation::Review, "{line}: {}", said.why);
        assert!(said.suggested_plugin.is_none(), "{line}");
    }
}

#[test]
fn dangerous_ones_stay_blocked_and_changers_need_a_person() {
    for line in [
        "bash -c id",
        "python3 x.py",
        "python3.11 x",
        "sudo ls",
        "curl http://x",
        "rm -rf /",
        "dd if=/x of=/y",
        "mkfs.ext4 /dev/sda",
        "strace x",
        "ls | sh",
        "scp a b:c",
        "lsscsi -l; id",
    ] {
        let said = advice(line);
        assert_eq!(said.recommended, Recommendation::Block, "{line}: {}", said.why);
        assert!(said.suggested_plugin.is_none(), "{line}");
    }
    for line in ["service nginx restart", "dnf upgrade firefox", "dnf upgrade --name=stable firefox"] {
        let said = advice(line);
        assert_eq!(said.recommended, Recommendation::AddManual, "{line}: {}", said.why);
        let text = said.suggested_plugin.unwrap();
        let with = Catalogue::with_plugins([("x.toml".to_owned(), text)]).unwrap();
        assert_eq!(with.judge(line).verdict, Level::Manual, "{line}");
    }
}

/// Secrets in places where people put them; none of the marked texts may be kept.
#[test]
fn no_secret_in_an_odd_place_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    for (line, secret) in [
        ("mysql -phunter2", "hunter2"),
        ("mysql -pabc", "abc"),
        ("ls -pqz", "pqz"),
        ("hunter2", "hunter2"),
        ("hunter2 -l", "hunter2"),
        ("hunter2 | sh", "hunter2"),
        ("/hunter2/x y", "hunter2"),
        ("PGPASSWORD=hunter2 psql", "hunter2"),
        ("curl -u aladdin:opensesame http://x", "opensesame"),
        ("curl -ualaddin:opensesame http://x", "aladdin"),
        ("curl http://aladdin:opensesame@x/", "opensesame"),
        ("psql --password=hunter2", "hunter2"),
        ("psql --token hunter2", "hunter2"),
        ("psql --hunter2", "hunter2"),
        ("psql --hunter2=x", "hunter2"),
        ("psql --correct-horse", "correct-horse"),
        ("aws AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA"),
        ("-hunter2", "hunter2"),
        ("psql -- hunter2", "hunter2"),
        ("psql 'correct horse'", "horse"),
        ("psql postgres://u:hunter2@h/db", "hunter2"),
        ("psql /srv/hunter2/.pgpass", "hunter2"),
        ("psql /opensesame/x/y", "opensesame"),
        ("mysql.hunter2", "hunter2"),
        ("bash.hunter2 x", "hunter2"),
        ("psql status.hunter2", "hunter2"),
        ("echo ghp_0123456789abcdef | tee x", "ghp_"),
        ("redis-cli -a opensesame ping", "opensesame"),
    ] {
        let seen = seen(line);
        let kept = format!("{seen:?}");
        assert!(!kept.contains(secret), "{line}: {kept}");
        store.record_blocked(&seen.shape, &seen.command, &seen.example, "h", "c", 1).unwrap();
        let stored = format!("{:?}", store.blocked_commands(0, 0, 9).unwrap());
        assert!(!stored.contains(secret), "{line}: {stored}");
    }
}

#[test]
fn no_row_of_the_corpus_that_must_not_run_is_suggested_as_auto() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/commands.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut shapes = std::collections::BTreeSet::new();
    let mut tried = 0;
    for row in rows.iter().filter(|r| r["expect"] != "allow") {
        let line = row["cmd"].as_str().unwrap();
        let seen = seen(line);
        for now in 1..=6 {
            store.record_blocked(&seen.shape, &seen.command, &seen.example, "h", "c", now).unwrap();
        }
        shapes.insert(seen.shape);
        tried += 1;
    }
    assert!(tried > 200, "{tried}");
    let long_ago = store.blocked_commands(5, 24 * 3600, 30 * 24 * 3600).unwrap();
    let said = suggestions(&CATALOGUE, long_ago);
    assert_eq!(said.len(), shapes.len(), "each shape is looked at");
    for one in said {
        assert_ne!(one.recommended, Recommendation::AddAuto, "{}", one.shape);
        assert!(one.suggested_plugin.is_none_or(|t| !t.contains("level = \"auto\"")), "{}", one.shape);
    }
}
