//! The corpus of attack and legitimate commands: nothing hostile is permitted, and how much that is useful is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::collections::BTreeMap;

use policy::{Catalogue, Level};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    cmd: String,
    expect: String,
    class: String,
}

fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/commands.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Row> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(rows.len() > 350);
    rows
}

#[test]
fn no_hostile_row_is_permitted_and_no_manual_row_runs_by_itself() {
    let catalogue = Catalogue::builtin().unwrap();
    let mut wrong = Vec::new();
    for row in rows() {
        let verdict = catalogue.judge(&row.cmd).verdict;
        let ok = match row.expect.as_str() {
            "deny" => verdict == Level::Blocked,
            "manual" => verdict != Level::Auto,
            _ => true,
        };
        if !ok {
            wrong.push(format!("{} row is {verdict}: {:?} ({})", row.expect, row.cmd, row.class));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn useful_rows_are_permitted() {
    let catalogue = Catalogue::builtin().unwrap();
    let mut missed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let (mut allow, mut manual) = (0, 0);
    let rows = rows();
    for row in &rows {
        let judged = catalogue.judge(&row.cmd);
        match row.expect.as_str() {
            "allow" => allow += 1,
            "manual" => manual += 1,
            _ => continue,
        }
        let wanted = if row.expect == "allow" { Level::Auto } else { Level::Manual };
        if judged.verdict != wanted {
            missed.entry(&row.expect).or_default().push(format!("{} ({})", row.cmd, judged.reason));
        }
    }
    let text: Vec<String> =
        missed.iter().map(|(expect, lines)| format!("not {expect}:\n  {}", lines.join("\n  "))).collect();
    assert!(allow > 70 && manual > 10, "the corpus was read");
    assert!(missed.is_empty(), "{}", text.join("\n"));
}
