use std::collections::BTreeMap;

use serde_json::json;

use super::*;

pub(super) fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state")).unwrap();
    (dir, store)
}

/// A proposal to restart unbound on web01.
pub(crate) fn asked(expires_ms: i64, approvals: u32) -> NewProposal {
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

pub(super) fn signature(key: &str) -> Signature {
    Signature { fingerprint: key.into(), signer: "alice".into(), armor: "armor".into(), signed_ms: now_ms() }
}

pub(super) const FAR: i64 = 1 << 50;

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

/// Signs a proposal, so that it may start.
fn approve(store: &Store, id: &str) {
    store.fix_statement(id, b"bytes", FAR).unwrap();
    assert_eq!(store.sign(id, b"bytes", &signature("k1")).unwrap().state, State::Approved);
}

#[test]
fn the_same_by_the_same_is_one_proposal_while_it_is_open() {
    let (_dir, store) = store();
    let soon = now_ms() + 60_000;
    let ids: Vec<String> = std::thread::scope(|scope| {
        let propose = |n| store.propose_once(&format!("pr_{n}"), &asked(soon, 1)).unwrap().id;
        let tries: Vec<_> = (0..8).map(|n| scope.spawn(move || propose(n))).collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let id = ids[0].clone();
    assert!(ids.iter().all(|other| *other == id), "{ids:?}");
    assert_eq!(store.proposals(false, 100).unwrap().len(), 1);
    let worded = NewProposal { rationale: "other words".into(), ..asked(FAR, 1) };
    assert_eq!(store.propose_once("pr_w", &worded).unwrap().asked.rationale, "DNS is down");
    let params = BTreeMap::from([("unit".to_owned(), "a".to_owned())]);
    let others = [
        NewProposal { proposed_by: "another".into(), ..asked(soon, 1) },
        NewProposal { host: "web02".into(), ..asked(soon, 1) },
        NewProposal { action: "flush".into(), ..asked(soon, 1) },
        NewProposal { plan: "3".repeat(64), ..asked(soon, 1) },
        NewProposal { policy: "3".repeat(64), ..asked(soon, 1) },
        NewProposal { machine_id: "3".repeat(64), ..asked(soon, 1) },
        NewProposal { params, ..asked(soon, 1) },
        asked(soon, 2),
    ];
    for (n, other) in others.iter().enumerate() {
        let name = format!("pr_other{n}");
        assert_eq!(store.propose_once(&name, other).unwrap().id, name);
    }
    approve(&store, &id);
    assert_eq!(store.propose_once("pr_signed", &asked(soon, 1)).unwrap().id, id);
    store.start(&id).unwrap();
    assert_eq!(store.propose_once("pr_running", &asked(soon, 1)).unwrap().id, id);
    store.finish(&id, State::Verified, None, &json!({})).unwrap();
    assert_eq!(store.propose_once("pr_next", &asked(soon, 1)).unwrap().id, "pr_next");
}

#[test]
fn one_whose_outcome_never_came_is_not_continued_for_ever() {
    let (_dir, store) = store();
    store.propose_once("pr_1", &asked(now_ms() + 60_000, 1)).unwrap();
    approve(&store, "pr_1");
    store.start("pr_1").unwrap();
    // Its server ended, and its time went by.
    store.lock().execute("UPDATE proposals SET expires_ms = 1", []).unwrap();
    assert_eq!(store.propose_once("pr_2", &asked(FAR, 1)).unwrap().id, "pr_2");
    // Nor is one that ended by time and that nobody has looked at since; what was signed in time counts as long as the signature does.
    store.lock().execute("UPDATE proposals SET expires_ms = 1 WHERE id = 'pr_2'", []).unwrap();
    assert_eq!(store.propose_once("pr_3", &asked(FAR, 1)).unwrap().id, "pr_3");
    approve(&store, "pr_3");
    store.lock().execute("UPDATE proposals SET expires_ms = 1 WHERE id = 'pr_3'", []).unwrap();
    assert_eq!(store.propose_once("pr_4", &asked(FAR, 1)).unwrap().id, "pr_3");
}

fn task(id: &str, proposal: &str, owner: &str) -> NewTask {
    NewTask { id: id.into(), owner: owner.into(), proposal: proposal.into(), until_ms: FAR }
}

#[test]
fn a_task_is_its_owners_and_one_for_each_proposal() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    let first = store.keep_task(&task("t1", "pr_1", "alice"), "waits").unwrap();
    assert_eq!(store.keep_task(&task("t2", "pr_1", "alice"), "waits").unwrap(), first);
    assert_eq!(store.keep_task(&task("t3", "pr_1", "bob"), "waits").unwrap().id, "t3");
    assert_eq!(store.task("t1", "alice").unwrap(), first);
    for wrong in [store.task("t1", "bob"), store.task("t2", "alice"), store.cancel_task("t1", "bob")] {
        assert!(matches!(wrong, Err(StoreError::NoTask(_))), "{wrong:?}");
    }
    assert!(!store.task("t1", "alice").unwrap().cancelled);
    let same = store.task_is("t1", "alice", "waits").unwrap();
    assert_eq!(same.updated_ms, first.updated_ms, "nothing has changed");
    store.lock().execute("UPDATE tasks SET until_ms = 1, updated_ms = 1 WHERE id = 't1'", []).unwrap();
    assert!(store.task("t1", "alice").is_err(), "its time is over");
    store.keep_task(&task("t4", "pr_1", "alice"), "waits").unwrap();
    let left: u32 = store.lock().query_row("SELECT count(*) FROM tasks", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 2, "and it goes");
}

#[test]
fn a_cancelled_task_starts_nothing_and_one_that_started_is_not_cancelled() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    approve(&store, "pr_1");
    store.keep_task(&task("t1", "pr_1", "alice"), "waits").unwrap();
    assert!(store.cancel_task("t1", "alice").unwrap().cancelled);
    assert!(matches!(store.start_for("pr_1", "t1"), Err(StoreError::TaskCancelled(_))));
    assert_eq!(store.proposal("pr_1").unwrap().state, State::Approved);
    store.keep_task(&task("t2", "pr_1", "alice"), "waits").unwrap();
    assert!(store.start_for("pr_other", "t2").is_err(), "a task starts its own proposal only");
    assert!(!store.task("t2", "alice").unwrap().ran);
    let started: Vec<bool> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| store.start_for("pr_1", "t2").is_ok())).collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(started.iter().filter(|ok| **ok).count(), 1);
    let after = store.cancel_task("t2", "alice").unwrap();
    assert!(after.ran && !after.cancelled);
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
fn a_look_writes_nothing_and_the_end_is_recorded_once() {
    let (_dir, store) = store();
    let now = now_ms();
    store.propose("pr_late", &asked(now - 1, 1)).unwrap();
    store.propose("pr_waits", &asked(FAR, 1)).unwrap();
    // Approved is over when both its times are.
    for (id, proposal_ends, statement_ends) in
        [("pr_both", now - 1, now - 1), ("pr_signed", now - 1, FAR), ("pr_anew", FAR, now - 1)]
    {
        store.propose(id, &asked(FAR, 1)).unwrap();
        let set = "UPDATE proposals SET state = 'approved', expires_ms = ?2, statement_expires_ms = ?3 WHERE id = ?1";
        store.lock().execute(set, rusqlite::params![id, proposal_ends, statement_ends]).unwrap();
    }
    let before = store.changes().unwrap();
    let open = |store: &Store| {
        let mut ids: Vec<String> = store.proposals(true, 9).unwrap().into_iter().map(|p| p.id).collect();
        ids.sort();
        ids
    };
    let ended = ["pr_late", "pr_both"];
    for _ in 0..2 {
        assert_eq!(open(&store), ["pr_anew", "pr_signed", "pr_waits"]);
        for p in store.proposals(false, 9).unwrap() {
            assert_eq!(p.state == State::Expired, ended.contains(&p.id.as_str()), "{}", p.id);
            assert_eq!(store.proposal(&p.id).unwrap().state, p.state);
        }
        store.devices().unwrap();
        store.device("none").unwrap();
        store.audit_verify().unwrap();
    }
    assert_eq!(store.changes().unwrap(), before, "nothing was written");
    assert_eq!((store.expire().unwrap(), store.expire().unwrap()), (2, 0));
    let records =
        store.audit_tail(99).unwrap().iter().filter(|l| l.contains("\"event\":\"expired\"")).count();
    assert_eq!((records, open(&store).len()), (2, 3));
}

