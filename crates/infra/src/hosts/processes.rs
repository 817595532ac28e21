//! Processes, from `ps` with named columns. Arguments are never asked for: they may hold passwords.

use std::collections::BTreeMap;

use futures::future::join;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Row;
use super::ask::{Asker, lacking};
use super::hygiene::one_line;
use super::reader::{Failure, Reader};
use super::units::{bytes, span};

const COLUMNS: &str = "pid,ppid,uid,stat,%cpu,%mem,rss,etimes,nlwp,unit,comm";
/// Columns in front of the name, which may hold blanks.
const WORDS: usize = 10;

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum ProcessOrder {
    /// Who uses most processor time.
    #[default]
    Cpu,
    /// Who uses most memory.
    Memory,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum ProcessState {
    /// Runs, or waits for a processor.
    Running,
    /// Waits for something to happen.
    Sleeping,
    /// Waits for a device and cannot be ended.
    DiskWait,
    /// Has ended, and its parent has not looked.
    Zombie,
    /// Is stopped.
    Stopped,
    /// A thread of the kernel that has nothing to do.
    Idle,
    /// Something else.
    Other,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's number.
    pub parent_pid: u32,
    /// User that it runs as.
    pub user: String,
    /// Its name, without arguments.
    pub command: String,
    /// What it does.
    pub state: ProcessState,
    /// Share of one processor, on average over its life.
    pub cpu_percent: f64,
    /// Share of the memory.
    pub memory_percent: f64,
    /// Memory in RAM.
    pub resident_bytes: u64,
    /// Since its start.
    pub age_seconds: u64,
    /// Threads.
    pub threads: u32,
    /// Unit of systemd that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Which processes.
#[derive(Debug, Clone, Default)]
pub struct ProcessQuery {
    /// What comes first.
    pub order: ProcessOrder,
    /// Only of this user: name or number.
    pub user: Option<String>,
    /// Only with this in their name, in small or large letters.
    pub command: Option<String>,
}

/// Processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Processes {
    /// Those that were asked for, in the order that was asked for.
    pub processes: Vec<Process>,
    /// Of all.
    pub counts: ProcessCounts,
    /// Whether some are missing here.
    pub truncated: bool,
}

/// How many there are of all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProcessCounts {
    /// All.
    pub all: usize,
    /// Those that run or wait for a processor.
    pub running: usize,
    /// Those that wait for a device.
    pub disk_wait: usize,
    /// Those that have ended.
    pub zombies: usize,
}

/// Asks for processes.
pub async fn get_processes(reader: &dyn Reader, query: &ProcessQuery) -> Result<Processes, Failure> {
    let asker = Asker::new(reader);
    let (table, users) = join(
        asker.text(&["ps", "-e", "--no-headers", "-w", "-w", "-o", COLUMNS]),
        asker.text(&["cat", "/etc/passwd"]),
    )
    .await;
    let told = table?;
    // Without the names, numbers say who it is.
    let users = users.map(|t| names(&t.text)).unwrap_or_default();
    let mut processes: Vec<Process> = told.text.lines().filter_map(|l| row(l, &users)).collect();
    if processes.is_empty() {
        return Err(lacking("ps", "it names no process"));
    }
    let count = |state| processes.iter().filter(|p| p.state == state).count();
    let counts = ProcessCounts {
        all: processes.len(),
        running: count(ProcessState::Running),
        disk_wait: count(ProcessState::DiskWait),
        zombies: count(ProcessState::Zombie),
    };
    if let Some(user) = &query.user {
        let name = users.get(user.as_str()).unwrap_or(user);
        processes.retain(|p| p.user == *name);
    }
    if let Some(part) = query.command.as_ref().map(|c| c.to_lowercase()) {
        processes.retain(|p| p.command.to_lowercase().contains(&part));
    }
    match query.order {
        ProcessOrder::Cpu => {
            processes.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent).then(a.pid.cmp(&b.pid)));
        }
        ProcessOrder::Memory => {
            processes.sort_by(|a, b| b.resident_bytes.cmp(&a.resident_bytes).then(a.pid.cmp(&b.pid)));
        }
    }
    Ok(Processes { processes, counts, truncated: told.truncated })
}

/// Number to name.
fn names(passwd: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.to_owned(), one_line(name, 64)))
    };
    let mut names = BTreeMap::new();
    for (number, name) in passwd.lines().filter_map(pair) {
        // Of several names for one number the first counts, as everywhere.
        names.entry(number).or_insert(name);
    }
    names
}

fn row(line: &str, users: &BTreeMap<String, String>) -> Option<Process> {
    let mut rest = line.trim_start();
    let mut words = [""; WORDS];
    for word in &mut words {
        let end = rest.find(' ')?;
        *word = &rest[..end];
        rest = rest[end..].trim_start();
    }
    let [pid, parent, uid, state, cpu, memory, resident, age, threads, unit] = words;
    let share = |text: &str| text.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0);
    Some(Process {
        pid: pid.parse().ok()?,
        parent_pid: parent.parse().ok()?,
        user: users.get(uid).cloned().unwrap_or_else(|| one_line(uid, 20)),
        command: one_line(rest.trim_end(), 80),
        state: state_of(state),
        cpu_percent: share(cpu)?,
        memory_percent: share(memory)?,
        resident_bytes: resident.parse::<u64>().ok()?.saturating_mul(1024),
        age_seconds: age.parse().unwrap_or(0),
        threads: threads.parse().unwrap_or(1),
        unit: Some(one_line(unit, 255)).filter(|u| u != "-"),
    })
}

