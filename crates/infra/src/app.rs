//! Where the parts meet: one value that holds the configuration, the policy, the store and the connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use policy::action::Actions;
use policy::{Catalogue, Judgement, Level};
use serde_json::{Value, json};

use crate::config::{Config, ConfigError, Host, Notify, Selector};
use crate::hosts::{Diagnosis, Failure, Output, Pages, Reader, Remedies, hygiene};
use crate::learning;
use crate::plugins::{Found, Plugins, toml_files};
use crate::ssh::{Account, Pool, SshError};
use crate::store::{Audit, Receipt, Store, StoreError, Subscription, now_ms};

/// Everything a tool call or a subcommand needs. Cheap to share; the database is opened when first used.
#[derive(Debug)]
pub struct App {
    config: Config,
    plugins: Plugins,
    actions: Actions,
    pool: Pool,
    store: OnceLock<Arc<Store>>,
    /// Held by the call that opens the store: the first ones may come together.
    opening: Mutex<()>,
    subscriptions: Vec<Subscription>,
    pages: Pages,
    /// By host: when it was last written that it answered, or that it did not, by the word for why.
    heard: Mutex<HashMap<String, (Instant, Option<&'static str>)>>,
}

/// How often it is written that a host still answers, or still does not.
const HEARD_AGAIN: Duration = Duration::from_secs(30);

impl App {
    /// Loads the plugins and actions beside the config; a wrong file is an error, never skipped.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let wrong =
            |e: &dyn std::fmt::Display| ConfigError { place: "catalogue".to_owned(), cause: e.to_string() };
        let plugins = Plugins::load(config.plugins_dir.as_deref())?;
        let actions =
            Actions::with_files(toml_files(config.actions_dir.as_deref())?).map_err(|e| wrong(&e))?;
        let pool = Pool::new(&config);
        let subscriptions = config.notify.iter().map(|n| {
            subscription(&config, n)
                .map_err(|cause| ConfigError::new(&n.place, format!("notify {}: {cause}", n.name)))
        });
        let subscriptions = subscriptions.collect::<Result<_, _>>()?;
        let (store, pages) = (OnceLock::new(), Pages::default());
        let heard = Mutex::default();
        let opening = Mutex::default();
        Ok(Self { config, plugins, actions, pool, store, opening, subscriptions, pages, heard })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The policy in force now; it may be another one at the next call.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.plugins.current()
    }

    /// Where the policy is read from.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// Looks whether the plugin folder has changed and, if so, records the new policy and puts it in force.
    ///
    /// A wrong file is recorded too, once, and changes nothing. Nothing changes without a record.
    pub async fn reload_plugins(&self) -> Result<(), StoreError> {
        match self.plugins.look() {
            Found::Same => {}
            Found::Wrong(cause) => {
                tracing::error!("the plugin folder is wrong, the policy in force stays: {cause}");
                self.audit(&Audit { event: "policy_refused", data: json!({ "cause": cause }) }).await?;
            }
            Found::Other(candidate) => {
                let (old, new) =
                    (self.catalogue().digest().to_owned(), candidate.catalogue.digest().to_owned());
                let data = json!({ "old": old, "new": new });
                self.audit(&Audit { event: "policy_changed", data }).await?;
                self.plugins.swap(*candidate);
                tracing::info!("the policy has changed: {old} is now {new}");
            }
        }
        Ok(())
    }

    /// The recovery actions.
    pub fn actions(&self) -> &Actions {
        &self.actions
    }

