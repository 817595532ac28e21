//! How far a call is, for a caller who asked to be told.

use std::sync::Arc;

/// One step of a long call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Parts that are done.
    pub done: usize,
    /// Parts in all.
    pub total: usize,
    /// What was done last, in a few words; no text of a host.
    pub message: String,
}

/// The handle by which a tool tells how far it is. Nobody listens on the command line, nor where the client did
/// not ask; then it does nothing.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Fn(Step) + Send + Sync>>);

impl Progress {
    /// Steps go to `listener`, which must not block.
    pub fn to(listener: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// `done` of `total` parts are done. `done` should grow from call to call.
    pub fn report(&self, done: usize, total: usize, message: impl Into<String>) {
        if let Some(listener) = &self.0 {
            listener(Step { done, total, message: message.into() });
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn steps_reach_the_listener_in_their_order() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&seen);
        let progress = Progress::to(move |step| to.lock().unwrap().push(step));
        progress.report(1, 2, "disk");
        progress.clone().report(2, 2, "dns");
        let step = |done, message: &str| Step { done, total: 2, message: message.to_owned() };
        assert_eq!(*seen.lock().unwrap(), [step(1, "disk"), step(2, "dns")]);
    }
}
