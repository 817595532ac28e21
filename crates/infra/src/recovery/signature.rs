//! A person's signature, checked as far as the server can; the target checks it again.

use grant::sshsig::SshSig;
use grant::{Fido, NAMESPACE};

use crate::app::App;
use crate::store::{now_ms, sha256_hex};

use super::RecoveryError;

/// A good signature.
pub(super) struct Checked {
    /// `SHA256:…` of its key.
    pub(super) fingerprint: String,
    /// Whose key it is, where this server has a copy of the approvers' file.
    pub(super) person: Option<String>,
}

/// Checks an armored signature over these very bytes; one that the target would refuse is refused now.
pub(super) fn check(app: &App, bytes: &[u8], armor: &str, fido: &Fido) -> Result<Checked, RecoveryError> {
    let refused = |message: String| RecoveryError::refused("signature", message);
    let parsed =
        SshSig::parse(armor.as_bytes()).map_err(|e| refused(format!("this is no usable signature: {e}")))?;
    let fingerprint = parsed.key.fingerprint();
    if parsed.namespace != NAMESPACE {
        return Err(refused(format!(
            "{fingerprint} has signed for {:?}, not for {NAMESPACE}: sign again with `ssh-keygen -Y sign -n {NAMESPACE}`",
            parsed.namespace
        )));
    }
    fido.check(&parsed).map_err(|e| refused(format!("the target would refuse this signature: {e}")))?;
    parsed.verify(bytes).map_err(|e| {
        refused(format!(
            "what {fingerprint} has signed are not the bytes that stand, whose SHA-256 is {}: {e}",
            sha256_hex(bytes)
        ))
    })?;
    Ok(Checked { person: person(app, bytes, armor, fido)?, fingerprint })
}

/// Whose key it is, by the server's copy of the approvers' file. None without a copy.
fn person(app: &App, bytes: &[u8], armor: &str, fido: &Fido) -> Result<Option<String>, RecoveryError> {
    let Some(path) = &app.config().approvers else { return Ok(None) };
    let place = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| RecoveryError::refused("config", format!("{place}: {e}")))?;
    let approvers = grant::Approvers::parse(&text)
        .map_err(|e| RecoveryError::refused("config", format!("{place}: {e}")))?;
    let envelope = grant::Envelope::new(bytes, &[armor])
        .map_err(|e| RecoveryError::refused("signature", e.to_string()))?;
    let approvals = grant::verify_signatures(&envelope, &approvers, fido, now_ms() / 1000).map_err(|e| {
        RecoveryError::refused(
            "signature",
            format!("the target would refuse this signature: {e} (approvers: {place})"),
        )
    })?;
    Ok(approvals.into_iter().next().map(|a| a.person))
}
