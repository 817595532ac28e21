//! Containers of podman and docker, and the end of their logs. The command of a container is never shown: its
//! arguments may hold passwords.

use futures::future::join;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Row;
use super::ask::Asker;
use super::hygiene::one_line;
use super::operand::{ContainerName, Since};
use super::reader::{Failure, Reader};
use super::units::utc;

/// Most lines of a container's log in one question.
const MAX_CONTAINER_LINES: u16 = 1000;
/// Lines when none are asked for.
const DEFAULT_LINES: u16 = 100;
/// A longer line is cut.
const LINE_CHARS: usize = 2000;

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum Runtime {
    /// Podman.
    Podman,
    /// Docker.
    Docker,
}

impl Runtime {
    fn program(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
        }
    }
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Container {
    /// What runs it.
    pub runtime: Runtime,
    /// Name.
    pub name: String,
    /// The first twelve digits of its id.
    pub id: String,
    /// Image.
    pub image: String,
    /// `running`, `exited`, `paused`, `restarting`…
    pub state: String,
    /// The same in words, with its health where it is checked.
    pub status: String,
    /// How it ended; absent while it runs, and from docker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Published ports.
    pub ports: Vec<String>,
    /// When it was made, UTC; as docker writes it.
    pub created: String,
}

/// Containers of all runtimes that answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containers {
    /// Those that do not run first.
    pub containers: Vec<Container>,
    /// Runtimes that answered.
    pub runtimes: Vec<Runtime>,
    /// Why one that is installed did not.
    pub errors: Vec<String>,
    /// Whether some are missing here.
    pub truncated: bool,
}

/// A row of `podman ps --format json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PodmanRow {
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    ports: Option<Vec<Published>>,
    #[serde(default)]
    created: Value,
}

#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    host_ip: String,
    #[serde(default)]
    container_port: u16,
    #[serde(default)]
    host_port: u16,
    #[serde(default)]
    protocol: String,
}

/// A line of `docker ps --format '{{json .}}'`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerRow {
    #[serde(default)]
    names: String,
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    ports: String,
    #[serde(default)]
    created_at: String,
}

/// Asks podman and docker. `Err` when neither is installed, or the host is out of reach.
pub async fn list_containers(reader: &dyn Reader) -> Result<Containers, Failure> {
    let asker = Asker::new(reader);
    let (podman, docker) = join(podman(&asker), docker(&asker)).await;
    let mut found =
        Containers { containers: Vec::new(), runtimes: Vec::new(), errors: Vec::new(), truncated: false };
    let mut missing = None;
    for (runtime, answer) in [(Runtime::Podman, podman), (Runtime::Docker, docker)] {
        match answer {
            Ok((containers, truncated)) => {
                found.runtimes.push(runtime);
                found.containers.extend(containers);
                found.truncated |= truncated;
            }
            Err(e @ Failure::Missing { .. }) => missing = Some(e),
            Err(e) if e.is_about_host() => return Err(e),
            Err(e) => found.errors.push(format!("{}: {e}", runtime.program())),
        }
    }
    if let (Some(missing), true, true) = (missing, found.runtimes.is_empty(), found.errors.is_empty()) {
        return Err(missing);
    }
    found.containers.sort_by(|a, b| (a.state == "running", &a.name).cmp(&(b.state == "running", &b.name)));
    Ok(found)
}

async fn podman(asker: &Asker<'_>) -> Result<(Vec<Container>, bool), Failure> {
    let rows: Vec<PodmanRow> = asker.json(&["podman", "ps", "--all", "--format", "json"]).await?;
    Ok((rows.into_iter().map(of_podman).collect(), false))
}

async fn docker(asker: &Asker<'_>) -> Result<(Vec<Container>, bool), Failure> {
    let told = asker.journal(&["docker", "ps", "-a", "--no-trunc", "--format", "{{json .}}"]).await?;
    let rows =
        told.values.into_iter().filter_map(|v| serde_json::from_value(v).ok()).map(|row| of_docker(&row));
    Ok((rows.collect(), told.truncated))
}

fn of_podman(row: PodmanRow) -> Container {
    let id: String = row.id.chars().take(12).collect();
    let name = row.names.and_then(|n| n.into_iter().next()).unwrap_or_else(|| id.clone());
    let state = row.state.to_lowercase();
    let ports = row.ports.unwrap_or_default();
    let created = row.created.as_u64().map(utc).unwrap_or_default();
    Container {
        runtime: Runtime::Podman,
        name: one_line(&name, 128),
        id: one_line(&id, 12),
        image: one_line(&row.image, 200),
        status: one_line(&row.status, 120),
        exit_code: row.exit_code.filter(|_| matches!(state.as_str(), "exited" | "stopped" | "dead")),
        ports: ports.iter().map(port).take(32).collect(),
        created,
        state: one_line(&state, 20),
    }
}

fn port(port: &Published) -> String {
    let host = if port.host_ip.is_empty() { "*" } else { &port.host_ip };
    one_line(&format!("{host}:{}->{}/{}", port.host_port, port.container_port, port.protocol), 80)
}

