//! What the target's own prober reports of its connections.

use std::net::IpAddr;

use serde::Deserialize;

use super::probe::{Outcome, Probe};
use crate::hosts::ask::Asker;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::Failure;

/// It says that it could not connect, or that the answer was no answer.
const UNANSWERED: i32 = 1;

#[derive(Deserialize)]
struct Report {
    attempts: Vec<Attempt>,
    #[serde(default)]
    not_tried: Vec<IpAddr>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Attempt {
    address: IpAddr,
    connected: bool,
    connect_ms: f64,
    answer_ms: Option<f64>,
    http: Option<Head>,
    tls: Option<Tls>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    status: u16,
    #[serde(default)]
    reason: String,
    headers: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tls {
    Hello { version: String, cipher: String },
    Alert(String),
}

/// Asks with `probe` and fills in the answer. A refusal, here or there, is an answer too.
pub(super) async fn ask(asker: &Asker<'_>, probe: &mut Probe, words: &[&str]) -> Result<(), Failure> {
    let argv: Vec<&str> = ["probe"].iter().chain(words).copied().collect();
    match asker.json_or::<Report>(&argv, &[UNANSWERED]).await {
        Ok(report) => fill(probe, report),
        Err(Failure::Blocked { reason }) => {
            probe.outcome = Outcome::NotPermitted;
            probe.detail = one_line(&reason, 400);
        }
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn fill(probe: &mut Probe, report: Report) {
    let said: Vec<String> =
        report.error.into_iter().chain(report.attempts.iter().map(Attempt::said)).collect();
    probe.detail = one_line(&said.join("; "), 600);
    if !report.not_tried.is_empty() {
        let others: Vec<String> = report.not_tried.iter().map(IpAddr::to_string).collect();
        probe.detail.push_str(&format!("; not tried: {}", one_line(&others.join(", "), 200)));
    }
    probe.addresses = report.attempts.iter().map(|a| a.address.to_string()).collect();
    // The one that answered speaks for all.
    let Some(best) = report.attempts.into_iter().min_by_key(|a| (a.error.is_some(), !a.connected)) else {
        return;
    };
    if best.connected {
        probe.connect_ms = Some(best.connect_ms);
        probe.answer_ms = best.answer_ms;
    }
    if best.connected && best.error.is_none() {
        probe.outcome = Outcome::Ok;
    }
    if let Some(head) = best.http {
        probe.http_status = Some(head.status);
        probe.headers = head.headers.into_iter().map(|(n, v)| (n, one_line(&v, 200))).collect();
    }
}

impl Attempt {
    fn said(&self) -> String {
        let told = match (&self.error, &self.http, &self.tls) {
            (Some(error), ..) => error.clone(),
            (None, Some(head), _) => format!("HTTP {} {}", head.status, head.reason).trim_end().to_owned(),
            (None, None, Some(Tls::Hello { version, cipher })) => {
                format!("{version}, cipher {cipher}, certificate not looked at")
            }
            (None, None, Some(Tls::Alert(name))) => format!("answers TLS with the alert {name}"),
            (None, None, None) => format!("connected in {} ms", self.connect_ms),
        };
        format!("{}: {told}", self.address)
    }
}
