//! How much at once, and in a minute: of all calls, of one caller's, and of those to one host.
//!
//! A call takes its places together or none of them, so one that waits holds nothing that others need, and a host
//! that hangs fills its own places only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;

use crate::config::{Inventory, Limits};

use super::toolbox::ToolError;

/// The places for calls.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    running: Mutex<Running>,
    /// A call has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Running {
    all: usize,
    /// By the name of each host of the inventory.
    hosts: HashMap<String, usize>,
    /// As many as there are names in the token file.
    callers: HashMap<String, Caller>,
    /// The server ends: no call begins.
    closed: bool,
}

#[derive(Debug)]
struct Caller {
    running: usize,
    rate: Bucket,
}

/// The right to run one call; it ends with the value.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    caller: String,
    host: Option<String>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.places.running();
        running.all -= 1;
        if let Some(caller) = running.callers.get_mut(&self.caller) {
            caller.running -= 1;
        }
        if let Some(host) = self.host.as_ref().and_then(|h| running.hosts.get_mut(h)) {
            *host -= 1;
        }
        drop(running);
        self.places.ended.notify_waiters();
    }
}

impl Places {
    pub(super) fn new(limits: Limits, inventory: &Inventory) -> Self {
        let hosts = inventory.iter().map(|h| (h.name.to_string(), 0)).collect();
        Self { limits, running: Mutex::new(Running { hosts, ..Running::default() }), ended: Notify::new() }
    }

    /// Waits for a place, at most `limits.wait`. The error is for the model: `rate_limited` or `busy`.
    ///
    /// A caller is who holds the token, never the name that a client gives itself.
    pub(super) async fn take(self: &Arc<Self>, caller: &str, host: Option<&str>) -> Result<Place, ToolError> {
        self.count(caller)?;
        let wait = self.limits.wait;
        tokio::time::timeout(wait, self.wait(caller, host)).await.map_err(|_| {
            let of_host = host.and_then(|h| Some((h, *self.running().hosts.get(h)?)));
            let full = match of_host {
                Some((host, calls)) if calls >= self.limits.calls_per_host => {
                    format!("{calls} calls to {host} have not ended: it may hang")
                }
                _ => "too many calls have not ended".to_owned(),
            };
            refusal("busy", &format!("no place became free within {} s: {full}", wait.as_secs()), wait)
        })
    }

    /// Counts one call of the caller's minute.
    fn count(&self, name: &str) -> Result<(), ToolError> {
        let per_minute = self.limits.calls_per_minute;
        let mut running = self.running();
        let caller = running
            .callers
            .entry(name.to_owned())
            .or_insert_with(|| Caller { running: 0, rate: Bucket::full(per_minute) });
        match caller.rate.take(Instant::now(), per_minute) {
            None => Ok(()),
            Some(pause) => {
                Err(refusal("rate_limited", &format!("more than {per_minute} calls in a minute"), pause))
            }
        }
    }

    async fn wait(self: &Arc<Self>, caller: &str, host: Option<&str>) -> Place {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // What ends from here on wakes this call.
            ended.as_mut().enable();
            if let Some(place) = self.try_take(caller, host) {
                return place;
            }
            ended.await;
        }
    }

    fn try_take(self: &Arc<Self>, caller: &str, host: Option<&str>) -> Option<Place> {
        let limits = &self.limits;
        let mut running = self.running();
        // A host that is not in the inventory is no host: the tool says so.
        let of_host = host.and_then(|h| running.hosts.get(h).copied());
        let of_caller = running.callers.get(caller)?.running;
        let free = !running.closed
            && running.all < limits.concurrent_calls
            && of_caller < limits.calls_per_caller
            && of_host.is_none_or(|n| n < limits.calls_per_host);
        if !free {
            return None;
        }
        running.all += 1;
        if let Some(caller) = running.callers.get_mut(caller) {
            caller.running += 1;
        }
        if let Some(host) = host.and_then(|h| running.hosts.get_mut(h)) {
            *host += 1;
        }
        let host = of_host.and(host).map(str::to_owned);
        Some(Place { places: Arc::clone(self), caller: caller.to_owned(), host })
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no call runs; none begins from then on.
    pub(super) async fn drain(&self) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            {
                let mut running = self.running();
                running.closed = true;
                if running.all == 0 {
                    return;
                }
            }
            ended.await;
        }
    }
}

fn refusal(code: &str, cause: &str, pause: Duration) -> ToolError {
    let seconds = pause.as_secs_f64().ceil().max(1.0);
    let mut error = ToolError::new(code, format!("{cause}; nothing was run; try again in {seconds} s"));
    error.details = json!({ "retry_after_seconds": seconds });
    error
}

/// A token bucket that holds a minute's calls.
#[derive(Debug)]
struct Bucket {
    calls: f64,
    filled: Instant,
}

