use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    (dir, store)
}

fn asked(expires_ms: i64, approvals: u32) -> NewProposal {
    NewProposal {
        tenant: "default".into(),
        host: "web01".into(),
        kind: ProposalKind::Action,
        action: "restart_unbound".into(),
        params: BTreeMap::new(),
        argv: Vec::new(),
        risk: "medium".into(),
        rationale: "DNS is down".into(),
        proposed_by: "assistant".into(),
        machine_id: "0".repeat(64),
        plan: "1".repeat(64),
        policy: "2".repeat(64),
        approvals,
        expires_ms,
    }
}

fn signature(key: &str) -> Signature {
    Signature { fingerprint: key.into(), signer: "alice".into(), armor: "armor".into(), signed_ms: now_ms() }
}

const FAR: i64 = 1 << 50;

#[test]
fn an_approved_proposal_starts_exactly_once() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    assert!(matches!(store.start("pr_1"), Err(StoreError::WrongState { state: State::Proposed, .. })));
    store.fix_statement("pr_1", b"bytes", FAR).unwrap();
    assert_eq!(store.sign("pr_1", b"bytes", &signature("k1")).unwrap().state, State::Approved);
    let started: Vec<bool> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4).map(|_| scope.spawn(|| store.start("pr_1").is_ok())).collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(started.iter().filter(|ok| **ok).count(), 1);
}

#[test]
fn two_signatures_of_one_key_are_one_and_other_bytes_are_refused() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 2)).unwrap();
    store.fix_statement("pr_1", b"bytes", FAR).unwrap();
    assert_eq!(store.sign("pr_1", b"bytes", &signature("k1")).unwrap().state, State::Proposed);
    assert_eq!(store.sign("pr_1", b"bytes", &signature("k1")).unwrap().state, State::Proposed);
    assert!(store.sign("pr_1", b"other", &signature("k2")).is_err());
    assert_eq!(store.sign("pr_1", b"bytes", &signature("k2")).unwrap().state, State::Approved);
}

#[test]
fn valid_bytes_stay_and_expired_bytes_lose_their_signatures() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    store.fix_statement("pr_1", b"old", 1).unwrap();
    store.sign("pr_1", b"old", &signature("k1")).unwrap();
    let renewed = store.fix_statement("pr_1", b"new", FAR).unwrap();
    assert_eq!(
        (renewed.state, renewed.signatures.len(), renewed.statement.as_deref()),
        (State::Proposed, 0, Some(&b"new"[..]))
    );
    assert_eq!(store.fix_statement("pr_1", b"newer", FAR).unwrap().statement.as_deref(), Some(&b"new"[..]));
}

#[test]
fn time_ends_a_proposal_and_a_no_is_final() {
    let (_dir, store) = store();
    store.propose("pr_old", &asked(1, 1)).unwrap();
    assert_eq!(store.proposal("pr_old").unwrap().state, State::Expired);
    store.propose("pr_no", &asked(FAR, 1)).unwrap();
    store.fix_statement("pr_no", b"bytes", FAR).unwrap();
    store.reject("pr_no", "alice", "not now").unwrap();
    assert!(store.sign("pr_no", b"bytes", &signature("k1")).is_err());
    assert!(store.start("pr_no").is_err());
    assert_eq!(store.proposal("pr_no").unwrap().state, State::Rejected);
}

#[test]
fn the_chain_grows_across_processes_and_a_changed_record_is_named() {
    let (dir, store) = store();
    let other = Store::open(&dir.path().join("state")).unwrap();
    for i in 0..5 {
        store.audit(&Audit { event: "a", data: json!({ "i": i }) }).unwrap();
        other.audit(&Audit { event: "b", data: json!({ "i": i }) }).unwrap();
    }
    let report = store.audit_verify().unwrap();
    assert!(report.ok && report.records == 10, "{report:?}");
    other
        .lock()
        .execute("UPDATE audit SET line = replace(line, '\"i\":3', '\"i\":4') WHERE seq = 7", [])
        .unwrap();
    let report = store.audit_verify().unwrap();
    assert!(!report.ok && report.problem.as_deref().unwrap().contains('7'), "{report:?}");
}

#[test]
fn nothing_is_written_onto_a_broken_last_record() {
    let (_dir, store) = store();
    store.audit(&Audit { event: "a", data: json!({}) }).unwrap();
    store.lock().execute("UPDATE audit SET line = replace(line, '\"a\"', '\"x\"')", []).unwrap();
    assert!(matches!(store.audit(&Audit { event: "b", data: json!({}) }), Err(StoreError::BrokenChain(_))));
}

#[test]
fn the_state_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = store();
    assert_eq!(std::fs::metadata(dir.path().join("state")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(store.path().ends_with("state.db"));
}
