use super::*;
use crate::app::App;
use crate::config::Environment;

fn load(text: &str) -> Result<Channels, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    let env = Environment::from([("HOME", "/nonexistent/home")]);
    let config = Config::load(Some(&path), &env)?;
    // What the whole program would say of it.
    let app = App::new(config)?;
    Channels::new(app.config())
}

fn cause(entry: &str) -> String {
    let text = format!(
        "[[hosts]]\nname = \"web01\"\n[dashboard]\norigin = \"https://approve.example.org\"\n\n[[notify]]\n{entry}\n"
    );
    let error = load(&text).unwrap_err();
    assert!(error.place.contains("c.toml:"), "{error}");
    error.cause
}

#[test]
fn a_wrong_entry_is_one_error_that_says_what_to_write() {
    let wrong = [
        ("name = \"a\"\nkind = \"pigeon\"\nurl = \"https://x/y\"", "there are: slack, mattermost"),
        ("name = \"a b\"\nkind = \"slack\"\nurl = \"https://x/y\"", "1 to 64 ASCII letters"),
        ("name = \"a\"\nkind = \"slack\"", "needs url, or url_file"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://x\"\nurl_file = \"f\"", "and not both"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"http://x.example/y\"", "http is for loopback only"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://u:p@x.example/y\"", "does not belong into a URL"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"file:///etc/passwd\"", "write https://NAME/PATH"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\nto = \"#ops\"", "takes no `to`"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\ntoken_file = \"t\"", "takes no token"),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\nfrom = \"a@b\"", "belong to mail"),
        (
            "name = \"a\"\nkind = \"matrix\"\nurl = \"https://x\"\ntoken_file = \"t\"",
            "needs `to`: the id of the room",
        ),
        ("name = \"a\"\nkind = \"matrix\"\nurl = \"https://x\"\nto = \"!a:b\"", "needs token_file"),
        ("name = \"a\"\nkind = \"ntfy\"\nurl = \"https://x\"\nto = [\"a\", \"b\"]", "needs `to`: the topic"),
        ("name = \"a\"\nkind = \"smtp\"\nurl = \"mx\"\nfrom = \"a@b.example\"", "1 to 32 addresses"),
        (
            "name = \"a\"\nkind = \"smtp\"\nurl = \"mx\"\nfrom = \"a\"\nto = \"b@c.example\"",
            "no address for mail",
        ),
        (
            "name = \"a\"\nkind = \"smtp\"\nurl = \"mx\"\nfrom = \"a@b.example\"\nto = \"b@c.example\\r\\nBcc: x@y.example\"",
            "no address for mail",
        ),
        (
            "name = \"a\"\nkind = \"smtp\"\nurl = \"mx\"\nfrom = \"a@b.example\"\nto = \"b@c.example\"\ntls = \"none\"",
            "on loopback only",
        ),
        (
            "name = \"a\"\nkind = \"smtp\"\nurl = \"mx\"\nfrom = \"a@b.example\"\nto = \"b@c.example\"\nusername = \"u\"",
            "belong together",
        ),
        (
            "name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\nevents = [\"birthday\"]",
            "is no event; there are: proposed",
        ),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\nevents = []", "nothing would ever be told"),
        (
            "name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\nmin_risk = \"huge\"",
            "there are: low, medium",
        ),
        ("name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\nhosts = \"web02\"", "web02"),
        (
            "name = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"\n[[notify]]\nname = \"a\"\nkind = \"slack\"\nurl = \"https://x/y\"",
            "is there twice",
        ),
    ];
    for (entry, expected) in wrong {
        let cause = cause(entry);
        assert!(cause.contains(expected), "{entry}\n{cause}");
    }
}

#[test]
fn the_link_is_the_dashboard_s_origin_and_nothing_that_would_break_out_of_it() {
    let entry = "[[notify]]\nname = \"a\"\nkind = \"slack\"\nurl = \"https://x.example/y\"\n";
    assert_eq!(load(entry).unwrap().origin, "http://localhost:8090");
    let with = |origin: &str| load(&format!("{entry}[dashboard]\norigin = \"{origin}\"\n"));
    assert_eq!(with("https://approve.example.org:8443").unwrap().origin, "https://approve.example.org:8443");
    for wrong in
        ["https://a.example|x>", "javascript:alert(1)", "https://", "https://a.example/path", "https://a b"]
    {
        with(wrong).unwrap_err();
    }
    load(&format!("{entry}[dashboard]\nlisten = \"unix:/run/x.sock\"\n")).unwrap_err();
    // Without a channel nobody needs a link.
    load("[dashboard]\nlisten = \"unix:/run/x.sock\"\n").unwrap();
}

#[test]
fn a_secret_that_others_may_read_is_refused_and_never_told() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |text: &str, mode: u32| {
        std::fs::write(file.path(), text).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        fetch::secret(file.path())
    };
    assert_eq!(write("s3cret\n", 0o600).unwrap(), "s3cret");
    for (text, mode) in
        [("s3cret", 0o640), ("s3cret", 0o604), ("", 0o600), ("s3cret\nX-Other: 1", 0o600), ("s3crét", 0o600)]
    {
        let cause = write(text, mode).unwrap_err();
        assert!(!cause.contains("s3cr"), "{cause}");
    }
    write(&"x".repeat(5000), 0o600).unwrap_err();
    // A URL that is a secret is in no error and in no log.
    let endpoint = Endpoint::parse("https://hooks.example.org/services/s3cret").unwrap();
    assert!(!format!("{endpoint:?}").contains("s3cret"));
    for wrong in
        ["https://hooks example/s3cret", "http://hooks.example.org/s3cret", "ftp://hooks.example.org/s3cret"]
    {
        let cause = Endpoint::parse(wrong).err().unwrap();
        assert!(!cause.contains("s3cret"), "{cause}");
    }
}