#[expect(clippy::cast_precision_loss, reason = "at most 100,000 calls in a minute")]
impl Bucket {
    fn full(per_minute: usize) -> Self {
        Self { calls: per_minute as f64, filled: Instant::now() }
    }

    /// Takes one call, or says how long to wait for it.
    fn take(&mut self, now: Instant, per_minute: usize) -> Option<Duration> {
        let per_second = per_minute as f64 / 60.0;
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        self.calls = (self.calls + since * per_second).min(per_minute as f64);
        self.filled = now;
        if self.calls >= 1.0 {
            self.calls -= 1.0;
            return None;
        }
        Some(Duration::from_secs_f64((1.0 - self.calls) / per_second))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::config::{Config, Environment};

    fn places(limits: &str) -> Arc<Places> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let hosts = "[[hosts]]\nname = \"a\"\n[[hosts]]\nname = \"b\"\n";
        std::fs::write(&path, format!("[limits]\nwait_seconds = 1\n{limits}\n{hosts}")).unwrap();
        let config =
            Config::load(Some(&path), &Environment::from([("HOME", dir.path().to_str().unwrap())])).unwrap();
        Arc::new(Places::new(config.limits, &config.inventory))
    }

    #[tokio::test]
    async fn a_full_host_is_busy_and_takes_no_place_of_the_others() {
        let places = places("calls_per_host = 2\ncalls_per_caller = 4\nconcurrent_calls = 4");
        let held = [places.take("x", Some("a")).await.unwrap(), places.take("x", Some("a")).await.unwrap()];
        let waiting = futures::future::join_all((0..20).map(|_| places.take("x", Some("a"))));
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        // The two other places of the caller, and of all, are free for another host.
        let b = [places.take("x", Some("b")).await.unwrap(), places.take("x", Some("b")).await.unwrap()];
        drop(b);
        for refused in waiting.await {
            let error = refused.unwrap_err();
            assert_eq!(error.code, "busy");
            assert!(error.message.contains("calls to a") && error.message.contains("nothing was run"));
            assert_eq!(error.details["retry_after_seconds"], 1.0);
        }
        drop(held);
        places.take("x", Some("a")).await.unwrap();
    }

    #[tokio::test]
    async fn one_caller_does_not_take_the_places_of_another() {
        let places = places("calls_per_caller = 1");
        let held = places.take("x", Some("a")).await.unwrap();
        assert_eq!(places.take("x", Some("b")).await.unwrap_err().code, "busy");
        places.take("y", Some("a")).await.unwrap();
        drop(held);
        places.take("x", None).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_that_waits_begins_when_a_place_is_free() {
        let places = places("concurrent_calls = 1");
        let held = places.take("x", None).await.unwrap();
        let next = places.take("y", Some("a"));
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none());
        drop(held);
        next.await.unwrap();
    }

    #[tokio::test]
    async fn many_calls_at_once_all_have_their_turn() {
        let places = places("concurrent_calls = 2\ncalls_per_host = 1\ncalls_per_caller = 2");
        let call = async |number: usize| {
            let place =
                places.take("x", Some(if number.is_multiple_of(2) { "a" } else { "b" })).await.unwrap();
            tokio::task::yield_now().await;
            drop(place);
        };
        futures::future::join_all((0..200).map(call)).await;
    }

    #[tokio::test]
    async fn too_many_calls_in_a_minute_are_refused_by_caller() {
        let places = places("calls_per_minute = 3");
        for _ in 0..3 {
            places.take("x", None).await.unwrap();
        }
        let error = places.take("x", None).await.unwrap_err();
        assert_eq!(error.code, "rate_limited");
        assert_eq!(error.details["retry_after_seconds"], 20.0);
        places.take("y", None).await.unwrap();
    }

    #[test]
    fn the_bucket_fills_evenly() {
        let mut bucket = Bucket::full(60);
        let begin = bucket.filled;
        for _ in 0..60 {
            assert_eq!(bucket.take(begin, 60), None);
        }
        assert_eq!(bucket.take(begin, 60), Some(Duration::from_secs(1)));
        assert_eq!(bucket.take(begin + Duration::from_secs(1), 60), None);
        assert!(bucket.take(begin + Duration::from_millis(1500), 60).is_some());
        // A pause of an hour saves up no more than a minute's calls.
        let later = begin + Duration::from_hours(1);
        assert_eq!((0..100).filter(|_| bucket.take(later, 60).is_none()).count(), 60);
    }

    #[tokio::test]
    async fn draining_waits_for_what_runs() {
        let places = places("");
        let running = places.take("x", None).await.unwrap();
        assert!(places.drain().now_or_never().is_none());
        drop(running);
        places.drain().await;
    }
}
