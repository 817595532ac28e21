//! `keys rotate`, `keys revoke`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use policy::Account;
use serde_json::json;

use super::deploy::{Bounds, Way, select};
use super::{Context, Done, Ended, output};
use crate::admin::{self, Channel, Outcome, Step, What};
use crate::app::App;
use crate::config::Host;

/// The keys by which the server logs in: with your own ssh and sudo on the hosts
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    Rotate(Rotate),
    Revoke(Revoke),
}

/// Replaces an account's key by a new one on every host, without a moment at which a call fails
///
/// The new key is laid beside the old and a login with it verified; the server's file is switched; the old key is taken away and its
/// refusal verified. Progress goes to stderr. Exit 1 when a host stays behind: it keeps the old key, and --resume finishes it.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Whose key
    #[arg(long)]
    account: Which,
    /// On which hosts [default: all]; every host that uses the same key file must be among them
    #[arg(long, value_name = "SELECTOR")]
    hosts: Option<String>,
    /// Go on with a rotation that is not done
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Takes a key away from every host at once, and ends what it has open there
///
/// For a key that is lost or stolen. It is refused afterwards, which is tried where this server has the key. Exit 1 when a host was not
/// reached: the same command again is safe.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, args = ["key", "account", "approver"])]
pub(super) struct Revoke {
    /// One key by its fingerprint (ssh-keygen -lf FILE), wherever it stands: of an account or of an approver
    #[arg(long, value_name = "SHA256:…")]
    key: Option<String>,
    /// Every key of an account
    #[arg(long)]
    account: Option<Which>,
    /// A person who may approve, by name
    #[arg(long, value_name = "NAME")]
    approver: Option<String>,
    /// On which hosts [default: all]
    #[arg(long, value_name = "SELECTOR")]
    hosts: Option<String>,
    #[command(flatten)]
    way: Way,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Reader,
    Runner,
}

impl From<Which> for Account {
    fn from(which: Which) -> Self {
        match which {
            Which::Reader => Self::Reader,
            Which::Runner => Self::Runner,
        }
    }
}

impl Keys {
    pub(super) fn run(&self, context: &Context) -> Done {
        match self {
            Self::Rotate(c) => c.run(context),
            Self::Revoke(c) => c.run(context),
        }
    }
}

impl Rotate {
    fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let account = Account::from(self.account);
        let keys = keys(&app, account, &select(&app, self.hosts.as_deref())?)?;
        let channel = Channel::new(&app, self.way.user.as_deref()).map_err(Ended::usage)?;
        let mut options = Vec::new();
        for (option, value) in [("--from", &self.bounds.from), ("--expires", &self.bounds.expires)] {
            options.extend(value.iter().flat_map(|v| [option, v.as_str()]));
        }
        let mut outcomes: Vec<Outcome> = Vec::new();
        Context::block_on(async {
            for (key, hosts) in &keys {
                let say = |words: &str| eprintln!("{words}");
                let turned = admin::rotate(&channel, account, key, hosts, &options, self.resume, &say).await;
                outcomes.extend(turned.map_err(Ended::failed)?);
            }
            Ok(())
        })?;
        let done = outcomes.iter().all(|o| o.done);
        if self.json {
            output::json(&json!({ "ok": done, "keys": outcomes }))?;
        } else if outcomes.is_empty() {
            output::line("no rotation is under way")?;
        } else {
            outcomes.iter().try_for_each(show)?;
        }
        if done { Ok(()) } else { Err(Ended::quiet(1)) }
    }
}

fn show(outcome: &Outcome) -> Done {
    let behind = || outcome.hosts.iter().filter(|r| r.step != Step::Refused);
    if outcome.done {
        return output::line(&format!(
            "{}: {} on {} host(s); {} is refused everywhere",
            outcome.key,
            outcome.new,
            outcome.hosts.len(),
            outcome.old
        ));
    }
    let state = if outcome.switched { "is the new key" } else { "is still the old key" };
    output::line(&format!(
        "{} {state}; {} of {} host(s) are not done:",
        outcome.key,
        behind().count(),
        outcome.hosts.len()
    ))?;
    for row in behind() {
        output::line(&format!("FAIL {}: {}", row.host, row.error.as_deref().unwrap_or("not begun")))?;
    }
    output::line("finish with: mcp-linux-infra keys rotate --resume, and the same options")
}

