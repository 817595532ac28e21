//! One connection per host and account, made when first needed and kept.
//!
//! Each pair of host and account has a slot of its own with its own lock, so a host that hangs delays nobody
//! else. A reader's commands share one session, which is one channel. Where the target has none, and for the runner, channels are
//! counted: more calls than `channels_per_host` wait, they do not fail on sshd's `MaxSessions`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use russh::Preferred;
use russh::client::{self, Handle};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tokio::sync::Semaphore;

use crate::config::{Config, Host, HostName, Limits};
use crate::store::Receipt;

use super::session::{self, Failure, NoSession, Session};
use super::{Account, ExecOutput, HostKeys, SshError, beside, exec, load_private_key};

/// All connections of this process.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    known_hosts: Vec<PathBuf>,
    slots: Mutex<HashMap<(HostName, Account), Arc<Slot>>>,
}

/// The place of one connection.
struct Slot {
    gate: Semaphore,
    state: tokio::sync::Mutex<State>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("free_channels", &self.gate.available_permits()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// The last failure to connect, given to all who waited for the same attempt.
    failed: Option<(Instant, SshError)>,
}

/// One connection, and how commands go through it.
struct Connection {
    handle: Handle<Client>,
    way: tokio::sync::Mutex<Way>,
}

/// How a reader's commands go.
enum Way {
    /// Nothing was tried yet.
    Unknown,
    Session(Arc<Session>),
    /// The target knows no session: each command has a channel of its own.
    OneShot,
}

impl Pool {
    /// A pool without connections.
    pub fn new(config: &Config) -> Self {
        Self { limits: config.limits, known_hosts: config.known_hosts.clone(), slots: Mutex::default() }
    }

    /// Runs one command line on a host, as the account, within the limits.
    ///
    /// `stdin` is sent and then closed. The receipt proves that an audit record was written. A call that is
    /// dropped closes its channel, so that the target ends the program. Only a reader's command that was never
    /// sent is tried again on a new connection.
    pub async fn exec(
        &self,
        host: &Host,
        account: Account,
        line: &str,
        stdin: Option<&[u8]>,
        _receipt: &Receipt,
    ) -> Result<ExecOutput, SshError> {
        let slot = self.slot(host, account);
        let limit = match account {
            Account::Reader => self.limits.command,
            Account::Runner => self.limits.action,
        };
        let timed_out = || SshError::TimedOut { host: host.name.clone(), limit };
        let work = async {
            if account == Account::Reader
                && stdin.is_none()
                && session::fits(line)
                && let Some(output) = self.through_session(host, &slot, line).await?
            {
                return Ok(output);
            }
            // The gate is never closed, so the error cannot happen; it would read as a lost connection.
            let _permit = slot.gate.acquire().await.map_err(|e| lost(host, &e))?;
            let channel = self.open_channel(host, account, &slot).await?;
            exec::run(channel, line, stdin, self.limits.output_bytes).await.map_err(|e| lost(host, &e))
        };
        let output =
            tokio::time::timeout(limit + self.limits.connect, work).await.map_err(|_| timed_out())??;
        if output.exit.is_none() && !output.truncated {
            tracing::warn!(host = %host.name, "the command ended without an exit status");
        }
        Ok(output)
    }