    /// The SSH connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What is left of long answers.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// The database, opened at the first call.
    pub fn store(&self) -> Result<&Arc<Store>, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let _alone = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let opened = Arc::new(Store::open(&self.config.state_dir)?);
        if let Some(migrated) = opened.migrated() {
            // It happens once, whichever subcommand comes first, and not all of them log.
            eprintln!("mcp-linux-infra: {migrated}");
        }
        // Whichever process changes a proposal, the change is told.
        if !self.subscriptions.is_empty() {
            opened.subscribe(&self.subscriptions)?;
        }
        Ok(self.store.get_or_init(|| opened))
    }

    /// Runs work on the store off the async threads.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = Arc::clone(self.store()?);
        let joined = tokio::task::spawn_blocking(move || work(&store)).await;
        joined.map_err(|e| StoreError::Unusable { place: "store".to_owned(), cause: e.to_string() })?
    }

    /// Records which proposals have ended; a program that has not used the database does not open it for that.
    pub async fn expire(&self) -> Result<(), StoreError> {
        if self.store.get().is_some() {
            self.blocking(Store::expire).await?;
        }
        Ok(())
    }

    /// Appends an audit record.
    pub async fn audit(&self, entry: &Audit<'_>) -> Result<Receipt, StoreError> {
        let (event, data) = (entry.event.to_owned(), entry.data.clone());
        self.blocking(move |store| store.audit(&Audit { event: &event, data })).await
    }

    /// A host that must be in the inventory.
    pub fn host(&self, name: &str) -> Result<&Host, String> {
        self.config.inventory.get(name).ok_or_else(|| {
            if let Some(notice) = self.config.empty_notice() {
                return notice.to_owned();
            }
            let names: Vec<_> = self.config.inventory.iter().take(20).map(|h| h.name.as_str()).collect();
            format!("{name:?} is not in the inventory; list_hosts shows all: {}", names.join(", "))
        })
    }

    /// Judges a line and, when the verdict is auto, runs it on the host as the reader. The verdict, the start and
    /// the end are recorded; without a record nothing is sent.
    pub async fn read(&self, host: &Host, line: &str, caller: &str) -> Result<Output, Failure> {
        let judged = self.catalogue().judge(line);
        let subject = json!({ "host": host.name, "account": "reader", "line": line, "verdict": judged.verdict, "form": judged.form, "caller": caller });
        if judged.verdict != Level::Auto {
            self.audit(&Audit { event: "blocked", data: with(subject, "reason", &judged.reason) })
                .await
                .map_err(|e| audit_failure(&e))?;
            if judged.verdict == Level::Blocked {
                self.learn(host, line, caller).await;
            }
            return Err(refusal(&judged));
        }
        let receipt =
            self.audit(&Audit { event: "command", data: subject }).await.map_err(|e| audit_failure(&e))?;
        let result = self.pool.exec(host, Account::Reader, line, None, &receipt).await;
        self.heard(host, result.as_ref().err()).await;
        let end = match &result {
            Ok(output) => {
                json!({ "command": receipt.seq(), "exit": output.exit, "bytes": output.stdout.len(), "truncated": output.truncated, "ms": output.ms })
            }
            Err(e) => json!({ "command": receipt.seq(), "error": e.code() }),
        };
        self.audit(&Audit { event: "command_end", data: end }).await.map_err(|e| audit_failure(&e))?;
        let output = result.map_err(Failure::from)?;
        Ok(Output {
            stdout: output.stdout,
            stderr: output.stderr,
            exit: output.exit,
            truncated: output.truncated,
            ms: output.ms,
        })
    }

    /// Remembers for people that a host has answered, or why not: written when that changes, and otherwise at most twice a minute for a
    /// host. A failure here is only logged: nothing hangs on it.
    pub async fn heard(&self, host: &Host, failure: Option<&SshError>) {
        // A command that took too long says nothing of its host.
        if matches!(failure, Some(SshError::TimedOut { .. })) {
            return;
        }
        let (name, code) = (host.name.to_string(), failure.map(SshError::code));
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.get(&name).is_some_and(|(at, had)| *had == code && at.elapsed() < HEARD_AGAIN) {
                return;
            }
            heard.insert(name.clone(), (Instant::now(), code));
        }
        let cause = failure.map(|e| hygiene::one_line(&e.to_string(), 300));
        let written = self
            .blocking(move |store| match cause {
                None => store.record_reached(&name, now_ms()),
                Some(cause) => store.record_failed(&name, &cause, now_ms()),
            })
            .await;
        if let Err(e) = written {
            tracing::warn!("whether a host answers was not kept: {e}");
        }
    }

    /// Keeps the worst of what a host said of itself, for the person who decides about a proposal. A failure here is only logged.
    pub async fn keep_diagnosis(&self, host: &Host, diagnosis: &Diagnosis) {
        let (name, data) = (host.name.to_string(), diagnosis.kept());
        match self.blocking(move |store| store.record_diagnosis(&name, &data, now_ms())).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!("the diagnosis of {} is too long to be kept", host.name),
            Err(e) => tracing::warn!("a diagnosis was not kept: {e}"),
        }
    }

    /// Counts a blocked line by its shape. The audit record stands already, so a failure here is only logged.
    async fn learn(&self, host: &Host, line: &str, caller: &str) {
        let seen = learning::seen(&self.catalogue(), line);
        let (host, caller) = (host.name.to_string(), caller.to_owned());
        let recorded = self
            .blocking(move |store| {
                let now = now_ms() / 1000;
                store.record_blocked(&seen.shape, &seen.command, &seen.example, &host, &caller, now)
            })
            .await;
        if let Err(e) = recorded {
            tracing::warn!("a blocked command was not counted: {e}");
        }
    }

    /// Which action mends what, from the actions' own files.
    pub fn remedies(&self) -> Remedies {
        let units =
            self.actions.iter().flat_map(|a| a.units.iter().map(|u| (u.clone(), a.name.clone()))).collect();
        let known = |name: &str| self.actions.get(name).map(|a| a.name.clone());
        Remedies { units, container: known("restart_container"), log_space: known("rotate_logs") }
    }

    /// A reader of one host, for the diagnostics.
    pub fn reader<'a>(&'a self, host: &'a Host, caller: &'a str) -> HostReader<'a> {
        HostReader { app: self, host, caller }
    }
}

