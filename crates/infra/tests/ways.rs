//! Ways to say yes and no without the dashboard, through the real CLI and the real `pra-run` of the demo's target. For each
//! refusal the demo's service must still be down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

#[path = "support/demo.rs"]
mod demo;
#[path = "../../grant/tests/common/mod.rs"]
mod signers;

use std::process::{Command, Stdio};

use demo::Demo;
use grant::NAMESPACE;
use grant::{Kind, Statement};
use signers::passkey::{ORIGIN, RP_ID, assertion};
use signers::{Key, UP, UV};

fn digest(bytes: &[u8]) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Nobody has approved it, and nothing has run.
fn untouched(demo: &Demo, id: &str) {
    let proposal = demo.proposal(id);
    assert_eq!((&proposal["state"], &proposal["signatures"]), (&"proposed".into(), &serde_json::json!([])));
    let said = demo.execute(id);
    assert!(said.exit != 0 && said.out.contains("approval_required"), "{said:?}");
    assert!(!demo.service_runs());
}

#[test]
fn a_bundle_is_signed_elsewhere_with_openssh_alone() {
    let demo = Demo::start();
    let id = demo.propose();
    let folder = demo.own(&format!("{id}.bundle"));
    demo.must(&["proposals", "show", &id, "--bundle"]);
    let statement = std::fs::read(folder.join("statement.json")).unwrap();
    let text = std::fs::read_to_string(folder.join("what-runs.txt")).unwrap();
    for part in ["systemctl", "demo01", &id, &digest(&statement), NAMESPACE, "valid     until", "minutes"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "no program travels");
    // What is there is not written over; the same bytes come as an archive.
    let again = demo.cli(&["proposals", "show", &id, "--bundle"]);
    assert!(again.exit == 1 && again.err.contains("there already"), "{again:?}");
    let tar = demo.own("b.tar");
    demo.must(&["proposals", "show", &id, "--bundle", tar.to_str().unwrap()]);
    let mut unpack = Command::new("tar");
    unpack.arg("-xOf").arg(&tar).arg(format!("{id}.bundle/statement.json"));
    assert_eq!(unpack.output().unwrap().stdout, statement);

    let signature = demo::sign(&demo.key("alice"), NAMESPACE, &folder.join("statement.json"));
    let approved = demo.must(&["approve", &id, "--signature", &signature]);
    assert!(approved.contains("alice@example.org") && approved.contains("SSH key"), "{approved}");
    assert_eq!(demo.state(&id), "approved");
    let done = demo.execute(&id);
    assert!(done.exit == 0 && demo.service_runs(), "{done:?}");
}

#[test]
fn a_signature_that_the_target_would_refuse_is_not_added() {
    let demo = Demo::start();
    let alice = demo.key("alice");
    let bundle = |id: &str| {
        demo.must(&["proposals", "show", id, "--bundle"]);
        demo.own(&format!("{id}.bundle")).join("statement.json")
    };
    // The same again would be the same proposal while the other is open.
    let other = demo.propose();
    let theirs = bundle(&other);
    demo.cli(&["reject", &other, "--reason", "another is meant"]);
    let id = demo.propose();
    assert_ne!(id, other);
    let none = demo.cli(&["approve", &id, "--signature", "/dev/null"]);
    assert!(none.exit == 4 && none.err.contains("--bundle"), "{none:?}");
    let mine = bundle(&id);
    let refused = |signature: &str, cause: &[&str]| {
        let said = demo.cli(&["approve", &id, "--signature", signature]);
        assert!(said.exit == 4 && cause.iter().all(|c| said.err.contains(c)), "{cause:?}: {said:?}");
        untouched(&demo, &id);
    };
    refused(&demo::sign(&demo.keygen("mallory"), NAMESPACE, &mine), &["not in the list of approvers"]);
    refused(&demo::sign(&alice, "file", &mine), &["signed for \"file\"", NAMESPACE]);
    let digests = [theirs.clone(), mine.clone()].map(|f| digest(&std::fs::read(f).unwrap()));
    refused(&demo::sign(&alice, NAMESPACE, &theirs), &[&digests[0], &digests[1], "--bundle"]);
    std::fs::write(demo.own("broken.sig"), "-----BEGIN SSH SIGNATURE-----\n").unwrap();
    refused(demo.own("broken.sig").to_str().unwrap(), &["no usable signature"]);
    assert_eq!(demo.cli(&["approve", &id, "--signature", "x", "--key", &alice]).exit, 2);

    // Who proposed does not approve, whatever their name's case.
    let good = demo::sign(&alice, NAMESPACE, &mine);
    let proposer = demo.proposal(&id)["proposed_by"].as_str().unwrap().to_uppercase();
    let approvers = demo.at("target/etc/mcp-linux-infra/approvers");
    let line = std::fs::read_to_string(&approvers).unwrap();
    std::fs::write(&approvers, line.replace("alice@example.org", &proposer)).unwrap();
    refused(&good, &["proposed this"]);
    std::fs::write(&approvers, line).unwrap();

    // The bytes of a bundle that came back too late do not stand.
    let late = "UPDATE proposals SET statement_expires_ms = 1 WHERE id = ?1";
    demo.database().execute(late, [&id]).unwrap();
    refused(&good, &["ended at", "--bundle"]);
}

