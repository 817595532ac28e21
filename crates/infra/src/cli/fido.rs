//! What FIDO2 keys and passkeys must have been made for, and what a signature says of its key.

use clap::Args;
use grant::{Fido, Passkeys, SshSig};
use serde_json::{Value, json};

use super::{Context, Ended};
use crate::web;

/// What security keys and passkeys must have been made for.
#[derive(Debug, Args)]
pub(super) struct FidoFlags {
    /// The name that passkeys belong to; else that of `origin` in [dashboard] of the config
    #[arg(long, value_name = "NAME")]
    rp_id: Option<String>,
    /// The site on which passkeys are used, https://NAME[:PORT], several if repeated; else `origin` of the config
    #[arg(long, value_name = "URL")]
    origin: Vec<String>,
    /// What FIDO2 keys that sign without a browser were made for
    #[arg(long, value_name = "TEXT", default_value = grant::APPLICATION)]
    application: String,
}

impl FidoFlags {
    /// As the flags say; where they say nothing of passkeys, as the config does.
    pub(super) fn fido(&self, context: &Context) -> Result<Fido, Ended> {
        let mut fido = match (&self.rp_id, self.origin.first()) {
            (None, None) => {
                let settings = context.config()?.dashboard;
                match web::origin(settings.origin.as_deref(), &settings.listen) {
                    Ok(origin) => web::fido(&origin).map_err(Ended::usage)?,
                    // A dashboard on a socket without an origin has no passkeys.
                    Err(_) => Fido::default(),
                }
            }
            (rp_id, first) => {
                let host = |origin: &String| {
                    let authority = origin.split_once("://").map_or(origin.as_str(), |(_, rest)| rest);
                    authority.split(':').next().unwrap_or_default().to_owned()
                };
                let rp_id = rp_id.clone().or_else(|| first.map(host)).unwrap_or_default();
                let origins = if self.origin.is_empty() {
                    vec![format!("https://{rp_id}")]
                } else {
                    self.origin.clone()
                };
                let passkeys = Passkeys::new(&rp_id, &origins).map_err(Ended::usage)?;
                Fido { passkeys: Some(passkeys), ..Fido::default() }
            }
        };
        fido.application.clone_from(&self.application);
        Ok(fido)
    }
}

/// What kind of key has signed, and what it says of its user; `verified` is what checking the signature gave.
pub(super) fn of_key(signature: &SshSig, verified: bool) -> String {
    let clean = |text: &str| crate::hosts::hygiene::escaped(text.as_bytes());
    let user = if verified { "user present and verified" } else { "user present, NOT verified" };
    match (signature.key.application(), signature.origin()) {
        (Some(rp_id), Some(origin)) => {
            format!("passkey of {}, used on {}, {user}", clean(rp_id), clean(origin))
        }
        (Some(application), None) => format!("FIDO2 key for {}, {user}", clean(application)),
        (None, _) => "SSH key".to_owned(),
    }
}

/// The same for programs. A good signature of a FIDO2 key or passkey always had its user present.
pub(super) fn json_of_key(signature: &SshSig, verified: bool) -> Value {
    let application = signature.key.application();
    json!({
        "type": signature.key.kind().as_str(), "application": application, "origin": signature.origin(),
        "user_present": application.is_some(), "user_verified": verified, "counter": signature.counter(),
    })
}