    fn slot(&self, host: &Host, account: Account) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((host.name.clone(), account)).or_insert_with(|| {
            Arc::new(Slot {
                gate: Semaphore::new(self.limits.channels_per_host),
                state: tokio::sync::Mutex::default(),
            })
        }))
    }

    /// Runs a reader's line in the host's session; `None` when there is none.
    async fn through_session(
        &self,
        host: &Host,
        slot: &Slot,
        line: &str,
    ) -> Result<Option<ExecOutput>, SshError> {
        // A session that ends just now has not taken the line; the next one is new.
        for _ in 0..2 {
            let Some(session) = self.session(host, slot).await? else { return Ok(None) };
            match session.call(line, self.limits.output_bytes).await {
                Ok(output) => return Ok(Some(output)),
                Err(Failure::NotTaken) => {}
                Err(Failure::Lost(cause)) => return Err(lost(host, &cause)),
            }
        }
        Ok(None)
    }

    /// The session of the host, opened if need be; a dead connection is replaced once.
    async fn session(&self, host: &Host, slot: &Slot) -> Result<Option<Arc<Session>>, SshError> {
        let mut replaced = false;
        loop {
            let connection = self.connection(host, Account::Reader, slot).await?;
            let mut way = connection.way.lock().await;
            match &*way {
                Way::OneShot => return Ok(None),
                Way::Session(session) if !session.is_over() => return Ok(Some(Arc::clone(session))),
                Way::Session(_) | Way::Unknown => {}
            }
            match session::open(&connection.handle, self.limits.connect).await {
                Ok(session) => {
                    let session = Arc::new(session);
                    *way = Way::Session(Arc::clone(&session));
                    return Ok(Some(session));
                }
                // sshd is full of others' channels: this command waits for one as any other.
                Err(NoSession::Connection(russh::Error::ChannelOpenFailure(_))) => return Ok(None),
                Err(NoSession::NotSpoken(cause)) if !connection.handle.is_closed() => {
                    tracing::info!(host = %host.name, cause, "no session: each command has its own channel");
                    *way = Way::OneShot;
                    return Ok(None);
                }
                Err(NoSession::NotSpoken(_) | NoSession::Connection(_)) if !replaced => {
                    replaced = true;
                    drop(way);
                    Self::forget(slot, &connection).await;
                }
                Err(NoSession::NotSpoken(cause)) => return Err(lost(host, &cause)),
                Err(NoSession::Connection(e)) => return Err(lost(host, &e)),
            }
        }
    }

    /// Makes the next call connect anew.
    async fn forget(slot: &Slot, connection: &Arc<Connection>) {
        let mut state = slot.state.lock().await;
        if state.connection.as_ref().is_some_and(|c| Arc::ptr_eq(c, connection)) {
            state.connection = None;
        }
    }

    /// Opens a channel; a dead connection is replaced once, a full sshd is asked again until the caller's time
    /// runs out.
    async fn open_channel(
        &self,
        host: &Host,
        account: Account,
        slot: &Slot,
    ) -> Result<russh::Channel<client::Msg>, SshError> {
        const FULL_PAUSE: Duration = Duration::from_millis(50);
        let mut replaced = false;
        loop {
            let connection = self.connection(host, account, slot).await?;
            match connection.handle.channel_open_session().await {
                Ok(channel) => return Ok(channel),
                Err(russh::Error::ChannelOpenFailure(_)) => tokio::time::sleep(FULL_PAUSE).await,
                Err(_) if !replaced => {
                    replaced = true;
                    Self::forget(slot, &connection).await;
                }
                Err(e) => return Err(lost(host, &e)),
            }
        }
    }

    async fn connection(
        &self,
        host: &Host,
        account: Account,
        slot: &Slot,
    ) -> Result<Arc<Connection>, SshError> {
        let asked = Instant::now();
        let mut state = slot.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|c| !c.handle.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        if let Some((_, error)) = state.failed.as_ref().filter(|(at, _)| *at >= asked) {
            return Err(error.clone());
        }
        let attempt = tokio::time::timeout(self.limits.connect, self.connect(host, account)).await;
        let result = attempt.unwrap_or_else(|_| {
            Err(unreachable(host, format!("no answer within {} s", self.limits.connect.as_secs())))
        });
        match result {
            Ok(handle) => {
                let way = tokio::sync::Mutex::new(Way::Unknown);
                let connection = Arc::new(Connection { handle, way });
                state.connection = Some(Arc::clone(&connection));
                state.failed = None;
                Ok(connection)
            }
            Err(error) => {
                state.connection = None;
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Logs in with the key that the config names. Two things happen while a key is rotated (`keys rotate`): a host that was not reached
    /// then still knows the key before alone, which lies beside as `.old`; and the file may change between reading it and logging in.
    async fn connect(&self, host: &Host, account: Account) -> Result<Handle<Client>, SshError> {
        let (user, path) = login_of(host, account)?;
        let keys = keys_at(host, path)?;
        match self.log_in(host, user, path, &keys).await {
            Err(refused @ SshError::Login { .. }) => {
                let now = keys_at(host, path)?;
                if now.first().map(public_half) == keys.first().map(public_half) {
                    return Err(refused);
                }
                self.log_in(host, user, path, &now).await
            }
            other => other,
        }
    }

    /// Runs one line over a connection of its own, with the key in this file and no other. `Err(SshError::Login)` is a key that the host
    /// does not take.
    pub async fn exec_with(
        &self,
        host: &Host,
        account: Account,
        key: &Path,
        line: &str,
        _receipt: &Receipt,
    ) -> Result<ExecOutput, SshError> {
        let (user, _) = login_of(host, account)?;
        let keys =
            [load_private_key(key).map_err(|cause| SshError::Login { host: host.name.clone(), cause })?];
        let connected = tokio::time::timeout(self.limits.connect, self.log_in(host, user, key, &keys)).await;
        let handle = connected.map_err(|_| {
            unreachable(host, format!("no answer within {} s", self.limits.connect.as_secs()))
        })??;
        let work = async {
            let channel = handle.channel_open_session().await.map_err(|e| lost(host, &e))?;
            exec::run(channel, line, Some(b""), self.limits.output_bytes).await.map_err(|e| lost(host, &e))
        };
        let limit = self.limits.command;
        tokio::time::timeout(limit, work)
            .await
            .map_err(|_| SshError::TimedOut { host: host.name.clone(), limit })?
    }

    /// Connects, and offers these keys one after the other.
    async fn log_in(
        &self,
        host: &Host,
        user: &str,
        path: &Path,
        offered: &[PrivateKey],
    ) -> Result<Handle<Client>, SshError> {
        let keys = HostKeys::of(host, &self.known_hosts)
            .map_err(|cause| SshError::HostKey { host: host.name.clone(), cause })?;
        let verdict = Arc::new(OnceLock::new());
        let config = Arc::new(client_config(&keys, self.limits.connect));
        let handler = Client { keys, verdict: Arc::clone(&verdict) };
        let connected = client::connect(config, (host.address.as_str(), host.port), handler).await;
        let mut handle = connected.map_err(|e| match verdict.get() {
            Some(cause) => SshError::HostKey { host: host.name.clone(), cause: String::clone(cause) },
            None => unreachable(host, plain(&e)),
        })?;
        for key in offered {
            let auth = handle
                .authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key.clone()), None))
                .await
                .map_err(|e| unreachable(host, plain(&e)))?;
            if auth.success() {
                return Ok(handle);
            }
        }
        let fingerprint =
            offered.first().map(|k| k.fingerprint(HashAlg::Sha256).to_string()).unwrap_or_default();
        Err(SshError::Login {
            host: host.name.clone(),
            cause: format!(
                "{user} was refused with the key {fingerprint} ({}): deploy its public half to the host",
                path.display()
            ),
        })
    }
}

