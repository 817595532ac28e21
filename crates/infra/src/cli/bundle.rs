//! `proposals show --bundle`: what a person needs to read and sign a proposal on another machine, with OpenSSH alone.

use std::io::Write;
use std::path::Path;

use super::approve::described;
use super::{Done, Ended, output};
use crate::recovery::Preview;
use crate::store::sha256_hex;

/// The bytes to sign.
const STATEMENT: &str = "statement.json";
/// What they mean. No program is in the bundle: what came from a server is read on the other machine, not run.
const TEXT: &str = "what-runs.txt";

/// Writes the bundle: a folder that is made, `ID.bundle` in one that is there; a tar archive when the name ends with `.tar`, or on
/// stdout for `-`.
pub(super) fn write(preview: &Preview, to: &Path) -> Done {
    let id = &preview.statement.proposal;
    let folder = format!("{id}.bundle");
    let to = if to.is_dir() { to.join(&folder) } else { to.to_path_buf() };
    let files = [(STATEMENT, preview.bytes.clone()), (TEXT, text(preview).into_bytes())];
    let archive = || {
        let members = files.iter().map(|(name, bytes)| (format!("{folder}/{name}"), bytes.clone(), 0o644));
        crate::admin::archive(&members.collect::<Vec<_>>())
    };
    if to == Path::new("-") {
        return Ok(std::io::stdout().lock().write_all(&archive())?);
    }
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Ended::failed(format!(
            "{} is there already: name another with --bundle PATH, or remove it",
            to.display()
        )),
        _ => Ended::failed(format!("{}: {e}", to.display())),
    };
    if to.extension().is_some_and(|e| e == "tar") {
        create(&to, &archive()).map_err(failed)?;
    } else {
        std::fs::create_dir(&to).map_err(failed)?;
        for (name, bytes) in &files {
            create(&to.join(name), bytes).map_err(failed)?;
        }
    }
    output::line(&format!(
        "{}: sign {STATEMENT} as {TEXT} says, then: mcp-linux-infra approve {id} --signature FILE, before {}",
        to.display(),
        output::time(preview.statement.expires_at.saturating_mul(1000))
    ))
}

fn create(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::File::options().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// What runs, how that is checked against the bytes, and how they are signed.
fn text(preview: &Preview) -> String {
    let s = &preview.statement;
    let time = |seconds: i64| output::time(seconds.saturating_mul(1000));
    let lifetime = s.expires_at.saturating_sub(s.not_before) / 60;
    let fields = if s.action.is_empty() {
        "`argv` is the command, word by word".to_owned()
    } else {
        format!(
            "`action` and `params` say what runs; the commands are those of the definition with the digest\n   {}",
            s.plan
        )
    };
    let (id, host, namespace, digest) = (&s.proposal, &s.host, grant::NAMESPACE, sha256_hex(&preview.bytes));
    let (from, until) = (time(s.not_before), time(s.expires_at));
    let means = described(preview).join("\n");
    format!(
        "A person is asked to sign this, and nothing runs without it.\n\n{means}\n\n\
         It is valid from {from} to {until}: {lifetime} minutes, and no target takes one of more than 15. Carried slower than\n\
         that it is too late: nothing runs then, and a new bundle is needed.\n\n\
         1. Read {STATEMENT}. It is what you sign, not this text, which a server has written. Its fields must say the same:\n   \
         `host` is {host}, `proposal` is {id}, {fields}.\n   \
         `rationale` and `proposed_by` are words of whoever asked; nobody has checked them.\n   \
         A copy of the program that you trust shows it: mcp-linux-infra grant show {STATEMENT}\n\
         2. Its digest must be the one above, and the one that the dashboard shows:\n   \
         sha256sum {STATEMENT}\n   \
         {digest}\n\
         3. Sign, with a key that stands in the target's approvers file (a file, the .pub of a key in ssh-agent, or a FIDO2 key):\n   \
         ssh-keygen -Y sign -f KEY -n {namespace} {STATEMENT}\n\
         4. Carry {STATEMENT}.sig back:\n   \
         mcp-linux-infra approve {id} --signature {STATEMENT}.sig\n   \
         or, without the server, hand it to the target yourself:\n   \
         cat {STATEMENT} {STATEMENT}.sig | ssh pra-runner@{host} grant\n\n\
         To say no instead: mcp-linux-infra reject {id} --reason WHY --key KEY\n"
    )
}