/// What a `[[notify]]` wants to hear of.
fn subscription(config: &Config, entry: &Notify) -> Result<Subscription, String> {
    let hosts = match &entry.hosts {
        None => None,
        Some(text) => {
            let chosen = text.parse::<Selector>().map_err(|e| format!("hosts: {e}"))?;
            let hosts = chosen.select(&config.inventory).map_err(|e| format!("hosts: {e}"))?;
            Some(hosts.into_iter().map(|h| h.name.to_string()).collect())
        }
    };
    Subscription::parse(&entry.name, entry.events.as_deref(), entry.min_risk.as_deref(), hosts)
}

fn with(mut data: Value, key: &str, value: &str) -> Value {
    data[key] = Value::from(value);
    data
}

fn refusal(judged: &Judgement) -> Failure {
    let reason = if judged.verdict == Level::Manual {
        format!("{}; it needs a person's approval: use propose_pra_action with this command", judged.reason)
    } else {
        judged.reason.clone()
    };
    Failure::Blocked { reason }
}

fn audit_failure(e: &StoreError) -> Failure {
    Failure::Other { cause: format!("no audit record could be written, so nothing was run: {e}") }
}

impl From<SshError> for Failure {
    fn from(e: SshError) -> Self {
        let cause = e.to_string();
        match e {
            SshError::Unreachable { .. } => Self::Unreachable { cause },
            SshError::HostKey { .. } => Self::HostKey { cause },
            SshError::Login { .. } => Self::Login { cause },
            SshError::TimedOut { limit, .. } => Self::TimedOut { seconds: limit.as_secs() },
            SshError::Lost { .. } => Self::Other { cause },
        }
    }
}

/// Runs diagnostics on one host for one caller.
#[derive(Debug, Clone, Copy)]
pub struct HostReader<'a> {
    app: &'a App,
    host: &'a Host,
    caller: &'a str,
}

impl Reader for HostReader<'_> {
    fn run<'a>(&'a self, argv: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Failure>> {
        async move { self.app.read(self.host, &line_of(argv), self.caller).await }.boxed()
    }
}