#[test]
fn the_same_signature_sent_again_is_recorded_once() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 2)).unwrap();
    store.fix_statement("pr_1", b"bytes", FAR).unwrap();
    for _ in 0..3 {
        assert_eq!(store.sign("pr_1", b"bytes", &signature("k1")).unwrap().signatures.len(), 1);
    }
    let records =
        store.audit_tail(99).unwrap().iter().filter(|l| l.contains("\"event\":\"approved\"")).count();
    assert_eq!(records, 1);
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

/// A database as the first version of this program left it, with a proposal and two records.
fn of_version_1() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    make_private(&state).unwrap();
    let old = Connection::open(state.join("state.db")).unwrap();
    old.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    old.execute_batch(schema::MIGRATIONS[0]).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    old.execute_batch("INSERT INTO audit VALUES (1, 'first'), (2, 'second');").unwrap();
    (dir, state)
}

fn backups(state: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(state).unwrap().map(|e| e.unwrap().path());
    let named = |p: &PathBuf| p.file_name().unwrap().to_str().unwrap().starts_with("state-v");
    entries.filter(named).collect()
}

fn version_and_rows(path: &Path) -> (i64, Vec<String>) {
    let database = Connection::open(path).unwrap();
    let version = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let mut rows = database.prepare("SELECT line FROM audit ORDER BY seq").unwrap();
    let rows = rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    (version, rows)
}

