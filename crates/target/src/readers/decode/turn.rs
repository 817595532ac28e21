//! Decoders with large windows work one after the other, whatever the number of requests: the memory of a process is that of one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long one that waits may take to see that nobody waits for it any more.
const LOOK: Duration = Duration::from_millis(100);

struct Line {
    /// Whether somebody has the turn.
    taken: bool,
    /// Who waits, in the order of coming.
    waiting: VecDeque<u64>,
    next: u64,
}

static LINE: Mutex<Line> = Mutex::new(Line { taken: false, waiting: VecDeque::new(), next: 0 });
static CHANGED: Condvar = Condvar::new();

fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to have a large window; over when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(());

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// `Interrupted` when `stop` was set before.
    pub(super) fn take(stop: &AtomicBool) -> io::Result<Self> {
        let mut line = line();
        let own = line.next;
        line.next += 1;
        line.waiting.push_back(own);
        loop {
            if stop.load(Ordering::Relaxed) {
                line.waiting.retain(|id| *id != own);
                drop(line);
                CHANGED.notify_all();
                return Err(ErrorKind::Interrupted.into());
            }
            if !line.taken && line.waiting.front() == Some(&own) {
                line.waiting.pop_front();
                line.taken = true;
                return Ok(Self(()));
            }
            line = CHANGED.wait_timeout(line, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        line().taken = false;
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn one_at_a_time_and_who_gives_up_holds_nobody() {
        let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let turn = Turn::take(&go).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
                scope.spawn(|| {
                    for _ in 0..50 {
                        assert_eq!(Turn::take(&stop).unwrap_err().kind(), ErrorKind::Interrupted);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), done.into_inner()), (1, 400));
        // One that waits sees the stop, and its place in the line is free.
        let (held, late) = (Turn::take(&go).unwrap(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| Turn::take(&late));
            while line().waiting.is_empty() {
                std::thread::yield_now();
            }
            late.store(true, Ordering::Relaxed);
            assert_eq!(waits.join().unwrap().unwrap_err().kind(), ErrorKind::Interrupted);
        });
        drop(held);
        drop(Turn::take(&go).unwrap());
    }
}
