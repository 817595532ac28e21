//! `pra-run`: verifies a grant and runs exactly what it says, once, as root.
//!
//! The order, each step with its own refusal code: size, envelope, signatures over the raw bytes, persons, strict parse, target,
//! time, action with its typed parameters, digests, windows and freezes, claim of the nonce, audit record; then the steps. Nothing
//! that comes with the request but the signed statement decides what runs.

mod claim;
mod glass;
mod settle;
mod steps;

use std::io::Read;

use grant::{Approval, Code, Envelope, Kind, Refusal, Rules, Statement, Verified};
use ledger::file::FileLedger;
use policy::Catalogue;
use policy::Permit;
use policy::action::{Actions, Bound};
use serde_json::{Value, json};
use session::envelope::{self, MAX_ENVELOPE};

use crate::config::{self, Config};
use crate::{EXIT_REFUSED, Paths, describe, now_ms, syslog};

pub use claim::initialise;

use crate::answer::{Answer, StepResult, refusal_json};
use claim::{Becomes, Claims};

const NAME: &str = "pra-run";

/// Refusals are recorded up to this size of the log: who floods it with wrong grants shall not fill the disk.
const REFUSALS_UP_TO: u64 = 64 << 20;

/// Reads the envelope from stdin; the result is the exit status.
pub fn from_stdin(paths: &Paths) -> u8 {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_ENVELOPE).unwrap_or(u64::MAX) + 1;
    if let Err(e) = std::io::stdin().take(most).read_to_end(&mut bytes) {
        eprintln!("pra-run: stdin: {e}");
        return 1;
    }
    main(paths, &bytes)
}

/// Serves one envelope: prints the result as one line of JSON; the result is the exit status.
pub fn main(paths: &Paths, envelope: &[u8]) -> u8 {
    let mut out = Vec::new();
    let status = serve(paths, envelope, now_ms() / 1000, &mut out);
    // The caller may have gone; what was done is done and recorded.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &out);
    status
}

/// As [`main`], with the clock as a parameter (unix seconds) and the JSON line into `out`.
pub fn serve(paths: &Paths, envelope: &[u8], now: i64, out: &mut Vec<u8>) -> u8 {
    let mut proposal = None;
    let (text, status) = match decide(paths, envelope, now, &mut proposal) {
        Ok(answer) => {
            let status = u8::from(answer.outcome == "failed");
            (serde_json::to_string(&answer).unwrap_or_default(), status)
        }
        Err(refusal) => {
            record_refusal(paths, proposal.as_deref(), &refusal);
            raise_alarm(paths, proposal.as_deref(), &refusal);
            eprintln!("pra-run: refused: {}: {}", refusal.code, refusal.message);
            (refusal_json(proposal, &refusal), EXIT_REFUSED)
        }
    };
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
    status
}

fn refuse(code: Code, message: impl Into<String>) -> Refusal {
    Refusal::new(code, message)
}

/// What a statement asks to run, checked.
enum Plan<'a> {
    Action(Bound<'a>),
    Command(Box<Permit>),
}

fn decide(paths: &Paths, bytes: &[u8], now: i64, proposal: &mut Option<String>) -> Result<Answer, Refusal> {
    let wrong = |cause: String| refuse(Code::Config, cause);
    if paths.system && !rustix::process::geteuid().is_root() {
        return Err(refuse(Code::Config, "pra-run must be root: the sudo rule for pra-runner is missing"));
    }
    let config = Config::load(paths).map_err(wrong)?;
    let approvers = config::approvers(paths).map_err(wrong)?;
    let catalogue = config::catalogue(paths).map_err(wrong)?;
    let actions = config::actions(paths).map_err(wrong)?;
    config.check_actions(&actions).map_err(wrong)?;
    let (machine_id, _) = describe::identity(paths).map_err(wrong)?;
    let claims = Claims::open(paths)?;
    let high_water = claims.high_water()?;

    let parts = envelope::split(bytes)
        .map_err(|e| refuse(e.code().parse().unwrap_or(Code::Malformed), e.to_string()))?;
    let envelope = Envelope::new(parts.statement, &parts.armors)?;
    let rules = Rules {
        tenant: config.tenant.clone(),
        host: config.host_name(),
        machine_id,
        max_lifetime: config.approval.max_lifetime_seconds,
        skew: 30,
        fido: config.approval.fido().map_err(wrong)?,
    };
    let threshold = |s: &Statement| {
        *proposal = Some(s.proposal.clone());
        glass::threshold(&config, &actions, s)
    };
    let Verified { statement, approvals } =
        grant::verify(&envelope, &approvers, &rules, threshold, now, high_water)
            .inspect_err(|refusal| remember(&claims, refusal, now))?;
    claims.check_epoch(&statement)?;
    let seen = now.max(high_water);
    if !statement.kind.runs() {
        return settle::settle(&open_log(paths)?, &claims, &statement, &approvals, seen);
    }

    let plan = plan(&catalogue, &actions, &statement)?;
    if catalogue.digest() != statement.policy {
        return Err(refuse(Code::PolicyChanged, "the policy here is not the one that was signed"));
    }
    glass::check(&config, &claims, &statement, &approvals, now)?;

    let log = open_log(paths)?;
    claims.claim(&statement, &approvals, seen, Becomes::Used)?;
    glass::raise(paths, &log, &claims, &statement, &approvals)?;
    let start = json!({
        "proposal": statement.proposal, "tenant": statement.tenant, "host": statement.host, "kind": statement.kind, "action": statement.action,
        "params": statement.params, "argv": statement.argv, "nonce": statement.nonce, "proposed_by": statement.proposed_by,
        "approvals": persons(&approvals), "statement_sha256": crate::hex(ring::digest::digest(&ring::digest::SHA256, parts.statement).as_ref()),
    });
    log.append("start", &start, now_ms()).map_err(|e| refuse(Code::AuditUnavailable, e.to_string()))?;
    Ok(execute(paths, &log, &statement, plan))
}

