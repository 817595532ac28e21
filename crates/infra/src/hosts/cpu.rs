//! Processors, from `lscpu -J`, and how much they are asked for.

use futures::future::join3;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ask::{Asker, lacking};
use super::hygiene::one_line;
use super::reader::{Failure, Reader};
use super::system;

/// Fields that are about caches.
const CACHES: [&str; 4] = ["L1d", "L1i", "L2", "L3"];

/// Processors and load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct CpuInfo {
    /// Model.
    pub model: String,
    /// Machine type, such as `x86_64`.
    pub architecture: String,
    /// Processors that are on: threads of cores.
    pub cpu_count: u32,
    /// Sockets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sockets: Option<u32>,
    /// Cores of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cores_per_socket: Option<u32>,
    /// Threads of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_per_core: Option<u32>,
    /// NUMA nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_nodes: Option<u32>,
    /// Highest clock rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_mhz: Option<f64>,
    /// Hypervisor, in a virtual machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// Caches as lscpu writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caches: Vec<String>,
    /// Known flaws that are not mitigated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vulnerable_to: Vec<String>,
    /// Processes that run or wait for the disk, on average of 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
    /// Share of the last 10 s in which something waited for a processor; absent where the kernel does not count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_percent_10s: Option<f64>,
    /// What could not be found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

#[derive(Deserialize)]
struct Lscpu {
    #[serde(default)]
    lscpu: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    field: String,
    #[serde(default)]
    data: Option<String>,
    // Since util-linux 2.37.
    #[serde(default)]
    children: Vec<Entry>,
}

/// Asks for processors and load.
pub async fn get_cpu_info(reader: &dyn Reader) -> Result<CpuInfo, Failure> {
    let asker = Asker::new(reader);
    let (cpu, load, pressure) = join3(
        asker.json::<Lscpu>(&["lscpu", "-J"]),
        system::load(&asker),
        asker.text(&["cat", "/proc/pressure/cpu"]),
    )
    .await;
    let mut info = read(&cpu?)?;
    match load {
        Ok(load) => info.load_average = load,
        Err(e) => info.errors.push(format!("/proc/loadavg: {e}")),
    }
    // Not every kernel counts it: then there is nothing to say.
    info.waiting_percent_10s = pressure.ok().and_then(|told| waiting(&told.text));
    Ok(info)
}

fn read(said: &Lscpu) -> Result<CpuInfo, Failure> {
    let mut pairs = Vec::new();
    flatten(&said.lscpu, &mut pairs);
    let get =
        |name: &str| pairs.iter().find(|(field, _)| *field == name).map(|(_, data)| one_line(data, 120));
    let number = |name: &str| get(name).and_then(|n| n.parse::<u32>().ok());
    let cpu_count = number("CPU(s)").ok_or_else(|| lacking("lscpu", "it names no CPU(s)"))?;
    let caches = pairs.iter().filter(|(field, _)| CACHES.iter().any(|cache| field.starts_with(cache)));
    let flaws = pairs.iter().filter(|(_, data)| data.starts_with("Vulnerable"));
    let mut vulnerable_to: Vec<String> =
        flaws.map(|(field, _)| one_line(field.trim_start_matches("Vulnerability "), 60)).collect();
    vulnerable_to.sort();
    vulnerable_to.dedup();
    Ok(CpuInfo {
        model: get("Model name").unwrap_or_default(),
        architecture: get("Architecture").unwrap_or_default(),
        cpu_count,
        sockets: number("Socket(s)"),
        cores_per_socket: number("Core(s) per socket"),
        threads_per_core: number("Thread(s) per core"),
        numa_nodes: number("NUMA node(s)"),
        max_mhz: get("CPU max MHz").and_then(|n| n.parse().ok()).filter(|n: &f64| n.is_finite()),
        hypervisor: get("Hypervisor vendor"),
        caches: caches.map(|(field, data)| one_line(&format!("{field} {data}"), 80)).take(8).collect(),
        vulnerable_to,
        ..CpuInfo::default()
    })
}