/// The login of an account, and the file of its key.
fn login_of(host: &Host, account: Account) -> Result<(&str, &Path), SshError> {
    let (user, path, variable) = match account {
        Account::Reader => (&host.reader_user, &host.reader_key, "LINUX_MCP_SSH_KEY_PATH"),
        Account::Runner => (&host.runner_user, &host.runner_key, "LINUX_MCP_PRA_KEY_PATH"),
    };
    let path = path.as_deref().ok_or_else(|| SshError::Login {
        host: host.name.clone(),
        cause: format!(
            "no key for {user}: set [defaults] {}_key in the config or ${variable}",
            word(account)
        ),
    })?;
    Ok((user, path))
}

/// The key, and behind it the one before while a rotation is not done.
fn keys_at(host: &Host, path: &Path) -> Result<Vec<PrivateKey>, SshError> {
    let key = load_private_key(path).map_err(|cause| SshError::Login { host: host.name.clone(), cause })?;
    Ok(std::iter::once(key).chain(load_private_key(&beside(path, "old"))).collect())
}

fn public_half(key: &PrivateKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

pub(super) fn client_config(keys: &HostKeys, connect: Duration) -> client::Config {
    let known = keys.algorithms();
    let mut preferred = Preferred::DEFAULT;
    if !known.is_empty() {
        preferred.key = Cow::Owned(known);
    }
    client::Config {
        // Without this each small request waits for the peer's delayed ACK: 44 ms instead of 2.5.
        nodelay: true,
        keepalive_interval: Some(connect.max(Duration::from_secs(5))),
        keepalive_max: 3,
        preferred,
        ..client::Config::default()
    }
}

fn word(account: Account) -> &'static str {
    match account {
        Account::Reader => "reader",
        Account::Runner => "runner",
    }
}

fn lost(host: &Host, e: &dyn std::fmt::Display) -> SshError {
    SshError::Lost { host: host.name.clone(), cause: e.to_string() }
}

fn unreachable(host: &Host, cause: String) -> SshError {
    SshError::Unreachable {
        host: host.name.clone(),
        endpoint: format!("{}:{}", host.address, host.port),
        cause,
    }
}

pub(super) fn plain(e: &russh::Error) -> String {
    match e {
        russh::Error::IO(io) => io.to_string(),
        russh::Error::NoCommonAlgo { kind, .. } => {
            format!("no common {kind:?} algorithm: does the host have the key type that is pinned?")
        }
        other => other.to_string(),
    }
}

/// The client's side of one connection: it checks the host key and refuses whatever the server opens.
struct Client {
    keys: HostKeys,
    verdict: Arc<OnceLock<String>>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let result = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.keys.check(key),
            PublicKeyOrCertificate::Certificate(_) => {
                Err("the host shows a certificate, which was not asked for: pin its plain key".to_owned())
            }
        };
        match result {
            Ok(()) => Ok(true),
            Err(cause) => {
                let _ = self.verdict.set(cause);
                Ok(false)
            }
        }
    }
}