#[test]
fn two_keys_of_one_person_are_one_person() {
    let demo = Demo::start();
    let id = demo.propose();
    let second = demo.keygen("second");
    let approvers = demo.at("target/etc/mcp-linux-infra/approvers");
    let mut lines = std::fs::read_to_string(&approvers).unwrap();
    lines.push_str(&format!(
        "alice@example.org {}",
        std::fs::read_to_string(format!("{second}.pub")).unwrap()
    ));
    std::fs::write(&approvers, lines).unwrap();
    demo.database().execute("UPDATE proposals SET approvals = 2 WHERE id = ?1", [&id]).unwrap();
    demo.must(&["approve", &id, "--key", &demo.key("alice"), "--yes"]);
    let said = demo.cli(&["approve", &id, "--key", &second, "--yes"]);
    assert!(said.exit == 4 && said.err.contains("another person must sign"), "{said:?}");
    assert_eq!(demo.state(&id), "proposed");
}

#[test]
fn fido2_keys_and_passkeys_are_checked_and_shown() {
    let demo = Demo::start();
    let security = Key::sk_ed25519(3, "ssh:", UP | UV);
    let foreign = Key::sk_ed25519(4, "ssh:other", UP | UV);
    let passkey = Key::sk_p256(RP_ID, UP);
    let approvers = demo.at("target/etc/mcp-linux-infra/approvers");
    let lines = [
        security.line("dora@example.org", ""),
        foreign.line("erik@example.org", ""),
        passkey.line("fay@example.org", ""),
    ];
    std::fs::write(&approvers, lines.concat()).unwrap();
    let target = demo.at("target/etc/mcp-linux-infra/target.toml");
    let config = std::fs::read_to_string(&target).unwrap();
    std::fs::write(&target, format!("{config}\n[approval]\nrp_id = \"{RP_ID}\"\norigins = [\"{ORIGIN}\"]\n"))
        .unwrap();
    let statement = |id: &str| {
        demo.must(&["proposals", "show", id, "--bundle"]);
        std::fs::read(demo.own(&format!("{id}.bundle")).join("statement.json")).unwrap()
    };
    let give = |armor: String| {
        let file = demo.own("given.sig");
        std::fs::write(&file, armor).unwrap();
        file.display().to_string()
    };

    let id = demo.propose();
    let bytes = statement(&id);
    let wrong = demo.cli(&["approve", &id, "--signature", &give(foreign.sign(&bytes))]);
    assert!(wrong.exit == 4 && wrong.err.contains("made for `ssh:other`"), "{wrong:?}");
    let absent = Key::sk_ed25519(3, "ssh:", 0);
    let nobody = demo.cli(&["approve", &id, "--signature", &give(absent.sign(&bytes))]);
    assert!(nobody.exit == 4 && nobody.err.contains("user"), "{nobody:?}");
    untouched(&demo, &id);
    let said = demo.must(&["approve", &id, "--signature", &give(security.sign(&bytes))]);
    assert!(said.contains("FIDO2 key for ssh:, user present and verified"), "{said}");
    let grant = demo.own("grant");
    std::fs::write(&grant, demo.must(&["proposals", "show", &id, "--grant"])).unwrap();
    let verify = |more: &[&str]| demo.cli(&[&["grant", "verify", grant.to_str().unwrap()], more].concat());
    let row = |said: &str| serde_json::from_str::<serde_json::Value>(said).unwrap()["approvals"][0].clone();
    let seen = row(&verify(&["--json"]).out);
    assert_eq!((&seen["user_verified"], &seen["application"]), (&true.into(), &"ssh:".into()), "{seen}");
    let other = verify(&["--application", "ssh:other"]);
    assert!(other.exit == 4 && other.err.contains("not for `ssh:other`"), "{other:?}");
    assert!(demo.execute(&id).exit == 0 && demo.service_runs());

    // A passkey that signed in a browser elsewhere; the site must be the one that is asked for.
    let id = demo.propose();
    let bytes = statement(&id);
    let file = give(assertion(&passkey, &bytes).armor(&passkey));
    for flags in [&[][..], &["--origin", "https://evil.example.org"], &["--rp-id", "evil.example.org"]] {
        let said = demo.cli(&[&["approve", &id, "--signature", &file], flags].concat());
        assert!(said.exit == 4 && demo.state(&id) == "proposed", "{flags:?}: {said:?}");
    }
    let said = demo.must(&["approve", &id, "--signature", &file, "--origin", ORIGIN]);
    assert!(
        said.contains(&format!("passkey of {RP_ID}, used on {ORIGIN}, user present and verified")),
        "{said}"
    );
    std::fs::write(&grant, demo.must(&["proposals", "show", &id, "--grant"])).unwrap();
    assert_eq!(verify(&[]).exit, 4, "the config names another site");
    let seen = row(&verify(&["--rp-id", RP_ID, "--json"]).out);
    assert_eq!((&seen["origin"], &seen["person"]), (&ORIGIN.into(), &"fay@example.org".into()), "{seen}");
    // The same from `origin` of the config.
    let text = std::fs::read_to_string(&demo.config).unwrap();
    std::fs::write(&demo.config, format!("{text}\n[dashboard]\norigin = \"{ORIGIN}\"\n")).unwrap();
    let said = verify(&[]);
    assert!(said.exit == 0 && said.out.contains("used on"), "{said:?}");
    assert_eq!(demo.execute(&id).exit, 0);
}

