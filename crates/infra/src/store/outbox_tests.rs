use serde_json::json;

use super::super::tests::{FAR, asked, signature, store};
use super::super::{NewProposal, State, Store};
use super::*;

fn subscribed(events: &[Event], min_risk: Risk, hosts: Option<&[&str]>) -> (tempfile::TempDir, Store) {
    let (dir, store) = store();
    let hosts = hosts.map(|names| names.iter().map(|n| (*n).to_owned()).collect());
    let one = Subscription { channel: "ops".into(), events: events.to_vec(), min_risk, hosts };
    store.subscribe(&[one]).unwrap();
    (dir, store)
}

fn events(store: &Store) -> Vec<(String, String)> {
    let mut rows = store.outbox(false, 99).unwrap();
    rows.reverse();
    rows.into_iter().map(|r| (r.proposal, r.event)).collect()
}

#[test]
fn each_change_is_put_there_by_the_transaction_that_makes_it() {
    let (_dir, store) = subscribed(&Event::ALL, Risk::Low, None);
    store.propose("pr_1", &asked(FAR, 2)).unwrap();
    store.fix_statement("pr_1", b"bytes", FAR).unwrap();
    store.sign("pr_1", b"bytes", &signature("k1")).unwrap();
    assert_eq!(events(&store).len(), 1, "one signature of two is no change of state");
    store.sign("pr_1", b"bytes", &signature("k2")).unwrap();
    store.sign("pr_1", b"bytes", &signature("k3")).unwrap();
    store.start("pr_1").unwrap();
    store.finish("pr_1", State::Verified, None, &json!({})).unwrap();
    store.propose("pr_2", &asked(FAR, 1)).unwrap();
    store.reject("pr_2", "bob", "no").unwrap();
    store.propose("pr_3", &asked(1, 1)).unwrap();
    store.expire().unwrap();
    let seen = events(&store);
    let expected = [
        ("pr_1", "proposed"),
        ("pr_1", "approved"),
        ("pr_1", "succeeded"),
        ("pr_2", "proposed"),
        ("pr_2", "rejected"),
        ("pr_3", "proposed"),
        ("pr_3", "expired"),
    ];
    assert_eq!(seen, expected.map(|(p, e)| (p.to_owned(), e.to_owned())));
    // A change that is refused is told to nobody.
    store.start("pr_2").unwrap_err();
    store.propose("pr_1", &asked(FAR, 1)).unwrap_err();
    assert_eq!(events(&store).len(), 7);
}

#[test]
fn a_channel_hears_of_what_it_asked_for_only() {
    let risky = |risk: &str, host: &str| NewProposal {
        risk: risk.into(),
        host: host.into(),
        proposed_by: risk.into(),
        ..asked(FAR, 1)
    };
    let (_dir, store) = subscribed(&[Event::Proposed], Risk::High, Some(&["db01", "db02"]));
    store.propose("pr_1", &risky("medium", "db01")).unwrap();
    store.propose("pr_2", &risky("high", "web01")).unwrap();
    store.propose("pr_3", &risky("high", "db02")).unwrap();
    store.propose("pr_4", &risky("unheard of", "db01")).unwrap();
    store.reject("pr_3", "bob", "no").unwrap();
    let seen: Vec<String> = events(&store).into_iter().map(|(p, _)| p).collect();
    assert_eq!(seen, ["pr_3", "pr_4"]);
    store.subscribe(&[]).unwrap();
    store.propose("pr_5", &risky("high", "db02")).unwrap();
    assert_eq!(events(&store).len(), 2);
}

