//! The outbox: what people outside are to be told of a proposal, put there by the transaction that changed it.
//!
//! A message is delivered at least once. Whoever delivers takes it for [`LEASE_MS`]; if they die on the way, another takes it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use policy::Risk;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};

use super::proposals::{self, Proposal};
use super::{Store, StoreError, now_ms};

/// How long a message is taken for; one delivery must be over before.
pub(super) const LEASE_MS: i64 = 60_000;
/// A message that was not delivered for this long is given up.
pub(super) const GIVE_UP_MS: i64 = 24 * 3_600_000;
/// The longest pause between two tries.
const PAUSE_MS: i64 = 600_000;
/// The first pause; each is twice the one before.
const FIRST_PAUSE_MS: i64 = 2_000;
/// Messages of one channel that wait; above it the oldest are given up.
const WAITING: i64 = 1_000;
/// How long the row of a message that is over is kept.
const KEEP_MS: i64 = 7 * 24 * 3_600_000;
/// Characters of an error that are kept.
const ERROR_CHARACTERS: usize = 300;

/// A change of a proposal that people may want to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It waits for signatures.
    Proposed,
    /// It has as many as the target asks for.
    Approved,
    /// A person said no.
    Rejected,
    /// The target ran it.
    Succeeded,
    /// The target refused it, or it failed there.
    Failed,
    /// Its time is over.
    Expired,
}

const EVENTS: [(Event, &str); 6] = [
    (Event::Proposed, "proposed"),
    (Event::Approved, "approved"),
    (Event::Rejected, "rejected"),
    (Event::Succeeded, "succeeded"),
    (Event::Failed, "failed"),
    (Event::Expired, "expired"),
];

impl Event {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Proposed, Self::Approved, Self::Rejected, Self::Succeeded, Self::Failed, Self::Expired];
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EVENTS.iter().find(|(e, _)| e == self).map_or("unknown", |(_, word)| word))
    }
}

impl FromStr for Event {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = EVENTS.iter().map(|(_, word)| *word).collect();
        EVENTS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(event, _)| *event)
            .ok_or_else(|| format!("{text:?} is no event; there are: {}", words.join(", ")))
    }
}

/// What one channel is told.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The channel's name.
    pub channel: String,
    /// Of these changes.
    pub events: Vec<Event>,
    /// Of proposals of this risk and above.
    pub min_risk: Risk,
    /// Of proposals for these hosts; `None` for all.
    pub hosts: Option<BTreeSet<String>>,
}

impl Subscription {
    /// From the words of a config: `events` is all when there are none, `min_risk` is `low`. The error names the wrong word.
    pub fn parse(
        channel: &str,
        events: Option<&[String]>,
        min_risk: Option<&str>,
        hosts: Option<BTreeSet<String>>,
    ) -> Result<Self, String> {
        let events = match events {
            None => Event::ALL.to_vec(),
            Some([]) => return Err("events = []: nothing would ever be told".to_owned()),
            Some(words) => words.iter().map(|w| w.parse()).collect::<Result<_, _>>()?,
        };
        let word = min_risk.unwrap_or("low");
        let min_risk = risk_of(word)
            .ok_or_else(|| format!("min_risk = {word:?}: there are: low, medium, high, critical"))?;
        Ok(Self { channel: channel.to_owned(), events, min_risk, hosts })
    }
}

/// A proposal as it stood when it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The proposal's id.
    pub proposal: String,
    /// Tenant of the host.
    pub tenant: String,
    /// Name of the host.
    pub host: String,
    /// Name of the action; empty for a command.
    pub action: String,
    /// Parameters of the action.
    pub params: BTreeMap<String, String>,
    /// The exact command; empty for an action.
    pub argv: Vec<String>,
    /// `low` to `critical`.
    pub risk: String,
    /// Who asks.
    pub proposed_by: String,
    /// Signatures so far.
    pub signed: usize,
    /// Signatures that the target asks for.
    pub wanted: u32,
    /// Last moment at which it can be approved, ms since 1970.
    pub expires_ms: i64,
}

/// A message that was taken for delivery.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Its number in the outbox.
    pub seq: i64,
    /// How many times it was taken, this one included.
    pub attempt: i64,
    /// What happened.
    pub event: Event,
    /// When, ms since 1970.
    pub at_ms: i64,
    /// To which proposal.
    pub about: About,
}

