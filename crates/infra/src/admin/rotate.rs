//! `keys rotate`: a new key for an account, on every host, without a moment at which a host takes neither.
//!
//! New key beside the old on each host, login with it verified; the server's file switched; old key taken away from each host, and its
//! refusal verified. A host that cannot be done stays behind with the old key, which the server goes on to offer there.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

use super::rotation::{Rotation, Step};
use super::{Bundle, Channel};
use crate::config::Host;
use crate::doctor::{FOR_A_SHELL, refused_by};
use crate::ssh::{Account, SshError};
use crate::store::Audit;

/// What a rotation asks of hosts, by name.
pub(super) trait Targets: Sync {
    /// Puts a public key beside those that are there; it gets the options of another that stands there.
    fn add<'a>(&'a self, host: &'a str, public: &'a str, like: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// Whether a login with the key in this file works.
    fn takes<'a>(&'a self, host: &'a str, key: &'a Path) -> BoxFuture<'a, Result<bool, String>>;
    /// Takes a key away.
    fn remove<'a>(&'a self, host: &'a str, fingerprint: &'a str) -> BoxFuture<'a, Result<(), String>>;
    /// Writes a step down before it is taken; without that it is not taken.
    fn record(&self, data: Value) -> BoxFuture<'_, Result<(), String>>;
}

/// One host of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub host: String,
    /// How far it is.
    pub step: Step,
    /// Why it is no further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of one key.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The key's file.
    pub key: String,
    /// Fingerprint of the old key.
    pub old: String,
    /// Fingerprint of the new key.
    pub new: String,
    /// Whether the server logs in with the new key.
    pub switched: bool,
    /// Whether every host is done, and the old key gone.
    pub done: bool,
    /// The hosts.
    pub hosts: Vec<Row>,
}

/// Rotates the key in this file on its hosts, or goes on; `Ok(None)` when there is nothing to go on with.
pub async fn rotate(
    channel: &Channel<'_>,
    account: Account,
    key: &Path,
    hosts: &[&Host],
    options: &[&str],
    resume: bool,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Option<Outcome>, String> {
    let names: Vec<&str> = hosts.iter().map(|h| h.name.as_str()).collect();
    let Some(rotation) = Rotation::open(key, word(account), &names, resume)? else { return Ok(None) };
    let fleet = Fleet { channel, account, options };
    let at_once = channel.app().config().limits.fleet_concurrency;
    carry_on(&fleet, rotation, key, at_once, say).await.map(Some)
}

/// Everything behind the making of the new key.
pub(super) async fn carry_on(
    targets: &dyn Targets,
    rotation: Rotation,
    key: &Path,
    at_once: usize,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Outcome, String> {
    let work = Work { targets, rotation: Mutex::new(rotation), errors: Mutex::default(), say };
    let (old, new) = work.with(|r| (r.state.old.clone(), r.state.new.clone()));
    targets.record(json!({ "step": "begun", "old": old, "new": new })).await?;
    say(&format!("the new key is {new}; {} takes its place from {old}", key.display()));
    work.on_hosts(at_once, |step| step < Step::Verified, |host| work.bring(host)).await;
    if work.with(|r| r.state.hosts.values().any(|s| *s >= Step::Verified)) {
        if !work.with(|r| r.switched())? {
            targets.record(json!({ "step": "switched", "new": new })).await?;
        }
        work.with(|r| r.switch())?;
        say(&format!("{} is the new key", key.display()));
        work.on_hosts(
            at_once,
            |step| matches!(step, Step::Verified | Step::Removed),
            |host| work.retire(host),
        )
        .await;
    }
    let Work { rotation, errors, .. } = work;
    let rotation = rotation.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    let row =
        |(host, step): (&String, &Step)| Row { host: host.clone(), step: *step, error: errors.remove(host) };
    let hosts = rotation.state.hosts.iter().map(row).collect();
    let (switched, done) = (rotation.switched()?, rotation.done());
    if done {
        targets.record(json!({ "step": "done", "old": old, "new": new })).await?;
        rotation.finish()?;
    }
    Ok(Outcome { key: key.display().to_string(), old, new, switched, done, hosts })
}

struct Work<'a> {
    targets: &'a dyn Targets,
    rotation: Mutex<Rotation>,
    errors: Mutex<std::collections::BTreeMap<String, String>>,
    say: &'a (dyn Fn(&str) + Sync),
}

impl Work<'_> {
    fn with<T>(&self, look: impl FnOnce(&mut Rotation) -> T) -> T {
        look(&mut self.rotation.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does the work on the hosts that are at such a step; one that fails stays where it is.
    async fn on_hosts<'s, F>(
        &'s self,
        at_once: usize,
        at: impl Fn(Step) -> bool,
        work: impl Fn(String) -> F + 's,
    ) where
        F: Future<Output = Result<(), String>> + 's,
    {
        let chosen: Vec<String> = self
            .with(|r| r.state.hosts.iter().filter(|(_, step)| at(**step)).map(|(h, _)| h.clone()).collect());
        let jobs: Vec<_> = chosen
            .into_iter()
            .map(|host| {
                let job = work(host.clone());
                async move {
                    if let Err(cause) = job.await {
                        (self.say)(&format!("{host}: {cause}"));
                        self.errors.lock().unwrap_or_else(PoisonError::into_inner).insert(host, cause);
                    }
                }
            })
            .collect();
        futures::stream::iter(jobs).buffer_unordered(at_once.max(1)).collect::<Vec<()>>().await;
    }

    fn note(&self, host: &str, step: Step, words: &str) -> Result<(), String> {
        self.with(|r| r.note(host, step))?;
        (self.say)(&format!("{host}: {words}"));
        Ok(())
    }

    /// The new key beside the old, and verified.
    async fn bring(&self, host: String) -> Result<(), String> {
        let (line, old) = self.with(|r| (r.state.line.clone(), r.state.old.clone()));
        self.targets.add(&host, &line, &old).await?;
        self.note(&host, Step::Added, "the new key stands beside the old")?;
        let key = self.with(|r| r.new_key())?;
        if !self.targets.takes(&host, &key).await? {
            return Err("the new key was added, and is refused".to_owned());
        }
        self.note(&host, Step::Verified, "a login with the new key works")
    }

    /// The old key away, and its refusal verified.
    async fn retire(&self, host: String) -> Result<(), String> {
        let old = self.with(|r| r.state.old.clone());
        self.targets.remove(&host, &old).await?;
        self.note(&host, Step::Removed, "the old key was taken away")?;
        let key = self.with(|r| r.old_key())?;
        if self.targets.takes(&host, &key).await? {
            return Err("the old key was taken away, and is still good: sshd finds it elsewhere; doctor --harden says where".to_owned());
        }
        self.note(&host, Step::Refused, "the old key is refused")
    }
}

/// The real hosts.
struct Fleet<'a> {
    channel: &'a Channel<'a>,
    account: Account,
    /// `--from` and `--expires` of the new key.
    options: &'a [&'a str],
}