fn state_of(letters: &str) -> ProcessState {
    match letters.chars().next() {
        Some('R') => ProcessState::Running,
        Some('S') => ProcessState::Sleeping,
        Some('D') => ProcessState::DiskWait,
        Some('Z' | 'X') => ProcessState::Zombie,
        Some('T' | 't') => ProcessState::Stopped,
        Some('I') => ProcessState::Idle,
        _ => ProcessState::Other,
    }
}

impl Row for Process {
    fn line(&self) -> String {
        let odd = match self.state {
            ProcessState::DiskWait => " waits for a device",
            ProcessState::Zombie => " zombie",
            ProcessState::Stopped => " stopped",
            _ => "",
        };
        format!(
            "{} {} {} cpu {} % mem {} ({} %) up {}{}{odd}",
            self.pid,
            self.user,
            self.command,
            self.cpu_percent,
            bytes(self.resident_bytes),
            self.memory_percent,
            span(self.age_seconds),
            self.unit.as_ref().map(|u| format!(" {u}")).unwrap_or_default()
        )
    }
}

impl Processes {
    /// One line of counts.
    pub fn head(&self) -> String {
        let ProcessCounts { all, running, disk_wait, zombies } = self.counts;
        format!(
            "{} of {all} processes; {running} running, {disk_wait} waiting for a device, {zombies} zombies",
            self.processes.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    fn host() -> Fake {
        Fake::default().with("ps -e", answer(&sample("ps.txt"))).with(
            "cat /etc/passwd",
            answer("root:x:0:0::/:/bin/sh\nunbound:x:105:111::/:/bin/false\ntoor:x:0:0:::\n"),
        )
    }

    fn ask(query: &ProcessQuery) -> Processes {
        block_on(get_processes(&host(), query)).unwrap()
    }

    #[test]
    fn a_real_answer_is_read() {
        let all = ask(&ProcessQuery::default());
        let first = all.processes.iter().find(|p| p.pid == 1).unwrap();
        assert_eq!((first.user.as_str(), first.command.as_str(), first.parent_pid), ("root", "systemd", 0));
        assert_eq!(first.unit.as_deref(), Some("init.scope"));
        assert_eq!(all.counts.all, sample("ps.txt").lines().count(), "every line is a process");
        assert!(all.processes.is_sorted_by(|a, b| a.cpu_percent >= b.cpu_percent));
        let memory = ask(&ProcessQuery { order: ProcessOrder::Memory, ..ProcessQuery::default() });
        assert!(memory.processes.is_sorted_by(|a, b| a.resident_bytes >= b.resident_bytes));
        assert!(memory.processes[0].resident_bytes > 1 << 20, "{:?}", memory.processes[0]);
    }

    #[test]
    fn filters_keep_what_was_asked_for() {
        let by_command = ask(&ProcessQuery { command: Some("UNBOUND".into()), ..ProcessQuery::default() });
        assert!(!by_command.processes.is_empty());
        assert!(by_command.processes.iter().all(|p| p.command == "unbound"));
        for user in ["root", "0"] {
            let by_user = ask(&ProcessQuery { user: Some(user.into()), ..ProcessQuery::default() });
            assert!(by_user.processes.iter().any(|p| p.pid == 1));
            assert!(by_user.processes.iter().all(|p| p.user == "root"), "{user}");
        }
        let none = ask(&ProcessQuery { user: Some("nobody-here".into()), ..ProcessQuery::default() });
        assert!(none.processes.is_empty() && none.head().starts_with("0 of "), "{}", none.head());
    }

    #[test]
    fn arguments_are_never_asked_for() {
        let fake = host();
        block_on(get_processes(&fake, &ProcessQuery::default())).unwrap();
        let asked = fake.asked().join("\n");
        assert!(!asked.contains("args") && !asked.contains("cmd") && asked.contains("comm"), "{asked}");
    }

    #[test]
    fn broken_answers_do_no_harm() {
        let table = "1 0 0 Ss 0.0 0.1 100 5 1 - a b\u{1b}[31m c\n2 0 0 Z+ nan 0 0 0 0 - x\nfour words are few\n3 0 7 D 1 1 99999999999999999999 1 1 - x\n";
        let fake = Fake::default().with("ps", answer(table));
        let read = block_on(get_processes(&fake, &ProcessQuery::default())).unwrap();
        assert_eq!(read.processes.len(), 1);
        assert_eq!((read.processes[0].command.as_str(), read.processes[0].user.as_str()), ("a b c", "0"));
        let empty = Fake::default().with("ps", answer(""));
        assert!(block_on(get_processes(&empty, &ProcessQuery::default())).is_err());
    }
}