#[test]
fn of_many_takers_one_gets_a_message_and_a_dead_one_s_lease_ends() {
    let (dir, store) = subscribed(&[Event::Proposed], Risk::Low, None);
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    let now = now_ms();
    let other = Store::open(&dir.path().join("state")).unwrap();
    let taken: Vec<Option<Notice>> = std::thread::scope(|scope| {
        let takers: Vec<_> = [&store, &other, &store, &other]
            .map(|s| scope.spawn(move || s.take_notice("ops", now).unwrap()))
            .into_iter()
            .collect();
        takers.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let first: Vec<&Notice> = taken.iter().flatten().collect();
    assert_eq!(first.len(), 1);
    assert!(store.take_notice("ops", now + LEASE_MS - 1).unwrap().is_none());
    assert!(store.take_notice("others", now + LEASE_MS).unwrap().is_none());
    let second = other.take_notice("ops", now + LEASE_MS).unwrap().unwrap();
    assert_eq!((second.attempt, second.about.proposal.as_str()), (2, "pr_1"));
    // Whoever lost the lease has no say any more.
    store.told(first[0], Err(("late", None)), now).unwrap();
    assert_eq!(store.outbox(false, 1).unwrap()[0].error, None);
    other.told(&second, Ok(()), now).unwrap();
    assert_eq!(store.outbox(false, 1).unwrap()[0].state, "sent");
    assert!(store.take_notice("ops", now + 10 * LEASE_MS).unwrap().is_none());
}

#[test]
fn failures_are_tried_again_ever_more_slowly_and_given_up_in_the_end() {
    let (_dir, store) = subscribed(&[Event::Proposed], Risk::Low, None);
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    let mut now = now_ms();
    let end = now + GIVE_UP_MS;
    let mut pauses = Vec::new();
    while let Some(notice) = store.take_notice("ops", now).unwrap() {
        store.told(&notice, Err((&"x".repeat(9000), None)), now).unwrap();
        let row = store.outbox(true, 1).unwrap().remove(0);
        assert_eq!(row.error.unwrap().len(), ERROR_CHARACTERS);
        pauses.push(row.next_ms - now);
        now = row.next_ms;
    }
    assert_eq!(pauses[..4], [2000, 4000, 8000, 16000]);
    assert!(pauses.iter().all(|p| *p <= PAUSE_MS) && pauses.len() > 100, "{}", pauses.len());
    assert!(now >= end - PAUSE_MS);
    let row = store.outbox(true, 1).unwrap().remove(0);
    assert_eq!((row.state.as_str(), row.error.unwrap().len()), ("given_up", ERROR_CHARACTERS));
    // A receiver may ask for more patience, but not for a day.
    assert_eq!(pause(1, Some(30_000)), 30_000);
    assert_eq!((pause(1, Some(1)), pause(1, Some(i64::MAX))), (2000, 6 * PAUSE_MS));
}

#[test]
fn a_flood_gives_up_the_oldest_and_what_is_over_is_forgotten() {
    let (_dir, store) = subscribed(&[Event::Proposed], Risk::Low, None);
    let proposal = store.propose("pr_0", &asked(FAR, 1)).unwrap();
    store
        .change(|tx| {
            for _ in 0..WAITING + 4 {
                announce(tx, Event::Proposed, &proposal)?;
            }
            Ok(())
        })
        .unwrap();
    let now = now_ms();
    assert_eq!(store.take_notice("ops", now).unwrap().unwrap().seq, 6);
    let given_up = store.outbox(true, 9999).unwrap().into_iter().filter(|r| r.state == "given_up").count();
    assert_eq!(given_up, 5);
    store.take_notice("ops", now + KEEP_MS + 1).unwrap();
    assert!(store.outbox(false, 9999).unwrap().iter().all(|r| r.seq > 5), "the five rows are gone");
}

#[test]
fn the_taker_expires_what_nobody_looks_at() {
    let (_dir, store) = subscribed(&[Event::Expired], Risk::Low, None);
    store.propose("pr_1", &asked(1, 1)).unwrap();
    assert!(events(&store).is_empty());
    let notice = store.take_notice("ops", now_ms() + 1000).unwrap().unwrap();
    assert_eq!((notice.event, notice.about.proposal.as_str()), (Event::Expired, "pr_1"));
}

#[test]
fn what_waits_is_told_also_when_the_audit_chain_is_broken() {
    let (_dir, store) = subscribed(&Event::ALL, Risk::Low, None);
    store.propose("pr_1", &asked(1, 1)).unwrap();
    store.change(|tx| Ok(tx.execute("UPDATE audit SET line = 'x'", [])?)).unwrap();
    let now = now_ms() + 1000;
    let notice = store.take_notice("ops", now).unwrap().unwrap();
    assert_eq!(notice.event, Event::Proposed);
    // Nothing else is due, and that the proposal could not be expired is said.
    assert!(matches!(store.take_notice("ops", now), Err(StoreError::BrokenChain(_))));
}

#[test]
fn a_signed_denial_is_told_once_also_when_a_no_without_a_signature_came_before() {
    let (_dir, store) = subscribed(&[Event::Rejected], Risk::Low, None);
    let denial = super::super::SignedDenial {
        fingerprint: "k2".into(),
        signer: "bob".into(),
        statement: b"no".to_vec(),
        armor: "armor".into(),
        signed_ms: now_ms(),
        told_ms: None,
        answer: None,
    };
    store.propose("pr_1", &asked(FAR, 1)).unwrap();
    store.deny("pr_1", "no", &denial).unwrap();
    store.propose("pr_2", &asked(FAR, 1)).unwrap();
    store.reject("pr_2", "bob", "no").unwrap();
    store.deny("pr_2", "no, signed", &denial).unwrap();
    let seen: Vec<String> = events(&store).into_iter().map(|(p, _)| p).collect();
    assert_eq!(seen, ["pr_1", "pr_2"]);
}
