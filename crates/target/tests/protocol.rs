//! Rows of the protocol corpus that need the target's disk, by their ids, through the whole of `pra-run`. Signatures are made
//! by the real `ssh-keygen`. For each refusal the action's mark must not be there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

mod played;

use grant::Statement;
use played::{NOW, Played, nonce};
use serde_json::Value;

#[test]
fn grant_replay_01() {
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    played.runs(&envelope, NOW);
    played.refused(&envelope, NOW, "nonce_seen");
}

#[test]
fn grant_replay_02() {
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    let outcomes: Vec<(u8, Value)> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..6).map(|_| scope.spawn(|| played.serve(&envelope, NOW))).collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|(status, _)| *status == 0).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|(_, a)| a["code"] == "nonce_seen").count(), 5, "{outcomes:?}");
}

#[test]
fn grant_replay_04() {
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    played.runs(&envelope, NOW);
    let ledger = played.at("var/lib/mcp-linux-infra/ledger");
    std::fs::remove_dir_all(&ledger).unwrap();
    played.refused(&envelope, NOW, "ledger_missing");
    std::fs::create_dir(&ledger).unwrap();
    played.refused(&envelope, NOW, "ledger_missing");
}

#[test]
fn grant_replay_05() {
    let played = Played::new();
    let ledger = played.at("var/lib/mcp-linux-infra/ledger");
    let envelope = played.envelope(&played.statement("a"));
    played.runs(&envelope, NOW);
    // The snapshot is from before: the ledger knows nothing, but the grant's life is over.
    for entry in std::fs::read_dir(&ledger).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::write(ledger.join("clock"), "0\n").unwrap();
    played.refused(&envelope, NOW + 300, "expired");
}

#[test]
fn grant_replay_06() {
    let played = Played::new();
    let later = Statement { not_before: NOW + 600, expires_at: NOW + 900, ..played.statement("b") };
    played.runs(&played.envelope(&later), NOW + 600);
    let old = played.envelope(&played.statement("c"));
    played.refused(&old, NOW, "clock_skew");
    played.refused(&old, NOW + 590, "expired");
}

#[test]
fn grant_binding_03() {
    // What the client names on the command line is refused before stdin is read.
    let played = Played::new();
    for original in ["mark", "restart_unbound", "grant mark", ""] {
        let invocation =
            target::wrapper::Invocation { original: Some(original.into()), ..Default::default() };
        let mut handed_over = false;
        let status = target::pra_exec::main(&played.paths, &invocation, |_| {
            handed_over = true;
            0
        });
        assert!(status == 126 && !handed_over, "{original}");
    }
}

#[test]
fn grant_binding_04() {
    let played = Played::new();
    let other = Statement { tenant: "b".into(), ..played.statement("a") };
    played.refused(&played.envelope(&other), NOW, "tenant_mismatch");
}

#[test]
fn grant_binding_05() {
    let played = Played::new();
    let first = played.statement("a");
    played.runs(&played.envelope(&first), NOW);
    let second = Statement { nonce: nonce("z"), params: [("n".to_owned(), "2".to_owned())].into(), ..first };
    played.refused(&played.envelope(&second), NOW, "proposal_seen");
}

#[test]
fn grant_binding_13() {
    // Bound is the machine, by its id and host key, whatever its name.
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    std::fs::write(played.at("etc/machine-id"), "ffffffffffffffffffffffffffffffff\n").unwrap();
    played.refused(&envelope, NOW, "host_mismatch");
}

#[test]
fn an_empty_or_missing_list_of_approvers_is_nobody() {
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    let approvers = played.at("etc/mcp-linux-infra/approvers");
    std::fs::write(&approvers, "").unwrap();
    played.refused(&envelope, NOW, "unknown_signer");
    std::fs::remove_file(&approvers).unwrap();
    played.refused(&envelope, NOW, "unknown_signer");
}

