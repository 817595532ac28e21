//! The toctou rows of the protocol corpus that concern what a grant runs, by their ids: somebody changes the target's files while
//! `pra-run` looks at them. 03 to 05 are beside the sandbox and the readers, 06 is in the end-to-end tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

mod played;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use grant::Statement;
use played::{NOW, Played, keygen, nonce};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::Value;

/// Grants that are handed over while the writer races, at least.
const ROUNDS: u32 = 12;

/// Stops the writer however the test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Exchanges two places, over and over, while `work` is done.
fn while_swapping<T>(a: &Path, b: &Path, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                std::thread::yield_now();
            }
        });
        let _over = Over(&over);
        work()
    })
}

/// Grants handed over while two files are exchanged, until both outcomes have been seen or it has been tried often enough: how many
/// ran, and the codes of the others. `forbidden` must never come into being.
fn race(
    played: &Played,
    a: &Path,
    b: &Path,
    forbidden: &Path,
    grant: impl Fn(u32) -> Vec<u8>,
) -> (usize, Vec<String>) {
    while_swapping(a, b, || {
        let (mut ran, mut refused) = (0, Vec::new());
        for round in 0..20 * ROUNDS {
            if round >= ROUNDS && ran > 0 && !refused.is_empty() {
                break;
            }
            let _ = std::fs::remove_file(played.mark(1));
            let (status, answer) = played.serve(&grant(round), NOW);
            assert!(!forbidden.exists(), "round {round}: {answer}");
            if status == 0 {
                assert!(played.mark(1).exists(), "round {round}: {answer}");
                ran += 1;
            } else {
                assert!(!played.mark(1).exists(), "round {round}: {answer}");
                refused.push(answer["code"].as_str().unwrap().to_owned());
            }
        }
        (ran, refused)
    })
}

/// What is run is what was read, once, and compared with what was signed: a definition that is put in its place in between is
/// either not seen or refused.
#[test]
fn toctou_01_an_action_that_is_replaced_while_a_grant_is_verified_does_not_run() {
    let played = Played::new();
    let action = played.at("etc/mcp-linux-infra/actions.d/mark.toml");
    let evil = played.at("etc/mcp-linux-infra/actions.d/mark.evil");
    let pwned = played.dir.path().join("pwned");
    let text = std::fs::read_to_string(&action).unwrap();
    let mark = played.dir.path().join("mark{n}");
    let changed = text.replace(mark.to_str().unwrap(), pwned.to_str().unwrap());
    assert_ne!(changed, text);
    std::fs::write(&evil, changed).unwrap();
    let signed = played.statement("a");
    let grant = |round: u32| {
        let (proposal, nonce) = (format!("pr_{round}"), nonce(&format!("t{round}")));
        played.envelope(&Statement { proposal, nonce, ..signed.clone() })
    };
    let (ran, refused) = race(&played, &action, &evil, &pwned, grant);
    assert!(ran > 0 && !refused.is_empty(), "the race was one: {ran} ran, {refused:?}");
    assert!(refused.iter().all(|code| code == "plan_changed"), "{refused:?}");
}