fn of_docker(row: &DockerRow) -> Container {
    let ports = row.ports.split(", ").filter(|p| !p.is_empty());
    let state = row.state.to_lowercase();
    Container {
        runtime: Runtime::Docker,
        name: one_line(row.names.split(',').next().unwrap_or_default(), 128),
        id: one_line(&row.id.chars().take(12).collect::<String>(), 12),
        image: one_line(&row.image, 200),
        exit_code: exit_in(&row.status).filter(|_| matches!(state.as_str(), "exited" | "dead")),
        status: one_line(&row.status, 120),
        ports: ports.map(|p| one_line(p, 80)).take(32).collect(),
        created: one_line(&row.created_at, 60),
        state: one_line(&state, 20),
    }
}

/// `Exited (137) 2 hours ago`
fn exit_in(status: &str) -> Option<i64> {
    status.split_once('(')?.1.split_once(')')?.0.parse().ok()
}

/// Which lines of a container's log.
#[derive(Debug, Clone)]
pub struct ContainerLogQuery {
    /// The container.
    pub container: ContainerName,
    /// Who runs it; podman and then docker when absent.
    pub runtime: Option<Runtime>,
    /// The newest so many, 1 to 1000.
    pub lines: Option<u16>,
    /// Only from here on.
    pub since: Option<Since>,
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = crate::hosts::words_alone)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ContainerLine {
    /// When it was written, as the runtime says.
    pub time: String,
    /// Where to.
    pub stream: Stream,
    /// The line.
    pub message: String,
}

/// The end of a container's log, the oldest line first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLogs {
    /// Who runs it.
    pub runtime: Runtime,
    /// The lines.
    pub lines: Vec<ContainerLine>,
    /// Whether lines that were asked for are missing.
    pub truncated: bool,
    /// Control and invisible characters that were removed.
    pub removed_controls: usize,
    /// Secrets that were replaced.
    pub redactions: usize,
}

/// Asks for the end of a container's log.
pub async fn get_container_logs(
    reader: &dyn Reader,
    query: &ContainerLogQuery,
) -> Result<ContainerLogs, Failure> {
    let count = query.lines.unwrap_or(DEFAULT_LINES);
    if !(1..=MAX_CONTAINER_LINES).contains(&count) {
        let value = count.to_string();
        return Err(Failure::BadOperand { what: "lines", value, cause: "ask for 1 to 1000" });
    }
    let asker = Asker::new(reader);
    let Some(runtime) = query.runtime else {
        return match logs(&asker, Runtime::Podman, query, count).await {
            // Not podman's: then docker's, whose answer counts unless there is no docker.
            Err(e @ (Failure::Missing { .. } | Failure::Failed { .. })) => {
                match logs(&asker, Runtime::Docker, query, count).await {
                    Err(Failure::Missing { .. }) => Err(e),
                    other => other,
                }
            }
            other => other,
        };
    };
    logs(&asker, runtime, query, count).await
}

async fn logs(
    asker: &Asker<'_>,
    runtime: Runtime,
    query: &ContainerLogQuery,
    count: u16,
) -> Result<ContainerLogs, Failure> {
    let count = count.to_string();
    let since = query.since.as_ref().map(Since::for_containers).transpose()?;
    let mut argv = vec![runtime.program(), "logs", "--tail", &count, "--timestamps"];
    if let Some(since) = &since {
        argv.extend(["--since", since]);
    }
    argv.push(query.container.as_str());
    let streams = asker.streams(&argv, &[]).await?;
    let mut lines = Vec::new();
    for (stream, text) in [(Stream::Stdout, &streams.stdout), (Stream::Stderr, &streams.stderr)] {
        lines.extend(text.lines().filter(|l| !l.trim().is_empty()).map(|l| line(stream, l)));
    }
    // The sort is stable: lines without a time stay where they are in theirs.
    lines.sort_by(|a: &ContainerLine, b| a.time.cmp(&b.time));
    let counts = asker.counts();
    Ok(ContainerLogs {
        runtime,
        lines,
        truncated: streams.truncated,
        removed_controls: counts.removed_controls,
        redactions: counts.redactions,
    })
}

/// `2026-11-24T04:33:51.123456789Z message`
fn line(stream: Stream, text: &str) -> ContainerLine {
    let is_time = |w: &str| w.len() >= 20 && w.as_bytes()[10] == b'T' && w.as_bytes()[0].is_ascii_digit();
    let (time, message) = match text.split_once(' ') {
        Some((time, message)) if is_time(time) => (time, message),
        _ if is_time(text) => (text, ""),
        _ => ("", text),
    };
    ContainerLine { time: one_line(time, 40), stream, message: one_line(message, LINE_CHARS) }
}

impl Row for Container {
    fn line(&self) -> String {
        let mut line = format!(
            "{} {} ({}) {}: {}",
            self.runtime.program(),
            self.name,
            self.image,
            self.state,
            self.status
        );
        if let Some(code) = self.exit_code {
            line.push_str(&format!(", exit {code}"));
        }
        if !self.ports.is_empty() {
            line.push_str(&format!(", {}", self.ports.join(" ")));
        }
        line
    }
}

