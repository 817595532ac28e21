use super::*;
use crate::config::{Config, Environment};
use crate::store::{NewProposal, asked};

/// A server without a copy of the approvers' file, whose one host nobody answers for, and a proposal.
async fn server() -> (tempfile::TempDir, Arc<App>, String) {
    let dir = tempfile::tempdir().unwrap();
    let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
    let file = dir.path().join("c.toml");
    std::fs::write(&file, "state_dir = \"state\"\n").unwrap();
    let app = Arc::new(App::new(Config::load(Some(&file), &env).unwrap()).unwrap());
    let plan = app.actions().get("restart_unbound").unwrap().plan().to_owned();
    let asked = NewProposal { plan, ..asked(i64::MAX, 1) };
    let id = "pr_0000000000000001".to_owned();
    let made = id.clone();
    app.blocking(move |store| store.propose(&made, &asked)).await.unwrap();
    (dir, app, id)
}

fn key() -> (russh::keys::PrivateKey, Signer) {
    let algorithm = russh::keys::Algorithm::Ed25519;
    let key = russh::keys::PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm).unwrap();
    (key.clone(), Signer::File(Box::new(key), "alice.key".into()))
}

#[tokio::test]
async fn a_denial_is_of_this_proposal_and_asks_for_nothing_to_run() {
    let (_dir, app, id) = server().await;
    let denial = denial(&app, &id, "not now").await.unwrap();
    let statement = Statement::parse(&denial.bytes).unwrap();
    assert_eq!((statement.kind, &statement.proposal, &*statement.rationale), (Kind::Deny, &id, "not now"));
    assert_eq!((&*statement.host, &statement.machine_id), ("web01", &"0".repeat(64)));
    assert!(statement.action.is_empty() && statement.plan.is_empty() && statement.policy.is_empty());
    let too_long = "x".repeat(2001);
    for reason in ["", " ", "\u{202e}on", too_long.as_str()] {
        assert_eq!(super::denial(&app, &id, reason).await.unwrap_err().code(), "bad_params", "{reason:?}");
    }
}

#[tokio::test]
async fn what_comes_back_is_what_was_drafted_or_nothing() {
    let (_dir, app, id) = server().await;
    let denial = denial(&app, &id, "not now").await.unwrap();
    assert!(read_denial(&app, &id, &denial.bytes).await.is_ok());
    let drafted = denial.statement;
    let approval = super::super::preview(&app, &id).await.unwrap().statement;
    for (what, wrong) in [
        ("an approval", approval),
        ("another proposal", Statement { proposal: "pr_2".into(), ..drafted.clone() }),
        ("another host", Statement { host: "web02".into(), ..drafted.clone() }),
        ("another machine", Statement { machine_id: "1".repeat(64), ..drafted.clone() }),
        ("a longer life", Statement { expires_at: drafted.expires_at + 1, ..drafted.clone() }),
        (
            "another time",
            Statement {
                not_before: drafted.not_before - 900,
                expires_at: drafted.expires_at - 900,
                ..drafted.clone()
            },
        ),
        ("a review", Statement { kind: Kind::Review, action: "restart_unbound".into(), ..drafted.clone() }),
    ] {
        assert_eq!(
            read_denial(&app, &id, &wrong.to_bytes()).await.unwrap_err().code(),
            "malformed",
            "{what}"
        );
    }
    let spaced = [&drafted.to_bytes()[..], b"\n"].concat();
    assert!(read_denial(&app, &id, &spaced).await.is_err());
}

#[tokio::test]
async fn a_signature_of_an_approval_is_no_denial_and_the_other_way_round() {
    let (_dir, app, id) = server().await;
    let (private, signer) = key();
    let denial = denial(&app, &id, "not now").await.unwrap();
    let preview = super::super::preview(&app, &id).await.unwrap();
    let sign = |bytes: &[u8]| {
        let sig = private.sign(grant::NAMESPACE, russh::keys::HashAlg::Sha512, bytes).unwrap();
        sig.to_pem(russh::keys::ssh_key::LineEnding::LF).unwrap()
    };
    let fido = Fido::default();
    let wrong = deny(&app, &denial, sign(&preview.bytes), "alice", &fido).await.unwrap_err();
    assert_eq!(wrong.code(), "signature");
    let wrong = super::super::add_signature(&app, &preview, sign(&denial.bytes), "alice", &fido).await;
    assert_eq!(wrong.unwrap_err().code(), "signature");
    assert!(app.store().unwrap().denial(&id).unwrap().is_none());
    assert_eq!(app.store().unwrap().proposal(&id).unwrap().state, State::Proposed);

    // The host is not in the inventory: rejected here, and said.
    let denied = sign_denial(&app, &denial, &signer, &fido).await.unwrap();
    assert_eq!((denied.proposal.state, denied.told), (State::Rejected, false));
    assert!(denied.message.contains("DOES NOT KNOW"), "{}", denied.message);
    let kept = app.store().unwrap().denial(&id).unwrap().unwrap();
    assert_eq!((kept.statement, kept.told_ms), (denial.bytes, None));
    assert!(super::super::add_signature(&app, &preview, sign(&preview.bytes), "alice", &fido).await.is_err());
    assert_eq!(app.store().unwrap().proposal(&id).unwrap().state, State::Rejected);
}

#[test]
fn only_the_targets_own_word_counts_as_told() {
    let answer = |json: &str| {
        let output =
            ExecOutput { stdout: json.into(), stderr: Vec::new(), exit: Some(0), truncated: false, ms: 1 };
        read("pr_1", Ok(output))
    };
    assert_eq!(answer(r#"{"proposal":"pr_1","outcome":"succeeded","code":"denied"}"#), Answer::Denied(None));
    assert_eq!(answer(r#"{"proposal":"pr_1","outcome":"refused","code":"denied"}"#), Answer::Denied(None));
    let with = |audit: &Value| {
        answer(
            &json!({ "proposal": "pr_1", "outcome": "succeeded", "code": "denied", "audit": audit })
                .to_string(),
        )
    };
    let head = json!({ "seq": 7, "hash": "0f".repeat(32) });
    assert_eq!(with(&head), Answer::Denied(Some(head)));
    for no_head in [
        json!({ "seq": 7 }),
        json!({ "seq": "7", "hash": "0f".repeat(32) }),
        json!({ "seq": 7, "hash": "x" }),
    ] {
        assert_eq!(with(&no_head), Answer::Denied(None), "{no_head}");
    }
    assert_eq!(answer(r#"{"proposal":"pr_1","outcome":"refused","code":"proposal_seen"}"#), Answer::TooLate);
    for other in [
        r#"{"proposal":"pr_2","outcome":"succeeded","code":"denied"}"#,
        r#"{"proposal":null,"outcome":"succeeded","code":"denied"}"#,
        "",
    ] {
        assert!(matches!(answer(other), Answer::None(_)), "{other}");
    }
    let seen = answer(r#"{"proposal":"pr_1","outcome":"refused","code":"nonce_seen","message":"used"}"#);
    assert_eq!(seen, Answer::Refused("nonce_seen: used".into()));
}