/// A row of the outbox, for people.
#[derive(Debug, Clone, Serialize)]
pub struct Outgoing {
    /// Its number.
    pub seq: i64,
    /// The channel.
    pub channel: String,
    /// What happened.
    pub event: String,
    /// To which proposal.
    pub proposal: String,
    /// `waiting`, `sent` or `given_up`.
    pub state: String,
    /// How many times delivery was tried.
    pub attempts: i64,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it was put there, ms since 1970.
    pub created_ms: i64,
    /// Not tried before, ms since 1970.
    pub next_ms: i64,
    /// When it was sent or given up, ms since 1970.
    pub ended_ms: Option<i64>,
}

/// The subscriptions of this connection; no file ever holds them.
pub(super) const SUBSCRIPTIONS: &str = "
    PRAGMA temp_store = MEMORY;
    CREATE TEMP TABLE subscriptions (
        channel TEXT NOT NULL,
        event   TEXT NOT NULL,
        risk    INTEGER NOT NULL,
        host    TEXT
    ) STRICT;
";

impl Store {
    /// From now on, changes that are made through this store are told to these channels.
    pub fn subscribe(&self, subscriptions: &[Subscription]) -> Result<(), StoreError> {
        self.change(|tx| {
            tx.execute("DELETE FROM temp.subscriptions", [])?;
            for s in subscriptions {
                let hosts: Vec<Option<&str>> = match &s.hosts {
                    None => vec![None],
                    Some(names) => names.iter().map(|n| Some(n.as_str())).collect(),
                };
                for (event, host) in s.events.iter().flat_map(|e| hosts.iter().map(move |h| (e, h))) {
                    tx.execute(
                        "INSERT INTO temp.subscriptions (channel, event, risk, host) VALUES (?1, ?2, ?3, ?4)",
                        params![s.channel, event.to_string(), rank(s.min_risk), host],
                    )?;
                }
            }
            Ok(())
        })
    }

    /// Takes the next message of a channel that is due at `now` (ms since 1970), for a minute. Proposals whose time is over
    /// are expired on the way: nobody else may be looking.
    pub fn take_notice(&self, channel: &str, now: i64) -> Result<Option<Notice>, StoreError> {
        let expired = self.expire();
        // Where nothing can be expired, as the audit chain is broken, what waits is still told.
        if !self.is_due(channel, now)? {
            return expired.map(|_| None);
        }
        self.change(|tx| {
            clear(tx, channel, now)?;
            let taken = tx
                .query_row(
                    "UPDATE outbox SET attempts = attempts + 1, next_ms = ?3 WHERE seq =
                        (SELECT seq FROM outbox WHERE channel = ?1 AND state = 'waiting' AND next_ms <= ?2 ORDER BY next_ms, seq LIMIT 1)
                     RETURNING *",
                    params![channel, now, now.saturating_add(LEASE_MS)],
                    notice,
                )
                .optional()?;
            Ok(taken)
        })
    }

    fn is_due(&self, channel: &str, now: i64) -> Result<bool, StoreError> {
        let connection = self.lock();
        let mut due = connection.prepare_cached(
            "SELECT 1 FROM outbox WHERE channel = ?1 AND state = 'waiting' AND next_ms <= ?2 LIMIT 1",
        )?;
        Ok(due.exists(params![channel, now])?)
    }

    /// Records how a delivery ended: `Ok`, or the cause and how long the receiver asked to wait (ms). Nothing is recorded when
    /// the lease was over and somebody else has the message by now.
    pub fn told(
        &self,
        notice: &Notice,
        outcome: Result<(), (&str, Option<i64>)>,
        now: i64,
    ) -> Result<(), StoreError> {
        self.change(|tx| {
            match outcome {
                Ok(()) => tx.execute(
                    "UPDATE outbox SET state = 'sent', error = NULL, ended_ms = ?3
                        WHERE seq = ?1 AND attempts = ?2 AND state = 'waiting'",
                    params![notice.seq, notice.attempt, now],
                )?,
                Err((cause, wait)) => tx.execute(
                    "UPDATE outbox SET error = ?3, next_ms = ?4 WHERE seq = ?1 AND attempts = ?2 AND state = 'waiting'",
                    params![
                        notice.seq,
                        notice.attempt,
                        cause.chars().take(ERROR_CHARACTERS).collect::<String>(),
                        now.saturating_add(pause(notice.attempt, wait)),
                    ],
                )?,
            };
            Ok(())
        })
    }

