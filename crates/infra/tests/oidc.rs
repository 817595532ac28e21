//! Login with an OIDC provider, and with one that lies: who comes in, who does not, and that nobody approves that way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/serve.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod serve;

#[path = "support/dashboard.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod dashboard;

#[path = "support/sink.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod sink;

#[path = "support/provider.rs"]
#[allow(dead_code, reason = "each test program uses a part")]
mod provider;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use dashboard::{Dashboard, asked};
use mcp_linux_infra::store::State;
use provider::{Provider, SECRET};
use serde_json::{Value, json};
use serve::{Answer, command};
use sink::{Certificate, until};

const ID: &str = "pr_00000000000000a1";

/// What a provider says instead.
type Change = fn(&mut Value);

/// A dashboard of which alice is an approver by her subject, bob a viewer by his address, and the group on-call operators.
struct Setting {
    provider: Provider,
    dashboard: Dashboard,
    _secret: tempfile::NamedTempFile,
}

fn config(issuer: &str, secret: &Path, more: &str) -> String {
    format!(
        r#"
[[hosts]]
name = "web01"

[dashboard.oidc]
issuer = "{issuer}"
client_id = "dashboard"
client_secret_file = "{}"
scopes = ["email"]
label = "Example <b>SSO</b>"
{more}
[[dashboard.oidc.person]]
subject = "s-alice"
person = "alice@example.org"
role = "approver"

[[dashboard.oidc.person]]
email = "bob@example.org"
person = "bob@example.org"
role = "viewer"

[[dashboard.oidc.group]]
group = "on-call"
role = "operator"
"#,
        secret.display()
    )
}

fn secret() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(file.path(), SECRET).unwrap();
    file
}

impl Setting {
    fn new() -> Self {
        Self::with(Provider::start(None), "")
    }

    fn with(provider: Provider, more: &str) -> Self {
        let secret = secret();
        let dashboard = Dashboard::start(&config(&provider.issuer(), secret.path(), more));
        Self { provider, dashboard, _secret: secret }
    }

    /// Begins a login: the provider's page, and the cookie that binds the browser.
    fn begin(&self) -> (String, String) {
        let begun = self.dashboard.post("", "/login/sso/begin", &json!({}));
        assert_eq!(begun.status, 200, "{begun:?}");
        (begun.message()["url"].as_str().unwrap().to_owned(), cookie(&begun, "__Host-sso").unwrap())
    }

    /// The whole way of a browser.
    fn login(&self, subject: &str) -> Answer {
        let (url, bound) = self.begin();
        let (code, state) = self.provider.let_in(&url, subject);
        self.dashboard.post(&bound, "/login/sso/finish", &json!({ "code": code, "state": state }))
    }

    /// As somebody who came in; the session's cookie.
    fn session(&self, subject: &str) -> String {
        let answer = self.login(subject);
        assert_eq!(answer.status, 200, "{answer:?}");
        cookie(&answer, "__Host-session").unwrap()
    }

    fn events(&self, event: &str) -> Vec<Value> {
        let lines = self.dashboard.store().audit_tail(1000).unwrap();
        let records = lines.iter().map(|l| serde_json::from_str::<Value>(l).unwrap());
        records.filter(|r| r["event"] == event).collect()
    }
}

/// `name=value` of a cookie that an answer sets.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let set = answer.headers("set-cookie").find(|c| c.starts_with(&format!("{name}=")))?;
    Some(set.split(';').next().unwrap().to_owned())
}

/// Nobody came in: no cookie, no record.
fn nobody(setting: &Setting, answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.headers("set-cookie").count(), 0, "{what}: {answer:?}");
    assert!(setting.events("login").is_empty(), "{what}");
}

