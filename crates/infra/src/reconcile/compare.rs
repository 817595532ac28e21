//! What two chains that were read do not agree about.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Head;

use super::ours::{End, Run, Said, Server, Told};
use super::theirs::{Outcome, Place, Start, Target};
use super::words::{names, short, shown};
use super::{Counts, Finding, Kind};

/// The file on the host, and where it is told what to do with one that was changed.
const LOG: &str = "/var/log/pra-run.log";
const ROOT: &str = "whoever did that was root there: treat the host as taken over until it is explained";

const NO_ANSWER: &str = "got no answer that could be read";

struct Comparing<'a> {
    server: &'a Server,
    target: &'a Target,
    settled: u64,
    counts: Counts,
    findings: Vec<Finding>,
}

/// Where something is recorded.
#[derive(Clone, Copy, Default)]
struct At<'a> {
    proposal: Option<&'a str>,
    server: Option<u64>,
    target: Option<u64>,
}

pub(super) fn compare(server: &Server, target: &Target, settled: u64) -> (Counts, Vec<Finding>) {
    let counts = Counts { refusals: target.refusals, ..Counts::default() };
    let mut all = Comparing { server, target, settled, counts, findings: Vec::new() };
    all.chains();
    let taken = all.runs();
    all.told();
    all.denied();
    all.starts(&taken);
    all.tied();
    (all.counts, all.findings)
}

impl<'a> Comparing<'a> {
    fn find(&mut self, kind: Kind, at: At<'_>, message: String) {
        self.findings.push(Finding {
            kind,
            proposal: at.proposal.map(shown),
            server_record: at.server,
            target_record: at.target,
            message,
        });
    }

    fn chains(&mut self) {
        if let Some(broken) = &self.server.ends.broken {
            let at = At { server: Some(broken.seq), ..At::default() };
            let message = format!(
                "this server's chain is broken at {broken}: what follows was not compared; look into who could write state.db, and \
                 compare with an export or backup from before"
            );
            self.find(Kind::ServerChainBroken, at, message);
        }
        if let Some(broken) = &self.target.ends.broken {
            let at = At { target: Some(broken.seq), ..At::default() };
            let message = format!(
                "the target's chain is broken at {broken}: what follows was not compared; give all files whole and the oldest first, \
                 and if that is so it was changed, and {ROOT}"
            );
            self.find(Kind::TargetChainBroken, at, message);
        }
    }

    /// Compares each run; gives the starts that belong to one.
    fn runs(&mut self) -> BTreeSet<u64> {
        let mut starts: BTreeMap<&str, &Start> = BTreeMap::new();
        for start in self.target.starts.iter().filter(|s| s.elsewhere.is_none()) {
            // Only the first can be the one that was handed over.
            if let Some(proposal) = &start.proposal {
                starts.entry(proposal).or_insert(start);
            }
        }
        let mut taken = BTreeSet::new();
        for run in &self.server.runs {
            let start = starts.get(run.proposal.as_str()).copied();
            taken.extend(start.map(|s| s.seq));
            self.run(run, start);
        }
        taken
    }

    fn run(&mut self, run: &Run, start: Option<&Start>) {
        let before = self.findings.len();
        if let Some(head) = run.end.as_ref().and_then(|end| end.head.as_ref().map(|head| (end.seq, head))) {
            self.head(&run.proposal, head.0, head.1);
        }
        if let Some(start) = start {
            self.statement(run, start);
        }
        let same = match (&run.end, start) {
            (None, start) => self.no_end(run, start),
            (Some(end), Some(start)) => self.ended(run, end, start),
            (Some(end), None) => self.absent(run, end),
        };
        if same && self.findings.len() == before {
            self.counts.runs += 1;
        }
    }

