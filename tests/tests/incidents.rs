//! Staged incidents: the first finding of one call names the cause. Also what that costs in bytes against typing the commands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use std::path::Path;

use e2e::incidents::{INCIDENTS, Incident};
use e2e::mcp::{Client, Era};
use e2e::{Lab, Server};
use serde_json::{Value, json};

const HOST: &str = "t2";
const START: &str = "<!-- incidents: made by tests/tests/incidents.rs -->\n";
const END: &str = "<!-- end of incidents -->";

/// An incident that is there until this value goes, also when the test fails.
struct Staged<'a>(&'a Lab, &'a Incident);

impl<'a> Staged<'a> {
    fn new(lab: &'a Lab, incident: &'a Incident) -> Self {
        // What a run that was killed has left.
        lab.root(HOST, incident.undo);
        let staged = Self(lab, incident);
        lab.must(HOST, incident.stage);
        staged
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        self.0.root(HOST, self.1.undo);
    }
}

/// The load that the host shows is the machine's, which builds and tests: a calm one stands in its place until this goes.
struct Calm<'a>(&'a Lab);

impl<'a> Calm<'a> {
    fn new(lab: &'a Lab) -> Self {
        let calm = Self(lab);
        lab.must(HOST, "echo '0.10 0.20 0.30 1/300 4711' > /run/calm-loadavg; mount --bind /run/calm-loadavg /proc/loadavg");
        calm
    }
}

impl Drop for Calm<'_> {
    fn drop(&mut self) {
        self.0.root(HOST, "umount /proc/loadavg; rm -f /run/calm-loadavg");
    }
}

fn text(answer: &Value) -> &str {
    answer["content"][0]["text"].as_str().unwrap()
}

/// A log without what earlier tests and incidents have left, so that what is found is what is staged.
fn quiet(lab: &Lab) {
    lab.must(HOST, "systemctl reset-failed; journalctl --rotate -q; journalctl --vacuum-time=1s -q; true");
}

#[test]
fn the_first_finding_names_the_cause_of_each_incident() {
    let lab = Lab::get();
    let server = Server::new(&lab);
    let mut client = Client::start(&server, Era::Modern);
    let _calm = Calm::new(&lab);
    quiet(&lab);
    let healthy = client.call("diagnose_system", &json!({ "host": HOST }));
    let findings = healthy["structuredContent"]["findings"].as_array().unwrap();
    assert!(findings.iter().all(|f| f["severity"] != "critical"), "{healthy}");
    assert!(text(&healthy).len() <= 2048, "{} bytes: {}", text(&healthy).len(), text(&healthy));
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for incident in &INCIDENTS {
        // What of it is the machine's, others on the machine disturb: a busy process gets no processor beside busier ones.
        let mut tries = if incident.near.is_empty() { 1 } else { 3 };
        let (staged, answer, named) = loop {
            quiet(&lab);
            let staged = Staged::new(&lab, incident);
            let answer = client.call("diagnose_system", &json!({ "host": HOST }));
            let named = names(incident, &answer["structuredContent"]["findings"][0]);
            tries -= 1;
            if named || tries == 0 {
                break (staged, answer, named);
            }
            println!("{}: staged again, as it was not named:\n{}", incident.name, text(&answer));
        };
        if !named {
            wrong.push(format!("{}:\n{}", incident.name, text(&answer)));
        }
        let typed: usize =
            incident.by_hand.iter().map(|line| lab.root(HOST, line)).map(|s| s.out.len()).sum();
        drop(staged);
        rows.push(format!(
            "| {} | {} | 1 | {} | {} | {} | {} |\n",
            incident.name,
            field(&answer["structuredContent"]["findings"][0], "what").replace('|', "/"),
            text(&answer).len(),
            incident.by_hand.len(),
            typed,
            incident.near
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    document(&rows);
}

fn field<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().unwrap_or_default()
}

fn names(incident: &Incident, finding: &Value) -> bool {
    field(finding, "check") == incident.check
        && field(finding, "subject").contains(incident.subject)
        && field(finding, "what").contains(incident.what)
}

/// The table in the docs has a row for each incident; its bytes are those of the run that wrote it.
fn document(rows: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/INCIDENTS.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).expect("the start of the table");
    let (table, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let head = "| incident | first finding | calls | bytes | calls by hand | bytes by hand | how near the staging is |\n|---|---|---|---|---|---|---|\n";
        std::fs::write(&path, format!("{before}{START}{head}{}{END}{after}", rows.concat())).unwrap();
        return;
    }
    for incident in &INCIDENTS {
        assert!(
            table
                .lines()
                .any(|line| line.starts_with(&format!("| {} |", incident.name))
                    && line.contains(incident.what)),
            "docs/INCIDENTS.md has no row for {}: UPDATE_DOCS=1 writes it",
            incident.name
        );
    }
}
