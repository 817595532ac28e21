//! Whatever stands in the chains, and whoever writes one anew.

use proptest::prelude::*;

use super::*;

/// One thing that happens to both.
#[derive(Debug, Clone, Copy)]
enum Step {
    Run,
    Fail,
    Refused,
    Denied,
}

fn both_after(steps: &[Step]) -> Both {
    let mut both = Both::new();
    for (i, step) in steps.iter().enumerate() {
        let id = format!("pr_{i}");
        match step {
            Step::Run => both.run(&id),
            Step::Fail => {
                both.handed(&id);
                both.started(&id);
                let head = both.result(&id, "failed", "run_failed");
                both.recorded(
                    &id,
                    "failed",
                    &json!({ "outcome": "failed", "code": "run_failed", "audit": head }),
                );
            }
            Step::Refused => {
                both.handed(&id);
                both.target.add("refused", &json!({ "proposal": id, "code": "frozen" }));
                both.recorded(
                    &id,
                    "failed",
                    &json!({ "outcome": "refused", "code": "frozen", "audit": null }),
                );
            }
            Step::Denied => both.denied(&id),
        }
    }
    both
}

proptest! {
    /// Whoever is root on the target changes, removes, adds or moves one record and seals the rest anew: each run and denial that
    /// the server knows from there on is reported.
    #[test]
    fn whoever_writes_the_targets_record_anew_is_found(
        steps in prop::collection::vec(prop::sample::select(vec![Step::Run, Step::Fail, Step::Refused, Step::Denied]), 1..12),
        at in any::<prop::sample::Index>(),
        how in 0..6,
    ) {
        let both = both_after(&steps);
        let report = both.report();
        prop_assert!(report.ok, "{report:?}");
        let at = at.index(both.target.lines.len());
        let seq = at as u64 + 1;
        let target = both.target.rewritten(|records| match how {
            0 => { records.remove(at); }
            1 => records[at].0 += 1,
            2 => records[at].1.push('x'),
            3 => records[at].2["proposal"] = json!("pr_of_nobody"),
            4 => records.insert(at, (0, "refused".into(), json!({}))),
            _ => records.truncate(at),
        });
        let found = reconcile(OF, &both.server.lines, u64::MAX, &target).unwrap();
        for line in &both.server.lines {
            let record = Record::read(line.as_bytes()).unwrap();
            let audit = if record.event == "denial" { &record.data["audit"] } else { &record.data["result"]["audit"] };
            if audit["seq"].as_u64().is_some_and(|head| head >= seq) {
                let proposal = record.data["proposal"].as_str();
                prop_assert!(kinds(&found).contains(&(Kind::CutOff, proposal)), "{how} {seq} {proposal:?}: {found:?}");
            }
        }
    }

    /// Whatever the lines are, there is an answer.
    #[test]
    fn any_bytes_get_an_answer(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..6)) {
        let found = reconcile(OF, &lines, 0, &lines).unwrap();
        prop_assert_eq!(found.ok, lines.is_empty());
    }
}