/// The key files of these hosts. A file cannot be switched for some of the hosts that use it.
fn keys<'a>(
    app: &'a App,
    account: Account,
    hosts: &[&'a Host],
) -> Result<BTreeMap<PathBuf, Vec<&'a Host>>, Ended> {
    let file = |host: &'a Host| match account {
        Account::Reader => host.reader_key.as_deref(),
        Account::Runner => host.runner_key.as_deref(),
    };
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut keys: BTreeMap<PathBuf, Vec<&Host>> = BTreeMap::new();
    for host in hosts {
        let key =
            file(host).ok_or_else(|| Ended::usage(format!("{} has no key file in the config", host.name)))?;
        keys.entry(real(key)).or_default().push(host);
    }
    for other in app.config().inventory.iter().filter(|h| !hosts.iter().any(|c| c.name == h.name)) {
        if let Some(key) = file(other).map(real).filter(|k| keys.contains_key(k)) {
            return Err(Ended::usage(format!(
                "{} uses {} as well: rotate it on all of its hosts, or give them key files of their own",
                other.name,
                key.display()
            )));
        }
    }
    for other in app.config().inventory.iter() {
        let others = if account == Account::Reader { &other.runner_key } else { &other.reader_key };
        if let Some(key) = others.as_deref().map(real).filter(|k| keys.contains_key(k)) {
            return Err(Ended::usage(format!(
                "{} is the key of both accounts: give each its own",
                key.display()
            )));
        }
    }
    Ok(keys)
}

impl Revoke {
    fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let hosts = select(&app, self.hosts.as_deref())?;
        let what = self.what()?;
        let channel = Channel::new(&app, self.way.user.as_deref()).map_err(Ended::usage)?;
        let rows =
            Context::block_on(async { admin::revoke(&channel, &what, &hosts).await.map_err(Ended::failed) })?;
        let ok = rows.iter().all(|r| r.ok);
        if self.json {
            output::json(&json!({ "ok": ok, "results": rows }))?;
        } else {
            for row in &rows {
                let (mark, words) = match (&row.error, row.refused) {
                    (Some(e), _) => ("FAIL", e.as_str()),
                    (None, Some(true)) => ("ok  ", "it is gone, and refused"),
                    (None, _) => ("ok  ", "it is gone"),
                };
                output::line(&format!("{mark} {}: {words} ({} ms)", row.host, row.ms))?;
            }
        }
        if let Some(path) = app.config().approvers.as_ref().filter(|_| self.account.is_none()) {
            eprintln!(
                "an approver's line must go from {} as well, which is this server's copy",
                path.display()
            );
        }
        if ok { Ok(()) } else { Err(Ended::quiet(1)) }
    }

    fn what(&self) -> Result<What, Ended> {
        if let Some(print) = &self.key {
            let tail = print.strip_prefix("SHA256:").unwrap_or_default();
            let good =
                tail.len() == 43 && tail.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b));
            return if good {
                Ok(What::Key(print.clone()))
            } else {
                Err(Ended::usage(format!(
                    "{print:?} is no fingerprint: SHA256: and 43 characters, as ssh-keygen -lf prints it"
                )))
            };
        }
        if let Some(name) = &self.approver {
            let good =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@+-".contains(&b));
            return if good {
                Ok(What::Approver(name.clone()))
            } else {
                Err(Ended::usage(format!("{name:?} is no approver's name")))
            };
        }
        self.account
            .map(|a| What::Account(a.into()))
            .ok_or_else(|| Ended::usage("name a key, an account or an approver"))
    }
}
