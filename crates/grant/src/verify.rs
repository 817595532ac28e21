//! From bytes to "this may run": signatures, persons, target, time; in that order.

use std::collections::BTreeSet;

use crate::approvers::Approvers;
use crate::sshsig::SshSig;
use crate::statement::{Statement, too_large};
use crate::webauthn::Passkeys;
use crate::{Code, MAX_SIGNATURES, MAX_STATEMENT, NAMESPACE, Refusal};

/// A statement's exact bytes with the signatures that came along. Nothing is verified yet.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// What was signed.
    pub statement: &'a [u8],
    /// 1 to [`MAX_SIGNATURES`] signatures.
    pub signatures: Vec<SshSig>,
}

impl<'a> Envelope<'a> {
    /// Reads the armored signatures; the statement stays as it is.
    ///
    /// # Errors
    /// `too_large` for the statement's size or too many signatures, `too_few_approvers` for none, else as
    /// [`SshSig::parse`].
    pub fn new(statement: &'a [u8], armors: &[impl AsRef<[u8]>]) -> Result<Self, Refusal> {
        if statement.len() > MAX_STATEMENT {
            return Err(too_large(statement.len()));
        }
        if armors.len() > MAX_SIGNATURES {
            return Err(Refusal::new(
                Code::TooLarge,
                format!("a grant has at most {MAX_SIGNATURES} signatures"),
            ));
        }
        if armors.is_empty() {
            return Err(Refusal::new(Code::TooFewApprovers, "nobody has signed"));
        }
        let signatures =
            armors.iter().map(|armor| SshSig::parse(armor.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { statement, signatures })
    }
}

/// What the target knows of itself, and how much time a grant may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The target's tenant.
    pub tenant: String,
    /// The target's name in the inventory.
    pub host: String,
    /// 64 hexadecimal digits.
    pub machine_id: String,
    /// Seconds between `not_before` and `expires_at`, at most.
    pub max_lifetime: i64,
    /// Seconds by which two clocks may differ.
    pub skew: i64,
    /// What security keys and passkeys must have been made for.
    pub fido: Fido,
}

/// What security keys and passkeys must have been made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fido {
    /// The application of a security key that signs by itself.
    pub application: String,
    /// Passkeys that sign in a browser; none when they do not approve here.
    pub passkeys: Option<Passkeys>,
}

impl Default for Fido {
    /// `ssh:`, and no passkeys.
    fn default() -> Self {
        Self { application: crate::APPLICATION.into(), passkeys: None }
    }
}

impl Fido {
    /// Whether a signature comes from a key of the right kind: a key signs in one way only, by itself or in a browser, and its
    /// application says which. Whether it is a good signature is not asked here.
    ///
    /// # Errors
    /// `application`, `origin`.
    pub fn check(&self, signature: &SshSig) -> Result<(), Refusal> {
        let Some(found) = signature.key.application() else { return Ok(()) };
        let wrong = |message| Err(Refusal::new(Code::Application, message));
        let (what, wanted) = match (signature.origin(), &self.passkeys) {
            (None, _) => ("security key", &*self.application),
            (Some(_), Some(passkeys)) => ("passkey", passkeys.rp_id()),
            (Some(_), None) => return wrong("this target takes no passkeys".to_owned()),
        };
        if found != wanted {
            let found = found.escape_debug();
            return wrong(format!("the {what} was made for `{found}`, not for `{wanted}`"));
        }
        match (signature.origin(), &self.passkeys) {
            (Some(origin), Some(passkeys)) if !passkeys.lists(origin) => {
                let message = format!("the passkey was used on {origin:?}, which this target does not list");
                Err(Refusal::new(Code::Origin, message))
            }
            _ => Ok(()),
        }
    }
}

impl Rules {
    /// Rules with the usual limits: 15 minutes, 30 seconds, `ssh:`.
    pub fn new(tenant: impl Into<String>, host: impl Into<String>, machine_id: impl Into<String>) -> Self {
        Self {
            tenant: tenant.into(),
            host: host.into(),
            machine_id: machine_id.into(),
            max_lifetime: 900,
            skew: 30,
            fido: Fido::default(),
        }
    }
}

/// How many must sign, and how. Comes from the target's policy, never from the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Distinct persons; 0 counts as 1.
    pub min: u32,
    /// Every signature must be by a security key that verified its user.
    pub verify_required: bool,
    /// Distinct persons, of those, who sign outside of a browser. What a browser shows and has signed comes from a server; these
    /// persons do not depend on it.
    pub outside_browser: u32,
}