fn flatten<'a>(entries: &'a [Entry], into: &mut Vec<(&'a str, &'a str)>) {
    for entry in entries {
        into.push((entry.field.trim_end_matches(':'), entry.data.as_deref().unwrap_or_default()));
        flatten(&entry.children, into);
    }
}

/// `some avg10=1.23 …`
fn waiting(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|l| l.strip_prefix("some "))?;
    let number = some.split_whitespace().find_map(|w| w.strip_prefix("avg10="))?;
    number.parse().ok().filter(|n: &f64| n.is_finite())
}

impl CpuInfo {
    /// Two or three lines.
    pub fn summary(&self) -> String {
        let [one, five, fifteen] = self.load_average;
        let mut text = format!("{} processor(s): {} ({})", self.cpu_count, self.model, self.architecture);
        if let (Some(sockets), Some(cores), Some(threads)) =
            (self.sockets, self.cores_per_socket, self.threads_per_core)
        {
            text.push_str(&format!(", {sockets} socket(s) of {cores} core(s) of {threads} thread(s)"));
        }
        if let Some(hypervisor) = &self.hypervisor {
            text.push_str(&format!(", virtual ({hypervisor})"));
        }
        text.push_str(&format!("\nload {one} {five} {fifteen}"));
        if let Some(waiting) = self.waiting_percent_10s {
            text.push_str(&format!(", something waited for a processor {waiting} % of the last 10 s"));
        }
        if !self.vulnerable_to.is_empty() {
            text.push_str(&format!("\nnot mitigated: {}", self.vulnerable_to.join(", ")));
        }
        self.errors.iter().for_each(|e| text.push_str(&format!("\nnot known: {e}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::*;

    #[test]
    fn a_real_answer_is_read() {
        let fake = Fake::default()
            .with("lscpu -J", answer(&sample("lscpu.json")))
            .with("cat /proc/loadavg", answer("0.52 0.58 0.59 1/467 12345\n"))
            .with("cat /proc/pressure/cpu", answer("some avg10=2.50 avg60=0.00 avg300=0.00 total=1\n"));
        let cpu = block_on(get_cpu_info(&fake)).unwrap();
        assert_eq!((cpu.architecture.as_str(), cpu.cpu_count), ("x86_64", 2));
        assert!(!cpu.model.is_empty() && !cpu.caches.is_empty() && cpu.errors.is_empty(), "{cpu:?}");
        assert!((cpu.waiting_percent_10s.unwrap() - 2.5).abs() < 1e-9);
        assert!(cpu.summary().contains("load 0.52 0.58 0.59, something waited"), "{}", cpu.summary());
    }

    #[test]
    fn the_flat_list_of_old_versions_is_read() {
        let raw = r#"{"lscpu":[{"field":"CPU(s):","data":"4"},{"field":"Model name:","data":"Old \u001b[31mCPU"},
            {"field":"Vulnerability Meltdown:","data":"Vulnerable"},{"field":"Vulnerability L1tf:","data":"Not affected"}]}"#;
        let fake = Fake::default().with("lscpu", answer(raw));
        let cpu = block_on(get_cpu_info(&fake)).unwrap();
        assert_eq!((cpu.cpu_count, cpu.model.as_str()), (4, "Old CPU"));
        assert_eq!(cpu.vulnerable_to, ["Meltdown"]);
        assert_eq!(cpu.errors.len(), 1, "no load: {:?}", cpu.errors);
        assert!(cpu.summary().contains("not mitigated: Meltdown"));
    }

    #[test]
    fn broken_answers_are_errors() {
        for raw in ["", "[]", "{}", "{\"lscpu\":[{\"field\":\"CPU(s):\",\"data\":\"-1\"}]}", "{\"lscpu\":5}"]
        {
            let fake = Fake::default().with("lscpu", answer(raw));
            assert_eq!(block_on(get_cpu_info(&fake)).unwrap_err().code(), "unreadable_output", "{raw}");
        }
    }
}
