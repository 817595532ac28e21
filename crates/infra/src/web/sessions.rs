//! Who is logged in, which challenges wait for an answer, and who tries too often. All of it lives in memory: a restart logs out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::{Role, sha256_hex};

/// Without a request.
const IDLE: Duration = Duration::from_mins(30);
/// From login on, at most.
pub(super) const ABSOLUTE: Duration = Duration::from_hours(12);
/// For a person to touch their key.
const CHALLENGE: Duration = Duration::from_mins(5);
/// For a person to log in with the provider.
const AWAY: Duration = Duration::from_mins(10);
/// Persons who are with the provider at once; the oldest goes first.
const AWAY_AT_ONCE: usize = 1000;
/// Challenges that wait at once; the oldest goes first.
const CHALLENGES: usize = 1000;
/// Failures of one passkey before it must wait.
const OF_ONE: usize = 10;
/// Of all strangers, and of all who come by the provider.
const OF_MANY: usize = 30;
const FAILURES_IN: Duration = Duration::from_mins(5);
/// Sessions at once; the one unused longest goes first.
const SESSIONS: usize = 2000;

/// A person who is logged in.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) role: Role,
    /// Their credential's id, base64url, or that of their account with the provider.
    pub(super) device: String,
}

/// A login that goes on with the provider.
#[derive(Debug)]
pub(super) struct Pending {
    /// The digest of a secret that only the browser has which has begun it.
    pub(super) bound: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    /// The proposal that the person wants to see.
    pub(super) to: Option<String>,
}

/// Who fails. Each has a count of their own, so that no stranger keeps a person out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Trier {
    /// Shows nothing that is known here.
    Stranger,
    /// Comes from the provider.
    Provider,
    /// Shows a passkey that may log in, by its id.
    Passkey(String),
}

#[derive(Debug)]
struct Session {
    person: Person,
    ends: Instant,
    used: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the digest of the token: what memory holds is of no use as a cookie.
    sessions: HashMap<String, Session>,
    challenges: HashMap<String, Instant>,
    /// By the digest of the state that comes back.
    pending: HashMap<String, (Pending, Instant)>,
    failures: HashMap<Trier, Vec<Instant>>,
}

#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<Inner>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session of this token, which lasts `lasts` at most.
    pub(super) fn begin(&self, token: &str, person: Person, lasts: Duration, now: Instant) {
        let mut inner = self.lock();
        inner.drop_old(now);
        if inner.sessions.len() >= SESSIONS {
            let oldest = inner.sessions.iter().min_by_key(|(_, s)| s.used).map(|(id, _)| id.clone());
            oldest.and_then(|id| inner.sessions.remove(&id));
        }
        inner.sessions.insert(
            sha256_hex(token.as_bytes()),
            Session { person, ends: now + lasts.min(ABSOLUTE), used: now },
        );
    }

    /// Whose session it is, while it lasts.
    pub(super) fn person(&self, token: &str, now: Instant) -> Option<Person> {
        let mut inner = self.lock();
        inner.drop_old(now);
        let session = inner.sessions.get_mut(&sha256_hex(token.as_bytes()))?;
        session.used = now;
        Some(session.person.clone())
    }

    /// Whether a session lasts. That is no use of it.
    pub(super) fn lasts(&self, token: &str, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.drop_old(now);
        inner.sessions.contains_key(&sha256_hex(token.as_bytes()))
    }

    pub(super) fn end(&self, token: &str) {
        self.lock().sessions.remove(&sha256_hex(token.as_bytes()));
    }

    /// Ends every session of a device.
    pub(super) fn end_device(&self, device: &str) {
        self.lock().sessions.retain(|_, s| s.person.device != device);
    }

    /// Remembers a challenge that was given out.
    pub(super) fn challenge(&self, challenge: &str, now: Instant) {
        let mut inner = self.lock();
        inner.drop_old(now);
        if inner.challenges.len() >= CHALLENGES {
            let oldest = inner.challenges.iter().min_by_key(|(_, at)| **at).map(|(c, _)| c.clone());
            oldest.and_then(|c| inner.challenges.remove(&c));
        }
        inner.challenges.insert(challenge.to_owned(), now);
    }

    /// Takes a challenge: each is answered once.
    pub(super) fn take(&self, challenge: &str, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.drop_old(now);
        inner.challenges.remove(challenge).is_some()
    }

    /// Remembers a login while the person is with the provider.
    pub(super) fn leave(&self, state: &str, pending: Pending, now: Instant) {
        let mut inner = self.lock();
        inner.drop_old(now);
        if inner.pending.len() >= AWAY_AT_ONCE {
            let oldest = inner.pending.iter().min_by_key(|(_, (_, at))| *at).map(|(s, _)| s.clone());
            oldest.and_then(|s| inner.pending.remove(&s));
        }
        inner.pending.insert(sha256_hex(state.as_bytes()), (pending, now));
    }

    /// Takes the login of this state: once, in time, and for the browser that has begun it.
    pub(super) fn come_back(&self, state: &str, bound: &str, now: Instant) -> Option<Pending> {
        let mut inner = self.lock();
        inner.drop_old(now);
        let (pending, _) = inner.pending.remove(&sha256_hex(state.as_bytes()))?;
        (pending.bound == bound).then_some(pending)
    }

    /// Whether another try may be made.
    pub(super) fn may_try(&self, who: &Trier, now: Instant) -> bool {
        let mut inner = self.lock();
        inner.drop_old(now);
        let most = if matches!(who, Trier::Passkey(_)) { OF_ONE } else { OF_MANY };
        inner.failures.get(who).is_none_or(|failures| failures.len() < most)
    }

    pub(super) fn failed(&self, who: Trier, now: Instant) {
        self.lock().failures.entry(who).or_default().push(now);
    }
}

