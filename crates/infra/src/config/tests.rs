use super::*;

fn load(text: &str, env: &Environment) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), env)
}

fn home() -> Environment {
    Environment::from([("HOME", "/nonexistent/home")])
}

#[test]
fn a_wrong_key_is_one_error_with_its_line() {
    let error = load("[limits]\nconnect_seconds = 5\nconect = 3\n", &home()).unwrap_err();
    assert!(error.place.ends_with("c.toml:3"), "{error}");
    assert!(error.cause.contains("conect"), "{error}");
}

#[test]
fn a_wrong_host_key_names_the_host_and_the_line() {
    let error =
        load("[[hosts]]\nname = \"web01\"\nhost_key = \"ssh-ed25519 nonsense\"\n", &home()).unwrap_err();
    assert!(error.place.ends_with(":3") && error.cause.contains("web01"), "{error}");
}

#[test]
fn relative_keys_lie_beside_the_file_and_the_environment_overrides_them() {
    let text = "[defaults]\nreader_key = \"r.key\"\nrunner_key = \"x.key\"\n[[hosts]]\nname = \"web01\"\n";
    let config = load(text, &home()).unwrap();
    let host = config.inventory.get("web01").unwrap();
    assert!(
        host.reader_key.as_ref().unwrap().is_absolute()
            && host.reader_key.as_ref().unwrap().ends_with("r.key")
    );
    let env = Environment::from([("HOME", "/h"), ("LINUX_MCP_SSH_KEY_PATH", "/other")]);
    let config = load(text, &env).unwrap();
    assert_eq!(config.inventory.get("web01").unwrap().reader_key.as_deref(), Some(Path::new("/other")));
}

#[test]
fn allowed_hosts_narrow_the_inventory_and_may_name_new_ones() {
    let env = Environment::from([("HOME", "/h"), ("LINUX_MCP_ALLOWED_HOSTS", "b, c")]);
    let config =
        load("[[hosts]]\nname = \"a\"\n[[hosts]]\nname = \"b\"\naddress = \"192.0.2.1\"\n", &env).unwrap();
    let names: Vec<_> = config.inventory.iter().map(|h| (h.name.as_str(), h.address.as_str())).collect();
    assert_eq!(names, [("b", "192.0.2.1"), ("c", "c")]);
}

#[test]
fn hosts_listed_twice_and_names_like_options_are_refused() {
    assert!(
        load("[[hosts]]\nname = \"a\"\n[[hosts]]\nname = \"a\"\n", &home())
            .unwrap_err()
            .cause
            .contains("twice")
    );
    assert!(load("[[hosts]]\nname = \"-oProxyCommand=x\"\n", &home()).is_err());
}

#[test]
fn a_named_file_must_exist_and_no_file_is_an_empty_inventory() {
    let missing = Config::load(Some(Path::new("/nonexistent/x.toml")), &home()).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/x.toml"));
    let dir = tempfile::tempdir().unwrap();
    let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
    let config = file::ConfigFile::default().into_config(None, &env).unwrap();
    assert!(config.inventory.is_empty() && config.empty_notice().is_some());
}

#[test]
fn http_keys_that_cannot_mean_what_they_say_are_refused() {
    for (text, word) in [
        ("allowed_origins = [\"*\"]", "allowed_origins"),
        ("allowed_origins = [\"https://a.example/path\"]", "allowed_origins"),
        ("allowed_hosts = [\"https://a.example\"]", "allowed_hosts"),
        ("session_idle_seconds = 300", "session_idle_seconds"),
        ("max_sessions = 0", "max_sessions"),
        ("body_bytes = 1", "body_bytes"),
        ("token = \"secret\"", "token"),
    ] {
        let error = load(&format!("[http]\n{text}\n"), &home()).unwrap_err();
        assert!(error.cause.contains(word), "{text}: {error}");
    }
    let http = load("[http]\ntoken_file = \"t\"\nallowed_origins = [\"https://A.example:8443\"]\n", &home())
        .unwrap()
        .http;
    assert!(http.token_file.unwrap().is_absolute());
    assert_eq!(http.allowed_origins, ["https://a.example:8443"]);
}

#[test]
fn limits_out_of_range_are_refused_by_name() {
    let error = load("[grant]\nlifetime_seconds = 901\n", &home()).unwrap_err();
    assert!(error.cause.contains("grant.lifetime_seconds") && error.cause.contains("900"), "{error}");
}

mod sources;