    /// A head that the server got must stand in the target's chain.
    fn head(&mut self, proposal: &str, seq: u64, head: &Head) {
        let last = self.target.ends.head.seq;
        let (record, hash) = (head.seq, short(Some(&head.hash)));
        let said = match self.target.place(head) {
            Place::Before | Place::Here => return,
            // Counted with the run or denial itself.
            Place::Behind if self.target.ends.broken.is_some() || seq > self.settled => return,
            Place::Behind => format!("ends with record {last}"),
            Place::Other => "has another one there".to_owned(),
        };
        let at = At { proposal: Some(proposal), server: Some(seq), target: Some(record) };
        let message = format!(
            "the target answered with record {record} ({hash}) and its chain {said}: it was cut off or written anew from there or \
             before; if the files are a full and newer copy of {LOG} (rotated ones too), {ROOT}"
        );
        self.find(Kind::CutOff, at, message);
    }

    fn statement(&mut self, run: &Run, start: &Start) {
        if run.digest.is_some() && run.digest == start.digest {
            return;
        }
        let (signed, ran) = (short(run.digest.as_deref()), short(start.digest.as_deref()));
        let at = At { proposal: Some(&run.proposal), server: Some(run.seq), target: Some(start.seq) };
        let message = format!(
            "the bytes that ran there have the digest {ran} and those signed here {signed} (signed there by {}): compare the proposal \
             with what stands in that record, and ask who signed",
            names(&start.persons)
        );
        self.find(Kind::StatementDiffers, at, message);
    }

    /// `true` when there is nothing to say against it; a finding otherwise.
    fn no_end(&mut self, run: &Run, start: Option<&Start>) -> bool {
        if run.seq > self.settled {
            self.counts.later += 1;
            return false;
        }
        self.unknown(run, run.seq, start, "was handed over and has no outcome here")
    }

    fn unknown(&mut self, run: &Run, seq: u64, start: Option<&Start>, what: &str) -> bool {
        let orphan = self.target.results.get(&run.proposal);
        let result = start.and_then(|s| s.result.as_ref()).or(orphan);
        let said = match (start, result) {
            (_, Some(result)) => {
                format!("the target says it ended: {} ({})", shown(&result.word), shown(&result.code))
            }
            (Some(_), None) => {
                "the target says it began and has no result: it or its record was cut short".to_owned()
            }
            (None, None) if self.is_before(None, run.time) => {
                "the files that were given begin later".to_owned()
            }
            (None, None) => "the target has no record that it began".to_owned(),
        };
        let at = At {
            proposal: Some(&run.proposal),
            server: Some(seq),
            target: result.map(|r| r.seq).or(start.map(|s| s.seq)),
        };
        let message = format!("it {what}; {said}: look at the host before it is proposed again");
        self.find(Kind::OutcomeUnknown, at, message);
        false
    }

    /// Both sides have something of it.
    fn ended(&mut self, run: &Run, end: &End, start: &Start) -> bool {
        let result = start.result.as_ref();
        match (&end.said, result) {
            (Said::Refused, _) => {
                let message = format!(
                    "the server recorded that the target refused it, and the target ran it (signed by {}): somebody handed a grant of \
                     it over without this server; ask them",
                    names(&start.persons)
                );
                let at = At { proposal: Some(&run.proposal), server: Some(end.seq), target: Some(start.seq) };
                self.find(Kind::OutcomeDiffers, at, message);
                false
            }
            // The server calls it failed, and so does the target.
            (Said::Nothing, Some(result)) if result.word == "failed" => true,
            (Said::Nothing, _) => self.unknown(run, end.seq, Some(start), NO_ANSWER),
            (_, None) if self.target.ends.broken.is_some() => self.unread(),
            (_, None) if end.seq > self.settled => self.later(),
            (_, None) => {
                let at = At { proposal: Some(&run.proposal), server: Some(end.seq), target: Some(start.seq) };
                let message = "the server recorded how it ended, and the target has no result of it: its log could not be written then, \
                               or the record was taken out; look at the disk and the journal of that time"
                    .to_owned();
                self.find(Kind::OutcomeDiffers, at, message);
                false
            }
            (said, Some(result)) => self.outcome(run, end, said, result),
        }
    }