#[test]
fn a_person_of_the_provider_s_comes_in_as_the_configuration_says() {
    let setting = Setting::new();
    let page = setting.dashboard.get("", "/login");
    assert!(page.body.contains("Example &#60;b&#62;SSO") && !page.body.contains("<b>SSO"), "{}", page.body);
    let (url, bound) = setting.begin();
    let (code, state) = setting.provider.let_in(&url, "s-alice");
    let body = json!({ "code": code, "state": state, "iss": setting.provider.issuer() });
    let answer = setting.dashboard.post(&bound, "/login/sso/finish", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let session = answer.headers("set-cookie").find(|c| c.starts_with("__Host-session=")).unwrap();
    assert!(session.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{session}");
    let session = cookie(&answer, "__Host-session").unwrap();
    let page = setting.dashboard.get(&session, "/");
    assert!(page.status == 200 && page.body.contains("alice@example.org (approver)"), "{}", page.body);
    let records = setting.events("login");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["data"]["person"], "alice@example.org");
    assert_eq!(records[0]["data"]["issuer"], setting.provider.issuer());
    // Who it is, is a digest: no name of the provider's choice becomes an id.
    assert!(records[0]["data"]["device"].as_str().unwrap().starts_with("oidc-"));
    let people = setting.dashboard.get(&session, "/people");
    assert!(
        people.body.contains("alice@example.org") && !people.body.contains("sk-ecdsa"),
        "{}",
        people.body
    );

    setting.provider.signs(|claims| {
        claims["email"] = json!("Bob@example.org");
        claims["email_verified"] = json!(true);
    });
    let page = setting.dashboard.get(&setting.session("s-bob"), "/");
    assert!(page.body.contains("bob@example.org (viewer)"), "{}", page.body);
    setting.provider.signs(|claims| claims["groups"] = json!(["staff", "on-call"]));
    let page = setting.dashboard.get(&setting.session("s-carol"), "/");
    assert!(page.body.contains("oidc:s-carol (operator)"), "{}", page.body);
}

#[test]
fn whoever_the_token_is_not_about_for_this_login_stays_out() {
    let setting = Setting::new();
    let wrong: [(&str, Change); 11] = [
        ("nobody's row", |c| c["sub"] = json!("s-eve")),
        ("an address that nobody has verified", |c| {
            c["sub"] = json!("s-eve");
            c["email"] = json!("bob@example.org");
        }),
        ("a group that has no row", |c| {
            c["sub"] = json!("s-eve");
            c["groups"] = json!(["on-call2"]);
        }),
        ("the subject as a number", |c| c["sub"] = json!(1)),
        ("another issuer", |c| c["iss"] = json!("https://evil.example")),
        ("another client", |c| c["aud"] = json!("another")),
        ("other clients too", |c| c["aud"] = json!(["dashboard", "another"])),
        ("expired", |c| c["exp"] = json!(1)),
        ("another login", |c| c["nonce"] = json!("x")),
        ("no login", |c| {
            c.as_object_mut().unwrap().remove("nonce");
        }),
        ("tomorrow's", |c| c["iat"] = json!(9_000_000_000_i64)),
    ];
    for (what, change) in wrong {
        setting.provider.signs(change);
        nobody(&setting, &setting.login("s-alice"), 403, what);
    }
    setting.provider.signs(|_| ());
    setting.session("s-alice");
}

#[test]
fn only_the_browser_that_began_comes_back_and_once() {
    let setting = Setting::new();
    let finish = |bound: &str, body: &Value| setting.dashboard.post(bound, "/login/sso/finish", body);
    let start = || {
        let (url, bound) = setting.begin();
        let (code, state) = setting.provider.let_in(&url, "s-alice");
        (json!({ "code": code, "state": state }), bound)
    };
    // Somebody is to be logged in as somebody else, by a link: their browser has not begun it, or has begun another.
    let (body, _) = start();
    nobody(&setting, &finish("", &body), 400, "no cookie");
    let ((body, _), (_, other)) = (start(), start());
    nobody(&setting, &finish(&other, &body), 400, "another login's cookie");
    let (mut body, bound) = start();
    body["state"] = json!("guessed");
    nobody(&setting, &finish(&bound, &body), 400, "another state");
    // A code of another login (a stolen one, say) does not fit what this one has kept.
    let ((body, _), (mut mine, bound)) = (start(), start());
    mine["code"] = body["code"].clone();
    nobody(&setting, &finish(&bound, &mine), 403, "another login's code");
    let (mut body, bound) = start();
    body["iss"] = json!("https://evil.example");
    nobody(&setting, &finish(&bound, &body), 403, "it comes back from another provider");
    let (body, bound) = start();
    let origin = setting.dashboard.origin();
    for headers in [
        vec![("Cookie", bound.as_str()), ("Origin", "https://evil.example")],
        vec![("Cookie", bound.as_str())],
        vec![("Cookie", bound.as_str()), ("Origin", &origin), ("Content-Type", "text/plain")],
    ] {
        let answer = setting.dashboard.send("POST", "/login/sso/finish", &headers, &body.to_string());
        assert!(answer.status == 403 || answer.status == 415, "{answer:?}");
    }
    let asked = setting.provider.count("POST");
    assert_eq!(finish(&bound, &body).status, 200);
    assert_eq!(setting.provider.count("POST"), asked + 1);
    assert_eq!(finish(&bound, &body).status, 400, "twice");
    assert_eq!(setting.provider.count("POST"), asked + 1, "and nobody is asked");
    assert_eq!(setting.events("login").len(), 1);
}

#[test]
fn a_provider_that_is_not_itself_is_not_used() {
    let setting = Setting::new();
    let begin = || setting.dashboard.post("", "/login/sso/begin", &json!({}));
    let wrong: [Change; 7] = [
        |p| p["issuer"] = json!("https://evil.example"),
        |p| p["token_endpoint"] = json!("http://192.0.2.1/token"),
        |p| p["token_endpoint"] = json!("ftp://localhost/token"),
        |p| p["jwks_uri"] = json!("http://169.254.169.254/latest"),
        |p| p["authorization_endpoint"] = json!("javascript:alert(1)"),
        |p| {
            p["authorization_endpoint"] =
                json!(format!("{}#x", p["authorization_endpoint"].as_str().unwrap()));
        },
        |p| *p = json!([]),
    ];
    for (at, change) in wrong.into_iter().enumerate() {
        setting.provider.publishes(change);
        nobody(&setting, &begin(), 502, &at.to_string());
    }
    setting.provider.publishes(|_| ());
    for (status, body) in [
        ("400 Bad Request", r#"{"error":"invalid_grant"}"#),
        ("401 Unauthorized", r#"{"error":"invalid_client","error_description":"no"}"#),
        ("200 OK", r#"{"access_token":"a"}"#),
        ("200 OK", r#"{"id_token":"a.b.c"}"#),
        ("200 OK", "<html>"),
        ("302 Found\r\nlocation: http://localhost:1/", ""),
        ("500 Internal Server Error", "x"),
    ] {
        setting.provider.answers(Some((status, body)));
        let answer = setting.login("s-alice");
        nobody(&setting, &answer, answer.status, status);
        assert!([403, 502].contains(&answer.status), "{answer:?}");
        assert!(!answer.body.contains("invalid"), "why, only the log tells: {answer:?}");
    }
    setting.provider.answers(None);
    setting.session("s-alice");
    // One that says that it names itself in its answers must do so.
    let strict = Setting::new();
    strict.provider.publishes(|p| p["authorization_response_iss_parameter_supported"] = json!(true));
    nobody(&strict, &strict.login("s-alice"), 403, "no iss");
}

#[test]
fn a_key_that_the_provider_has_newly_is_looked_for() {
    let setting = Setting::new();
    setting.session("s-alice");
    let looks = setting.provider.count("GET /realms/ops/keys");
    setting.session("s-alice");
    assert_eq!(setting.provider.count("GET /realms/ops/keys"), looks, "what is fresh is not asked again");
    setting.provider.new_key();
    // Not at will: a moment must have passed.
    until("the new key is found", || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        setting.login("s-alice").status == 200
    });
    assert_eq!(setting.provider.count("GET /realms/ops/keys"), looks + 1);
}

#[test]
fn the_provider_lets_nobody_approve() {
    let setting = Setting::new();
    let dashboard = &setting.dashboard;
    let mut proposal = asked(&dashboard.app());
    proposal.approvals = 1;
    dashboard.store().propose(ID, &proposal).unwrap();
    let session = setting.session("s-alice");
    let post = |path: &str, body: &Value| dashboard.post(&session, &format!("/proposals/{ID}/{path}"), body);
    assert_eq!(post("keys", &json!({})).message()["ids"], json!([]), "alice has no passkey yet");
    let fixed = post("review", &json!({})).message();
    let statement = dashboard.store().proposal(ID).unwrap().statement.unwrap();
    let challenge = Base64UrlUnpadded::encode_string(&grant::webauthn::challenge(&statement));
    let state = || dashboard.store().proposal(ID).unwrap().state;
    // A passkey of nobody's, of somebody else's, and the one that logs in.
    let stranger = Setting::new().dashboard.enrol("alice@example.org", "approver");
    let bob = dashboard.enrol("bob@example.org", "approver");
    for person in [&stranger, &bob] {
        let mut body = person.approve.get(&challenge, &dashboard.origin());
        body["sha256"] = fixed["sha256"].clone();
        let refused = post("approve", &body);
        assert!((400..500).contains(&refused.status), "{refused:?}");
    }
    assert!(state() == State::Proposed && dashboard.store().proposal(ID).unwrap().signatures.is_empty());
    assert!((400..500).contains(&post("run", &json!({})).status));
    // With her own, it is she who signs; the provider has only let her in.
    let alice = dashboard.enrol("alice@example.org", "approver");
    let mut body = alice.approve.get(&challenge, &dashboard.origin());
    body["sha256"] = fixed["sha256"].clone();
    let approved = post("approve", &body);
    assert_eq!(approved.status, 200, "{approved:?}");
    assert_eq!(state(), State::Approved);

    setting.provider.signs(|claims| claims["groups"] = json!(["on-call"]));
    let operator = setting.session("s-carol");
    let path = format!("/proposals/{ID}/keys");
    assert_eq!(dashboard.post(&operator, &path, &json!({})).status, 403, "a group makes no approver");
    let invited = command(dashboard.dir.path(), &["dashboard", "invite", "oidc:s-carol"]).output().unwrap();
    assert_eq!(invited.status.code(), Some(2), "nor can who comes by a group enrol one");
}

#[test]
fn an_account_that_was_revoked_is_out_at_once_and_stays_out() {
    let setting = Setting::new();
    let session = setting.session("s-alice");
    let run = |arguments: &[&str]| command(setting.dashboard.dir.path(), arguments).output().unwrap();
    let listed: Value = serde_json::from_slice(&run(&["dashboard", "devices", "--json"]).stdout).unwrap();
    let device = &listed["devices"][0];
    assert_eq!(device["purpose"], "provider", "{listed}");
    let id = device["id"].as_str().unwrap();
    assert!(run(&["dashboard", "devices", "--approvers"]).stdout.is_empty(), "it is nothing for a target");
    assert!(run(&["dashboard", "revoke", id]).status.success());
    assert_eq!(setting.dashboard.get(&session, "/").status, 303, "out at once");
    let answer = setting.login("s-alice");
    assert!(answer.status == 403 && answer.headers("set-cookie").count() == 0, "{answer:?}");
    assert_eq!(setting.events("login").len(), 1);
    assert_eq!(setting.events("login_refused").len(), 1);
    assert!(run(&["dashboard", "readmit", id]).status.success());
    assert_eq!(run(&["dashboard", "readmit", id]).status.code(), Some(2), "it is not revoked any more");
    assert_eq!(setting.dashboard.get(&session, "/").status, 303, "the old session does not come back");
    setting.session("s-alice");
    // A passkey that was revoked is gone for good: the private half may be anywhere.
    setting.dashboard.enrol("bob@example.org", "viewer");
    let devices = setting.dashboard.store().devices().unwrap();
    let passkey = devices.iter().find(|d| d.person == "bob@example.org").unwrap();
    assert!(run(&["dashboard", "revoke", &passkey.id]).status.success());
    assert_eq!(run(&["dashboard", "readmit", &passkey.id]).status.code(), Some(2));
}

#[test]
fn an_account_is_no_passkey() {
    let setting = Setting::new();
    setting.session("s-alice");
    let id = setting.dashboard.store().devices().unwrap()[0].id.clone();
    let person = setting.dashboard.enrol("bob@example.org", "viewer");
    let asked = setting.dashboard.post("", "/login/begin", &json!({})).message();
    let mut given = person.approve.get(asked["challenge"].as_str().unwrap(), &setting.dashboard.origin());
    given["id"] = json!(id);
    let answer = setting.dashboard.post("", "/login/finish", &given);
    assert!(answer.status == 403 && answer.headers("set-cookie").count() == 0, "{answer:?}");
}

#[test]
fn a_link_to_a_proposal_is_kept_on_the_way_and_leads_nowhere_else() {
    let setting = Setting::new();
    for (to, kept) in [
        (json!(ID), json!(ID)),
        (json!("/people"), Value::Null),
        (json!("//evil.example"), Value::Null),
        (json!("https://evil.example"), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let begun = setting.dashboard.post("", "/login/sso/begin", &json!({ "to": to }));
        let bound = cookie(&begun, "__Host-sso").unwrap();
        let (code, state) = setting.provider.let_in(begun.message()["url"].as_str().unwrap(), "s-alice");
        let body = json!({ "code": code, "state": state });
        let answer = setting.dashboard.post(&bound, "/login/sso/finish", &body);
        assert_eq!(answer.message()["to"], kept, "{to}");
    }
}

#[test]
fn over_tls_the_provider_must_be_the_one_that_an_authority_vouches_for() {
    let certificate = Certificate::make();
    let trusted = format!("ca_file = \"{}\"\n", certificate.authority().display());
    let setting = Setting::with(Provider::start(Some(&certificate)), &trusted);
    setting.session("s-alice");
    let doctor = command(setting.dashboard.dir.path(), &["doctor", "--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(said.to_string().contains("1 key(s)"), "{said}");
    // Whom the system's authorities do not know is told nothing.
    let setting = Setting::with(Provider::start(Some(&certificate)), "");
    nobody(
        &setting,
        &setting.dashboard.post("", "/login/sso/begin", &json!({})),
        502,
        "an unknown authority",
    );
    assert_eq!(setting.provider.count(""), 0);
    // Keys that anybody on the way could change are no keys.
    let plain = Provider::start(None);
    let setting = Setting::with(Provider::start(Some(&certificate)), &trusted);
    let elsewhere = format!("{}/keys", plain.issuer());
    setting.provider.publishes(move |p| p["jwks_uri"] = json!(elsewhere));
    nobody(&setting, &setting.dashboard.post("", "/login/sso/begin", &json!({})), 502, "keys in the clear");
    assert_eq!(plain.count(""), 0);
}

#[test]
fn without_a_provider_there_is_no_such_login_and_a_wrong_one_does_not_start() {
    let dashboard = Dashboard::start("[[hosts]]\nname = \"web01\"\n");
    assert!(!dashboard.get("", "/login").body.contains("data-passkey=\"sso\""));
    assert_eq!(dashboard.post("", "/login/sso/begin", &json!({})).status, 404);
    let secret = secret();
    for (old, new, cause) in [
        ("role = \"operator\"", "role = \"admin\"", "row of their own"),
        ("issuer = \"http://localhost", "issuer = \"http://sso.example.org", "loopback"),
        ("client_id = \"dashboard\"", "client = \"dashboard\"", "client"),
        ("scopes = [\"email\"]", "session_minutes = 1", "5 to 720"),
    ] {
        let config = config("http://localhost:1/realms/ops", secret.path(), "").replace(old, new);
        let dir = serve::folder(&config);
        let output = command(dir.path(), &["dashboard", "--listen", "127.0.0.1:0"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(cause), "{cause}: {said}");
    }
}