fn old_rows() -> Vec<String> {
    vec!["first".to_owned(), "second".to_owned()]
}

#[test]
fn a_migration_keeps_a_backup_that_can_be_put_back() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, state) = of_version_1();
    let store = Store::open(&state).unwrap();
    let migrated = store.migrated().unwrap().clone();
    assert_eq!((migrated.from, migrated.to), (1, Store::version()));
    assert_eq!(backups(&state), std::slice::from_ref(&migrated.backup));
    let name = migrated.backup.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("state-v1-2") && name.ends_with("Z.db"), "{name}");
    assert_eq!(std::fs::metadata(&migrated.backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(migrated.to_string().contains("was of version 1") && migrated.to_string().contains(name));
    // What is there now has the old rows and the new tables.
    store.record_blocked("frob", "frob", "frob", "h", "c", 1).unwrap();
    assert_eq!(version_and_rows(store.path()).1, old_rows());
    drop(store);
    // Back, as docs/UPGRADE.md says: the old program then finds what it left.
    for leftover in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(state.join(leftover));
    }
    std::fs::copy(&migrated.backup, state.join("state.db")).unwrap();
    assert_eq!(version_and_rows(&state.join("state.db")), (1, old_rows()));
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'blocked_commands'";
    let restored = Connection::open(state.join("state.db")).unwrap();
    assert_eq!(restored.query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    restored.execute("INSERT INTO audit VALUES (3, 'third')", []).unwrap();
    drop(restored);
    // And forward again, with a second backup.
    assert_eq!(Store::open(&state).unwrap().migrated().unwrap().from, 1);
    assert_eq!(backups(&state).len(), 2);
}

#[test]
fn a_new_database_and_one_of_this_version_need_no_backup() {
    let (dir, store) = store();
    assert!(store.migrated().is_none());
    assert!(Store::open(&dir.path().join("state")).unwrap().migrated().is_none());
    assert!(backups(&dir.path().join("state")).is_empty());
}

#[test]
fn without_a_backup_nothing_is_migrated() {
    let (_dir, state) = of_version_1();
    let path = state.join("state.db");
    let store = Store {
        path: path.clone(),
        connection: Mutex::new(Connection::open(&path).unwrap()),
        migrated: None,
    };
    let refused = store.change(|tx| {
        schema::migrate(tx, |_| Err(StoreError::Unusable { place: "x".into(), cause: "no room".into() }))
    });
    assert!(refused.unwrap_err().to_string().contains("no room"));
    assert!(store.record_blocked("frob", "frob", "frob", "h", "c", 1).is_err(), "the table is not there");
    assert_eq!(version_and_rows(&path), (1, old_rows()));
    // A copy that cannot be written leaves nothing behind, and says what to do.
    let nowhere = backup::make(&state.join("none/state.db"), 1);
    assert!(nowhere.is_err() && !state.join("none").exists());
    assert!(backups(&state).is_empty());
}

#[test]
fn a_migration_that_fails_changes_nothing_and_leaves_the_backup() {
    let (_dir, state) = of_version_1();
    let path = state.join("state.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE blocked_commands (x)").unwrap();
    Store::open(&state).unwrap_err();
    assert_eq!(version_and_rows(&path), (1, old_rows()));
    let [backup] = backups(&state).try_into().unwrap();
    assert_eq!(version_and_rows(&backup), (1, old_rows()));
}

#[test]
fn several_that_open_an_old_database_at_once_migrate_it_once() {
    let (_dir, state) = of_version_1();
    let migrated: Vec<bool> = std::thread::scope(|scope| {
        let opens: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Store::open(&state).unwrap().migrated().is_some())).collect();
        opens.into_iter().map(|o| o.join().unwrap()).collect()
    });
    assert_eq!(migrated.iter().filter(|m| **m).count(), 1);
    assert_eq!(backups(&state).len(), 1);
}

