//! Who may approve, and with which key. The private half is the person's: it is never read here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use super::ask::Ask;
use crate::cli::{Context, Ended};
use crate::config::Environment;
use crate::init::Approver;
use crate::recovery::Signer;

#[derive(Debug, Args)]
#[group(id = "approver_source", multiple = false)]
pub(super) struct SourceFlags {
    /// The approver's public key (a .pub file)
    #[arg(long, value_name = "FILE", requires = "approver")]
    approver_key: Option<PathBuf>,
    /// The only key of ssh-agent is the approver's
    #[arg(long, requires = "approver")]
    agent: bool,
    /// Make the approver's key here with ssh-keygen, which asks for a passphrase on the terminal
    #[arg(long, value_name = "FILE", requires = "approver")]
    new_approver_key: Option<PathBuf>,
    /// The same on a FIDO2 token (ed25519-sk), which asks for a touch
    #[arg(long, value_name = "FILE", requires = "approver")]
    fido2_approver_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct PersonFlags {
    /// Let this person approve recovery actions, such as alice@example.org
    #[arg(long, value_name = "PERSON", requires = "approver_source")]
    approver: Option<String>,
    #[command(flatten)]
    source: SourceFlags,
}

/// Where a key comes from.
enum Source {
    File(PathBuf),
    Agent,
    New(PathBuf, &'static str),
}

impl PersonFlags {
    pub(super) fn resolve(
        &self,
        ask: Option<&mut Ask>,
        env: &Environment,
    ) -> Result<Option<Approver>, Ended> {
        let terminal = ask.is_some();
        let (person, source) = match (&self.approver, ask) {
            (Some(person), _) => {
                let Some(source) = self.source.chosen() else { return Ok(None) };
                (person.clone(), source)
            }
            (None, Some(ask)) => match asked(ask, env)? {
                Some(both) => both,
                None => return Ok(None),
            },
            (None, None) => return Ok(None),
        };
        // Before a key is made for a name that is none.
        Approver::new(&person, PLACEHOLDER).map_err(Ended::usage)?;
        let (text, place) = match source {
            Source::File(path) => (read(&path)?, path.display().to_string()),
            Source::Agent => (agent()?, "ssh-agent".to_owned()),
            Source::New(path, kind) => {
                if !terminal {
                    return Err(Ended::usage(
                        "ssh-keygen would ask for a passphrase, and there is no terminal: make the key where the person works, and \
                         give --approver-key FILE.pub",
                    ));
                }
                (keygen(&path, kind, &person)?, path.display().to_string())
            }
        };
        Approver::new(&person, &text).map(Some).map_err(|cause| Ended::usage(format!("{place}: {cause}")))
    }
}

/// A key whose private half nobody has kept.
const PLACEHOLDER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

impl SourceFlags {
    fn chosen(&self) -> Option<Source> {
        let new = |path: &PathBuf, kind| Source::New(path.clone(), kind);
        if self.agent {
            return Some(Source::Agent);
        }
        let file = self.approver_key.clone().map(Source::File);
        file.or_else(|| self.new_approver_key.as_ref().map(|p| new(p, "ed25519")))
            .or_else(|| self.fido2_approver_key.as_ref().map(|p| new(p, "ed25519-sk")))
    }
}

fn asked(ask: &mut Ask, env: &Environment) -> Result<Option<(String, Source)>, Ended> {
    let person = ask.until("Who may approve, such as alice@example.org (empty: later)", None, |text| {
        if text.is_empty() { Ok(None) } else { Approver::new(text, PLACEHOLDER).map(|a| Some(a.person)) }
    })?;
    let Some(person) = person else { return Ok(None) };
    ask.say("Their key: the path of a .pub file, or `agent`, or `new` or `fido2` to make one here and now.");
    ask.say("A key on the server's own machine is as safe as that machine: a laptop or a token is better.");
    let answer = ask.until("Key", None, |text| {
        if text.is_empty() { Err("name one".to_owned()) } else { Ok(text.to_owned()) }
    })?;
    let kind = match answer.as_str() {
        "agent" => return Ok(Some((person, Source::Agent))),
        "new" => "ed25519",
        "fido2" => "ed25519-sk",
        path => return Ok(Some((person, Source::File(home(path, env))))),
    };
    let default = format!("~/.ssh/id_{}_approver", kind.replace('-', "_"));
    let path = ask.until("File for the private key", Some(&default), |text| {
        let path = home(text, env);
        if path.exists() { Err(format!("{} is there already", path.display())) } else { Ok(path) }
    })?;
    Ok(Some((person, Source::New(path, kind))))
}

fn home(text: &str, env: &Environment) -> PathBuf {
    match (text.strip_prefix("~/"), env.path("HOME")) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    }
}

fn read(path: &Path) -> Result<String, Ended> {
    std::fs::read_to_string(path).map_err(|e| Ended::usage(format!("{}: {e}", path.display())))
}

fn agent() -> Result<String, Ended> {
    let signer = Context::block_on(async { Signer::from_agent().await.map_err(Ended::usage) })?;
    signer.agent_line().ok_or_else(|| Ended::usage("ssh-agent shows no public key"))
}

fn keygen(path: &Path, kind: &str, person: &str) -> Result<String, Ended> {
    if path.exists() {
        return Err(Ended::usage(format!(
            "{} is there already: give its .pub with --approver-key",
            path.display()
        )));
    }
    let status = Command::new("ssh-keygen")
        .args(["-t", kind, "-C", person, "-f"])
        .arg(path)
        // Its words are for the person; stdout is for the result.
        .stdout(Stdio::from(std::io::stderr()))
        .status()
        .map_err(|e| Ended::failed(format!("ssh-keygen: {e}")))?;
    if !status.success() {
        return Err(Ended::failed("ssh-keygen made no key; nothing was written"));
    }
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    read(Path::new(&public))
}
