//! Blocked command lines, counted by their shape.
//!
//! No operand comes here: the caller gives a shape and a masked example. The table is bounded, so a caller that
//! tries many lines cannot fill the disk.

use rusqlite::{OptionalExtension, Row, params};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::audit::append;
use super::{Audit, Store, StoreError, now_ms};

/// The most shapes that are kept.
const MOST_SHAPES: u32 = 1000;
/// The most hosts, and the most callers, that one shape names.
const MOST_NAMES: usize = 16;
/// The most bytes of a shape, a program, an example or a name.
const MOST_BYTES: usize = 256;

/// One shape of blocked lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedCommand {
    /// The line without its operands.
    pub shape: String,
    /// The program.
    pub command: String,
    /// The newest line of this shape, masked.
    pub example: String,
    /// How often it was blocked.
    pub count: i64,
    /// When first, in seconds since 1970.
    pub first_seen: i64,
    /// When last, in seconds since 1970.
    pub last_seen: i64,
    /// The first hosts that it was meant for.
    pub hosts: Vec<String>,
    /// The first callers that asked.
    pub callers: Vec<String>,
    /// What a person has decided about it.
    pub decided: Option<Decided>,
}

/// What a person decides about a shape. The policy changes by neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The suggested form shall be reviewed and deployed.
    Accepted,
    /// It stays blocked and is suggested no more.
    Dismissed,
}

impl Decision {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dismissed => "dismissed",
        }
    }
}

/// A decision, by whom and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// Who.
    pub by: String,
    /// When, ms since 1970.
    pub at_ms: i64,
}

/// How often one program was blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CommandCount {
    /// The program.
    pub command: String,
    /// Its shapes.
    pub shapes: i64,
    /// How often.
    pub count: i64,
}

/// The table in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LearningStats {
    /// Shapes that are kept.
    pub shapes: i64,
    /// The most shapes that are kept; then the rarest go.
    pub capacity: i64,
    /// Blocked lines of the shapes that are kept.
    pub blocked: i64,
    /// The oldest, in seconds since 1970; 0 when there is none.
    pub first_seen: i64,
    /// The newest, in seconds since 1970; 0 when there is none.
    pub last_seen: i64,
    /// The programs that were blocked most, ten at most.
    pub commands: Vec<CommandCount>,
}