/// One person's verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The name in the approvers file.
    pub person: String,
    /// As `ssh-keygen -l` prints it.
    pub key_fingerprint: String,
    /// A security key verified its user, by PIN or fingerprint.
    pub user_verified: bool,
    /// How many signatures a security key or passkey says to have made: see [`check_counter`]. None for other keys.
    pub counter: Option<u32>,
    /// The site on which a passkey was used; none for other keys.
    pub origin: Option<String>,
}

/// A grant that passed every check that needs no disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What was approved.
    pub statement: Statement,
    /// By whom: one entry per signature, in the envelope's order.
    pub approvals: Vec<Approval>,
}

/// Checks a grant as the target does, all but what needs its disk.
///
/// `now` and `high_water` are unix seconds; `high_water` is the highest time the target has ever seen (0 at first).
///
/// # Errors
/// The first check that fails, in this order: signatures over the raw bytes, strict parse, persons against the
/// threshold for what the statement asks, or what says that there is none, target, time.
pub fn verify(
    envelope: &Envelope<'_>,
    approvers: &Approvers,
    rules: &Rules,
    threshold: impl FnOnce(&Statement) -> Result<Threshold, Refusal>,
    now: i64,
    high_water: i64,
) -> Result<Verified, Refusal> {
    // a key's validity is judged by the later clock as well: setting the clock back revives no key
    let approvals = verify_signatures(envelope, approvers, &rules.fido, now.max(high_water))?;
    let statement = Statement::parse(envelope.statement)?;
    check_threshold(&statement, &approvals, threshold(&statement)?)?;
    check_target(&statement, rules)?;
    check_time(&statement, rules, now, high_water)?;
    Ok(Verified { statement, approvals })
}

/// Checks every signature over the raw bytes; one that is wrong refuses the grant, whatever the others are.
///
/// # Errors
/// `namespace`, `application`, `origin`, `unknown_signer`, `expired_key`, `authenticator_data`, `client_data`, `challenge`,
/// `signature`, `user_presence`.
pub fn verify_signatures(
    envelope: &Envelope<'_>,
    approvers: &Approvers,
    fido: &Fido,
    now: i64,
) -> Result<Vec<Approval>, Refusal> {
    let approvals = envelope
        .signatures
        .iter()
        .map(|signature| verify_one(signature, envelope.statement, approvers, fido, now))
        .collect::<Result<Vec<_>, _>>()?;
    if approvals.is_empty() {
        Err(Refusal::new(Code::TooFewApprovers, "nobody has signed"))
    } else {
        Ok(approvals)
    }
}

fn verify_one(
    signature: &SshSig,
    statement: &[u8],
    approvers: &Approvers,
    fido: &Fido,
    now: i64,
) -> Result<Approval, Refusal> {
    if signature.namespace != NAMESPACE {
        let found = signature.namespace.escape_debug();
        return Err(Refusal::new(Code::Namespace, format!("signed for `{found}`, not for `{NAMESPACE}`")));
    }
    fido.check(signature)?;
    let key_fingerprint = signature.key.fingerprint();
    let approver = approvers.find(&signature.key).ok_or_else(|| {
        Refusal::new(Code::UnknownSigner, format!("{key_fingerprint} is not in the list of approvers"))
    })?;
    let person = &approver.person;
    if !approver.signs_grants() {
        return Err(Refusal::new(
            Code::Namespace,
            format!("{key_fingerprint} of {person} may not sign grants"),
        ));
    }
    if !approver.is_valid_at(now) {
        return Err(Refusal::new(
            Code::ExpiredKey,
            format!("{key_fingerprint} of {person} is not valid at {now}"),
        ));
    }
    let user_verified = signature.verify(statement)?;
    Ok(Approval {
        person: person.clone(),
        key_fingerprint,
        user_verified,
        counter: signature.counter(),
        origin: signature.origin().map(str::to_owned),
    })
}

/// Checks a security key's count of signatures against the highest that the target has seen of this key (0 at first), by
/// WebAuthn's rule: it rises with each signature, or the key has none and it is always 0. One that does not rise says that a
/// copy of the key exists, or that an older signature is handed over after a younger one.
///
/// # Errors
/// `counter`.
pub fn check_counter(approval: &Approval, highest: u32) -> Result<(), Refusal> {
    match approval.counter {
        Some(counter) if (counter, highest) != (0, 0) && counter <= highest => {
            let message = format!(
                "{} of {} counts {counter} signatures, after {highest}: an older approval came too late, or \
                 the key was copied",
                approval.key_fingerprint, approval.person
            );
            Err(Refusal::new(Code::Counter, message))
        }
        _ => Ok(()),
    }
}

