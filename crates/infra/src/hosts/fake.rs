//! A host for tests: answers by the beginning of the command line.

use std::future::Future;
use std::sync::Mutex;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::reader::{Failure, Output, Reader};

/// Answers; what it does not know is not installed.
#[derive(Default)]
pub(super) struct Fake {
    answers: Vec<(String, Result<Output, Failure>)>,
    asked: Mutex<Vec<String>>,
}

/// A successful answer.
pub(super) fn answer(stdout: &str) -> Output {
    Output { stdout: stdout.into(), exit: Some(0), ..Output::default() }
}

/// A sample under `tests/fixtures`.
pub(super) fn sample(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs a future to its end.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Fake {
    /// Answers lines that begin with `line`; the longest beginning counts, the later of equals.
    pub(super) fn with(mut self, line: &str, output: Output) -> Self {
        self.answers.push((line.to_owned(), Ok(output)));
        self
    }

    pub(super) fn failing(mut self, line: &str, failure: Failure) -> Self {
        self.answers.push((line.to_owned(), Err(failure)));
        self
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Reader for Fake {
    fn run<'a>(&'a self, argv: &'a [&'a str]) -> BoxFuture<'a, Result<Output, Failure>> {
        let quoted = |w: &&str| if w.contains(' ') { format!("'{w}'") } else { (*w).to_owned() };
        let line = argv.iter().map(quoted).collect::<Vec<_>>().join(" ");
        let known = self.answers.iter().filter(|(begin, _)| line.starts_with(begin.as_str()));
        let found = known.max_by_key(|(begin, _)| begin.len()).map(|(_, answer)| answer.clone());
        self.asked.lock().unwrap().push(line);
        let missing = Output { exit: Some(127), ..Output::default() };
        async move { found.unwrap_or(Ok(missing)) }.boxed()
    }
}