    fn outcome(&mut self, run: &Run, end: &End, said: &Said, result: &Outcome) -> bool {
        let Said::Ran { state, outcome, code } = said else { return true };
        let follows = match result.word.as_str() {
            "succeeded" | "already_ok" => matches!(state.as_str(), "succeeded" | "verified"),
            "failed" => state == "failed",
            _ => false,
        };
        if follows && *outcome == result.word && *code == result.code {
            return true;
        }
        let at = At { proposal: Some(&run.proposal), server: Some(end.seq), target: Some(result.seq) };
        let message = format!(
            "the server recorded {} ({}, {}) and the target {} ({}): one of the records was written by somebody else, or the answer was \
             changed on its way; look at what the host is like now",
            shown(state),
            shown(outcome),
            shown(code),
            shown(&result.word),
            shown(&result.code)
        );
        self.find(Kind::OutcomeDiffers, at, message);
        false
    }

    /// The target has no start of it.
    fn absent(&mut self, run: &Run, end: &End) -> bool {
        match end.said {
            Said::Refused => {
                self.counts.refused += 1;
                return false;
            }
            Said::Nothing if self.target.results.get(&run.proposal).is_some_and(|r| r.word != "failed") => {
                return self.unknown(run, end.seq, None, NO_ANSWER);
            }
            Said::Nothing if self.target.ends.broken.is_none() => {
                self.counts.unanswered += 1;
                return false;
            }
            _ => {}
        }
        if self.is_before(end.head.as_ref(), run.time) {
            self.counts.before += 1;
            // It has begun before the files and ended in them.
            if let Some(result) = self.target.results.get(&run.proposal) {
                self.outcome(run, end, &end.said, result);
            }
            return false;
        }
        if self.target.ends.broken.is_some() {
            return self.unread();
        }
        if end.seq > self.settled {
            return self.later();
        }
        let at = At { proposal: Some(&run.proposal), server: Some(end.seq), target: None };
        let message = format!(
            "the server recorded that it ran there, and the target has no record of it: if the files are a full and newer copy of {LOG} \
             (rotated ones too), it was taken out, and {ROOT}"
        );
        self.find(Kind::NotOnTarget, at, message);
        false
    }

    /// Whether a record that the target should hold, and of which this head (or, without one, the server's time) tells the place, is
    /// older than the files.
    fn is_before(&self, head: Option<&Head>, time: i64) -> bool {
        match head.map(|head| self.target.place(head)) {
            Some(Place::Before) => true,
            // All records from the first one given up to that head are there, and it is none of them.
            Some(Place::Here) => self.target.goes_on(),
            Some(Place::Other | Place::Behind) => false,
            None => self.target.goes_on() && time < self.target.begins,
        }
    }

    fn unread(&mut self) -> bool {
        self.counts.unread += 1;
        false
    }

    fn later(&mut self) -> bool {
        self.counts.later += 1;
        false
    }

    /// Denials that the target has said it holds.
    fn told(&mut self) {
        for told in &self.server.told {
            let Told { proposal, seq, time, head } = told;
            if let Some(head) = head {
                self.head(proposal, *seq, head);
            }
            if self.target.denials.contains_key(proposal) {
                self.counts.denials += 1;
            } else if self.is_before(head.as_ref(), *time) {
                self.counts.before += 1;
            } else if self.target.ends.broken.is_some() {
                self.unread();
            } else if *seq > self.settled {
                self.later();
            } else {
                let at = At { proposal: Some(proposal), server: Some(*seq), target: None };
                let message = format!(
                    "the target said that it is denied there, and its record of the denial is missing: if the files are a full and newer \
                     copy of {LOG} (rotated ones too), it was taken out, and {ROOT}"
                );
                self.find(Kind::DenialLost, at, message);
            }
        }
    }

