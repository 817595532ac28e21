//! The wire text of a grant: a statement's bytes, then armored signatures.
//!
//! `cat grant.json grant.json.sig second.sig` makes one. The statement is every byte before the first line that begins a
//! signature; it ends with a newline, which is signed like the rest. Nothing stands between or after the signatures.
//! Bytes are cut, never changed.

use std::fmt;

const BEGIN: &[u8] = b"-----BEGIN SSH SIGNATURE-----\n";
const END: &[u8] = b"-----END SSH SIGNATURE-----";

/// The most bytes an envelope may have.
pub const MAX_ENVELOPE: usize = 64 * 1024;
/// The most bytes a statement may have.
pub const MAX_STATEMENT: usize = 16 * 1024;
/// The most signatures an envelope may have.
pub const MAX_SIGNATURES: usize = 8;

/// The parts of an envelope, as slices of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// What was signed.
    pub statement: &'a [u8],
    /// 1 to [`MAX_SIGNATURES`] armored signatures, each from its first line to its last with the newline, if any.
    pub armors: Vec<&'a [u8]>,
}

/// Why bytes are no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// The envelope has more than [`MAX_ENVELOPE`] bytes.
    TooLarge,
    /// The statement has more than [`MAX_STATEMENT`] bytes.
    StatementTooLarge,
    /// There are more than [`MAX_SIGNATURES`] signatures.
    TooManySignatures,
    /// Nothing stands before the first signature.
    NoStatement,
    /// The first signature does not begin on its own line.
    NoNewline,
    /// There is no signature.
    NoSignature,
    /// A signature has no last line.
    Unfinished,
    /// Something that is no signature stands after one.
    TrailingData,
}

impl EnvelopeError {
    /// The refusal code of DESIGN's grant section.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge | Self::StatementTooLarge | Self::TooManySignatures => "too_large",
            Self::NoStatement | Self::NoNewline | Self::Unfinished => "malformed",
            Self::NoSignature => "too_few_approvers",
            Self::TrailingData => "trailing_data",
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the grant has more than {MAX_ENVELOPE} bytes"),
            Self::StatementTooLarge => write!(f, "the statement has more than {MAX_STATEMENT} bytes"),
            Self::TooManySignatures => write!(f, "the grant has more than {MAX_SIGNATURES} signatures"),
            Self::NoStatement => f.write_str("there is no statement before the signatures"),
            Self::NoNewline => f.write_str("the statement must end with a newline, and be signed with it"),
            Self::NoSignature => f.write_str("nobody has signed"),
            Self::Unfinished => f.write_str("a signature has no last line"),
            Self::TrailingData => f.write_str("something that is no signature stands after one"),
        }
    }
}

impl std::error::Error for EnvelopeError {}

/// Cuts an envelope into its parts.
///
/// # Errors
/// The limits first, then what is missing or too much.
pub fn split(bytes: &[u8]) -> Result<Parts<'_>, EnvelopeError> {
    if bytes.len() > MAX_ENVELOPE {
        return Err(EnvelopeError::TooLarge);
    }
    let (statement, mut rest) = split_statement(bytes)?;
    let mut armors = Vec::new();
    while !rest.is_empty() {
        if armors.len() == MAX_SIGNATURES {
            return Err(EnvelopeError::TooManySignatures);
        }
        let (armor, after) = split_armor(rest)?;
        armors.push(armor);
        rest = after;
    }
    Ok(Parts { statement, armors })
}

fn split_statement(bytes: &[u8]) -> Result<(&[u8], &[u8]), EnvelopeError> {
    if bytes.starts_with(BEGIN) {
        return Err(EnvelopeError::NoStatement);
    }
    let at_line_start = |at: &usize| bytes[..*at].ends_with(b"\n");
    let Some(at) = finds(bytes, BEGIN).find(at_line_start) else {
        return Err(match finds(bytes, BEGIN).next() {
            Some(_) => EnvelopeError::NoNewline,
            None if bytes.len() > MAX_STATEMENT => EnvelopeError::StatementTooLarge,
            None => EnvelopeError::NoSignature,
        });
    };
    if at > MAX_STATEMENT {
        return Err(EnvelopeError::StatementTooLarge);
    }
    Ok(bytes.split_at(at))
}

fn split_armor(bytes: &[u8]) -> Result<(&[u8], &[u8]), EnvelopeError> {
    if !bytes.starts_with(BEGIN) {
        return Err(EnvelopeError::TrailingData);
    }
    let end = finds(bytes, END).next().ok_or(EnvelopeError::Unfinished)? + END.len();
    match &bytes[end..] {
        [] => Ok((bytes, &[])),
        [b'\n', ..] => Ok(bytes.split_at(end + 1)),
        _ => Err(EnvelopeError::TrailingData),
    }
}

/// Where `needle` begins in `bytes`, in order.
fn finds<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(needle.len()).enumerate().filter(move |(_, window)| *window == needle).map(|(at, _)| at)
}

/// Puts an envelope together. The statement must end with a newline, as [`split`] asks; it is not touched.
pub fn join(statement: &[u8], armors: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = statement.to_vec();
    for armor in armors {
        bytes.extend_from_slice(armor.as_ref());
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    bytes
}
