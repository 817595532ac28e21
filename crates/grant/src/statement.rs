//! The statement: what exactly is approved.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::{Code, MAX_STATEMENT, Refusal, text};

/// The version of the statement that this library reads and writes.
pub const VERSION: u32 = 1;

/// What is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One action of the target's catalogue, with parameters.
    Action,
    /// One exact command line that the policy calls `manual`.
    Command,
    /// A procedure: an ordered set of actions.
    Procedure,
    /// Nothing: no grant of this proposal may run any more.
    Deny,
    /// Nothing: somebody else has looked at what was done with fewer persons than usual.
    Review,
}

impl Kind {
    /// The word that stands in the statement.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Action => "action",
            Kind::Command => "command",
            Kind::Procedure => "procedure",
            Kind::Deny => "deny",
            Kind::Review => "review",
        }
    }

    /// Whether something runs. What runs needs as many persons as the target asks for, and none of them the one who proposed.
    pub const fn runs(self) -> bool {
        matches!(self, Kind::Action | Kind::Command | Kind::Procedure)
    }

    fn parse(word: &str) -> Result<Self, Refusal> {
        [Kind::Action, Kind::Command, Kind::Procedure, Kind::Deny, Kind::Review]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| {
                Refusal::malformed("kind: must be `action`, `command`, `procedure`, `deny` or `review`")
            })
    }
}

/// What a person signs. Every field but the last is always there; the order here is the order in [`Statement::to_bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// [`VERSION`].
    pub v: u32,
    /// The proposal's id: a name of at most 64 characters. A proposal runs once, whatever the nonce. The one that is meant by a
    /// denial or a review.
    pub proposal: String,
    /// The tenant that the host belongs to: a name.
    pub tenant: String,
    /// The host's name in the inventory.
    pub host: String,
    /// 64 hexadecimal digits: which machine this is, whatever its name.
    pub machine_id: String,
    /// What `action`, `params` and `argv` mean.
    pub kind: Kind,
    /// The name of the action or procedure; empty for a command and a denial. What a review is about: `command` for a command.
    pub action: String,
    /// Parameters by name; empty unless an action or procedure runs.
    pub params: BTreeMap<String, String>,
    /// The command's words; empty unless `kind` is `command`.
    pub argv: Vec<String>,
    /// 64 hexadecimal digits: digest of the action's or procedure's definition; empty unless one runs.
    pub plan: String,
    /// 64 hexadecimal digits: digest of the policy; empty for a denial and a review.
    pub policy: String,
    /// Why: what the approver reads, or what the person says who denies or reviews.
    pub rationale: String,
    /// Who proposed: visible ASCII. If it is an approver's name, that approver's signature refuses the grant.
    pub proposed_by: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds; the first second in which the grant is no longer valid.
    pub expires_at: i64,
    /// 32 hexadecimal digits, random: what makes the grant single-use.
    pub nonce: String,
    /// Breaks the glass: the person's reason to run this with fewer persons than usual, [`MIN_REASON`] characters at least. The
    /// target's policy says whether that is possible. Left out of the bytes when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

/// The least characters of a reason to break the glass, blanks at both ends not counted.
pub const MIN_REASON: usize = 10;