impl Fleet<'_> {
    fn host(&self, name: &str) -> Result<&Host, String> {
        self.channel.app().host(name)
    }
}

impl Targets for Fleet<'_> {
    fn add<'a>(&'a self, host: &'a str, public: &'a str, like: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let mut bundle = Bundle::new(&[])?;
            bundle.argument("--add-key")?;
            bundle.file(word(self.account), "new.pub", format!("{public}\n").into_bytes())?;
            ["--like", like].iter().chain(self.options).try_for_each(|a| bundle.argument(a))?;
            self.channel.run(self.host(host)?, &bundle).await.map(drop).map_err(|e| e.to_string())
        })
    }

    fn takes<'a>(&'a self, host: &'a str, key: &'a Path) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move { takes(self.channel, self.host(host)?, self.account, key).await })
    }

    fn remove<'a>(&'a self, host: &'a str, fingerprint: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let bundle = Bundle::new(&["--remove-key", word(self.account), fingerprint])?;
            self.channel.run(self.host(host)?, &bundle).await.map(drop).map_err(|e| e.to_string())
        })
    }

    fn record(&self, mut data: Value) -> BoxFuture<'_, Result<(), String>> {
        data["account"] = Value::from(word(self.account));
        Box::pin(async move {
            let written = self.channel.app().audit(&Audit { event: "key_rotation", data }).await;
            written
                .map(drop)
                .map_err(|e| format!("no audit record could be written, so nothing was done: {e}"))
        })
    }
}

/// Whether a host takes a key, by a login with it alone: the forced command then answers, and refuses what is for a shell.
pub(super) async fn takes(
    channel: &Channel<'_>,
    host: &Host,
    account: Account,
    key: &Path,
) -> Result<bool, String> {
    let app = channel.app();
    // A key that cannot be read is no key that is refused.
    crate::ssh::load_private_key(key)?;
    let data = json!({ "host": host.name, "account": word(account), "line": FOR_A_SHELL });
    let receipt = app.audit(&Audit { event: "probe", data }).await.map_err(|e| e.to_string())?;
    match app.pool().exec_with(host, account, key, FOR_A_SHELL, &receipt).await {
        Ok(output) if refused_by(program(account), &output) => Ok(true),
        Ok(output) => {
            Err(format!("{} did not refuse a line for a shell: exit {:?}", program(account), output.exit))
        }
        Err(SshError::Login { .. }) => Ok(false),
        Err(e) => Err(e.to_string()),
    }
}

fn program(account: Account) -> &'static str {
    match account {
        Account::Reader => "mcp-wrapper",
        Account::Runner => "pra-exec",
    }
}

pub(super) fn word(account: Account) -> &'static str {
    match account {
        Account::Reader => "reader",
        Account::Runner => "runner",
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