/// A moment in UTC, to the second, from milliseconds since 1970.
pub fn utc(ms: i64) -> String {
    let days = ms.div_euclid(86_400_000);
    let second = ms.rem_euclid(86_400_000) / 1000;
    // Howard Hinnant's civil_from_days: proleptic Gregorian calendar.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Writes words as one line that the policy's lexer reads back as the same words.
pub fn line_of<S: AsRef<str>>(argv: &[S]) -> String {
    let plain =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:=,@+%".contains(&b));
    let quoted: Vec<String> = argv
        .iter()
        .map(AsRef::as_ref)
        .map(|w| if plain(w) { w.to_owned() } else { format!("'{}'", w.replace('\'', r"'\''")) })
        .collect();
    quoted.join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test stops at what it does not expect")]
    use super::*;

    #[test]
    fn words_survive_the_line() {
        let words = ["grep", "-i", "can't connect", "", "$x", "a\\b", "/var/log/syslog"];
        let line = line_of(&words);
        let back = policy::lex::lex(&line).unwrap();
        assert_eq!(back.iter().map(String::as_str).collect::<Vec<_>>(), words);
    }

    #[tokio::test]
    async fn a_change_of_the_policy_is_recorded_before_it_is_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let env = crate::config::Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let file = dir.path().join("c.toml");
        let plugins = dir.path().join("plugins.d");
        std::fs::create_dir(&plugins).unwrap();
        std::fs::write(&file, "state_dir = \"state\"\n").unwrap();
        let app = App::new(Config::load(Some(&file), &env).unwrap()).unwrap();
        let before = app.catalogue().digest().to_owned();
        let form = "name = \"local\"\ntitle = \"x\"\ncategory = \"local\"\n[[command]]\nname = \"frob\"\n[[command.form]]\n\
                    name = \"a\"\nlevel = \"auto\"\nexamples = [\"frob\"]\ncounter_examples = [\"frob x\"]\n";
        std::fs::write(plugins.join("local.toml"), form).unwrap();
        app.reload_plugins().await.unwrap();
        assert_eq!(app.catalogue().judge("frob").verdict, Level::Auto);
        std::fs::write(plugins.join("local.toml"), "name = 1").unwrap();
        app.reload_plugins().await.unwrap();
        app.reload_plugins().await.unwrap();
        assert_eq!(app.catalogue().judge("frob").verdict, Level::Auto);
        let events = app.store().unwrap().audit_tail(9).unwrap();
        assert_eq!(events.len(), 2, "{events:?}");
        assert!(events[0].contains("policy_changed") && events[0].contains(&before));
        assert!(events[1].contains("policy_refused") && events[1].contains("local.toml:1"));
        // No record, no change.
        std::fs::remove_file(plugins.join("local.toml")).unwrap();
        let database = rusqlite::Connection::open(app.store().unwrap().path()).unwrap();
        database.execute("UPDATE audit SET line = 'x' WHERE seq = 2", []).unwrap();
        app.reload_plugins().await.unwrap_err();
        assert_eq!(app.catalogue().judge("frob").verdict, Level::Auto);
    }

    #[tokio::test]
    async fn that_a_host_answers_is_written_when_it_changes_and_not_at_each_call() {
        let dir = tempfile::tempdir().unwrap();
        let env = crate::config::Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[[hosts]]\nname = \"web01\"\n").unwrap();
        let app = App::new(Config::load(Some(&file), &env).unwrap()).unwrap();
        let host = app.host("web01").unwrap();
        let lost = SshError::Lost { host: host.name.clone(), cause: "x\ny".repeat(500) };
        let slow = SshError::TimedOut { host: host.name.clone(), limit: Duration::from_secs(1) };
        let mut writes = 0;
        for failure in [None, None, Some(&slow), Some(&lost), Some(&lost), None] {
            let before = app.store().unwrap().changes().unwrap();
            app.heard(host, failure).await;
            writes += usize::from(app.store().unwrap().changes().unwrap() != before);
        }
        assert_eq!(writes, 3);
        let rows = app.store().unwrap().host_health().unwrap();
        assert!(rows[0].reached_ms.is_some() && rows[0].failure.as_ref().unwrap().len() < 350, "{rows:?}");
    }

    #[tokio::test]
    async fn a_blocked_line_is_counted_without_its_operands_and_a_manual_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let env = crate::config::Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[[hosts]]\nname = \"web01\"\n").unwrap();
        let app = App::new(Config::load(Some(&file), &env).unwrap()).unwrap();
        let host = app.host("web01").unwrap();
        for line in ["psql --password=hunter2 one", "psql --password=x two", "systemctl restart nginx"] {
            assert!(matches!(app.read(host, line, "me").await, Err(Failure::Blocked { .. })), "{line}");
        }
        let rows = app.store().unwrap().blocked_commands(1, 0, i64::MAX).unwrap();
        let [row] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.shape.as_str(), row.count), ("psql --password=WORD WORD", 2));
        assert_eq!(
            (row.hosts.as_slice(), row.callers.as_slice()),
            (&["web01".into()][..], &["me".into()][..])
        );
    }

    #[tokio::test]
    async fn a_counter_that_fails_neither_runs_the_line_nor_loses_the_refusal() {
        let dir = tempfile::tempdir().unwrap();
        let env = crate::config::Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[[hosts]]\nname = \"web01\"\n").unwrap();
        let app = App::new(Config::load(Some(&file), &env).unwrap()).unwrap();
        let host = app.host("web01").unwrap();
        let store = app.store().unwrap();
        store.break_learning();
        assert!(store.record_blocked("psql", "psql", "psql", "h", "c", 1).is_err(), "the counter fails");
        let refused = app.read(host, "psql --password=hunter2", "me").await;
        let Err(Failure::Blocked { reason }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("psql"), "{reason}");
        // The refusal stands in the audit chain, and nothing was announced or sent.
        let records = store.audit_tail(10).unwrap();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert!(record.contains("\"blocked\"") && !record.contains("command_end"), "{record}");
    }
}
