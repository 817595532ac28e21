//! Questions on a terminal. They go to stderr: stdout is for the result.

use std::io::{BufRead, Write};

use crate::cli::Ended;

/// Whom to ask.
pub(super) struct Ask {
    out: std::io::Stderr,
}

impl Ask {
    pub(super) fn on_terminal() -> Self {
        Self { out: std::io::stderr() }
    }

    /// Says something.
    pub(super) fn say(&mut self, text: &str) {
        // A terminal that has gone ends the program at the next question.
        let _ = writeln!(self.out, "{text}");
    }

    /// The answer without blanks around it; empty when nothing was typed. The end of the input ends the program: nothing was
    /// written then.
    pub(super) fn ask(&mut self, question: &str) -> Result<String, Ended> {
        write!(self.out, "{question}: ")?;
        self.out.flush()?;
        let mut answer = String::new();
        if std::io::stdin().lock().read_line(&mut answer)? == 0 {
            return Err(Ended::usage("the input ended before all was answered; nothing was written"));
        }
        Ok(answer.trim().to_owned())
    }

    /// As [`Self::ask`], until `check` takes the answer; an empty one is `default`.
    pub(super) fn until<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        mut check: impl FnMut(&str) -> Result<T, String>,
    ) -> Result<T, Ended> {
        loop {
            let shown = default.map_or_else(|| question.to_owned(), |d| format!("{question} [{d}]"));
            let answer = self.ask(&shown)?;
            let answer = if answer.is_empty() { default.unwrap_or_default() } else { &answer };
            match check(answer) {
                Ok(value) => return Ok(value),
                Err(cause) => self.say(&format!("  {cause}")),
            }
        }
    }
}
