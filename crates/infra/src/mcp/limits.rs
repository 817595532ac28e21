//! How much at once, and in a minute: of all calls, of one caller's, and of those to one host.
//!
//! A call that waits holds no place that others need, so a host that hangs fills its own places only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{Inventory, Limits};

use super::toolbox::ToolError;

/// The places for calls.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    all: Arc<Semaphore>,
    hosts: HashMap<String, Arc<Semaphore>>,
    callers: Mutex<HashMap<String, Arc<Caller>>>,
}

#[derive(Debug)]
struct Caller {
    places: Arc<Semaphore>,
    rate: Mutex<Bucket>,
}

/// The right to run one call; it ends with the value.
#[derive(Debug)]
pub(super) struct Place {
    _host: Option<OwnedSemaphorePermit>,
    _caller: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(limits: Limits, inventory: &Inventory) -> Self {
        let host = || Arc::new(Semaphore::new(limits.calls_per_host));
        Self {
            limits,
            all: Arc::new(Semaphore::new(limits.concurrent_calls)),
            hosts: inventory.iter().map(|h| (h.name.to_string(), host())).collect(),
            callers: Mutex::default(),
        }
    }

    /// Waits for a place, at most `limits.wait`. The error is for the model: `rate_limited` or `busy`.
    ///
    /// A caller is who holds the token, never the name that a client gives itself.
    pub(super) async fn take(&self, caller: &str, host: Option<&str>) -> Result<Place, ToolError> {
        let caller = self.caller(caller);
        let late = {
            let mut rate = caller.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.take(Instant::now(), self.limits.calls_per_minute)
        };
        if let Some(pause) = late {
            return Err(refusal(
                "rate_limited",
                &format!("more than {} calls in a minute", self.limits.calls_per_minute),
                pause,
            ));
        }
        let of_host = host.and_then(|h| self.hosts.get(h));
        let wait = self.limits.wait;
        tokio::time::timeout(wait, self.wait(&caller, of_host)).await.map_err(|_| {
            let full = match (host, of_host) {
                (Some(host), Some(places)) if places.available_permits() == 0 => {
                    format!("{} calls to {host} have not ended: it may hang", self.limits.calls_per_host)
                }
                _ => "too many calls have not ended".to_owned(),
            };
            refusal("busy", &format!("no place became free within {} s: {full}", wait.as_secs()), wait)
        })
    }

    async fn wait(&self, caller: &Caller, host: Option<&Arc<Semaphore>>) -> Place {
        loop {
            // Only one place is waited for at a time, and none is held meanwhile.
            let of_host = match host {
                Some(places) => Some(acquired(places).await),
                None => None,
            };
            let Ok(of_caller) = Arc::clone(&caller.places).try_acquire_owned() else {
                drop(of_host);
                drop(acquired(&caller.places).await);
                continue;
            };
            if let Ok(of_all) = Arc::clone(&self.all).try_acquire_owned() {
                return Place { _host: of_host, _caller: of_caller, _all: of_all };
            }
            drop((of_host, of_caller));
            drop(acquired(&self.all).await);
        }
    }

    fn caller(&self, name: &str) -> Arc<Caller> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            Arc::new(Caller {
                places: Arc::new(Semaphore::new(self.limits.calls_per_caller)),
                rate: Mutex::new(Bucket::full(self.limits.calls_per_minute)),
            })
        };
        // As many as there are names in the token file.
        Arc::clone(callers.entry(name.to_owned()).or_insert_with(new))
    }

    /// Waits until no call runs; none begins from then on.
    pub(super) async fn drain(&self) {
        let all = u32::try_from(self.limits.concurrent_calls).unwrap_or(u32::MAX);
        if let Ok(permits) = self.all.acquire_many(all).await {
            permits.forget();
        }
    }
}

async fn acquired(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(places).acquire_owned().await {
        Ok(permit) => permit,
        // A semaphore is closed by nobody here.
        Err(_) => std::future::pending().await,
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

    fn places(limits: &str) -> Places {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let hosts = "[[hosts]]\nname = \"a\"\n[[hosts]]\nname = \"b\"\n";
        std::fs::write(&path, format!("[limits]\nwait_seconds = 1\n{limits}\n{hosts}")).unwrap();
        let config =
            Config::load(Some(&path), &Environment::from([("HOME", dir.path().to_str().unwrap())])).unwrap();
        Places::new(config.limits, &config.inventory)
    }

    #[tokio::test(start_paused = true)]
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

    #[tokio::test(start_paused = true)]
    async fn one_caller_does_not_take_the_places_of_another() {
        let places = places("calls_per_caller = 1");
        let held = places.take("x", Some("a")).await.unwrap();
        assert_eq!(places.take("x", Some("b")).await.unwrap_err().code, "busy");
        places.take("y", Some("a")).await.unwrap();
        drop(held);
        places.take("x", None).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
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
        let later = begin + Duration::from_secs(3600);
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
