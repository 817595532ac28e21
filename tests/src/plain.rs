//! A program run plainly in a host: as the user `mcp-reader`, with the wrapper's environment, and without the wrapper.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Lab, Said, run};

/// How a host is entered.
#[derive(Debug)]
pub struct Plain {
    pid: String,
    environment: Vec<String>,
}

impl Plain {
    /// Finds the host's first process, and in a program that the wrapper has started the environment that it gives.
    pub fn new(lab: &Lab, host: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../lab/host.sh");
        let pid = run(Command::new(script).args(["pid", host]), b"").out.trim().to_owned();
        assert!(pid.parse::<u32>().is_ok(), "{host} is not up: {pid:?}");
        Self { pid, environment: environment(lab, host) }
    }

    /// Runs these words, the bare name first; without a shell, with `/` as folder and nothing to read.
    pub fn run(&self, argv: &[String]) -> Said {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid, "-a", "--", "setpriv", "--reuid=mcp-reader", "--regid=mcp-reader"]);
        command.args(["--init-groups", "env", "-i"]).args(&self.environment);
        command.args(["timeout", "--kill-after=1", "150"]).args(argv).stdin(std::process::Stdio::null());
        command.output().expect("nsenter starts").into()
    }
}

/// What a program under the wrapper has in its environment.
fn environment(lab: &Lab, host: &str) -> Vec<String> {
    let mut sleeper = lab.ssh("mcp-reader", host, &[]);
    sleeper.arg("sleep 10").stdin(std::process::Stdio::null());
    let mut sleeper = sleeper.spawn().expect("ssh starts");
    let started = Instant::now();
    let found = loop {
        let said = lab.root(host, "p=$(pgrep -x -u mcp-reader sleep) && tr '\\0' '\\n' < /proc/$p/environ");
        if said.exit == 0 && said.out.contains("PATH=") {
            break said.out;
        }
        if started.elapsed() > Duration::from_secs(9) {
            break String::new();
        }
    };
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    assert!(!found.is_empty(), "no program of the wrapper was seen");
    found.lines().map(str::to_owned).collect()
}
