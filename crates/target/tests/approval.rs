//! Passkeys, tags, windows, freezes, denials and broken glass, through the whole of `pra-run`. For each refusal the action's mark
//! must not be there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

mod played;

use grant::{Kind, Statement};
use played::passkey::{ORIGIN, Passkey, RP_ID};
use played::{NOW, Played, nonce};

/// NOW is Friday 2027-01-15 08:00:00 UTC.
const HOUR: i64 = 3600;

/// A target with three approvers with SSH keys, and this in its `target.toml`.
fn target(config: &str) -> Played {
    let played = Played::new();
    let mut approvers = String::new();
    for name in ["alice", "bob", "carol"] {
        let path = played.dir.path().join(name);
        if !path.exists() {
            played::keygen(&path);
        }
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        approvers.push_str(&format!("{name}@example.org {public}"));
    }
    std::fs::write(played.at("etc/mcp-linux-infra/approvers"), approvers).unwrap();
    configure(&played, config);
    played
}

fn configure(played: &Played, config: &str) {
    std::fs::write(played.at("etc/mcp-linux-infra/target.toml"), format!("host = \"web01\"\n{config}"))
        .unwrap();
}

/// A target that takes this passkey, and asks for nothing but verified users.
fn with_passkey(passkey: &Passkey) -> Played {
    let played = target(&format!(
        "[approval]\nrp_id = \"{RP_ID}\"\norigins = [\"{ORIGIN}\"]\n[approval.actions.mark]\nverify_required = true\n"
    ));
    std::fs::write(played.at("etc/mcp-linux-infra/approvers"), passkey.line("alice@example.org")).unwrap();
    played
}

/// The same statement at another time.
fn at(statement: Statement, now: i64) -> Statement {
    Statement { not_before: now, expires_at: now + 300, ..statement }
}

fn log(played: &Played) -> String {
    let path = played.at("var/log/pra-run.log");
    assert!(ledger::file::verify(&path).is_ok());
    std::fs::read_to_string(path).unwrap()
}

fn alarms(played: &Played, which: &str) -> usize {
    let text = std::fs::read_to_string(played.at("var/log/mcp-wrapper.log")).unwrap_or_default();
    text.matches(&format!("alarm=\"{which}\"")).count()
}

/// A statement by which nothing runs.
fn decision(played: &Played, id: &str, kind: Kind, about: &str, action: &str) -> Statement {
    Statement {
        proposal: about.into(),
        kind,
        action: action.into(),
        params: [].into(),
        plan: String::new(),
        policy: String::new(),
        rationale: "looked at it".into(),
        nonce: nonce(id),
        ..played.statement(id)
    }
}

/// Hands over something by which nothing runs, and expects that it was taken.
fn taken(played: &Played, envelope: &[u8], code: &str) {
    let _ = std::fs::remove_file(played.mark(1));
    let (status, answer) = played.serve(envelope, NOW);
    assert_eq!((status, answer["code"].as_str().unwrap()), (0, code), "{answer}");
    assert!(answer["steps"].as_array().unwrap().is_empty() && !played.mark(1).exists(), "{answer}");
}