    /// The outbox, newest first; `open` leaves out what was sent.
    pub fn outbox(&self, open: bool, limit: usize) -> Result<Vec<Outgoing>, StoreError> {
        let connection = self.lock();
        let filter = if open { "WHERE state != 'sent'" } else { "" };
        let mut statement =
            connection.prepare(&format!("SELECT * FROM outbox {filter} ORDER BY seq DESC LIMIT ?1"))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map([limit], outgoing)?.collect::<Result<Vec<_>, _>>()?;
        Ok(rows)
    }
}

/// Tells whoever wants to hear that a proposal has changed, within the transaction that changed it.
pub(super) fn announce(tx: &Transaction<'_>, event: Event, proposal: &Proposal) -> Result<(), StoreError> {
    let asked = &proposal.asked;
    let about = About {
        proposal: proposal.id.clone(),
        tenant: asked.tenant.clone(),
        host: asked.host.clone(),
        action: asked.action.clone(),
        params: asked.params.clone(),
        argv: asked.argv.clone(),
        risk: asked.risk.clone(),
        proposed_by: asked.proposed_by.clone(),
        signed: proposal.signatures.len(),
        wanted: asked.approvals,
        expires_ms: asked.expires_ms,
    };
    // A word that is no risk is never below anybody's threshold.
    let risk = risk_of(&asked.risk).map_or(i64::MAX, rank);
    tx.execute(
        "INSERT INTO outbox (channel, event, proposal, about, created_ms, next_ms)
            SELECT DISTINCT channel, ?1, ?2, ?3, ?4, ?4 FROM temp.subscriptions
                WHERE event = ?1 AND risk <= ?5 AND (host IS NULL OR host = ?6) ORDER BY channel",
        params![
            event.to_string(),
            proposal.id,
            serde_json::json!(about).to_string(),
            now_ms(),
            risk,
            asked.host
        ],
    )?;
    Ok(())
}

/// Gives up what is too old or too much, and forgets what was over long ago.
fn clear(tx: &Transaction<'_>, channel: &str, now: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE outbox SET state = 'given_up', ended_ms = ?2, error = coalesce(error, 'nobody sent it in time')
            WHERE channel = ?1 AND state = 'waiting' AND created_ms <= ?3",
        params![channel, now, now.saturating_sub(GIVE_UP_MS)],
    )?;
    tx.execute(
        "UPDATE outbox SET state = 'given_up', ended_ms = ?2, error = 'too many messages wait for this channel'
            WHERE channel = ?1 AND state = 'waiting' AND seq <=
                (SELECT seq FROM outbox WHERE channel = ?1 AND state = 'waiting' ORDER BY seq DESC LIMIT 1 OFFSET ?3)",
        params![channel, now, WAITING],
    )?;
    tx.execute("DELETE FROM outbox WHERE ended_ms <= ?1", [now.saturating_sub(KEEP_MS)])?;
    Ok(())
}

/// How long to wait after a try that failed, in ms.
fn pause(attempt: i64, asked: Option<i64>) -> i64 {
    let doublings = u32::try_from(attempt.clamp(1, 16) - 1).unwrap_or(0);
    let own = (FIRST_PAUSE_MS << doublings).min(PAUSE_MS);
    // A receiver that asks for more gets it, within bounds.
    asked.map_or(own, |ms| ms.clamp(own, 6 * PAUSE_MS))
}

fn risk_of(word: &str) -> Option<Risk> {
    serde_json::from_value(serde_json::Value::from(word)).ok()
}

fn rank(risk: Risk) -> i64 {
    match risk {
        Risk::Low => 0,
        Risk::Medium => 1,
        Risk::High => 2,
        Risk::Critical => 3,
    }
}

fn notice(row: &Row<'_>) -> rusqlite::Result<Notice> {
    Ok(Notice {
        seq: row.get("seq")?,
        attempt: row.get("attempts")?,
        event: row.get::<_, String>("event")?.parse().map_err(|e: String| proposals::corrupt(&e))?,
        at_ms: row.get("created_ms")?,
        about: proposals::from_json(row, "about")?,
    })
}

fn outgoing(row: &Row<'_>) -> rusqlite::Result<Outgoing> {
    Ok(Outgoing {
        seq: row.get("seq")?,
        channel: row.get("channel")?,
        event: row.get("event")?,
        proposal: row.get("proposal")?,
        state: row.get("state")?,
        attempts: row.get("attempts")?,
        error: row.get("error")?,
        created_ms: row.get("created_ms")?,
        next_ms: row.get("next_ms")?,
        ended_ms: row.get("ended_ms")?,
    })
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