impl Store {
    /// Counts one blocked line. At the bound a new shape takes the place of the rarest, of those the oldest.
    pub fn record_blocked(
        &self,
        shape: &str,
        command: &str,
        example: &str,
        host: &str,
        caller: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let (shape, command, example) = (cut(shape), cut(command), cut(example));
        self.change(|tx| {
            let known = tx
                .query_row("SELECT * FROM blocked_commands WHERE shape = ?1", [shape], from_row)
                .optional()?;
            let (mut hosts, mut callers) = known.as_ref().map_or_else(Default::default, |k| {
                (k.hosts.clone(), k.callers.clone())
            });
            add(&mut hosts, host);
            add(&mut callers, caller);
            if known.is_none() {
                tx.execute(
                    "DELETE FROM blocked_commands WHERE shape IN (SELECT shape FROM blocked_commands
                        ORDER BY count, last_seen, shape
                        LIMIT max(0, (SELECT count(*) FROM blocked_commands) - ?1))",
                    [MOST_SHAPES - 1],
                )?;
            }
            tx.execute(
                "INSERT INTO blocked_commands (shape, command, example, count, first_seen, last_seen, hosts, callers)
                 VALUES (?1, ?2, ?3, 1, ?4, ?4, ?5, ?6)
                 ON CONFLICT (shape) DO UPDATE SET count = count + 1, example = ?3, hosts = ?5, callers = ?6,
                    last_seen = max(last_seen, ?4)",
                params![shape, command, example, now, json!(hosts).to_string(), json!(callers).to_string()],
            )?;
            Ok(())
        })
    }

    /// Shapes that were blocked at least `min_count` times and first seen `min_age_seconds` ago, most frequent first.
    pub fn blocked_commands(
        &self,
        min_count: i64,
        min_age_seconds: i64,
        now: i64,
    ) -> Result<Vec<BlockedCommand>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT * FROM blocked_commands WHERE count >= ?1 AND first_seen <= ?2
                ORDER BY count DESC, last_seen DESC, shape",
        )?;
        let rows = statement.query_map([min_count, now.saturating_sub(min_age_seconds)], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Keeps a person's decision about a shape, with its record. `false`, and nothing is recorded, when there is no such shape.
    pub fn decide(&self, shape: &str, decision: Decision, by: &str) -> Result<bool, StoreError> {
        self.change(|tx| {
            let changed = tx.execute(
                "UPDATE blocked_commands SET decision = ?2, decided_by = ?3, decided_ms = ?4 WHERE shape = ?1",
                params![shape, decision.as_str(), cut(by), now_ms()],
            )?;
            if changed > 0 {
                let data = json!({ "shape": shape, "decision": decision, "by": by });
                append(tx, &Audit { event: "learning", data })?;
            }
            Ok(changed > 0)
        })
    }

    /// The table in numbers.
    pub fn learning_stats(&self) -> Result<LearningStats, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT command, count(*), sum(count) FROM blocked_commands GROUP BY command
                ORDER BY sum(count) DESC, command LIMIT 10",
        )?;
        let commands = statement
            .query_map([], |row| {
                Ok(CommandCount { command: row.get(0)?, shapes: row.get(1)?, count: row.get(2)? })
            })?
            .collect::<Result<_, _>>()?;
        Ok(connection.query_row(
            "SELECT count(*), coalesce(sum(count), 0), coalesce(min(first_seen), 0), coalesce(max(last_seen), 0)
                FROM blocked_commands",
            [],
            |row| {
                Ok(LearningStats {
                    shapes: row.get(0)?,
                    capacity: i64::from(MOST_SHAPES),
                    blocked: row.get(1)?,
                    first_seen: row.get(2)?,
                    last_seen: row.get(3)?,
                    commands,
                })
            },
        )?)
    }
}

#[cfg(test)]
impl Store {
    /// Takes the counter's table away, as a spoiled disk might.
    pub(crate) fn break_learning(&self) {
        self.lock().execute_batch("DROP TABLE blocked_commands").unwrap();
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_BYTES)]
}

fn add(names: &mut Vec<String>, name: &str) {
    let name = cut(name);
    if names.len() < MOST_NAMES && !names.iter().any(|n| n == name) {
        names.push(name.to_owned());
    }
}

