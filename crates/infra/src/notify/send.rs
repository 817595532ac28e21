//! The sender: takes messages from the outbox and delivers them, one channel beside the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::app::App;
use crate::hosts::hygiene;
use crate::store::{Notice, now_ms};

use super::http::{self, Post};
use super::message::Message;
use super::{Channel, Channels, Way};

/// How often a channel looks for messages: a read of one row.
const LOOK: Duration = Duration::from_millis(500);
/// Between two messages of one channel: chats refuse more than one a second, and nobody reads more.
const PACE: Duration = Duration::from_secs(1);
/// For one delivery; shorter than the lease on the message.
const DELIVERY: Duration = Duration::from_secs(20);
/// After the database failed.
const TROUBLE: Duration = Duration::from_secs(10);

/// Why a message was not delivered.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) cause: String,
    /// How long the receiver asked to wait, in ms.
    pub(super) wait_ms: Option<i64>,
}

impl From<String> for Failed {
    fn from(cause: String) -> Self {
        Self { cause, wait_ms: None }
    }
}

/// The running sender; it ends with the value. What is on the way then is sent again by whoever comes next.
#[derive(Debug)]
pub struct Sending {
    _channels: JoinSet<()>,
}

/// Starts delivering. Several processes may do so at once: each message is taken by one of them.
pub fn start(app: &Arc<App>, channels: Channels) -> Sending {
    let mut running = JoinSet::new();
    let origin: Arc<str> = channels.origin.into();
    for channel in channels.channels {
        running.spawn(run(Arc::clone(app), channel, Arc::clone(&origin)));
    }
    Sending { _channels: running }
}

async fn run(app: Arc<App>, channel: Channel, origin: Arc<str>) {
    if let Err(cause) = channel.problem() {
        tracing::error!("notify {}: {cause}", channel.name);
    }
    loop {
        let name = channel.name.clone();
        let pause = match app.blocking(move |store| store.take_notice(&name, now_ms())).await {
            Ok(None) => LOOK,
            Ok(Some(notice)) => {
                handle(&app, &channel, &origin, notice).await;
                PACE
            }
            Err(e) => {
                tracing::warn!("notify {}: the outbox cannot be read: {e}", channel.name);
                TROUBLE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Delivers a message and records how that went.
async fn handle(app: &App, channel: &Channel, origin: &str, notice: Notice) {
    let outcome = match Message::of(&notice, origin, channel.receiver()) {
        Ok(message) => deliver(channel, &message).await,
        Err(cause) => Err(Failed::from(cause)),
    };
    if let Err(failed) = &outcome {
        tracing::warn!(
            "notify {}: {} of {} was not sent (try {}): {}",
            channel.name,
            notice.event,
            notice.about.proposal,
            notice.attempt,
            failed.cause
        );
    }
    let recorded = app
        .blocking(move |store| {
            let outcome = outcome.as_ref().map(drop).map_err(|f| (f.cause.as_str(), f.wait_ms));
            store.told(&notice, outcome, now_ms())
        })
        .await;
    if let Err(e) = recorded {
        tracing::warn!("notify {}: what became of a message was not recorded: {e}", channel.name);
    }
}

/// Sends one message; gives what the receiver said, harmless on a terminal.
async fn deliver(channel: &Channel, message: &Message) -> Result<String, Failed> {
    let sent = tokio::time::timeout(DELIVERY, transmit(channel, message)).await;
    let outcome = sent.unwrap_or_else(|_| Err(format!("no answer within {} s", DELIVERY.as_secs()).into()));
    let harmless = |text: String| hygiene::one_line(&hygiene::clean(text.as_bytes()).text, 300);
    outcome.map(harmless).map_err(|f| Failed { cause: harmless(f.cause), ..f })
}

async fn transmit(channel: &Channel, message: &Message) -> Result<String, Failed> {
    let (kind, secret) = (channel.kind, channel.secret()?);
    if let Way::Mail(server) = &channel.way {
        let (subject, body) = (kind.subject(message)?, kind.text(message)?);
        return Ok(server.send(message.delivery(), subject, body, secret).await?);
    }
    let post = Post {
        method: kind.method.clone(),
        path: kind.path(message)?,
        content_type: kind.content_type.clone(),
        bearer: secret,
        body: kind.json(message)?,
    };
    http::send(&channel.endpoint()?, post, channel.ca_file.as_deref()).await
}

impl Channels {
    /// Sends a message that says it is a test, to one channel or to all, without the outbox: channel, and what it answered.
    ///
    /// Errors: there is no channel of this name.
    pub async fn test(&self, only: Option<&str>) -> Result<Vec<(String, Result<String, String>)>, String> {
        let chosen: Vec<&Channel> =
            self.channels.iter().filter(|c| only.is_none_or(|name| c.name == name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = self.names().collect();
            return Err(match only {
                Some(name) if !names.is_empty() => {
                    format!("there is no channel {name:?}; there are: {}", names.join(", "))
                }
                _ => "no channel is configured: add [[notify]] to the config, see docs/NOTIFY.md".to_owned(),
            });
        }
        let tests = chosen.into_iter().map(|channel| async {
            let answered = match Message::test(&self.origin, channel.receiver(), now_ms()) {
                Ok(message) => deliver(channel, &message).await.map_err(|f| f.cause),
                Err(cause) => Err(cause),
            };
            (channel.name.clone(), answered)
        });
        Ok(futures::future::join_all(tests).await)
    }
}
