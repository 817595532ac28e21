//! What the demo shows, step by step.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use super::client::Client;
use super::place::{HOST, Place};
use super::ssh::Server;
use super::systemctl;
use crate::app::App;
use crate::config::{Config, Environment};
use crate::ssh::Account;
use crate::store::Audit;

/// Runs the demo; with `keep` it leaves the target up and says how to use it.
pub async fn run(keep: bool) -> anyhow::Result<()> {
    let started = Instant::now();
    let show = Show { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    let place = Place::make(keep)?;
    let user = user_name()?;
    show.title("mcp-linux-infra: an assistant looks, a person decides");
    let server = Server::start(&place, &user).await?;
    show.note(&format!(
        "target {HOST}: {} on 127.0.0.1:{}, systemd played for one small DNS service",
        server.what, server.port
    ));
    let config = place.write_config(server.port, &user)?;
    let story = Story { place: &place, show: &show, config: config.clone() };
    // Ctrl-C ends the story, not the cleaning up.
    let told = tokio::select! {
        told = story.tell() => told,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    if keep && told.is_ok() {
        show.keep(&place, &config, &server);
        // The target stays until the person ends it.
        tokio::signal::ctrl_c().await?;
        systemctl::stop_all(&place.root());
        std::fs::remove_dir_all(&place.dir)?;
    }
    server.stop().await;
    told?;
    show.title(&format!("Done in {:.1} s; nothing is left behind.", started.elapsed().as_secs_f64()));
    Ok(())
}

struct Story<'a> {
    place: &'a Place,
    show: &'a Show,
    config: PathBuf,
}

impl Story<'_> {
    async fn tell(&self) -> anyhow::Result<()> {
        let show = self.show;
        let mut client = Client::start(&self.place.program, &self.config).await?;
        show.step(1, "The assistant connects over MCP and looks for what is wrong");
        let listed = client.request("tools/list", json!({})).await?;
        let tools = listed["tools"].as_array().map_or(0, Vec::len);
        show.note(&format!("{tools} tools; none of them approves anything"));
        let diagnosis = client
            .call("diagnose_system", json!({ "host": HOST, "checks": ["services", "memory", "disk"] }))
            .await?;
        show.answer(&diagnosis);
        ensure!(
            text(&diagnosis).contains("restart_demo_dns"),
            "the diagnosis did not find the stopped service"
        );

        show.step(2, "It tries to mend it by itself: the target's policy says no");
        show.answer(
            &client
                .call("execute_ssh_command", json!({ "host": HOST, "command": "systemctl start demo-dns" }))
                .await?,
        );

        show.step(3, "It proposes the recovery, and executing without a signature is refused");
        let proposed = client
            .call("propose_pra_action", json!({ "host": HOST, "action": "restart_demo_dns", "rationale": "demo-dns.service is enabled but stopped: names do not resolve." }))
            .await?;
        show.answer(&proposed);
        let id =
            proposed["structuredContent"]["proposal"]["id"].as_str().context("no proposal id")?.to_owned();
        let execute = json!({ "host": HOST, "action": "restart_demo_dns", "approval_token": id });
        let refused = client.call("execute_pra_action", execute.clone()).await?;
        show.answer(&refused);
        ensure!(
            refused["structuredContent"]["error"]["code"] == "approval_required",
            "an unsigned action was not refused"
        );
        ensure!(!self.service_runs(), "an unsigned action ran");

        show.step(
            4,
            "A person reviews the exact bytes and signs them with a key that the server does not have",
        );
        self.own(&["approve", &id, "--key", "alice.key", "--yes"]).await?;

        show.step(5, "Now it runs: the target checks the signature, runs the action once, verifies");
        let executed = client.call("execute_pra_action", execute).await?;
        show.answer(&executed);
        ensure!(executed["isError"] != true && self.service_runs(), "the approved action did not run");
        show.answer(&client.call("verify_service", json!({ "host": HOST, "service": "demo-dns" })).await?);
        client.end().await?;

        show.step(
            6,
            "Every step is on record, here and on the target, each record chained to the one before",
        );
        self.own(&["audit", "tail", "-n", "6"]).await?;
        self.own(&["audit", "verify"]).await?;
        self.own(&["audit", "verify", "--file", "target/var/log/pra-run.log"]).await?;

        show.step(
            7,
            "Somebody steals the server's disk with both SSH keys and replays the grant: the target refuses",
        );
        self.replay(&id).await
    }

    fn service_runs(&self) -> bool {
        systemctl::is_running(&self.place.root())
    }

    /// Runs one of this program's own subcommands, as the person would, and shows what it prints.
    async fn own(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.show.command(arguments);
        let output = Command::new(&self.place.program)
            .arg("--config")
            .arg(&self.config)
            .args(arguments)
            .current_dir(&self.place.dir)
            .stdin(Stdio::null())
            .output()
            .await?;
        Show::text(&String::from_utf8_lossy(&output.stdout));
        ensure!(
            output.status.success(),
            "{} failed: {}",
            arguments[0],
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    async fn replay(&self, id: &str) -> anyhow::Result<()> {
        let app = App::new(Config::load(Some(&self.config), &Environment::of_process())?)?;
        let proposal = app.store()?.proposal(id)?;
        let armors: Vec<&[u8]> = proposal.signatures.iter().map(|s| s.armor.as_bytes()).collect();
        let grant = session::envelope::join(proposal.statement.as_deref().unwrap_or_default(), &armors);
        let host = app.host(HOST).map_err(anyhow::Error::msg)?;
        let receipt = app.audit(&Audit { event: "demo_replay", data: json!({ "proposal": id }) }).await?;
        let output = app.pool().exec(host, Account::Runner, "grant", Some(&grant), &receipt).await?;
        let result: Value = serde_json::from_slice(&output.stdout).context("the target gave no result")?;
        Show::text(&format!(
            "exit {:?}: {} ({})",
            output.exit.unwrap_or(-1),
            result["code"].as_str().unwrap_or("?"),
            result["message"].as_str().unwrap_or_default()
        ));
        ensure!(result["code"] == "nonce_seen", "a replayed grant was not refused");
        Ok(())
    }
}

/// Name of the calling user, from the user database.
fn user_name() -> anyhow::Result<String> {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    // A directory service may know the user where the file does not; the environment then names it.
    name.or_else(|| std::env::var("USER").ok()).context("who are you? set $USER")
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

/// What the person sees.
struct Show {
    colour: bool,
}

impl Show {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }
    fn step(&self, number: u8, text: &str) {
        println!("\n{}", self.paint("1;36", &format!("{number}. {text}")));
    }
    fn note(&self, text: &str) {
        println!("   {}", self.paint("2", text));
    }
    fn command(&self, arguments: &[&str]) {
        println!("   {}", self.paint("33", &format!("$ mcp-linux-infra {}", arguments.join(" "))));
    }
    fn text(text: &str) {
        for line in text.trim_end().lines() {
            println!("   {line}");
        }
    }
    fn answer(&self, result: &Value) {
        let refused = result["isError"] == true;
        for line in text(result).trim_end().lines() {
            println!("   {}", if refused { self.paint("31", line) } else { line.to_owned() });
        }
    }
    fn keep(&self, place: &Place, config: &Path, server: &Server) {
        self.title("The target stays up. Paste this into your MCP client's configuration:");
        let snippet = json!({ "mcpServers": { "linux-infra": { "command": place.program, "args": ["--config", config, "serve"] } } });
        println!("{}", serde_json::to_string_pretty(&snippet).unwrap_or_default());
        self.note(&format!(
            "approve with: {} --config {} approve ID --key {}",
            place.program.display(),
            config.display(),
            place.path("alice.key").display()
        ));
        if let Some(pid) = server.pid() {
            self.note(&format!("sshd is process {pid}"));
        }
        self.note("Ctrl-C ends it and removes everything.");
    }
}