/// What decides is read through no link: a list of approvers that becomes one is refused, whoever stands in it.
#[test]
fn toctou_02_a_link_in_the_place_of_the_approvers_gives_nobody_power() {
    let played = Played::new();
    keygen(&played.dir.path().join("mallory"));
    let public = std::fs::read_to_string(played.dir.path().join("mallory.pub")).unwrap();
    let (list, link) = (played.at("etc/mcp-linux-infra/approvers"), played.at("etc/mcp-linux-infra/link"));
    let theirs = played.at("theirs");
    std::fs::write(&theirs, format!("mallory@example.org {public}")).unwrap();
    std::os::unix::fs::symlink(&theirs, &link).unwrap();
    let signed = played.statement("a");
    let by = |key: &str, round: u32| {
        let text = format!("{round}{key}");
        let (proposal, nonce) = (format!("pr_{text}"), nonce(&text));
        played.envelope_by(key, &Statement { proposal, nonce, ..signed.clone() })
    };
    // Theirs would do, were it the list itself.
    let own = std::fs::read(&list).unwrap();
    std::fs::copy(&theirs, &list).unwrap();
    assert_eq!(played.serve(&by("mallory", 1000), NOW).0, 0);
    std::fs::write(&list, own).unwrap();
    let (ran, refused) = race(&played, &list, &link, &played.dir.path().join("none"), |n| by("alice", n));
    assert!(ran > 0 && refused.iter().any(|code| code == "config"), "the race was one: {ran}, {refused:?}");
    let _ = std::fs::remove_file(played.mark(1));
    let refused: Vec<Value> = while_swapping(&list, &link, || {
        (0..ROUNDS)
            .map(|n| played.serve(&by("mallory", n), NOW))
            .map(|(status, answer)| {
                assert!(status == 126 && !played.mark(1).exists(), "{answer}");
                answer["code"].clone()
            })
            .collect()
    });
    assert!(refused.iter().all(|code| code == "config" || code == "unknown_signer"), "{refused:?}");
}

/// The grant carries the digest of what was approved: what has changed since then does not run, and the nonce is not used up.
#[test]
fn toctou_07_what_has_changed_since_the_approval_is_refused_until_it_is_as_approved() {
    let played = Played::new();
    let envelope = played.envelope(&played.statement("a"));
    let action = played.at("etc/mcp-linux-infra/actions.d/mark.toml");
    let approved = std::fs::read_to_string(&action).unwrap();
    let steps = format!("{approved}[[rollback]]\nargv = [\"true\"]\n");
    for changed in
        [steps.as_str(), &approved.replace("int:1..9", "int:1..99"), &approved.replace("touch", "ls")]
    {
        assert_ne!(changed, approved);
        std::fs::write(&action, changed).unwrap();
        played.refused(&envelope, NOW, "plan_changed");
    }
    std::fs::write(&action, &approved).unwrap();
    // The policy counts as well: what may run as a command here is not what the approver was shown.
    let plugins = played.at("etc/mcp-linux-infra/plugins.d");
    std::fs::create_dir_all(&plugins).unwrap();
    let plugin = "name = \"x\"\ntitle = \"\"\ncategory = \"\"\n[[command]]\nname = \"x\"\n[[command.form]]\nname = \"x\"\nlevel = \"blocked\"\nany = true\nreason = \"x\"\n";
    std::fs::write(plugins.join("x.toml"), plugin).unwrap();
    played.refused(&envelope, NOW, "policy_changed");
    std::fs::remove_file(plugins.join("x.toml")).unwrap();
    played.runs(&envelope, NOW);
}

/// The state is as wanted by now: nothing runs, that is said, and the grant is used up all the same.
#[test]
fn toctou_08_what_is_satisfied_already_runs_nothing_and_spends_the_nonce() {
    let played = Played::new();
    let action = played.at("etc/mcp-linux-infra/actions.d/mark.toml");
    let text = std::fs::read_to_string(&action).unwrap();
    let there = played.dir.path().join("there");
    let precheck = format!(
        "[[precheck]]\nargv = [\"test\", \"-e\", \"{}\"]\nalready_ok = true\n[[run]]",
        there.display()
    );
    std::fs::write(&action, text.replacen("[[run]]", &precheck, 1)).unwrap();
    let envelope = played.envelope(&played.statement("a"));
    std::fs::write(&there, "").unwrap();
    let (status, answer) = played.serve(&envelope, NOW);
    assert_eq!((status, answer["outcome"].as_str()), (0, Some("already_ok")), "{answer}");
    let phases: Vec<&str> =
        answer["steps"].as_array().unwrap().iter().map(|s| s["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["precheck"]);
    assert!(!played.mark(1).exists());
    std::fs::remove_file(&there).unwrap();
    played.refused(&envelope, NOW, "nonce_seen");
    // Another grant of the same runs where there is something to do.
    let again = Statement { proposal: "pr_b".into(), nonce: nonce("b"), ..played.statement("a") };
    played.runs(&played.envelope(&again), NOW);
}