    /// Something must tie files that go on from older ones to what the server knows: else a record could be put in their place that
    /// claims to go on from far beyond.
    fn tied(&mut self) {
        let server = self.server;
        let runs = server.runs.iter().filter_map(|r| {
            let end = r.end.as_ref()?;
            Some((r.proposal.as_str(), end.seq, end.head.as_ref()?))
        });
        let told = server.told.iter().filter_map(|t| Some((t.proposal.as_str(), t.seq, t.head.as_ref()?)));
        let Some((proposal, seq, head)) = runs.chain(told).max_by_key(|(_, _, head)| head.seq) else {
            return;
        };
        // The first record given names the hash of the one before it.
        if head.seq >= self.target.ends.start.seq {
            return;
        }
        let (first, record) = (self.target.ends.start.seq.saturating_add(1), head.seq);
        let at = At { proposal: Some(proposal), server: Some(seq), target: Some(record) };
        let message = format!(
            "the files begin with record {first}, behind all that the server has heard of (record {record} was the last): give the older \
             files too; if there are none, the target's record was replaced, or rotated away: run something harmless through the server \
             and copy again, so that there is a head in it, and look into who is root there"
        );
        self.find(Kind::CutOff, at, message);
    }

    /// What was denied does not run.
    fn denied(&mut self) {
        for start in &self.target.starts {
            let Some(proposal) = start.proposal.as_deref() else { continue };
            let Some(denied) = self.target.denials.get(proposal).filter(|seq| **seq < start.seq) else {
                continue;
            };
            let at = At { proposal: Some(proposal), server: None, target: Some(start.seq) };
            let message = format!(
                "it was denied there (record {denied}) and ran after that: the target's ledger of used grants was changed or removed, and \
                 {ROOT}"
            );
            self.find(Kind::DenialLost, at, message);
        }
    }

    /// What the target ran without this server.
    fn starts(&mut self, taken: &BTreeSet<u64>) {
        let handed: BTreeSet<&str> = self.server.runs.iter().map(|run| run.proposal.as_str()).collect();
        for start in self.target.starts.iter().filter(|s| !taken.contains(&s.seq)) {
            let at = At { proposal: start.proposal.as_deref(), server: None, target: Some(start.seq) };
            if let Some((tenant, host)) = &start.elsewhere {
                let message = format!(
                    "this record names {} (tenant {}) and others this host: if the host was renamed, it is from before; else the record \
                     was written by somebody else, and {ROOT}",
                    shown(host),
                    shown(tenant)
                );
                self.find(Kind::OtherHost, at, message);
                continue;
            }
            if self.server.ends.broken.is_some() {
                self.unread();
                continue;
            }
            let message = self.unknown_start(start, &handed);
            self.find(Kind::UnknownToServer, at, message);
        }
    }

    fn unknown_start(&self, start: &'a Start, handed: &BTreeSet<&str>) -> String {
        let proposal = start.proposal.as_deref();
        let whose = match proposal {
            None => "of a record that was too large to be read",
            Some(id) if handed.contains(id) => {
                "that this server handed over once and the target ran more than once"
            }
            Some(id) if self.server.proposed.contains(id) => {
                "that was proposed here and that this server has not handed over"
            }
            Some(_) => "that this server does not know",
        };
        let glass = if start.glass { ", who broke the glass" } else { "" };
        let ended = start
            .result
            .as_ref()
            .map_or_else(|| "no result".to_owned(), |r| format!("result {}", shown(&r.word)));
        format!(
            "the target ran a proposal {whose}, signed by {}{glass}, {ended}: a grant that was carried there by hand is legitimate \
             (docs/OFFLINE-GRANT.md); ask who signed, and if nobody knows of it, replace the keys that signed",
            names(&start.persons)
        )
    }
}