impl Inner {
    fn drop_old(&mut self, now: Instant) {
        let age = |at: Instant| now.saturating_duration_since(at);
        self.sessions.retain(|_, s| age(s.used) < IDLE && now < s.ends);
        self.challenges.retain(|_, at| age(*at) < CHALLENGE);
        self.pending.retain(|_, (_, at)| age(*at) < AWAY);
        self.failures.retain(|_, failures| {
            failures.retain(|at| age(*at) < FAILURES_IN);
            !failures.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> Person {
        Person { name: "alice".to_owned(), role: Role::Approver, device: "d1".to_owned() }
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        sessions.begin("t", alice(), ABSOLUTE, start);
        assert!(sessions.person("other", start).is_none());
        let mut now = start;
        while now + Duration::from_mins(20) < start + ABSOLUTE {
            assert!(sessions.person("t", now).is_some());
            now += Duration::from_mins(20);
        }
        assert!(sessions.person("t", start + ABSOLUTE).is_none(), "however busy");
        sessions.begin("u", alice(), ABSOLUTE, start);
        assert!(sessions.lasts("u", start + IDLE / 2) && !sessions.lasts("other", start));
        assert!(!sessions.lasts("u", start + IDLE), "a look is no use");
        assert!(sessions.person("u", start + IDLE).is_none());
    }

    #[test]
    fn a_challenge_is_answered_once_and_in_time() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        sessions.challenge("c", now);
        assert!(!sessions.take("d", now));
        assert!(sessions.take("c", now));
        assert!(!sessions.take("c", now));
        sessions.challenge("late", now);
        assert!(!sessions.take("late", now + CHALLENGE));
    }

    #[test]
    fn a_session_of_the_provider_s_is_as_short_as_it_says_and_never_longer_than_others() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        sessions.begin("short", alice(), Duration::from_mins(5), now);
        sessions.begin("long", alice(), ABSOLUTE * 2, now);
        assert!(sessions.person("short", now + Duration::from_secs(299)).is_some());
        assert!(sessions.person("short", now + Duration::from_mins(5)).is_none());
        let mut at = now;
        while at < now + ABSOLUTE {
            assert!(sessions.person("long", at).is_some());
            at += Duration::from_mins(20);
        }
        assert!(sessions.person("long", now + ABSOLUTE).is_none());
    }

    #[test]
    fn who_comes_back_is_the_browser_that_left_once_and_in_time() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let leave = |state: &str| {
            let pending = Pending { bound: "b".into(), nonce: "n".into(), verifier: "v".into(), to: None };
            sessions.leave(state, pending, now);
        };
        leave("s");
        assert!(sessions.come_back("other", "b", now).is_none());
        assert_eq!(sessions.come_back("s", "b", now).unwrap().nonce, "n");
        assert!(sessions.come_back("s", "b", now).is_none(), "once");
        leave("s");
        assert!(sessions.come_back("s", "another browser", now).is_none());
        assert!(sessions.come_back("s", "b", now).is_none(), "it is used up");
        leave("s");
        assert!(sessions.come_back("s", "b", now + AWAY).is_none(), "late");
        for n in 0..=AWAY_AT_ONCE {
            leave(&n.to_string());
        }
        assert_eq!(sessions.lock().pending.len(), AWAY_AT_ONCE, "memory is not for the taking");
    }

    #[test]
    fn a_revoked_device_is_logged_out() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        sessions.begin("t", alice(), ABSOLUTE, now);
        sessions.end_device("d1");
        assert!(sessions.person("t", now).is_none());
    }

    #[test]
    fn many_failures_lock_out_who_has_failed_and_nobody_else() {
        let (one, other) = (Trier::Passkey("d1".to_owned()), Trier::Passkey("d2".to_owned()));
        let all = [Trier::Stranger, Trier::Provider, one, other];
        for (who, most) in all.iter().zip([OF_MANY, OF_MANY, OF_ONE, OF_ONE]) {
            let (sessions, now) = (Sessions::default(), Instant::now());
            for _ in 0..most {
                assert!(sessions.may_try(who, now), "{who:?}");
                sessions.failed(who.clone(), now);
            }
            for other in &all {
                assert_eq!(sessions.may_try(other, now), other != who, "{other:?} beside {who:?}");
            }
            assert!(sessions.may_try(who, now + FAILURES_IN), "{who:?}");
            assert!(sessions.lock().failures.is_empty(), "and nothing is kept of it");
        }
    }
}
