//! An SSH server inside the demo, for machines without sshd: two keys, each with its forced command, nothing
//! else.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context;
use russh::keys::PublicKey;
use russh::server::{self, Auth, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::place::Place;
use crate::ssh::load_private_key;

/// What each key may start.
struct Forced {
    program: PathBuf,
    root: PathBuf,
    keys: Vec<(PublicKey, &'static str)>,
}

/// Serves on a free port of 127.0.0.1 for as long as the program runs.
pub(super) async fn start(place: &Place) -> anyhow::Result<u16> {
    let mut keys = Vec::new();
    for account in ["reader", "runner"] {
        keys.push((PublicKey::from_openssh(&place.public_key(account)?)?, account));
    }
    let forced = Arc::new(Forced { program: place.program.clone(), root: place.root(), keys });
    let host_key = load_private_key(&place.path("host.key")).map_err(anyhow::Error::msg)?;
    let config =
        Arc::new(server::Config { keys: vec![host_key], nodelay: true, ..server::Config::default() });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port")?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, forced) = (Arc::clone(&config), Arc::clone(&forced));
            tokio::spawn(async move {
                let connection = Connection { forced, account: None, channels: HashMap::new() };
                if let Ok(session) = server::run_stream(config, stream, connection).await {
                    // A connection that ends badly is the client's to report.
                    let _ = session.await;
                }
            });
        }
    });
    Ok(port)
}

struct Connection {
    forced: Arc<Forced>,
    account: Option<&'static str>,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, _user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let shown = key.public_key.key_data();
        self.account =
            self.forced.keys.iter().find(|(k, _)| k.key_data() == shown).map(|(_, account)| *account);
        Ok(if self.account.is_some() { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some(channel), Some(account)) = (self.channels.remove(&id), self.account) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let original = String::from_utf8_lossy(data).into_owned();
        tokio::spawn(forced_command(Arc::clone(&self.forced), account, original, channel));
        Ok(())
    }
}

/// Runs the account's program with the client's line in `SSH_ORIGINAL_COMMAND`, as sshd would.
async fn forced_command(forced: Arc<Forced>, account: &'static str, original: String, channel: Channel<Msg>) {
    let child = Command::new(&forced.program)
        .args(["demo-target", account])
        .arg(&forced.root)
        .env_clear()
        .env("SSH_ORIGINAL_COMMAND", original)
        .env("SSH_CLIENT", "127.0.0.1 0 0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let (mut reads, writes) = channel.split();
    let status = match child {
        Err(_) => 127,
        Ok(mut child) => {
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            let feed = async {
                if let Some(mut stdin) = stdin {
                    // A program that does not read all of its input has decided already.
                    let _ = tokio::io::copy(&mut reads.make_reader(), &mut stdin).await;
                    let _ = stdin.shutdown().await;
                }
            };
            let drain = async {
                let (mut out, mut err) = (writes.make_writer(), writes.make_writer_ext(Some(1)));
                let out = async {
                    if let Some(mut pipe) = stdout {
                        let _ = tokio::io::copy(&mut pipe, &mut out).await;
                    }
                };
                let err = async {
                    if let Some(mut pipe) = stderr {
                        let _ = tokio::io::copy(&mut pipe, &mut err).await;
                    }
                };
                tokio::join!(out, err);
            };
            tokio::pin!(feed);
            tokio::select! {
                () = async { tokio::join!(&mut feed, std::future::pending::<()>()); } => {}
                () = drain => {}
            }
            child.wait().await.ok().and_then(|s| s.code()).and_then(|c| u32::try_from(c).ok()).unwrap_or(255)
        }
    };
    // The client may have gone; then nobody waits for these.
    let _ = writes.exit_status(status).await;
    let _ = writes.eof().await;
    let _ = writes.close().await;
}