/// A proposal that alice has approved, and its grant as whoever took the server over would keep it.
fn approved(demo: &Demo) -> (String, Vec<u8>) {
    let id = demo.propose();
    demo.must(&["approve", &id, "--key", &demo.key("alice"), "--yes"]);
    let grant = demo.must(&["proposals", "show", &id, "--grant"]).into_bytes();
    (id, grant)
}

fn denied_there(demo: &Demo, grant: &[u8]) {
    let answer = demo.hand_over(grant);
    assert_eq!((&answer["outcome"], &answer["code"]), (&"refused".into(), &"denied".into()), "{answer}");
    assert!(!demo.service_runs());
}

#[test]
fn after_a_denial_the_target_refuses_a_complete_grant() {
    let demo = Demo::start();
    let (id, grant) = approved(&demo);
    let stranger = demo.cli(&["reject", &id, "--reason", "no", "--key", &demo.keygen("mallory")]);
    assert!(stranger.exit == 4 && demo.state(&id) == "approved", "{stranger:?}");
    let said = demo.must(&["reject", &id, "--reason", "wait for Monday", "--key", &demo.key("alice")]);
    for part in ["Denial of", &id, "wait for Monday", "sha256", "is rejected on this server", "demo01 knows"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    denied_there(&demo, &grant);
    assert!(demo.execute(&id).exit != 0 && !demo.service_runs());
    let again = demo.cli(&["reject", &id, "--reason", "still no", "--key", &demo.key("alice")]);
    assert!(again.exit == 4 && again.err.contains("nothing left to do"), "{again:?}");
    assert_eq!(demo.cli(&["reject", &id, "--deliver"]).exit, 0, "a target that knows is not told twice");
    let log = demo.must(&["audit", "tail", "-n", "20", "--json"]);
    assert!(log.contains("\\\"kind\\\":\\\"deny\\\"") && log.contains("BEGIN SSH SIGNATURE"), "{log}");
    let theirs = std::fs::read_to_string(demo.at("target/var/log/pra-run.log")).unwrap();
    assert!(theirs.contains("\"event\":\"deny\"") && theirs.contains("wait for Monday"), "{theirs}");
}

#[test]
fn a_target_that_cannot_be_told_is_told_later() {
    let demo = Demo::start();
    let (id, grant) = approved(&demo);
    // Nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = std::fs::read_to_string(&demo.config).unwrap();
    let line = text.lines().find(|l| l.starts_with("port = ")).unwrap();
    let away = demo.at("away.toml");
    std::fs::write(&away, text.replace(line, &format!("port = {port}"))).unwrap();
    let alice = demo.key("alice");
    let arguments = ["reject", &id, "--reason", "no", "--key", &alice];
    let said = demo.cli_with(&away, &arguments, Stdio::null());
    assert!(said.exit == 1 && said.out.contains("is rejected on this server"), "{said:?}");
    assert!(said.err.contains("DOES NOT KNOW") && said.err.contains("--deliver"), "{said:?}");
    assert_eq!(demo.state(&id), "rejected");
    assert!(demo.must(&["proposals", "show", &id]).contains("the target does NOT know"));
    let told = demo.must(&["reject", &id, "--deliver"]);
    assert!(told.contains("demo01 knows"), "{told}");
    denied_there(&demo, &grant);
    let shown = demo.proposal(&id);
    assert!(
        shown["denial"]["told_ms"].is_i64() && shown["denial"]["signer"] == "alice@example.org",
        "{shown}"
    );
}

#[test]
fn what_has_expired_here_and_still_stands_there_can_be_denied() {
    let demo = Demo::start();
    let (id, grant) = approved(&demo);
    demo.database().execute("UPDATE proposals SET state = 'expired' WHERE id = ?1", [&id]).unwrap();
    demo.must(&["reject", &id, "--reason", "too late", "--key", &demo.key("alice")]);
    denied_there(&demo, &grant);
}

#[test]
fn a_rejection_without_a_key_says_that_the_target_does_not_know() {
    let demo = Demo::start();
    let id = demo.propose();
    let said = demo.must(&["reject", &id, "--reason", "no"]);
    assert!(said.contains("no statement of it stands"), "{said}");
    assert_eq!(demo.cli(&["reject", &id, "--deliver"]).exit, 4, "nobody has signed one");
    let (id, grant) = approved(&demo);
    let said = demo.must(&["reject", &id, "--reason", "no"]);
    assert!(said.contains("DOES NOT KNOW") && said.contains("handed over there until"), "{said}");
    assert!(demo.execute(&id).exit != 0 && !demo.service_runs(), "this server does not hand it over");
    // A person may still end it there, and then it is.
    demo.must(&["reject", &id, "--reason", "no", "--key", &demo.key("alice")]);
    denied_there(&demo, &grant);

    // That the words above are true: without a signed denial, whoever holds the grant can have it run.
    let (id, grant) = approved(&demo);
    demo.must(&["reject", &id, "--reason", "no"]);
    assert_eq!(demo.hand_over(&grant)["outcome"], "succeeded");
    let late = demo.cli(&["reject", &id, "--reason", "no", "--key", &demo.key("alice")]);
    assert!(late.exit == 1 && late.err.contains("too late"), "{late:?}");
}

#[test]
fn a_denial_in_the_place_of_an_approval_is_not_signed() {
    let demo = Demo::start();
    let id = demo.propose();
    let file = demo.own(&format!("{id}.bundle")).join("statement.json");
    demo.must(&["proposals", "show", &id, "--bundle"]);
    let real = Statement::parse(&std::fs::read(&file).unwrap()).unwrap();
    let denial = Statement {
        kind: Kind::Deny,
        action: String::new(),
        plan: String::new(),
        policy: String::new(),
        ..real
    };
    let bytes = denial.to_bytes();
    assert!(Statement::parse(&bytes).is_ok());
    demo.database().execute("UPDATE proposals SET statement = ?2 WHERE id = ?1", (&id, &bytes)).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let signature = demo::sign(&demo.key("alice"), NAMESPACE, &file);
    for arguments in [&["--key", &demo.key("alice"), "--yes"][..], &["--signature", &signature]] {
        let said = demo.cli(&[&["approve", &id], arguments].concat());
        assert!(said.exit == 4 && said.err.contains("only actions and commands"), "{said:?}");
    }
    let bundled = demo.cli(&["proposals", "show", &id, "--bundle", "-"]);
    assert!(bundled.exit == 4 && bundled.out.is_empty(), "{bundled:?}");
    untouched(&demo, &id);
}