/// Checks who signed against how many must: distinct persons, and none of them the one who proposed what runs.
///
/// # Errors
/// `self_approval`, `user_verification`, `too_few_approvers`.
pub fn check_threshold(
    statement: &Statement,
    approvals: &[Approval],
    threshold: Threshold,
) -> Result<(), Refusal> {
    let proposer = statement.proposed_by.to_ascii_lowercase();
    let persons: BTreeSet<String> =
        approvals.iter().map(|approval| approval.person.to_ascii_lowercase()).collect();
    if statement.kind.runs() && persons.contains(&proposer) {
        return Err(Refusal::new(
            Code::SelfApproval,
            format!("{proposer} proposed this and may not approve it"),
        ));
    }
    if let Some(approval) = approvals.iter().find(|a| threshold.verify_required && !a.user_verified) {
        let message = format!(
            "{} of {} did not verify its user by PIN or fingerprint; this action asks for it",
            approval.key_fingerprint, approval.person
        );
        return Err(Refusal::new(Code::UserVerification, message));
    }
    enough(&persons, threshold.min.max(1), "have signed")?;
    let outside = approvals.iter().filter(|a| a.origin.is_none()).map(|a| a.person.to_ascii_lowercase());
    enough(&outside.collect(), threshold.outside_browser, "have signed outside of a browser")
}

fn enough(persons: &BTreeSet<String>, min: u32, what: &str) -> Result<(), Refusal> {
    if usize::try_from(min).is_ok_and(|min| persons.len() >= min) {
        return Ok(());
    }
    let message = format!("{} of {min} distinct persons {what}", persons.len());
    Err(Refusal::new(Code::TooFewApprovers, message))
}

/// Checks that the statement is for this target.
///
/// # Errors
/// `tenant_mismatch`, `host_mismatch`.
pub fn check_target(statement: &Statement, rules: &Rules) -> Result<(), Refusal> {
    if statement.tenant != rules.tenant {
        let message = format!("approved for tenant {}, this is {}", statement.tenant, rules.tenant);
        return Err(Refusal::new(Code::TenantMismatch, message));
    }
    if statement.machine_id != rules.machine_id {
        let message = format!("approved for machine {}, this is {}", statement.machine_id, rules.machine_id);
        return Err(Refusal::new(Code::HostMismatch, message));
    }
    if statement.host != rules.host {
        let message = format!("approved for host {}, this is {}", statement.host, rules.host);
        return Err(Refusal::new(Code::HostMismatch, message));
    }
    Ok(())
}

/// Checks the span of time against the target's clock and the highest time it has ever seen, all in unix seconds.
///
/// # Errors
/// `lifetime`, `clock_skew`, `not_yet_valid`, `expired`.
pub fn check_time(statement: &Statement, rules: &Rules, now: i64, high_water: i64) -> Result<(), Refusal> {
    let Statement { not_before, expires_at, .. } = *statement;
    let lifetime = expires_at.checked_sub(not_before).filter(|seconds| *seconds > 0 && not_before >= 0);
    if lifetime.is_none_or(|seconds| seconds > rules.max_lifetime) {
        let max = rules.max_lifetime;
        return Err(Refusal::new(
            Code::Lifetime,
            format!("from {not_before} to {expires_at} is no span of 1 to {max} seconds"),
        ));
    }
    let skew = rules.skew;
    let behind = high_water.saturating_sub(now);
    if behind > skew {
        let message = format!(
            "this target's clock reads {now}, {behind} s before the highest time it has seen; {skew} s are allowed"
        );
        return Err(Refusal::new(Code::ClockSkew, message));
    }
    let ahead = not_before.saturating_sub(now);
    if ahead > skew {
        let message = format!(
            "valid from {not_before}, {ahead} s ahead of this target's clock, which reads {now}; {skew} s are \
             allowed: the clock is behind, or the grant is for later"
        );
        return Err(Refusal::new(Code::NotYetValid, message));
    }
    let latest = now.max(high_water);
    if latest >= expires_at {
        let late = latest.saturating_sub(expires_at);
        return Err(Refusal::new(
            Code::Expired,
            format!("expired at {expires_at}, {late} s before this target's clock"),
        ));
    }
    Ok(())
}