fn decided(row: &Row<'_>) -> rusqlite::Result<Option<Decided>> {
    let decision = match row.get::<_, Option<String>>("decision")?.as_deref() {
        Some("accepted") => Decision::Accepted,
        Some("dismissed") => Decision::Dismissed,
        _ => return Ok(None),
    };
    let by: Option<String> = row.get("decided_by")?;
    let at_ms: Option<i64> = row.get("decided_ms")?;
    Ok(Some(Decided { decision, by: by.unwrap_or_default(), at_ms: at_ms.unwrap_or_default() }))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<BlockedCommand> {
    // A list that somebody spoiled by hand is an empty one: these are counts, nothing hangs on them.
    let names = |column: &str| -> rusqlite::Result<Vec<String>> {
        Ok(serde_json::from_str(&row.get::<_, String>(column)?).unwrap_or_default())
    };
    Ok(BlockedCommand {
        shape: row.get("shape")?,
        command: row.get("command")?,
        example: row.get("example")?,
        count: row.get("count")?,
        first_seen: row.get("first_seen")?,
        last_seen: row.get("last_seen")?,
        hosts: names("hosts")?,
        callers: names("callers")?,
        decided: decided(row)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).unwrap();
        (dir, store)
    }

    #[test]
    fn a_shape_is_one_row_with_bounded_names() {
        let (_dir, store) = store();
        for i in 0..20 {
            let (host, caller) = (format!("h{i}"), format!("c{i}"));
            store.record_blocked("lsscsi -l", "lsscsi", &"x".repeat(999), &host, &caller, 100 + i).unwrap();
        }
        let rows = store.blocked_commands(1, 0, 200).unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.count, row.first_seen, row.last_seen), (20, 100, 119));
        assert_eq!((row.hosts.len(), row.callers.len(), row.example.len()), (16, 16, 256));
        store.record_blocked("a", "a", "", "h", "c", 150).unwrap();
        assert_eq!(store.blocked_commands(1, 0, 200).unwrap()[0].shape, "lsscsi -l");
        assert_eq!(store.blocked_commands(5, 0, 200).unwrap().len(), 1);
        assert_eq!(store.blocked_commands(1, 60, 200).unwrap().len(), 1);
        assert!(store.blocked_commands(21, 0, 200).unwrap().is_empty());
        let stats = store.learning_stats().unwrap();
        assert_eq!((stats.shapes, stats.blocked, stats.first_seen, stats.last_seen), (2, 21, 100, 150));
        assert_eq!(stats.commands[0].command, "lsscsi");
    }

    #[test]
    fn at_the_bound_the_rarest_and_oldest_goes() {
        let (_dir, store) = store();
        store.lock().execute_batch("PRAGMA synchronous = OFF;").unwrap();
        store.record_blocked("often", "often", "", "h", "c", 0).unwrap();
        store.record_blocked("often", "often", "", "h", "c", 0).unwrap();
        for i in 0..1001 {
            store.record_blocked(&format!("s{i}"), "s", "", "h", "c", 1 + i).unwrap();
        }
        let rows = store.blocked_commands(0, 0, 9999).unwrap();
        assert_eq!((rows.len(), rows[0].shape.as_str()), (1000, "often"));
        assert!(!rows.iter().any(|r| r.shape == "s0" || r.shape == "s1"));
        assert!(rows.iter().any(|r| r.shape == "s2") && rows.iter().any(|r| r.shape == "s1000"));
        // A shape that is there takes nobody's place, and what came twice outlives what came once.
        store.record_blocked("s2", "s", "", "h", "c", 5000).unwrap();
        assert_eq!(store.blocked_commands(0, 0, 9999).unwrap().len(), 1000);
        store.record_blocked("new", "new", "", "h", "c", 5001).unwrap();
        let rows = store.blocked_commands(0, 0, 9999).unwrap();
        let there = |shape: &str| rows.iter().any(|r| r.shape == shape);
        assert!(rows.len() == 1000 && there("s2") && there("new") && !there("s3") && there("s4"));
    }

    #[test]
    fn a_decision_stays_with_its_shape_and_has_a_record() {
        let (_dir, store) = store();
        store.record_blocked("a", "a", "", "h", "c", 1).unwrap();
        assert!(!store.decide("b", Decision::Dismissed, "alice").unwrap());
        assert!(store.audit_tail(9).unwrap().is_empty());
        for decision in [Decision::Accepted, Decision::Dismissed] {
            assert!(store.decide("a", decision, "alice").unwrap());
            store.record_blocked("a", "a", "", "h", "c", 2).unwrap();
            let decided = store.blocked_commands(1, 0, 9).unwrap()[0].decided.clone().unwrap();
            assert_eq!((decided.decision, decided.by.as_str()), (decision, "alice"));
        }
        assert_eq!(store.audit_tail(9).unwrap().len(), 2);
    }

    #[test]
    fn an_empty_table_has_stats() {
        let stats = store().1.learning_stats().unwrap();
        assert_eq!((stats.shapes, stats.blocked, stats.last_seen), (0, 0, 0));
    }
}
