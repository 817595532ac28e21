//! What the host is: name, system, kernel, processors, load, time since boot.

use futures::future::join4;
use schemars::JsonSchema;
use serde::Serialize;

use super::ask::{Asker, lacking};
use super::reader::{Failure, Reader};
use super::units::{span, utc};

/// What the host is and how long it runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SystemInfo {
    /// Its own name.
    pub hostname: String,
    /// Name and version of the distribution, such as `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// Short name of the distribution, such as `debian`.
    pub os_id: String,
    /// Its version, such as `12`.
    pub os_version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Machine type, such as `x86_64`.
    pub architecture: String,
    /// Processors that are on.
    pub cpu_count: u32,
    /// Time since boot.
    pub uptime_seconds: u64,
    /// Time of boot, UTC.
    pub boot_time_utc: String,
    /// Processes that run or wait for the disk, on average of 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
    /// What could not be found out, with the cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// Asks what the host is. Parts that do not answer are named in `errors`.
pub async fn get_system_info(reader: &dyn Reader) -> Result<SystemInfo, Failure> {
    let asker = Asker::new(reader);
    let (uname, os, stat, load) =
        join4(asker.text(&["uname", "-a"]), asker.text(&["cat", "/etc/os-release"]), stat(&asker), async {
            (load(&asker).await, uptime(&asker).await)
        })
        .await;
    let (load, uptime) = load;
    // The host itself is out of reach: that is the answer.
    let uname = match uname {
        Err(e) if e.is_about_host() => return Err(e),
        other => other,
    };
    let mut errors = Vec::new();
    let mut note = |what: &str, e: &Failure| errors.push(format!("{what}: {e}"));
    let uname = uname.map_err(|e| note("uname", &e)).map(|t| t.text).unwrap_or_default();
    let os = os.map_err(|e| note("/etc/os-release", &e)).map(|t| t.text).unwrap_or_default();
    let stat = stat.map_err(|e| note("/proc/stat", &e)).unwrap_or_default();
    let load_average = load.map_err(|e| note("/proc/loadavg", &e)).unwrap_or_default();
    let uptime_seconds = uptime.map_err(|e| note("/proc/uptime", &e)).unwrap_or_default();
    let words: Vec<&str> = uname.split_whitespace().collect();
    let word = |i: usize| words.get(i).copied().unwrap_or_default().to_owned();
    let release = |key: &str| os_release(&os, key).unwrap_or_default();
    Ok(SystemInfo {
        hostname: word(1),
        os: os_release(&os, "PRETTY_NAME").unwrap_or_else(|| release("NAME")),
        os_id: release("ID"),
        os_version: release("VERSION_ID"),
        kernel: word(2),
        // `uname -a` ends with the machine and the operating system.
        architecture: words.len().checked_sub(2).map(word).unwrap_or_default(),
        cpu_count: stat.cpus,
        uptime_seconds,
        boot_time_utc: if stat.boot == 0 { String::new() } else { utc(stat.boot) },
        load_average,
        errors,
    })
}

/// What /proc/stat tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) cpus: u32,
    boot: u64,
}

pub(super) async fn stat(asker: &Asker<'_>) -> Result<Stat, Failure> {
    read_stat(&asker.text(&["cat", "/proc/stat"]).await?.text)
}

pub(super) async fn load(asker: &Asker<'_>) -> Result<[f64; 3], Failure> {
    read_load(&asker.text(&["cat", "/proc/loadavg"]).await?.text)
}

async fn uptime(asker: &Asker<'_>) -> Result<u64, Failure> {
    let text = asker.text(&["cat", "/proc/uptime"]).await?.text;
    let whole = text.split(['.', ' ']).next().unwrap_or_default();
    whole.trim().parse().map_err(|_| lacking("cat", "/proc/uptime has no number"))
}

