//! File systems: space and inodes, from `df` with fixed columns.

use schemars::JsonSchema;
use serde::Serialize;

use super::ask::{Asker, lacking};
use super::hygiene::one_line;
use super::reader::{Failure, Reader};
use super::units::{bytes, percent};

/// From here on a file system is worth a warning, in percent.
pub(super) const WARNING_PERCENT: f64 = 85.0;
/// From here on it is critical, in percent.
pub(super) const CRITICAL_PERCENT: f64 = 95.0;
/// More of them are left out.
const MAX_FILESYSTEMS: usize = 100;

const DF: &[&str] = &["df", "--block-size=1", "--output=source,fstype,itotal,iused,size,used,avail,target"];

/// Kinds that hold no data of their own, or are full by nature.
const PSEUDO: [&str; 16] = [
    "autofs",
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devtmpfs",
    "efivarfs",
    "fuse.portal",
    "fuse.gvfsd-fuse",
    "iso9660",
    "proc",
    "ramfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// How full something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Pressure {
    /// Below 85 %.
    Ok,
    /// 85 % and more.
    Warning,
    /// 95 % and more.
    Critical,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Filesystem {
    /// Device or share.
    pub source: String,
    /// Where it is mounted.
    pub mount: String,
    /// Kind, such as `ext4`.
    pub kind: String,
    /// Size.
    pub size_bytes: u64,
    /// In use.
    pub used_bytes: u64,
    /// What ordinary users can still write.
    pub available_bytes: u64,
    /// Used of what ordinary users can use, as df counts it.
    pub used_percent: f64,
    /// Inodes, 0 where the kind has no fixed number.
    pub inodes_total: u64,
    /// Inodes in use.
    pub inodes_used: u64,
    /// Inodes in use of all.
    pub inodes_used_percent: f64,
    /// The worse of space and inodes.
    pub pressure: Pressure,
}

/// File systems with data, the fullest first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DiskUsage {
    /// The file systems.
    pub filesystems: Vec<Filesystem>,
    /// Whether some are missing here.
    pub truncated: bool,
    /// What df complained about, such as a mount that does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Asks for space and inodes of all file systems that hold data.
pub async fn get_disk_usage(reader: &dyn Reader) -> Result<DiskUsage, Failure> {
    ask(&Asker::new(reader)).await
}

pub(super) async fn ask(asker: &Asker<'_>) -> Result<DiskUsage, Failure> {
    // df still lists the rest when one mount cannot be looked at, and then exits with 1.
    let told = asker.text_or(DF, &[1]).await?;
    let mut usage = read(&told.text).ok_or_else(|| lacking("df", "its heading is missing"))?;
    usage.truncated |= told.truncated;
    usage.note = Some(told.complaint).filter(|c| !c.is_empty());
    Ok(usage)
}

fn read(text: &str) -> Option<DiskUsage> {
    let mut lines = text.lines();
    lines.next().filter(|heading| heading.contains("Inodes") || heading.contains("1B-blocks"))?;
    let mut filesystems: Vec<Filesystem> = Vec::new();
    for row in lines.filter_map(row).filter(is_data) {
        // A bind mount shows its device again; the shortest path is the one that people know.
        let same = |f: &&mut Filesystem| {
            f.source == row.source && f.source.starts_with('/') && f.size_bytes == row.size_bytes
        };
        match filesystems.iter_mut().find(same) {
            Some(known) if row.mount.len() < known.mount.len() => *known = row,
            Some(_) => {}
            None => filesystems.push(row),
        }
    }
    filesystems.sort_by(|a, b| fullness(b).total_cmp(&fullness(a)).then_with(|| a.mount.cmp(&b.mount)));
    let truncated = filesystems.len() > MAX_FILESYSTEMS;
    filesystems.truncate(MAX_FILESYSTEMS);
    Some(DiskUsage { filesystems, truncated, note: None })
}

fn fullness(f: &Filesystem) -> f64 {
    f.used_percent.max(f.inodes_used_percent)
}

/// Real storage, and tmpfs where programs write.
fn is_data(f: &Filesystem) -> bool {
    let system = ["/dev", "/sys", "/proc", "/run"]
        .iter()
        .any(|p| f.mount.strip_prefix(p).is_some_and(|r| r.is_empty() || r.starts_with('/')));
    f.size_bytes > 0
        && !PSEUDO.contains(&f.kind.as_str())
        && !(f.kind == "tmpfs" && system && f.mount != "/run")
}

/// A row: source and mount point may hold blanks, so the numbers between them are what is looked for.
fn row(line: &str) -> Option<Filesystem> {
    let words: Vec<(usize, &str)> =
        line.split_whitespace().map(|w| (w.as_ptr() as usize - line.as_ptr() as usize, w)).collect();
    let number = |w: &str| if w == "-" { Some(0) } else { w.parse::<u64>().ok() };
    let kind_at = (1..words.len().checked_sub(6)?).find(|kind| {
        words[kind + 1..=kind + 5].iter().all(|(_, w)| number(w).is_some())
            && words[kind + 6].1.starts_with('/')
    })?;
    let column = |i: usize| number(words[kind_at + i].1).unwrap_or(0);
    let (inodes_total, inodes_used, size_bytes, used_bytes, available_bytes) =
        (column(1), column(2), column(3), column(4), column(5));
    let used_percent = percent(used_bytes, used_bytes.saturating_add(available_bytes));
    let inodes_used_percent = percent(inodes_used.min(inodes_total), inodes_total);
    Some(Filesystem {
        source: one_line(line[..words[kind_at].0].trim(), 120),
        mount: one_line(line[words[kind_at + 6].0..].trim_end(), 200),
        kind: words[kind_at].1.to_owned(),
        size_bytes,
        used_bytes,
        available_bytes,
        used_percent,
        inodes_total,
        inodes_used,
        inodes_used_percent,
        pressure: pressure(used_percent.max(inodes_used_percent)),
    })
}

fn pressure(percent: f64) -> Pressure {
    if percent >= CRITICAL_PERCENT {
        Pressure::Critical
    } else if percent >= WARNING_PERCENT {
        Pressure::Warning
    } else {
        Pressure::Ok
    }
}

impl Filesystem {
    /// One line.
    pub(super) fn line(&self) -> String {
        let inodes = if self.inodes_total == 0 {
            String::new()
        } else {
            format!(", inodes {} %", self.inodes_used_percent)
        };
        format!(
            "{} {} % of {} used, {} free{inodes} ({})",
            self.mount,
            self.used_percent,
            bytes(self.size_bytes),
            bytes(self.available_bytes),
            self.kind
        )
    }
}

impl DiskUsage {
    /// A line for each file system, at most ten.
    pub fn summary(&self) -> String {
        let mark = |f: &Filesystem| match f.pressure {
            Pressure::Ok => "",
            Pressure::Warning => "warning: ",
            Pressure::Critical => "critical: ",
        };
        let mut lines: Vec<String> =
            self.filesystems.iter().take(10).map(|f| format!("{}{}", mark(f), f.line())).collect();
        if self.filesystems.len() > 10 {
            lines.push(format!("and {} less full", self.filesystems.len() - 10));
        }
        if let Some(note) = &self.note {
            lines.push(format!("note: {note}"));
        }
        if lines.is_empty() { "no file system with data".to_owned() } else { lines.join("\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::super::reader::Output;
    use super::*;

    const HEAD: &str = "Filesystem Type Inodes IUsed 1B-blocks Used Avail Mounted on\n";

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default().with("df", answer(&sample("df.txt")));
        let disk = block_on(get_disk_usage(&fake)).unwrap();
        let mounts: Vec<&str> = disk.filesystems.iter().map(|f| f.mount.as_str()).collect();
        assert!(mounts.contains(&"/") && mounts.contains(&"/tmp") && mounts.contains(&"/run"), "{mounts:?}");
        assert!(!mounts.iter().any(|m| m.starts_with("/dev") || m.starts_with("/sys")), "{mounts:?}");
        let root = disk.filesystems.iter().find(|f| f.mount == "/").unwrap();
        assert_eq!((root.size_bytes, root.pressure), (270_553_174_016, Pressure::Ok));
        assert!((root.used_percent - 15.2).abs() < 0.05, "{}", root.used_percent);
    }

    #[test]
    fn full_and_odd_ones_are_seen() {
        let text = format!(
            "{HEAD}/dev/sda1 ext4 100 99 1000 500 500 /var\n//nas/my share cifs - - 1000 960 40 /mnt/with blank\n/dev/sdb xfs 0 0 10 0 10 /data\n\
             /dev/loop3 squashfs 10 10 10 10 0 /snap/x/1\n/dev/sda1 ext4 100 99 1000 500 500 /var/lib/bind/mount\n"
        );
        let disk = read(&text).unwrap();
        let shown: Vec<_> =
            disk.filesystems.iter().map(|f| (f.source.as_str(), f.mount.as_str(), f.pressure)).collect();
        assert_eq!(
            shown,
            [
                ("/dev/sda1", "/var", Pressure::Critical),
                ("//nas/my share", "/mnt/with blank", Pressure::Critical),
                ("/dev/sdb", "/data", Pressure::Ok)
            ]
        );
        assert!(
            disk.summary().starts_with("critical: /var 50 % of 1000 B used, 500 B free, inodes 99 % (ext4)"),
            "{}",
            disk.summary()
        );
    }

    #[test]
    fn a_mount_that_complains_hides_no_other() {
        let output = Output {
            stderr: b"df: /mnt: Transport endpoint is not connected".to_vec(),
            exit: Some(1),
            ..answer(&format!("{HEAD}/dev/a ext4 9 1 9 1 8 /\n"))
        };
        let disk = block_on(get_disk_usage(&Fake::default().with("df", output))).unwrap();
        assert_eq!(disk.filesystems.len(), 1);
        assert!(disk.note.unwrap().contains("Transport endpoint"));
    }

    #[test]
    fn broken_answers_do_no_harm() {
        assert!(read("").is_none() && read("nonsense\n").is_none());
        let whole = sample("df.txt");
        for cut in 0..whole.len() {
            read(&whole[..cut]);
        }
        let max = u64::MAX;
        let disk = read(&format!(
            "{HEAD}x ext4 {max} {max} {max} {max} {max} /\na b c d e f g h i j\n- - - - - - - -\n"
        ))
        .unwrap();
        assert_eq!(disk.filesystems.len(), 1);
    }
}
