//! The clock: how far it is from the server's, and whether something keeps it.

use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::ask::lacking;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::Failure;
use crate::hosts::units::span;

/// Seconds off that break grants, Kerberos and many tokens, and that are worth a look.
const OFF_SECONDS: (u64, u64) = (30, 5);

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let mut done = Checked::default();
    let before = now();
    let told = ground.asker.text(&["date", "+%s"]).await;
    // The host looked at its clock somewhere between the question and the answer.
    let ours = before..=now();
    if let Some(told) = done.part(told)? {
        let theirs = told.text.trim().parse().map_err(|_| lacking("date", "it gave no seconds"))?;
        done.findings.extend(judge(theirs, &ours));
    }
    let kept = ground.asker.text(&["timedatectl", "show"]).await;
    if let (Some(kept), true) = (done.part(kept)?, done.findings.is_empty()) {
        done.findings.extend(unkept(&kept.text));
    }
    Ok(done)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// The host's seconds since 1970 against those of the server, between which it was asked.
fn judge(theirs: u64, ours: &RangeInclusive<u64>) -> Option<Finding> {
    let (off, way) = if theirs < *ours.start() {
        (ours.start() - theirs, "behind")
    } else {
        (theirs.saturating_sub(*ours.end()), "ahead of")
    };
    let severity = match off {
        off if off >= OFF_SECONDS.0 => Severity::Critical,
        off if off >= OFF_SECONDS.1 => Severity::Warning,
        _ => return None,
    };
    Some(Finding {
        severity,
        check: Check::Clock,
        subject: "clock".to_owned(),
        what: format!("the clock is {} {way} this server's", span(off)),
        evidence: vec![format!("the host says {theirs}, this server {} (seconds since 1970)", ours.end())],
        suggestion: None,
    })
}

/// A host that should synchronise and has not. One on which nothing synchronises may be kept by its hypervisor.
fn unkept(show: &str) -> Option<Finding> {
    let is = |key: &str, value: &str| show.lines().any(|l| l.split_once('=') == Some((key, value)));
    (is("NTP", "yes") && is("NTPSynchronized", "no")).then(|| Finding {
        severity: Severity::Warning,
        check: Check::Clock,
        subject: "clock".to_owned(),
        what: "time synchronisation is on and has not succeeded".to_owned(),
        evidence: vec![one_line(&show.replace('\n', " "), 200)],
        suggestion: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_its_distance() {
        let off = |theirs| judge(theirs, &(1_000_000..=1_000_003)).map(|f| (f.severity, f.what));
        for near in [999_996, 1_000_000, 1_000_003, 1_000_007] {
            assert_eq!(off(near), None, "{near}");
        }
        assert_eq!(off(1_000_008).unwrap().0, Severity::Warning);
        assert_eq!(off(999_995).unwrap().0, Severity::Warning);
        let (severity, what) = off(1_003_603).unwrap();
        assert_eq!(
            (severity, what.as_str()),
            (Severity::Critical, "the clock is 1 h 0 min ahead of this server's")
        );
        assert!(off(0).unwrap().1.ends_with("behind this server's"));
        assert_eq!(off(u64::MAX).unwrap().0, Severity::Critical);
    }

    #[test]
    fn only_a_synchronisation_that_fails_is_told() {
        assert_eq!(unkept("NTP=yes\nNTPSynchronized=no\n").unwrap().severity, Severity::Warning);
        assert_eq!(unkept("NTP=no\nNTPSynchronized=no\n"), None);
        assert_eq!(unkept("NTP=yes\nNTPSynchronized=yes\n"), None);
    }
}