#[test]
fn a_file_that_others_can_write_refuses_all() {
    use std::os::unix::fs::PermissionsExt;
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    for file in ["approvers", "target.toml", "actions.d/mark.toml"] {
        let path = played.at("etc/mcp-linux-infra").join(file);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        played.refused(&envelope, NOW, "config");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    played.runs(&envelope, NOW);
}

#[test]
fn a_rotated_log_goes_on_as_one_chain() {
    let played = Played::new();
    let log = played.at("var/log/pra-run.log");
    let older = log.with_extension("log.1");
    played.runs(&played.envelope(&played.statement("a")), NOW);
    let before = ledger::file::verify(&log).unwrap().head;
    std::fs::rename(&log, &older).unwrap();
    std::fs::write(&log, "").unwrap();
    played.runs(&played.envelope(&played.statement("b")), NOW);
    let report = ledger::file::read(&log, ledger::Verifier::continuing(), |_| ()).unwrap();
    assert_eq!(report.start, before);
    // and with the older one changed, nothing more runs
    std::fs::write(&log, "").unwrap();
    let text = std::fs::read_to_string(&older).unwrap();
    std::fs::write(&older, text.replace("mark", "mask")).unwrap();
    played.refused(&played.envelope(&played.statement("c")), NOW, "audit_unavailable");
}

#[test]
fn without_a_log_nothing_runs_and_with_one_every_run_is_chained() {
    let played = Played::new();
    let log = played.at("var/log/pra-run.log");
    let aside = log.with_extension("aside");
    std::fs::rename(&log, &aside).unwrap();
    played.refused(&played.envelope(&played.statement("a")), NOW, "audit_unavailable");
    std::fs::rename(&aside, &log).unwrap();
    played.runs(&played.envelope(&played.statement("b")), NOW);
    assert_eq!(ledger::file::verify(&log).unwrap().head.seq, 2);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(
        text.contains("\"event\":\"start\"")
            && text.contains("alice@example.org")
            && text.contains("\"event\":\"result\"")
    );
}

#[test]
fn parameters_are_typed_on_the_target_too() {
    let played = Played::new();
    for bad in ["0", "10", "-1", "1; touch x", "../2"] {
        let statement =
            Statement { params: [("n".to_owned(), bad.to_owned())].into(), ..played.statement("a") };
        played.refused(&played.envelope(&statement), NOW, "bad_params");
    }
    let unknown = Statement { params: [("x".to_owned(), "1".to_owned())].into(), ..played.statement("a") };
    played.refused(&played.envelope(&unknown), NOW, "bad_params");
}

#[test]
fn a_threshold_of_the_targets_own_counts() {
    let played = Played::new();
    std::fs::write(
        played.at("etc/mcp-linux-infra/target.toml"),
        "host = \"web01\"\n[approval.actions.mark]\nmin = 2\n",
    )
    .unwrap();
    played.refused(&played.envelope(&played.statement("a")), NOW, "too_few_approvers");
}

#[test]
fn a_time_that_was_seen_in_a_refusal_may_not_go_back_either() {
    // The grant was never used, so no nonce refuses it: only the clock's highest reading does.
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    played.refused(&envelope, NOW + 1000, "expired");
    played.refused(&envelope, NOW + 10, "clock_skew");
}

#[test]
fn what_nobody_signed_moves_no_clock() {
    let played = Played::new();
    let statement = played.statement("a");
    let forged = session::envelope::join(
        &statement.to_bytes(),
        &[b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"],
    );
    let (status, _) = played.serve(&forged, NOW + 1000);
    assert_eq!(status, 126);
    played.runs(&played.envelope(&statement), NOW);
}

#[test]
fn a_grant_from_before_the_record_was_made_anew_is_refused() {
    // As install-target.sh makes it anew on a host that has run grants before: the used nonces are lost.
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    played.runs(&envelope, NOW);
    let ledger = played.at("var/lib/mcp-linux-infra/ledger");
    for entry in std::fs::read_dir(&ledger).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    std::fs::write(ledger.join("clock"), "0\n").unwrap();
    std::fs::write(ledger.join("epoch"), format!("{}\n", NOW + 60)).unwrap();
    played.refused(&envelope, NOW + 61, "ledger_missing");
    let later = Statement { not_before: NOW + 61, expires_at: NOW + 300, ..played.statement("b") };
    played.runs(&played.envelope(&later), NOW + 61);
    std::fs::write(ledger.join("epoch"), "soon\n").unwrap();
    let last = Statement { not_before: NOW + 61, expires_at: NOW + 300, ..played.statement("c") };
    played.refused(&played.envelope(&last), NOW + 61, "ledger_missing");
}

#[test]
fn much_output_does_not_push_the_outcome_out_of_the_log() {
    let played = Played::new();
    let text = std::fs::read_to_string(played.at("etc/mcp-linux-infra/actions.d/mark.toml")).unwrap();
    let noise = "[[precheck]]\nargv = [\"seq\", \"100000\"]\n".repeat(8);
    let (head, steps) = text.split_once("[[run]]").unwrap();
    std::fs::write(
        played.at("etc/mcp-linux-infra/actions.d/mark.toml"),
        format!("{head}{noise}[[run]]{steps}"),
    )
    .unwrap();
    let (status, answer) = played.serve(&played.envelope(&played.statement("a")), NOW);
    assert_eq!(status, 0, "{answer}");
    assert!(answer["steps"][0]["stdout"].as_str().unwrap().len() > 8 << 10, "the caller gets it whole");
    let log = std::fs::read_to_string(played.at("var/log/pra-run.log")).unwrap();
    let result: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(result["data"]["outcome"], "succeeded", "{result}");
    assert_eq!(result["data"]["steps"].as_array().unwrap().len(), 10);
}
