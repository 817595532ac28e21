//! Memory, from /proc/meminfo.

use schemars::JsonSchema;
use serde::Serialize;

use super::ask::{Asker, lacking};
use super::reader::{Failure, Reader};
use super::units::{bytes, percent};

/// Memory and swap. `available` counts what the kernel can give back at once, so it is the number that matters.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MemoryInfo {
    /// All memory.
    pub total_bytes: u64,
    /// What programs can still get without swapping.
    pub available_bytes: u64,
    /// `total` without `available`.
    pub used_bytes: u64,
    /// Not used for anything, caches included.
    pub free_bytes: u64,
    /// Buffers and page cache.
    pub cache_bytes: u64,
    /// `used` of `total`.
    pub used_percent: f64,
    /// All swap.
    pub swap_total_bytes: u64,
    /// Used swap.
    pub swap_used_bytes: u64,
    /// `swap_used` of `swap_total`; 0 without swap.
    pub swap_used_percent: f64,
}

/// Asks for memory and swap.
pub async fn get_memory_info(reader: &dyn Reader) -> Result<MemoryInfo, Failure> {
    ask(&Asker::new(reader)).await
}

pub(super) async fn ask(asker: &Asker<'_>) -> Result<MemoryInfo, Failure> {
    read(&asker.text(&["cat", "/proc/meminfo"]).await?.text)
}

fn read(text: &str) -> Result<MemoryInfo, Failure> {
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let total_bytes = field("MemTotal")
        .filter(|n| *n > 0)
        .ok_or_else(|| lacking("cat", "/proc/meminfo has no MemTotal"))?;
    let free_bytes = field("MemFree").unwrap_or(0);
    let cache_bytes =
        ["Buffers", "Cached", "SReclaimable"].into_iter().filter_map(field).fold(0, u64::saturating_add);
    // Kernels before 3.14 name no MemAvailable.
    let available_bytes =
        field("MemAvailable").unwrap_or(free_bytes.saturating_add(cache_bytes)).min(total_bytes);
    let used_bytes = total_bytes - available_bytes;
    let swap_total_bytes = field("SwapTotal").unwrap_or(0);
    let swap_used_bytes = swap_total_bytes.saturating_sub(field("SwapFree").unwrap_or(swap_total_bytes));
    Ok(MemoryInfo {
        total_bytes,
        available_bytes,
        used_bytes,
        free_bytes,
        cache_bytes,
        used_percent: percent(used_bytes, total_bytes),
        swap_total_bytes,
        swap_used_bytes,
        swap_used_percent: percent(swap_used_bytes, swap_total_bytes),
    })
}

impl MemoryInfo {
    /// One or two lines.
    pub fn summary(&self) -> String {
        let swap = if self.swap_total_bytes == 0 {
            "no swap".to_owned()
        } else {
            format!(
                "swap {} of {} used ({} %)",
                bytes(self.swap_used_bytes),
                bytes(self.swap_total_bytes),
                self.swap_used_percent
            )
        };
        format!(
            "memory: {} available of {} ({} % used); {swap}",
            bytes(self.available_bytes),
            bytes(self.total_bytes),
            self.used_percent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default().with("cat /proc/meminfo", answer(&sample("meminfo.txt")));
        let memory = block_on(get_memory_info(&fake)).unwrap();
        assert_eq!(memory.total_bytes % 1024, 0);
        assert_eq!(memory.used_bytes + memory.available_bytes, memory.total_bytes);
        assert!(
            memory.summary().contains("GiB") && memory.summary().contains("no swap"),
            "{}",
            memory.summary()
        );
    }

    #[test]
    fn swap_and_old_kernels() {
        let memory = read("MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 50 kB\nSwapTotal: 400 kB\nSwapFree: 100 kB\n").unwrap();
        assert_eq!((memory.available_bytes, memory.swap_used_bytes), (200 * 1024, 300 * 1024));
        assert!((memory.swap_used_percent - 75.0).abs() < 1e-9);
    }

    #[test]
    fn broken_answers_are_errors() {
        let whole = sample("meminfo.txt");
        for text in [
            "",
            "MemTotal:",
            "MemTotal: kB",
            "MemTotal: -5 kB",
            "MemTotal: 0 kB",
            "MemTotal: 99999999999999999999 kB",
        ] {
            assert_eq!(read(text).unwrap_err().code(), "unreadable_output", "{text}");
        }
        for cut in 0..whole.len() {
            // Whatever is missing, the rest adds up.
            if let Ok(memory) = read(&whole[..cut]) {
                assert!(memory.used_bytes <= memory.total_bytes);
            }
        }
    }
}