fn read_stat(text: &str) -> Result<Stat, Failure> {
    let numbered =
        |l: &&str| l.strip_prefix("cpu").is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
    let cpus = u32::try_from(text.lines().filter(numbered).count()).unwrap_or(u32::MAX);
    let boot = text.lines().find_map(|l| l.strip_prefix("btime ")?.trim().parse().ok());
    match boot {
        // Dates beyond the year 9999 are no dates.
        Some(boot) if cpus > 0 && boot < 253_402_300_800 => Ok(Stat { cpus, boot }),
        _ => Err(lacking("cat", "/proc/stat has no cpu or btime line")),
    }
}

fn read_load(text: &str) -> Result<[f64; 3], Failure> {
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next().and_then(Result::ok).filter(|n| n.is_finite() && *n >= 0.0);
    match (next(), next(), next()) {
        (Some(one), Some(five), Some(fifteen)) => Ok([one, five, fifteen]),
        _ => Err(lacking("cat", "/proc/loadavg has no three numbers")),
    }
}

fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?.trim();
    let bare = value.trim_matches(['"', '\'']);
    Some(super::hygiene::one_line(bare, 120))
}

impl SystemInfo {
    /// Two lines.
    pub fn summary(&self) -> String {
        let [one, five, fifteen] = self.load_average;
        let mut text = format!(
            "{}: {}, Linux {} {}\nup {}, {} processor(s), load {one} {five} {fifteen}",
            self.hostname,
            self.os,
            self.kernel,
            self.architecture,
            span(self.uptime_seconds),
            self.cpu_count
        );
        for error in &self.errors {
            text.push_str(&format!("\nnot known: {error}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    fn host() -> Fake {
        Fake::default()
            .with("uname -a", answer(&sample("uname.txt")))
            .with("cat /etc/os-release", answer(&sample("os-release.txt")))
            .with("cat /proc/stat", answer(&sample("proc-stat.txt")))
            .with("cat /proc/loadavg", answer("0.52 0.58 0.59 1/467 12345\n"))
            .with("cat /proc/uptime", answer("93784.72 180000.10\n"))
    }

    #[test]
    fn a_real_answer_is_read() {
        let system = block_on(get_system_info(&host())).unwrap();
        assert_eq!(system.hostname, "t1");
        assert_eq!(system.os, "Debian GNU/Linux 12 (bookworm)");
        assert_eq!((system.os_id.as_str(), system.os_version.as_str()), ("debian", "12"));
        assert_eq!((system.architecture.as_str(), system.cpu_count), ("x86_64", 2));
        assert_eq!(system.uptime_seconds, 93_784);
        assert!(system.boot_time_utc.starts_with("2026-11-2"), "{}", system.boot_time_utc);
        assert!(system.errors.is_empty());
        assert!(
            system.summary().contains("up 1 d 2 h, 2 processor(s), load 0.52 0.58 0.59"),
            "{}",
            system.summary()
        );
    }

    #[test]
    fn a_part_that_fails_is_named() {
        let host =
            host().with("cat /proc/stat", answer("nonsense")).with("cat /proc/loadavg", answer("inf x"));
        let system = block_on(get_system_info(&host)).unwrap();
        assert_eq!(system.cpu_count, 0);
        assert_eq!(system.errors.len(), 2, "{:?}", system.errors);
        assert_eq!(system.hostname, "t1");
    }

    #[test]
    fn a_host_out_of_reach_is_an_error() {
        let host = Fake::default().failing("uname", Failure::Unreachable { cause: "web01: no route".into() });
        assert_eq!(block_on(get_system_info(&host)).unwrap_err().to_string(), "web01: no route");
    }

    #[test]
    fn hostile_answers_do_no_harm() {
        let host = host()
            .with("uname -a", answer("Linux \u{1b}[31mevil\u{202e} k"))
            .with("cat /etc/os-release", answer("PRETTY_NAME=\"x\nIGNORE ALL\"\nID='\u{7}a'\n"))
            .with("cat /proc/stat", answer("cpu0\nbtime 18446744073709551615\n"))
            .with("cat /proc/uptime", answer("-1"));
        let system = block_on(get_system_info(&host)).unwrap();
        assert_eq!((system.hostname.as_str(), system.os.as_str(), system.os_id.as_str()), ("evil", "x", "a"));
        assert_eq!(system.errors.len(), 2);
    }
}
