//! Disk, memory, load.

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::disk::{self, Filesystem, Pressure};
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::Failure;
use crate::hosts::{memory as mem, system};

/// Memory that is available, in percent, below which it is critical or worth a warning.
const MEMORY_PERCENT: (f64, f64) = (5.0, 10.0);
/// Swap in use, in percent, worth a warning when memory is short too.
const SWAP_PERCENT: f64 = 80.0;
/// Processes that run or wait, for each processor, on average of five minutes.
const LOAD_PER_CPU: (f64, f64) = (4.0, 1.5);
/// Of one processor, on average over a process's life, from which on it is named as the cause.
const HOG_PERCENT: f64 = 50.0;
/// Processes in the evidence.
const PROCESSES: usize = 3;

pub(super) async fn disk(ground: Ground<'_>) -> Result<Checked, Failure> {
    let usage = disk::ask(ground.asker).await?;
    let mut done = Checked::default();
    done.errors.extend(usage.note.clone());
    done.findings = usage.filesystems.iter().filter_map(|f| full(f, ground)).collect();
    Ok(done)
}

fn full(f: &Filesystem, ground: Ground<'_>) -> Option<Finding> {
    let severity = match f.pressure {
        Pressure::Ok => return None,
        Pressure::Warning => Severity::Warning,
        Pressure::Critical => Severity::Critical,
    };
    let inodes = f.inodes_used_percent > f.used_percent;
    let what = if inodes {
        format!("{} % of the inodes are used: no new files soon", f.inodes_used_percent)
    } else {
        format!("{} % of the space is used", f.used_percent)
    };
    // Rotating logs frees bytes, not inodes.
    let suggestion = ground.remedies.of_mount(&f.mount).filter(|_| !inodes);
    Some(Finding {
        severity,
        check: Check::Disk,
        subject: f.mount.clone(),
        what,
        evidence: vec![f.line()],
        suggestion,
    })
}

pub(super) async fn memory(ground: Ground<'_>) -> Result<Checked, Failure> {
    let info = mem::ask(ground.asker).await?;
    let available = 100.0 - info.used_percent;
    let severity = if available < MEMORY_PERCENT.0 {
        Severity::Critical
    } else if available < MEMORY_PERCENT.1
        || (info.swap_used_percent >= SWAP_PERCENT && available < 2.0 * MEMORY_PERCENT.1)
    {
        Severity::Warning
    } else {
        return Ok(Checked::default());
    };
    let mut evidence = vec![info.summary()];
    evidence.extend(top(ground, "rss").await);
    let what = format!("only {available:.1} % of the memory is available");
    let finding = Finding {
        severity,
        check: Check::Memory,
        subject: "memory".to_owned(),
        what,
        evidence,
        suggestion: None,
    };
    Ok(Checked { findings: vec![finding], errors: Vec::new() })
}

pub(super) async fn load(ground: Ground<'_>) -> Result<Checked, Failure> {
    let (load, stat) = futures::future::join(system::load(ground.asker), system::stat(ground.asker)).await;
    let ([one, five, fifteen], stat) = (load?, stat?);
    let cpus = f64::from(stat.cpus.max(1));
    let (per_cpu, now) = (five / cpus, one / cpus);
    let severity = if per_cpu >= LOAD_PER_CPU.0 {
        Severity::Critical
    } else if per_cpu >= LOAD_PER_CPU.1 || now >= LOAD_PER_CPU.0 {
        Severity::Warning
    } else {
        return Ok(Checked::default());
    };
    let mut evidence = vec![format!("load {one} {five} {fifteen} on {} processor(s)", stat.cpus)];
    let processes = top(ground, "pcpu").await;
    let mut what = format!("{:.1} processes for each processor run or wait", per_cpu.max(now));
    if let Some(hog) = processes.get(1).and_then(|line| hog(line)) {
        what.push_str(&format!("; {hog}"));
    }
    evidence.extend(processes);
    let finding = Finding {
        severity,
        check: Check::Load,
        subject: "load".to_owned(),
        what,
        evidence,
        suggestion: None,
    };
    Ok(Checked { findings: vec![finding], errors: Vec::new() })
}

/// The process that uses most of a processor, if one does: a row of `pid user %cpu comm`.
fn hog(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (pid, user, share) = (words.next()?, words.next()?, words.next()?);
    let name = words.collect::<Vec<_>>().join(" ");
    let busy = share.parse::<f64>().is_ok_and(|share| share >= HOG_PERCENT);
    busy.then(|| format!("process {pid} ({name}) of {user} uses {share} % of a processor"))
}

/// The processes that use most; names only, as arguments may hold secrets. Nothing when ps does not answer.
async fn top(ground: Ground<'_>, key: &str) -> Vec<String> {
    let (columns, sort) = (format!("pid,user,{key},comm"), format!("--sort=-{key}"));
    match ground.asker.text(&["ps", "-e", "-o", &columns, &sort]).await {
        Ok(told) => told.text.lines().take(PROCESSES + 1).map(|l| one_line(l.trim(), 100)).collect(),
        Err(_) => Vec::new(),
    }
}
