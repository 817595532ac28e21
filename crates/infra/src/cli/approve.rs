//! `approve`

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use grant::SshSig;
use grant::sshsig::MAX_ARMOR;

use super::fido::{FidoFlags, of_key};
use super::{Context, Done, Ended, output};
use crate::app::App;
use crate::recovery::{self, Preview, RecoveryError, Signer};
use crate::store::{Proposal, sha256_hex};

/// Shows what will run, asks, and signs with your key. The server has no key that could do this. Or takes a signature that was made
/// elsewhere, over the statement of `proposals show --bundle`: it asks for no key then.
#[derive(Debug, Args)]
pub(super) struct Approve {
    /// Id of the proposal
    id: String,
    /// Your private key, or the .pub of a key in ssh-agent; without it the only key of ssh-agent
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Add this signature of `ssh-keygen -Y sign`, `-` for stdin; several if repeated. It counts while the bytes stand:
    /// `lifetime_seconds` of [grant], 15 minutes at most
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    signature: Vec<PathBuf>,
    /// Sign without asking; for scripts that have shown the proposal to you in another way
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    fido: FidoFlags,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Approve {
    pub(super) fn run(&self, context: &Context) -> Done {
        let app = context.app()?;
        let fido = self.fido.fido(context)?;
        if !self.signature.is_empty() {
            let armors = self.signature.iter().map(|f| read(f)).collect::<Result<Vec<_>, _>>()?;
            return Context::block_on(self.take(&app, &armors, &fido));
        }
        Context::block_on(async {
            let signer = match &self.key {
                Some(path) => Signer::from_file(path),
                None => Signer::from_agent().await,
            };
            let signer = signer.map_err(Ended::usage)?;
            let preview = recovery::preview(&app, &self.id).await?;
            if !self.json {
                show(&preview)?;
                output::line(&format!("your key  {}", signer.describe()))?;
            }
            if !self.yes {
                confirm()?;
            }
            let proposal = recovery::sign(&app, &preview, &signer, &fido).await?;
            self.signed(&preview, &proposal)
        })
    }

    /// Adds signatures that were made elsewhere, over the bytes that stand.
    async fn take(&self, app: &App, armors: &[String], fido: &grant::Fido) -> Done {
        for (file, armor) in self.signature.iter().zip(armors) {
            let preview = recovery::look(app, &self.id).await?;
            if !preview.is_fixed() {
                return Err(no_bytes(&preview));
            }
            let added =
                recovery::add_signature(app, &preview, armor.clone(), &file.to_string_lossy(), fido).await;
            let proposal = added.map_err(|e| beside(file, &preview, e))?;
            if !self.json {
                show(&preview)?;
            }
            self.signed(&preview, &proposal)?;
        }
        Ok(())
    }

    fn signed(&self, preview: &Preview, proposal: &Proposal) -> Done {
        if self.json {
            return output::json(proposal);
        }
        let newest = proposal.signatures.iter().max_by_key(|s| s.signed_ms);
        if let Some((signature, sig)) =
            newest.and_then(|s| Some((s, SshSig::parse(s.armor.as_bytes()).ok()?)))
        {
            let verified = sig.verify(&preview.bytes).unwrap_or(false);
            let signer = crate::hosts::hygiene::escaped(signature.signer.as_bytes());
            output::line(&format!(
                "signer    {signer} with {} ({})",
                signature.fingerprint,
                of_key(&sig, verified)
            ))?;
        }
        let missing =
            proposal.asked.approvals.saturating_sub(u32::try_from(proposal.signatures.len()).unwrap_or(0));
        let until = output::time(preview.statement.expires_at.saturating_mul(1000));
        output::line(&if missing == 0 {
            format!("Signed. {} is approved until {until}.", proposal.id)
        } else {
            format!("Signed. {missing} more person(s) must sign before {until}.")
        })
    }
}

/// An armored signature from a file or stdin.
fn read(file: &Path) -> Result<String, Ended> {
    let failed = |e: std::io::Error| Ended::usage(format!("{}: {e}", file.display()));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    let mut armor = String::new();
    source.take(MAX_ARMOR as u64 + 1).read_to_string(&mut armor).map_err(failed)?;
    Ok(armor)
}

/// There is nothing that a signature could be for.
fn no_bytes(preview: &Preview) -> Ended {
    let p = &preview.proposal;
    let cause = match p.statement_expires_ms {
        None => "no statement was made for it yet".to_owned(),
        Some(end) => format!("the statement ended at {}", output::time(end)),
    };
    let message = format!(
        "{}: {cause}: nothing was added; make a new bundle with `mcp-linux-infra proposals show {} --bundle` and sign that",
        p.id, p.id
    );
    Ended { code: 4, message }
}

/// The refusal of a signature from a file. Where the statement lies beside it, as `ssh-keygen` leaves them, both digests are named.
fn beside(file: &Path, preview: &Preview, refusal: RecoveryError) -> Ended {
    let refused = Ended::from(refusal);
    let stands = sha256_hex(&preview.bytes);
    let statement =
        file.extension().filter(|e| *e == "sig").and_then(|_| std::fs::read(file.with_extension("")).ok());
    let hint = match statement.map(|bytes| sha256_hex(&bytes)).filter(|there| *there != stands) {
        Some(there) => format!(
            "; {} has {there}: it is another statement; make a new bundle with `mcp-linux-infra proposals show {} --bundle`",
            file.with_extension("").display(),
            preview.proposal.id
        ),
        None => String::new(),
    };
    Ended { code: refused.code, message: format!("{}: {}{hint}", file.display(), refused.message) }
}

/// What the person reads before signing.
fn show(preview: &Preview) -> Done {
    described(preview).iter().try_for_each(|line| output::line(line))
}

/// Everything here is read from the bytes that get signed.
pub(super) fn described(preview: &Preview) -> Vec<String> {
    let s = &preview.statement;
    let clean = |text: &str| crate::hosts::hygiene::escaped(text.as_bytes());
    let mut lines = vec![
        format!("Proposal  {}", clean(&s.proposal)),
        format!(
            "host      {} (tenant {}, machine {})",
            clean(&s.host),
            clean(&s.tenant),
            s.machine_id.get(..16).unwrap_or(&s.machine_id)
        ),
        if s.action.is_empty() {
            "action    one exact command, as root".to_owned()
        } else {
            format!("action    {}", clean(&s.action))
        },
    ];
    lines
        .extend(s.params.iter().map(|(name, value)| format!("          {} = {}", clean(name), clean(value))));
    lines.push(format!(
        "risk      {}, {} person(s) must sign",
        preview.risk, preview.proposal.asked.approvals
    ));
    let line = |argv: &[String]| clean(&crate::app::line_of(argv));
    lines.extend(preview.steps.iter().map(|(phase, argv)| format!("{phase:<9} {}", line(argv))));
    lines.push(format!("asked by  {}", clean(&s.proposed_by)));
    lines.push(format!("why       {}   (the asker's words)", clean(&s.rationale)));
    lines.push(format!("valid     until {}", output::time(s.expires_at.saturating_mul(1000))));
    lines.push(format!("sha256    {}", sha256_hex(&preview.bytes)));
    lines
}

fn confirm() -> Done {
    if !std::io::stdin().is_terminal() {
        return Err(Ended::usage(
            "there is no terminal to ask on: review with `proposals show`, then sign with --yes",
        ));
    }
    let mut out = std::io::stdout().lock();
    write!(out, "Sign this? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Ended { code: 4, message: "not signed".to_owned() })
    }
}
