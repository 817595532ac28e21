//! `learn suggestions`, `learn stats`, `learn accept`, `learn dismiss`

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::app::App;
use crate::learning;
use crate::store::{Decision, now_ms};

use super::{Context, Done, Ended, output};

/// What callers asked for and the policy blocked.
#[derive(Debug, Subcommand)]
pub(super) enum LearnCommand {
    /// List shapes that were blocked often, and what may be done about each
    Suggestions {
        /// Only shapes that were blocked at least this often
        #[arg(long, value_name = "N", default_value_t = 5)]
        min_count: u32,
        /// Only shapes that were first blocked at least this many hours ago
        #[arg(long, value_name = "HOURS", default_value_t = 24)]
        min_age_hours: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Count what was blocked
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the plugin file that is suggested for a shape; it is not in force until you deploy it
    Accept {
        /// The shape, as `learn suggestions` prints it
        shape: String,
        /// The file to write; it must not exist
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Leave a shape blocked for good: it is suggested no more
    Dismiss {
        /// The shape, as `learn suggestions` prints it
        shape: String,
    },
}

impl LearnCommand {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        match self {
            Self::Suggestions { min_count, min_age_hours, json } => {
                suggestions(&app, i64::from(*min_count), i64::from(*min_age_hours) * 3600, *json)
            }
            Self::Stats { json } => stats(&app, *json),
            Self::Accept { shape, output } => accept(&app, shape, output),
            Self::Dismiss { shape } => dismiss(&app, shape),
        }
    }
}

fn suggestions(app: &App, min_count: i64, min_age_seconds: i64, json: bool) -> Done {
    let rows = app.store()?.blocked_commands(min_count, min_age_seconds, now_ms() / 1000)?;
    let found = learning::suggestions(&app.catalogue(), rows);
    if json {
        return output::json(&found);
    }
    if found.is_empty() {
        return output::line("No blocked command came so often for so long.");
    }
    for s in &found {
        output::line(&format!("{:<10} {:>6}x  {}", s.recommended.as_str(), s.count, s.shape))?;
        output::line(&format!(
            "    {}; last {} on {} by {}",
            s.why,
            output::time(s.last_seen.saturating_mul(1000)),
            s.hosts.join(", "),
            s.callers.join(", ")
        ))?;
    }
    Ok(())
}

fn stats(app: &App, json: bool) -> Done {
    let stats = app.store()?.learning_stats()?;
    if json {
        return output::json(&stats);
    }
    output::line(&format!(
        "{} blocked line(s) of {} shape(s), of {} at most",
        stats.blocked, stats.shapes, stats.capacity
    ))?;
    for c in &stats.commands {
        let name = if c.command.is_empty() { "(no name)" } else { &c.command };
        output::line(&format!("{:>6}x  {name} ({} shapes)", c.count, c.shapes))?;
    }
    Ok(())
}

fn accept(app: &App, shape: &str, file: &Path) -> Done {
    let rows = app.store()?.blocked_commands(0, 0, i64::MAX)?;
    let Some(row) = rows.into_iter().find(|r| r.shape == shape) else {
        return Err(no_shape(shape));
    };
    let given = learning::acceptable(learning::suggestion(&app.catalogue(), row))
        .map_err(|message| Ended { code: 4, message })?;
    let wrong = |e: std::io::Error| Ended::usage(format!("{}: {e}", file.display()));
    let mut made = std::fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(wrong)?;
    made.write_all(given.file.as_bytes()).map_err(wrong)?;
    app.store()?.decide(shape, Decision::Accepted, &by())?;
    output::line(&format!(
        "{} written, level {}. Nothing is in force: review it, then deploy it to the plugin folder of the server \
         and of each target.",
        file.display(),
        given.level
    ))
}

fn dismiss(app: &App, shape: &str) -> Done {
    if !app.store()?.decide(shape, Decision::Dismissed, &by())? {
        return Err(no_shape(shape));
    }
    output::line("Dismissed: it stays blocked and is suggested no more. `learn accept` still takes it.")
}

fn no_shape(shape: &str) -> Ended {
    Ended::usage(format!("no blocked command has the shape {shape:?}; `learn suggestions` lists them"))
}

fn by() -> String {
    std::env::var("USER").unwrap_or_else(|_| "command line".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    #[test]
    fn only_what_is_advised_is_written_and_no_file_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let env = Environment::from([("HOME", dir.path().to_str().unwrap())]);
        let config = dir.path().join("c.toml");
        std::fs::write(&config, "").unwrap();
        let app = App::new(Config::load(Some(&config), &env).unwrap()).unwrap();
        let file = dir.path().join("suggested.toml");
        for (shape, name) in [("lsscsi -l", "lsscsi"), ("rm PATH", "rm"), ("unheard-of", "unheard-of")] {
            app.store().unwrap().record_blocked(shape, name, shape, "h", "c", 1).unwrap();
        }
        for (shape, code) in [("rm PATH", 4), ("unheard-of", 4), ("nothing", 2)] {
            assert_eq!(accept(&app, shape, &file).unwrap_err().code, code, "{shape}");
            assert!(!file.exists(), "{shape}");
        }
        accept(&app, "lsscsi -l", &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        policy::Plugin::parse("suggested.toml", &text).unwrap();
        let decided = app.store().unwrap().audit_tail(9).unwrap();
        assert!(decided.len() == 1 && decided[0].contains("lsscsi -l"), "{decided:?}");
        dismiss(&app, "rm PATH").unwrap();
        assert_eq!(dismiss(&app, "nothing").unwrap_err().code, 2);
        let left = app.store().unwrap().blocked_commands(0, 0, i64::MAX).unwrap();
        let left = learning::suggestions(&app.catalogue(), left);
        assert!(left.len() == 2 && left.iter().all(|s| s.shape != "rm PATH"), "{left:?}");
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(accept(&app, "lsscsi -l", &file).unwrap_err().code, 2);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }
}