impl Row for ContainerLine {
    fn line(&self) -> String {
        let mark = if self.stream == Stream::Stderr { "[stderr] " } else { "" };
        let clock = self.time.get(11..19).unwrap_or("?");
        format!("{clock} {mark}{}", self.message)
    }
}

impl Containers {
    /// One line, and one for each runtime that did not answer.
    pub fn head(&self) -> String {
        let running = self.containers.iter().filter(|c| c.state == "running").count();
        let mut text = format!("{} containers, {running} running", self.containers.len());
        self.errors.iter().for_each(|e| text.push_str(&format!("\nnot known: {e}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, answer, block_on, sample};
    use super::super::reader::Output;
    use super::*;

    const DOCKER: &str = concat!(
        r#"{"Command":"\"run --password hunter2\"","CreatedAt":"2026-11-24 04:33:51 +0000 UTC","ID":"0123456789abcdef","Image":"nginx:1","Names":"web,alias","Ports":"0.0.0.0:80->80/tcp, [::]:80->80/tcp","State":"running","Status":"Up 2 hours (healthy)"}"#,
        "\n",
        r#"{"ID":"ff","Names":"db","State":"exited","Status":"Exited (137) 2 minutes ago"}"#,
        "\nnot json\n"
    );

    fn logs_of(fake: &Fake, runtime: Option<Runtime>) -> Result<ContainerLogs, Failure> {
        let query = ContainerLogQuery {
            container: "web".parse().unwrap(),
            runtime,
            lines: None,
            since: Some("2h".parse().unwrap()),
        };
        block_on(get_container_logs(fake, &query))
    }

    #[test]
    fn both_runtimes_stand_in_one_list() {
        let fake = Fake::default()
            .with("podman ps", answer(&sample("podman-ps.json")))
            .with("docker ps", answer(DOCKER));
        let found = block_on(list_containers(&fake)).unwrap();
        assert_eq!(found.runtimes, [Runtime::Podman, Runtime::Docker]);
        let lines: Vec<String> = found.containers.iter().map(Row::line).collect();
        assert_eq!(
            lines,
            [
                "docker db () exited: Exited (137) 2 minutes ago, exit 137",
                "podman lab-web (localhost/lab-web:1) running: Up 6 minutes ago, *:8080->8080/tcp",
                "docker web (nginx:1) running: Up 2 hours (healthy), 0.0.0.0:80->80/tcp [::]:80->80/tcp"
            ]
        );
        assert!(found.truncated, "a line was no JSON");
        let all = serde_json::to_string(&found.containers).unwrap();
        assert!(!all.contains("hunter2") && !all.contains("httpd"), "no command: {all}");
        assert_eq!(found.containers[1].created, "2026-11-24T04:39:54Z");
    }

    #[test]
    fn a_runtime_that_does_not_answer_is_named() {
        let denied = Output { exit: Some(125), stderr: b"permission denied".to_vec(), ..answer("") };
        let fake = Fake::default().with("podman", denied).with("docker ps", answer(""));
        let found = block_on(list_containers(&fake)).unwrap();
        assert!(found.containers.is_empty() && found.errors[0].contains("permission denied"), "{found:?}");
        assert!(found.head().contains("not known: podman"), "{}", found.head());
        assert_eq!(block_on(list_containers(&Fake::default())).unwrap_err().code(), "program_missing");
    }

    #[test]
    fn both_streams_of_a_log_are_in_the_order_of_time() {
        let output = Output {
            stdout: b"2026-11-24T04:33:51.1Z first\n2026-11-24T04:33:53.1Z password=hunter2\n".to_vec(),
            stderr: b"2026-11-24T04:33:52.1Z \x1b[31msecond\n".to_vec(),
            ..answer("")
        };
        let fake = Fake::default().with("podman logs", output);
        let logs = logs_of(&fake, None).unwrap();
        let lines: Vec<String> = logs.lines.iter().map(Row::line).collect();
        assert_eq!(lines, ["04:33:51 first", "04:33:52 [stderr] second", "04:33:53 password=[redacted]"]);
        assert_eq!((logs.removed_controls, logs.redactions), (1, 1));
        assert_eq!(fake.asked(), ["podman logs --tail 100 --timestamps --since 2h web"]);
    }

    #[test]
    fn docker_is_asked_when_podman_does_not_know_it() {
        let unknown = Output { exit: Some(125), stderr: b"no such container".to_vec(), ..answer("") };
        let fake = Fake::default().with("podman", unknown.clone()).with("docker logs", answer("no time\n"));
        assert_eq!(logs_of(&fake, None).unwrap().lines[0].message, "no time");
        let only = Fake::default().with("podman", unknown.clone());
        assert!(logs_of(&only, None).unwrap_err().to_string().contains("no such container"));
        assert_eq!(logs_of(&only, Some(Runtime::Docker)).unwrap_err().code(), "program_missing");
        let lost = Fake::default().with("podman", Output { exit: None, ..unknown });
        assert_eq!(logs_of(&lost, None).unwrap_err().code(), "exit_unknown");
    }
}