#[test]
fn a_passkey_approves_and_what_it_approved_is_recorded() {
    let passkey = Passkey::new();
    let played = with_passkey(&passkey);
    played.runs(&passkey.envelope(&played.statement("a")), NOW);
    let log = log(&played);
    for part in [r#""counter":1"#, r#""origin":"https://infra.example.org""#, r#""user_verified":true"#] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[test]
fn what_a_passkey_did_not_approve_does_not_run() {
    let mut passkey = Passkey::new();
    let played = with_passkey(&passkey);
    let (first, second) = (played.statement("a"), played.statement("b"));
    // an assertion for another statement, and what a plain key signed
    let swapped = session::envelope::join(&second.to_bytes(), &[passkey.sign(&first.to_bytes())]);
    played.refused(&swapped, NOW, "challenge");
    played.refused(&played.envelope(&first), NOW, "unknown_signer");
    passkey.flags = 0x01;
    played.refused(&passkey.envelope(&first), NOW, "user_verification");
    passkey.flags = 0x04;
    played.refused(&passkey.envelope(&first), NOW, "user_presence");
    passkey.flags = 0x05;
    passkey.origin = "https://evil.example".into();
    played.refused(&passkey.envelope(&first), NOW, "origin");
    passkey.origin = ORIGIN.into();
    // another passkey
    played.refused(&Passkey::new().envelope(&first), NOW, "unknown_signer");
    // a target without passkeys
    configure(&played, "");
    played.refused(&passkey.envelope(&first), NOW, "application");
    // one with wrong origins takes nothing at all
    configure(&played, &format!("[approval]\nrp_id = \"{RP_ID}\"\norigins = [\"https://evil.example\"]\n"));
    played.refused(&passkey.envelope(&first), NOW, "config");
    configure(&played, &format!("[approval]\norigins = [\"{ORIGIN}\"]\n"));
    played.refused(&passkey.envelope(&first), NOW, "config");
}

#[test]
fn grant_signature_23() {
    let mut passkey = Passkey::new();
    let played = with_passkey(&passkey);
    passkey.counter = 10;
    let first = passkey.envelope(&played.statement("a"));
    played.runs(&first, NOW);
    for (id, counter) in [("b", 10), ("c", 9), ("d", 0)] {
        passkey.counter = counter;
        played.refused(&passkey.envelope(&played.statement(id)), NOW, "counter");
    }
    assert_eq!(alarms(&played, "counter"), 3);
    // the proposal is not lost: approved anew, it runs
    passkey.counter = 11;
    let again = Statement { nonce: nonce("again"), ..played.statement("b") };
    played.runs(&passkey.envelope(&again), NOW);
    // what was used is called used, and is no alarm
    played.refused(&first, NOW, "nonce_seen");
    assert_eq!(alarms(&played, "counter"), 3);
    // a count that cannot be read refuses
    let folder = played.at("var/lib/mcp-linux-infra/ledger");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().contains("counter-"));
    std::fs::write(file.unwrap(), "many\n").unwrap();
    passkey.counter = 12;
    played.refused(&passkey.envelope(&played.statement("e")), NOW, "ledger_missing");
}

#[test]
fn a_passkey_without_a_counter_approves_again_and_again() {
    let mut passkey = Passkey::new();
    let played = with_passkey(&passkey);
    passkey.counter = 0;
    for id in ["a", "b", "c"] {
        played.runs(&passkey.envelope(&played.statement(id)), NOW);
    }
}

#[test]
fn one_person_must_not_depend_on_what_a_server_shows() {
    let passkey = Passkey::new();
    let played = target(&format!(
        "[approval]\nrp_id = \"{RP_ID}\"\norigins = [\"{ORIGIN}\"]\n[[approval.rule]]\noutside_browser = 1\n"
    ));
    let approvers = played.at("etc/mcp-linux-infra/approvers");
    let keys = std::fs::read_to_string(&approvers).unwrap();
    std::fs::write(&approvers, keys + &passkey.line("dora@example.org")).unwrap();
    let statement = played.statement("a");
    played.refused(&passkey.envelope(&statement), NOW, "too_few_approvers");
    let bytes = statement.to_bytes();
    let armors = [passkey.sign(&bytes).into_bytes(), played.sign("alice", &bytes)];
    played.runs(&session::envelope::join(&bytes, &armors), NOW);
}

#[test]
fn rules_by_action_and_tag_ask_for_more() {
    let rule = "[[approval.rule]]\nactions = [\"mark\"]\ntags = [\"prod\"]\nmin = 2\n";
    let both = |played: &Played, id: &str| {
        let bytes = played.statement(id).to_bytes();
        let armors = ["alice", "bob"].map(|key| played.sign(key, &bytes));
        session::envelope::join(&bytes, &armors)
    };
    for (config, one, two) in [
        (format!("tags = [\"prod\"]\n{rule}"), "too_few_approvers", "ok"),
        (format!("tags = [\"lab\", \"prod\"]\n{rule}"), "too_few_approvers", "ok"),
        (format!("tags = [\"lab\"]\n{rule}"), "ok", "ok"),
        (rule.to_owned(), "ok", "ok"),
        (format!("tags = [\"prod\"]\n{}", rule.replace("mark", "command")), "ok", "ok"),
        ("[[approval.rule]]\nmin = 3\n".to_owned(), "too_few_approvers", "too_few_approvers"),
        ("[[approval.rule]]\nverify_required = true\n".to_owned(), "user_verification", "user_verification"),
        // of all that apply the strictest counts
        (format!("tags = [\"prod\"]\n{rule}[[approval.rule]]\nmin = 1\n"), "too_few_approvers", "ok"),
    ] {
        let played = target(&config);
        for (envelope, code) in [(played.envelope(&played.statement("a")), one), (both(&played, "b"), two)] {
            if code == "ok" {
                played.runs(&envelope, NOW);
            } else {
                played.refused(&envelope, NOW, code);
            }
        }
    }
}

#[test]
fn a_rule_that_could_never_apply_refuses_all() {
    for wrong in [
        "[[approval.rule]]\nactions = [\"mrak\"]\nmin = 2\n",
        "[approval.actions.mrak]\nmin = 2\n",
        "tags = [\"Prod\"]\n",
        "[[approval.rule]]\ntags = [\"pröd\"]\nmin = 2\n",
        "[[approval.rule]]\nmins = 2\n",
        "[[window]]\nactions = [\"mrak\"]\nfrom = 22:00:00\nto = 04:00:00\n",
        "[[window]]\ndays = []\nfrom = 22:00:00\nto = 04:00:00\n",
        "[[window]]\ndays = [\"Sun\"]\nfrom = 22:00:00\nto = 04:00:00\n",
        "[[window]]\nfrom = \"22:00\"\nto = 04:00:00\n",
        "[[window]]\nfrom = 2027-01-15T22:00:00Z\nto = 04:00:00\n",
        "[[window]]\nfrom = 22:00:00\n",
        "[[freeze]]\nfrom = 2027-01-15T00:00:00\nto = 2027-01-16T00:00:00\n",
        "[[freeze]]\nfrom = 2027-01-15T00:00:00+01:00\nto = 2027-01-16T00:00:00Z\n",
        "[[freeze]]\nfrom = 2027-01-16T00:00:00Z\nto = 2027-01-15T00:00:00Z\n",
        "[[freeze]]\nfrom = 2027-01-15\nto = 2027-01-16\n",
        "[[break_glass]]\nactions = []\n",
        "[[break_glass]]\ntags = [\"prod\"]\n",
        "[[break_glass]]\nactions = [\"mrak\"]\n",
        "[approval]\nrp_id = \"ssh:\"\norigins = [\"https://ssh:\"]\n",
        "[approval]\nrp_id = \"a.example\"\napplication = \"a.example\"\norigins = [\"https://a.example\"]\n",
    ] {
        let played = target("");
        let envelope = played.envelope(&played.statement("a"));
        configure(&played, wrong);
        played.refused(&envelope, NOW, "config");
        // who asks what the target is learns it too
        assert!(target::describe::facts(&played.paths).is_err(), "{wrong}");
    }
}

#[test]
fn outside_its_window_and_in_a_freeze_nothing_runs() {
    let window = "[[window]]\nactions = [\"mark\"]\ndays = [\"fri\"]\nfrom = 22:00:00\nto = 04:00:00\n";
    let played = target(window);
    for (id, hour, open) in [
        ("a", 0, false),
        ("b", 13, false),
        ("c", 14, true),
        ("d", 19, true),
        ("e", 20, false),
        ("f", 38, false),
    ] {
        let now = NOW + hour * HOUR;
        let envelope = played.envelope(&at(played.statement(id), now));
        if open {
            played.runs(&envelope, now);
        } else {
            played.refused(&envelope, now, "outside_window");
            // what was refused was not used: in the window it would have run
            assert!(!played.at(&format!("var/lib/mcp-linux-infra/ledger/nonce-{}", nonce(id))).exists());
        }
    }
    let freeze = "[[freeze]]\ntags = [\"prod\"]\nfrom = 2027-01-15T08:00:00Z\nto = 2027-01-15T09:00:00Z\nreason = \"fair\"\n";
    let played = target(&format!("tags = [\"prod\"]\n{freeze}"));
    for (id, second, open) in [("a", -1, true), ("b", 0, false), ("c", HOUR - 1, false), ("d", HOUR, true)] {
        let now = NOW + second;
        let envelope = played.envelope(&at(played.statement(id), now));
        if open {
            played.runs(&envelope, now);
        } else {
            played.refused(&envelope, now, "frozen");
        }
    }
    let other = target(&format!("tags = [\"lab\"]\n{freeze}"));
    other.runs(&other.envelope(&other.statement("a")), NOW);
}

#[test]
fn a_denial_by_one_ends_a_proposal() {
    let played = target("[approval]\nmin = 2\n");
    let statement = played.statement("a");
    let bytes = statement.to_bytes();
    let approved = session::envelope::join(&bytes, &["alice", "bob"].map(|key| played.sign(key, &bytes)));
    let denial = decision(&played, "n", Kind::Deny, &statement.proposal, "");
    let envelope = played.envelope_by("carol", &denial);
    taken(&played, &envelope, "denied");
    played.refused(&approved, NOW, "denied");
    // with another nonce, and approved later
    let again = Statement { nonce: nonce("z"), ..statement.clone() }.to_bytes();
    let again = session::envelope::join(&again, &["alice", "bob"].map(|key| played.sign(key, &again)));
    played.refused(&again, NOW, "denied");
    // once is enough, and the same denial is used
    played.refused(&envelope, NOW, "nonce_seen");
    let second = Statement { nonce: nonce("m"), ..denial.clone() };
    played.refused(&played.envelope_by("alice", &second), NOW, "denied");
    assert!(log(&played).contains("\"event\":\"deny\""));
    // other proposals are not meant
    let other = played.statement("b").to_bytes();
    played.runs(&session::envelope::join(&other, &["alice", "bob"].map(|key| played.sign(key, &other))), NOW);
    // a name does not make a proposal look denied
    let named = Statement { proposal: "denied".into(), ..played.statement("e") };
    let bytes = named.to_bytes();
    let both =
        |bytes: &[u8]| session::envelope::join(bytes, &["alice", "bob"].map(|key| played.sign(key, bytes)));
    played.runs(&both(&bytes), NOW);
    let again = Statement { nonce: nonce("f"), ..named }.to_bytes();
    played.refused(&both(&again), NOW, "proposal_seen");
    // what has run cannot be denied
    let late = decision(&played, "l", Kind::Deny, "pr_b", "");
    played.refused(&played.envelope_by("carol", &late), NOW, "proposal_seen");
}

#[test]
fn who_proposed_may_take_it_back_and_a_stranger_may_not() {
    let played = target("");
    let denial = Statement {
        proposed_by: "alice@example.org".into(),
        ..decision(&played, "n", Kind::Deny, "pr_a", "")
    };
    played::keygen(&played.dir.path().join("mallory"));
    played.refused(&played.envelope_by("mallory", &denial), NOW, "unknown_signer");
    let elsewhere = Statement { host: "web02".into(), ..denial.clone() };
    played.refused(&played.envelope(&elsewhere), NOW, "host_mismatch");
    played.refused(&played.envelope(&at(denial.clone(), NOW - 400)), NOW, "expired");
    played.runs(&played.envelope(&played.statement("a")), NOW);
    let other = Statement { proposal: "pr_b".into(), ..denial };
    taken(&played, &played.envelope(&other), "denied");
    played.refused(&played.envelope(&played.statement("b")), NOW, "denied");
}

#[test]
fn a_denial_that_asks_for_something_to_run_is_malformed() {
    let played = target("");
    let denial = decision(&played, "n", Kind::Deny, "pr_a", "");
    let review = decision(&played, "n", Kind::Review, "pr_a", "mark");
    let good = played.statement("a");
    for wrong in [
        Statement { action: "mark".into(), ..denial.clone() },
        Statement { params: good.params.clone(), ..denial.clone() },
        Statement { argv: vec!["id".into()], ..denial.clone() },
        Statement { plan: good.plan.clone(), ..review.clone() },
        Statement { policy: good.policy.clone(), ..denial.clone() },
        Statement { break_glass: Some("because it must be".into()), ..denial.clone() },
        Statement { rationale: " ".into(), ..denial.clone() },
        Statement { action: String::new(), ..review.clone() },
        Statement { action: "../clock".into(), ..review },
        Statement { policy: String::new(), ..good.clone() },
        Statement { break_glass: Some("  short    ".into()), ..good.clone() },
        Statement { break_glass: Some("a reason\u{202e} that hides".into()), ..good },
    ] {
        played.refused(&played.envelope(&wrong), NOW, "malformed");
    }
}

const GLASS: &str =
    "tags = [\"prod\"]\n[approval]\nmin = 2\n[[break_glass]]\nactions = [\"mark\"]\ntags = [\"prod\"]\n";

fn breaking(played: &Played, id: &str) -> Statement {
    Statement {
        break_glass: Some("the resolver is down, and I am alone on call".into()),
        ..played.statement(id)
    }
}

#[test]
fn two_person_05() {
    // no policy, no broken glass
    for config in [
        "[approval]\nmin = 2\n".to_owned(),
        GLASS.replace("tags = [\"prod\"]\n[approval]", "tags = [\"lab\"]\n[approval]"),
        GLASS.replace("[\"mark\"]", "[\"command\"]"),
        format!("{GLASS}persons = [\"bob@example.org\"]\n"),
    ] {
        let played = target(&config);
        played.refused(&played.envelope(&breaking(&played, "a")), NOW, "break_glass");
        assert_eq!(alarms(&played, "break_glass"), 0);
    }
    let played = target(&format!("{GLASS}persons = [\"Alice@example.org\"]\n"));
    // without a reason in the statement two persons are needed, as ever
    played.refused(&played.envelope(&played.statement("a")), NOW, "too_few_approvers");
    let own = Statement { proposed_by: "alice@example.org".into(), ..breaking(&played, "b") };
    played.refused(&played.envelope(&own), NOW, "self_approval");
    let first = breaking(&played, "c");
    let envelope = played.envelope(&first);
    played.runs(&envelope, NOW);
    assert_eq!(alarms(&played, "break_glass"), 1);
    let text = log(&played);
    let (glass, start) =
        (text.find("\"event\":\"break_glass\"").unwrap(), text.find("\"event\":\"start\"").unwrap());
    assert!(glass < start && text.contains("I am alone on call"));

    // not again before another person has looked at it
    played.refused(&played.envelope(&breaking(&played, "d")), NOW, "review_pending");
    played.refused(&envelope, NOW, "review_pending");
    let review = |id: &str, about: &str, action: &str| decision(&played, id, Kind::Review, about, action);
    let by = |who: &str, statement: &Statement| played.envelope_by(who, statement);
    played.refused(&by("alice", &review("e", "pr_c", "mark")), NOW, "no_review");
    played.refused(&by("bob", &review("f", "pr_d", "mark")), NOW, "no_review");
    played.refused(&by("bob", &review("g", "pr_c", "command")), NOW, "no_review");
    let signed = by("bob", &review("h", "pr_c", "mark"));
    taken(&played, &signed, "reviewed");
    assert!(log(&played).contains("\"event\":\"review\""));
    played.refused(&envelope, NOW, "nonce_seen");
    played.runs(&played.envelope(&breaking(&played, "i")), NOW);
    // one review is for one time
    played.refused(&signed, NOW, "no_review");
    played.refused(&by("bob", &review("j", "pr_c", "mark")), NOW, "no_review");
    played.refused(&played.envelope(&breaking(&played, "k")), NOW, "review_pending");
    // two persons need no glass
    let bytes = played.statement("l").to_bytes();
    played.runs(&session::envelope::join(&bytes, &["alice", "bob"].map(|key| played.sign(key, &bytes))), NOW);
}

#[test]
fn broken_glass_opens_a_freeze_where_the_policy_says_so() {
    let freeze = "[[freeze]]\nfrom = 2027-01-01T00:00:00Z\nto = 2027-02-01T00:00:00Z\n";
    let played = target(&format!("{GLASS}{freeze}"));
    played.refused(&played.envelope(&breaking(&played, "a")), NOW, "frozen");
    let played = target(&format!("{GLASS}in_freeze = true\n{freeze}"));
    played.refused(&played.envelope(&played.statement("a")), NOW, "too_few_approvers");
    played.runs(&played.envelope(&breaking(&played, "b")), NOW);
    // the user is verified as ever
    let strict = "[[approval.rule]]\nverify_required = true\n";
    let played = target(&format!("{GLASS}{strict}"));
    played.refused(&played.envelope(&breaking(&played, "c")), NOW, "user_verification");
}

#[test]
fn glass_is_broken_by_passkey_only_where_the_policy_says_so() {
    let passkey = Passkey::new();
    let passkeys = format!("min = 2\nrp_id = \"{RP_ID}\"\norigins = [\"{ORIGIN}\"]\n");
    for (more, taken) in [("", false), ("in_browser = true\n", true)] {
        let played = target(&format!("{}{more}", GLASS.replace("min = 2\n", &passkeys)));
        std::fs::write(played.at("etc/mcp-linux-infra/approvers"), passkey.line("alice@example.org"))
            .unwrap();
        let envelope = passkey.envelope(&breaking(&played, "a"));
        if taken {
            played.runs(&envelope, NOW);
        } else {
            played.refused(&envelope, NOW, "break_glass");
            assert_eq!(alarms(&played, "break_glass"), 0);
        }
    }
}

#[test]
fn without_an_alarm_no_glass_is_broken() {
    let played = target(GLASS);
    // the log service is not there
    let wrapper_log = played.at("var/log/mcp-wrapper.log");
    std::fs::create_dir(&wrapper_log).unwrap();
    played.refused(&played.envelope(&breaking(&played, "a")), NOW, "audit_unavailable");
    std::fs::remove_dir(&wrapper_log).unwrap();
    // nothing was run, so nothing is to be reviewed
    played.runs(&played.envelope(&breaking(&played, "b")), NOW);
}

#[test]
fn of_many_who_break_the_glass_at_once_one_runs() {
    let played = target(GLASS);
    let envelopes: Vec<_> =
        ["a", "b", "c", "d"].iter().map(|id| played.envelope(&breaking(&played, id))).collect();
    let codes: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = envelopes.iter().map(|e| scope.spawn(|| played.serve(e, NOW).1)).collect();
        tries.into_iter().map(|t| t.join().unwrap()["code"].as_str().unwrap().to_owned()).collect()
    });
    assert_eq!(codes.iter().filter(|c| *c == "ok").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|c| *c == "review_pending").count(), 3, "{codes:?}");
}
