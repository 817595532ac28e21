#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it does not expect")]

use policy::Level;

use super::*;
use crate::store::Store;

fn advice(line: &str) -> Suggestion {
    let seen = seen(line).unwrap();
    let row = BlockedCommand {
        shape: seen.shape,
        command: seen.command,
        example: seen.example,
        count: 7,
        first_seen: 1,
        last_seen: 2,
        hosts: vec!["web01".into()],
        callers: vec!["assistant".into()],
    };
    suggestion(&Catalogue::builtin().unwrap(), row)
}

#[test]
fn a_shape_keeps_names_and_drops_operands() {
    for (line, expected) in [
        ("lsscsi", "lsscsi"),
        ("apt install nginx", "apt install WORD"),
        ("foo -la --json /a /b /c 12 13 x y", "foo -la --json PATH NUMBER WORD"),
        ("foo -n5 -psecret --x=v", "foo -n -p --x"),
        ("foo Bar", "foo WORD"),
        // A word behind the program may be a password: only subcommands that are known are kept.
        ("mysql hunter", "mysql WORD"),
        ("prog correct-horse x", "prog WORD"),
        ("foo -5 -x", "foo WORD -x"),
        ("foo -- -x --y", "foo -- WORD"),
        ("foo --Key=1 --a1b2c3d4e5", "foo --OPTION --OPTION"),
        ("foo abcdefghijklmnopqrstu", "foo WORD"),
        ("foo ''", "foo WORD"),
        ("ls /etc | sh secret", "(shell syntax) ls"),
        ("A=secret ls", "(shell syntax)"),
        ("'secret", "(shell syntax)"),
        ("", "(shell syntax)"),
    ] {
        assert_eq!(shape(line).as_deref(), Some(expected), "{line}");
    }
    for line in ["/usr/bin/foo x", "föö x", "'a b' c", "-x", "'' x"] {
        assert_eq!(shape(line), None, "{line}");
    }
    assert!(shape(&format!("foo{}", " -a x".repeat(99))).unwrap().ends_with(" MORE"));
}

#[test]
fn an_example_shows_folders_only() {
    assert_eq!(seen("foo /var/log/app/secret.log").unwrap().example, "foo /var/log/PATH");
    assert_eq!(seen("foo /hunter2/x /secret").unwrap().example, "foo /PATH /PATH");
}

#[test]
fn any_text_has_a_bounded_shape() {
    for line in
        ["a".repeat(9000), "'a".repeat(4000), "-".repeat(8000), "a ".repeat(4000), "a -b ".repeat(120)]
    {
        assert!(shape(&line).is_none_or(|s| s.len() < 600), "{line}");
    }
}

#[test]
fn lines_that_differ_in_operands_count_as_one_and_no_operand_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    let lines = [
        "tool show --password=hunter2 s3cret -phunter2 /home/hunter2/s3cret 1234567",
        "tool show --password=other s3cret2 -pother /srv/s3cret 7654321",
        "tool --token hunter2 | tee s3cret",
    ];
    for line in lines {
        let seen = seen(line).unwrap();
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
    for line in ["lsscsi", "lsscsi -l --json", "lsscsi -lp 12"] {
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
    for line in ["service nginx restart", "dnf upgrade firefox"] {
        let said = advice(line);
        assert_eq!(said.recommended, Recommendation::AddManual, "{line}: {}", said.why);
        let text = said.suggested_plugin.unwrap();
        let with = Catalogue::with_plugins([("x.toml".to_owned(), text)]).unwrap();
        assert_eq!(with.judge(line).verdict, Level::Manual, "{line}");
    }
}