/// Who signed, for the record.
fn persons(approvals: &[Approval]) -> Vec<Value> {
    let person = |a: &Approval| {
        json!({
            "person": a.person, "key": a.key_fingerprint, "user_verified": a.user_verified, "counter": a.counter,
            "origin": a.origin,
        })
    };
    approvals.iter().map(person).collect()
}

/// What the statement asks to run, as this target knows it.
fn plan<'a>(catalogue: &Catalogue, actions: &'a Actions, statement: &Statement) -> Result<Plan<'a>, Refusal> {
    match statement.kind {
        Kind::Procedure | Kind::Deny | Kind::Review => {
            Err(refuse(Code::UnknownAction, "this target runs actions and commands, nothing else"))
        }
        Kind::Action => {
            let action = actions.get(&statement.action).ok_or_else(|| {
                refuse(Code::UnknownAction, format!("this target has no action {}", statement.action))
            })?;
            let bound = action.bind(&statement.params).map_err(|e| refuse(Code::BadParams, e.to_string()))?;
            if action.plan() != statement.plan {
                let message =
                    format!("the definition of {} here is not the one that was signed", statement.action);
                return Err(refuse(Code::PlanChanged, message));
            }
            Ok(Plan::Action(bound))
        }
        Kind::Command => {
            let judged = catalogue.judge(&policy::lex::quote(&statement.argv));
            let permit = judged.permit.filter(|p| config::runnable(p.level) && p.argv == statement.argv);
            let permit = permit.ok_or_else(|| refuse(Code::Blocked, judged.reason))?;
            Ok(Plan::Command(Box::new(permit)))
        }
    }
}

/// A key whose count does not rise may have a copy in somebody else's hands.
fn raise_alarm(paths: &Paths, proposal: Option<&str>, refusal: &Refusal) {
    if refusal.code != Code::Counter {
        return;
    }
    let fields =
        [("alarm", "counter"), ("proposal", proposal.unwrap_or_default()), ("reason", &refusal.message)];
    if let Err(e) = syslog::alert(paths, NAME, &fields) {
        eprintln!("pra-run: the alarm could not be raised: {e}");
    }
}

/// Keeps the time at which an approved grant was found to be over, so that setting the clock back does not revive it. What
/// nobody has signed for this host never comes so far, and moves nothing.
fn remember(claims: &Claims, refusal: &Refusal, now: i64) {
    if refusal.code == Code::Expired
        && let Err(e) = claims.raise(now)
    {
        eprintln!("pra-run: the highest time could not be recorded: {}", e.message);
    }
}

/// Bytes of output that one record keeps of all steps; the caller gets more. A record that is too large would lose all
/// but its beginning.
const RECORDED: usize = 24 << 10;

fn for_record(steps: &[StepResult]) -> Vec<StepResult> {
    let each = RECORDED / (2 * steps.len().max(1));
    let cut = |text: &str| {
        let kept = &text[..text.floor_char_boundary(each)];
        if kept.len() == text.len() {
            kept.to_owned()
        } else {
            format!("{kept}[{} bytes in all]", text.len())
        }
    };
    steps.iter().map(|s| StepResult { stdout: cut(&s.stdout), stderr: cut(&s.stderr), ..s.clone() }).collect()
}

fn execute(paths: &Paths, log: &FileLedger, statement: &Statement, plan: Plan<'_>) -> Answer {
    let run = match plan {
        Plan::Action(bound) => steps::run_action(paths, &bound),
        Plan::Command(permit) => steps::run_command(paths, &permit),
    };
    let result = json!({
        "proposal": statement.proposal, "outcome": run.word, "code": run.code, "message": run.message, "steps": for_record(&run.steps),
    });
    let audit = match log.append("result", &result, now_ms()) {
        Ok(head) => Some(json!(head)),
        Err(e) => {
            eprintln!("pra-run: the result could not be recorded: {e}");
            None
        }
    };
    Answer {
        proposal: Some(statement.proposal.clone()),
        outcome: run.word,
        code: run.code.to_owned(),
        message: run.message,
        steps: run.steps,
        audit,
    }
}

/// The chained log. It is made by the installation: one that is missing was removed.
fn open_log(paths: &Paths) -> Result<FileLedger, Refusal> {
    let path = paths.pra_log();
    if !path.exists() {
        let message = format!(
            "{} is missing: somebody removed it; root makes it anew, empty, once that is looked into",
            path.display()
        );
        return Err(refuse(Code::AuditUnavailable, message));
    }
    FileLedger::open(&path).map_err(|e| refuse(Code::AuditUnavailable, e.to_string()))
}

/// A refusal is recorded when that is possible; it changes nothing, so it does not depend on it.
fn record_refusal(paths: &Paths, proposal: Option<&str>, refusal: &Refusal) {
    let size = std::fs::metadata(paths.pra_log()).map_or(0, |m| m.len());
    if size > REFUSALS_UP_TO {
        return;
    }
    if let Ok(log) = open_log(paths) {
        let data = json!({ "proposal": proposal, "code": refusal.code.as_str(), "message": refusal.message });
        if let Err(e) = log.append("refused", &data, now_ms()) {
            eprintln!("pra-run: the refusal could not be recorded: {e}");
        }
    }
}