impl Statement {
    /// Reads the bytes of a statement, strictly: no unknown, missing or double field at any level, integers only, no
    /// lone surrogates, nothing after the object, no hidden characters, names in ASCII.
    ///
    /// # Errors
    /// `too_large` before anything is parsed, `trailing_data`, else `malformed` with the field or the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_STATEMENT {
            return Err(too_large(bytes.len()));
        }
        // serde would also take a struct from an array of its fields
        if bytes.iter().find(|b| !b" \t\r\n".contains(b)) != Some(&b'{') {
            return Err(Refusal::malformed("a statement is one JSON object"));
        }
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| refuse_json(&error))?;
        let statement = raw.into_statement()?;
        statement.check()?;
        Ok(statement)
    }

    /// The bytes to sign: one JSON object on one line, keys in the order of the fields, then a newline.
    ///
    /// What signs should call [`Statement::parse`] on them first: a target refuses what that refuses.
    pub fn to_bytes(&self) -> Vec<u8> {
        // serialising strings, integers and maps with string keys into memory cannot fail
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    fn check(&self) -> Result<(), Refusal> {
        text::name("proposal", &self.proposal, 64)?;
        text::name("tenant", &self.tenant, 64)?;
        text::name("host", &self.host, 253)?;
        text::hex("machine_id", &self.machine_id, 64)?;
        text::hex("nonce", &self.nonce, 32)?;
        text::person("proposed_by", &self.proposed_by)?;
        text::readable("rationale", &self.rationale, true)?;
        if self.kind.runs() {
            text::hex("policy", &self.policy, 64)?;
            self.check_reason()?;
        }
        match self.kind {
            Kind::Command => self.check_command(),
            Kind::Action | Kind::Procedure => self.check_action(),
            Kind::Deny | Kind::Review => self.check_decision(),
        }
    }

    fn check_reason(&self) -> Result<(), Refusal> {
        let Some(reason) = &self.break_glass else { return Ok(()) };
        text::readable("break_glass", reason, true)?;
        if reason.trim().chars().count() >= MIN_REASON {
            Ok(())
        } else {
            Err(Refusal::malformed(format!("break_glass: a reason has at least {MIN_REASON} characters")))
        }
    }

    /// A denial or a review asks for nothing to run.
    fn check_decision(&self) -> Result<(), Refusal> {
        let names = [&self.plan, &self.policy].into_iter().all(String::is_empty);
        if !names || !self.params.is_empty() || !self.argv.is_empty() || self.break_glass.is_some() {
            return Err(Refusal::malformed(
                "params, argv, plan, policy and break_glass: must be empty in a denial and a review",
            ));
        }
        if self.rationale.trim().is_empty() {
            return Err(Refusal::malformed("rationale: a denial and a review say why"));
        }
        match self.kind {
            Kind::Review => text::name("action", &self.action, 64),
            _ if self.action.is_empty() => Ok(()),
            _ => Err(Refusal::malformed("action: must be empty in a denial")),
        }
    }

    fn check_action(&self) -> Result<(), Refusal> {
        if !self.argv.is_empty() {
            return Err(Refusal::malformed("argv: must be empty unless kind is `command`"));
        }
        text::name("action", &self.action, 64)?;
        text::hex("plan", &self.plan, 64)?;
        for (key, value) in &self.params {
            text::name("params", key, 64)?;
            text::readable(&format!("params.{key}"), value, false)?;
        }
        Ok(())
    }

    fn check_command(&self) -> Result<(), Refusal> {
        if !self.action.is_empty() || !self.plan.is_empty() || !self.params.is_empty() {
            return Err(Refusal::malformed("action, plan and params: must be empty when kind is `command`"));
        }
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(Refusal::malformed("argv: a command has at least one word"));
        }
        self.argv.iter().try_for_each(|word| text::readable("argv", word, false))
    }
}

pub(crate) fn too_large(bytes: usize) -> Refusal {
    Refusal::new(
        Code::TooLarge,
        format!("the statement has {bytes} bytes; at most {MAX_STATEMENT} are allowed"),
    )
}

fn refuse_json(error: &serde_json::Error) -> Refusal {
    let message = error.to_string();
    if message.starts_with("trailing characters") {
        Refusal::new(Code::TrailingData, format!("after the statement: {message}"))
    } else {
        Refusal::malformed(message)
    }
}

/// The statement as it stands in JSON, before its fields are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    v: i64,
    proposal: String,
    tenant: String,
    host: String,
    machine_id: String,
    // a serde enum could also be written as an object
    kind: String,
    action: String,
    params: Params,
    argv: Vec<String>,
    plan: String,
    policy: String,
    rationale: String,
    proposed_by: String,
    not_before: i64,
    expires_at: i64,
    nonce: String,
    // there with a text, or not there: never null
    #[serde(default, deserialize_with = "text_that_is_there")]
    break_glass: Option<String>,
}

fn text_that_is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl Raw {
    fn into_statement(self) -> Result<Statement, Refusal> {
        if self.v != i64::from(VERSION) {
            return Err(Refusal::malformed(format!("v: version {} is not known, {VERSION} is", self.v)));
        }
        Ok(Statement {
            v: VERSION,
            proposal: self.proposal,
            tenant: self.tenant,
            host: self.host,
            machine_id: self.machine_id,
            kind: Kind::parse(&self.kind)?,
            action: self.action,
            params: self.params.0,
            argv: self.argv,
            plan: self.plan,
            policy: self.policy,
            rationale: self.rationale,
            proposed_by: self.proposed_by,
            not_before: self.not_before,
            expires_at: self.expires_at,
            nonce: self.nonce,
            break_glass: self.break_glass,
        })
    }
}

/// A map that refuses a key it already has; serde's own keeps the last.
struct Params(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Params {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        let mut params = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if params.contains_key(&key) {
                return Err(serde::de::Error::custom("a parameter stands twice"));
            }
            params.insert(key, value);
        }
        Ok(Params(params))
    }
}
