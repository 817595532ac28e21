//! The demo's `systemctl`: it plays systemd for one service, `demo-dns.service`, a real process that answers DNS
//! questions on a loopback port. Only the subcommands that the diagnostics and the demo's action use.

use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// The service.
pub const UNIT: &str = "demo-dns.service";

/// Runs `systemctl ARGS` for the target root.
pub fn run(root: &Path, arguments: &[String]) -> u8 {
    let service = Service { root: root.to_path_buf() };
    let mut words = arguments.iter().filter(|a| !a.starts_with('-')).map(String::as_str);
    let option = |name: &str| {
        arguments.iter().find_map(|a| a.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
    };
    let flag = |name: &str| arguments.iter().any(|a| a == name);
    let verb = words.next().unwrap_or("list-units");
    let units: Vec<&str> = words.collect();
    if let Some(unknown) = units.iter().find(|u| !names(u, UNIT)) {
        if verb == "show" {
            print!(
                "{}",
                render(
                    &[
                        ("Id", (*unknown).to_owned()),
                        ("LoadState", "not-found".to_owned()),
                        ("ActiveState", "inactive".to_owned())
                    ],
                    option("--property"),
                    flag("--value")
                )
            );
            return 0;
        }
        eprintln!("Unit {unknown} could not be found.");
        return 4;
    }
    match verb {
        "is-active" => {
            println!("{}", service.active_state());
            if service.pid().is_some() { 0 } else { 3 }
        }
        "is-enabled" => {
            println!("enabled");
            0
        }
        "show" => {
            print!("{}", render(&service.properties(), option("--property"), flag("--value")));
            0
        }
        "status" => {
            println!("{UNIT} - demo DNS service\n     Active: {}", service.active_state());
            if service.pid().is_some() { 0 } else { 3 }
        }
        "list-units" => {
            let (active, sub) = (service.active_state(), service.sub_state());
            let wanted = option("--state").is_none_or(|s| s.split(',').any(|w| w == active || w == sub));
            let failed_only = flag("--failed");
            let row = if flag("--output=json") || option("--output") == Some("json") {
                format!(
                    "{{\"unit\":\"{UNIT}\",\"load\":\"loaded\",\"active\":\"{active}\",\"sub\":\"{sub}\",\"description\":\"Demo DNS service\"}}"
                )
            } else {
                format!("{UNIT} loaded {active} {sub} Demo DNS service")
            };
            let row = if wanted && !failed_only { row } else { String::new() };
            if option("--output") == Some("json") {
                println!("[{row}]");
            } else {
                println!("{row}");
            }
            0
        }
        "list-unit-files" => {
            if option("--output") == Some("json") {
                println!("[{{\"unit_file\":\"{UNIT}\",\"state\":\"enabled\",\"preset\":\"enabled\"}}]");
            } else {
                println!("{UNIT} enabled enabled");
            }
            0
        }
        "start" => service.start(),
        "stop" => {
            service.stop();
            0
        }
        "restart" => {
            service.stop();
            service.start()
        }
        other => {
            eprintln!("The demo's systemctl does not know {other}.");
            1
        }
    }
}

/// Ends the service of a root, if it runs.
pub fn stop_all(root: &Path) {
    Service { root: root.to_path_buf() }.stop();
}

/// Whether the service of a root runs.
pub fn is_running(root: &Path) -> bool {
    Service { root: root.to_path_buf() }.pid().is_some()
}

/// A unit may be named without its suffix, as systemctl allows.
fn names(given: &str, unit: &str) -> bool {
    given == unit || unit.strip_suffix(".service") == Some(given)
}

fn render(properties: &[(&str, String)], wanted: Option<&str>, values: bool) -> String {
    let wanted: Option<Vec<&str>> = wanted.map(|w| w.split(',').collect());
    let keep = |key: &str| wanted.as_ref().is_none_or(|w| w.contains(&key));
    properties
        .iter()
        .filter(|(key, _)| keep(key))
        .map(|(key, value)| if values { format!("{value}\n") } else { format!("{key}={value}\n") })
        .collect()
}

struct Service {
    root: PathBuf,
}

impl Service {
    fn pid_file(&self) -> PathBuf {
        self.root.join("run/demo-dns.pid")
    }

    /// The service's process, if it is really ours.
    fn pid(&self) -> Option<i32> {
        let pid: i32 = std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let root = self.root.as_os_str().as_encoded_bytes();
        command.windows(root.len()).any(|w| w == root).then_some(pid)
    }

    fn active_state(&self) -> &'static str {
        if self.pid().is_some() { "active" } else { "inactive" }
    }

    fn sub_state(&self) -> &'static str {
        if self.pid().is_some() { "running" } else { "dead" }
    }

    fn properties(&self) -> Vec<(&'static str, String)> {
        let pid = self.pid();
        vec![
            ("Id", UNIT.to_owned()),
            ("Names", UNIT.to_owned()),
            ("Type", "simple".to_owned()),
            ("Description", "Demo DNS service".to_owned()),
            ("LoadState", "loaded".to_owned()),
            ("ActiveState", self.active_state().to_owned()),
            ("SubState", self.sub_state().to_owned()),
            ("UnitFileState", "enabled".to_owned()),
            ("Result", "success".to_owned()),
            ("ExecMainStatus", "0".to_owned()),
            ("NRestarts", "0".to_owned()),
            ("MainPID", pid.unwrap_or(0).to_string()),
        ]
    }

    fn start(&self) -> u8 {
        if self.pid().is_some() {
            return 0;
        }
        let Ok(program) = std::env::current_exe() else { return 1 };
        let spawned = Command::new(program)
            .args(["demo-target", "dns"])
            .arg(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let Ok(child) = spawned else { return 1 };
        match std::fs::write(self.pid_file(), child.id().to_string()) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    }

    fn stop(&self) {
        if let Some(pid) = self.pid().and_then(rustix::process::Pid::from_raw) {
            // It may end by itself between the look and the signal.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            for _ in 0..100 {
                if self.pid().is_none() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = std::fs::remove_file(self.pid_file());
    }
}

const DAY: Duration = Duration::from_hours(24);

/// The service itself: answers each DNS question with an empty answer, until it is stopped or its root is gone.
pub fn serve_dns(root: &Path) -> u8 {
    let Ok(socket) = UdpSocket::bind(("127.0.0.1", 0)) else { return 1 };
    if socket.set_read_timeout(Some(Duration::from_millis(500))).is_err() {
        return 1;
    }
    // An end of its own, should nobody stop it.
    let until = SystemTime::now() + DAY;
    let mut packet = [0_u8; 512];
    while root.is_dir() && SystemTime::now() < until {
        if let Ok((size, peer)) = socket.recv_from(&mut packet)
            && size >= 12
        {
            packet[2] |= 0x80;
            // The asker repeats a lost answer.
            let _ = socket.send_to(&packet[..size], peer);
        }
    }
    0
}