#[test]
fn a_newer_database_is_refused_and_not_a_byte_of_it_changes() {
    let (_dir, state) = of_version_1();
    let path = state.join("state.db");
    let newer = Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE later (x);").unwrap();
    newer.pragma_update(None, "user_version", schema::known() + 1).unwrap();
    drop(newer);
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&state).unwrap_err();
    assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains(&format!("of version {}", schema::known() + 1))
            && said.contains(&format!("up to {}", schema::known()))
            && said.contains("UPGRADE.md"),
        "{said}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(&state).unwrap().count(), 1, "nothing beside it");
}

#[test]
fn a_denial_ends_what_has_not_run_and_a_told_target_stays_told() {
    let (_dir, store) = store();
    let denial = |key: &str| SignedDenial {
        fingerprint: key.into(),
        signer: "bob".into(),
        statement: b"no".to_vec(),
        armor: "armor".into(),
        signed_ms: now_ms(),
        told_ms: None,
        answer: None,
    };
    let approved = |id: &str| {
        store.propose(id, &asked(FAR, 1)).unwrap();
        store.fix_statement(id, b"bytes", FAR).unwrap();
        store.sign(id, b"bytes", &signature("k1")).unwrap();
    };
    for id in ["pr_1", "pr_2"] {
        approved(id);
    }
    store.start("pr_2").unwrap();
    assert!(store.deny("pr_2", "no", &denial("k2")).is_err());
    assert!(store.denial("pr_2").unwrap().is_none());
    store.reject("pr_1", "bob", "no").unwrap();
    // Rejected before without a signature: a person may still have the target told.
    assert_eq!(
        store.deny("pr_1", "no, signed", &denial("k2")).unwrap().reason.as_deref(),
        Some("no, signed")
    );
    assert!(store.start("pr_1").is_err() && store.fix_statement("pr_1", b"new", FAR).is_err());
    store.denial_handed_over("pr_1", false, "away", None).unwrap();
    let kept = store.denial("pr_1").unwrap().unwrap();
    assert_eq!((kept.told_ms, kept.answer.as_deref()), (None, Some("away")));
    let head = json!({ "seq": 7, "hash": "0".repeat(64) });
    store.denial_handed_over("pr_1", true, "denied", Some(&head)).unwrap();
    assert!(
        store.audit_tail(1).unwrap()[0]
            .contains(&format!("\"audit\":{{\"hash\":\"{}\",\"seq\":7}}", "0".repeat(64)))
    );
    let told = store.denial("pr_1").unwrap().unwrap().told_ms;
    store.denial_handed_over("pr_1", false, "away", None).unwrap();
    assert!(told.is_some() && store.denial("pr_1").unwrap().unwrap().told_ms == told);
    assert!(store.audit_verify().unwrap().ok);
}

#[test]
fn much_output_does_not_cost_the_record_its_head() {
    let (_dir, store) = store();
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    approve(&store, "pr_1");
    store.start("pr_1").unwrap();
    let step =
        json!({ "phase": "run", "stdout": "ö".repeat(8 << 10), "stderr": "x".repeat(16 << 10), "exit": 0 });
    let head = json!({ "seq": 2, "hash": "0".repeat(64) });
    let result = json!({ "outcome": "succeeded", "steps": vec![step; 5], "audit": head });
    let kept = store.finish("pr_1", State::Succeeded, None, &result).unwrap();
    assert_eq!(kept.result.as_ref(), Some(&result), "the proposal keeps it all");
    let line = store.audit_tail(1).unwrap().remove(0);
    let data = ledger::Record::read(line.as_bytes()).unwrap().data;
    assert_eq!((&data["state"], &data["result"]["audit"]), (&json!("succeeded"), &head));
    let out = data["result"]["steps"][4]["stdout"].as_str().unwrap();
    assert!(out.starts_with("öö") && out.ends_with("[16384 bytes in all]") && line.len() < 32 << 10, "{out}");
}

#[test]
fn many_may_open_a_database_that_does_not_exist_yet_at_the_same_time() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let start = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            let opened: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        Store::open(&state)
                            .and_then(|store| store.audit(&Audit { event: "test", data: json!({}) }))
                    })
                })
                .collect();
            for one in opened {
                one.join().unwrap().unwrap();
            }
        });
    }
}
