//! The envelope: what is cut out is what was put in, and nothing else is taken for an envelope.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use session::envelope::{EnvelopeError, MAX_ENVELOPE, MAX_SIGNATURES, MAX_STATEMENT, join, split};

const ARMOR: &[u8] = b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n";

fn cut(bytes: &[u8]) -> EnvelopeError {
    split(bytes).unwrap_err()
}

fn glue(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn cat_makes_an_envelope() {
    let bytes = glue(&[b"{\"v\":1}\n", ARMOR, ARMOR]);
    let parts = split(&bytes).unwrap();
    assert_eq!(parts.statement, b"{\"v\":1}\n");
    assert_eq!(parts.armors, [ARMOR, ARMOR]);
    assert_eq!(join(parts.statement, &parts.armors), bytes);
}

#[test]
fn the_last_newline_may_be_missing() {
    let armor = &ARMOR[..ARMOR.len() - 1];
    let bytes = glue(&[b"{}\n", armor]);
    assert_eq!(split(&bytes).unwrap().armors, [armor]);
    assert_eq!(join(b"{}\n", &[armor, armor]), glue(&[b"{}\n", ARMOR, ARMOR]));
}

#[test]
fn the_statement_is_not_touched() {
    let statement = b" \r\n\t{ \"a\" :\n 1 }\n\n";
    let bytes = glue(&[statement, ARMOR]);
    assert_eq!(split(&bytes).unwrap().statement, statement);
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(cut(b""), EnvelopeError::NoSignature);
    assert_eq!(cut(b"{}\n"), EnvelopeError::NoSignature);
    assert_eq!(cut(ARMOR), EnvelopeError::NoStatement);
    assert_eq!(cut(&glue(&[b"{}", ARMOR])), EnvelopeError::NoNewline);
    assert_eq!(cut(&glue(&[b"{}\n", &ARMOR[..40]])), EnvelopeError::Unfinished);
}

#[test]
fn nothing_stands_between_or_after_signatures() {
    for extra in [&b"\n"[..], b"x", b"{}\n", b" ", b"\0", b"\r\n"] {
        assert_eq!(cut(&glue(&[b"{}\n", ARMOR, extra])), EnvelopeError::TrailingData, "{extra:?}");
        assert_eq!(cut(&glue(&[b"{}\n", ARMOR, extra, ARMOR])), EnvelopeError::TrailingData, "{extra:?}");
    }
    let glued = glue(&[b"{}\n", &ARMOR[..ARMOR.len() - 1], ARMOR]);
    assert_eq!(cut(&glued), EnvelopeError::TrailingData);
}

#[test]
fn limits_are_exact() {
    let statement = |bytes: usize| glue(&[&vec![b' '; bytes - 1], b"\n"]);
    assert!(split(&glue(&[&statement(MAX_STATEMENT), ARMOR])).is_ok());
    assert_eq!(cut(&glue(&[&statement(MAX_STATEMENT + 1), ARMOR])), EnvelopeError::StatementTooLarge);
    assert_eq!(cut(&statement(MAX_STATEMENT + 1)), EnvelopeError::StatementTooLarge);
    assert_eq!(cut(&vec![b' '; MAX_ENVELOPE + 1]), EnvelopeError::TooLarge);

    let armors = vec![ARMOR; MAX_SIGNATURES + 1];
    assert!(split(&join(b"{}\n", &armors[1..])).is_ok());
    assert_eq!(cut(&join(b"{}\n", &armors)), EnvelopeError::TooManySignatures);
}

#[test]
fn every_error_has_a_code_and_a_sentence() {
    for (error, code) in [
        (EnvelopeError::TooLarge, "too_large"),
        (EnvelopeError::StatementTooLarge, "too_large"),
        (EnvelopeError::TooManySignatures, "too_large"),
        (EnvelopeError::NoStatement, "malformed"),
        (EnvelopeError::NoNewline, "malformed"),
        (EnvelopeError::Unfinished, "malformed"),
        (EnvelopeError::NoSignature, "too_few_approvers"),
        (EnvelopeError::TrailingData, "trailing_data"),
    ] {
        assert_eq!(error.code(), code);
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = split(&bytes);
    }

    #[test]
    fn shuffled_pieces_never_panic_and_lose_no_byte(
        pieces in proptest::collection::vec(
            prop::sample::select(vec![
                &b"-----BEGIN SSH SIGNATURE-----\n"[..], b"-----END SSH SIGNATURE-----", b"-----BEGIN", b"\n", b"{}", b"AAAA",
            ]),
            0..24,
        ),
    ) {
        let bytes = pieces.concat();
        if let Ok(parts) = split(&bytes) {
            let together = glue(&[parts.statement, &parts.armors.concat()]);
            prop_assert_eq!(&together, &bytes);
            prop_assert!(parts.statement.ends_with(b"\n"));
        }
    }

    #[test]
    fn split_undoes_join(statement in "[ -~]{0,200}", count in 1usize..=MAX_SIGNATURES) {
        let statement = format!("{statement}\n");
        let bytes = join(statement.as_bytes(), &vec![ARMOR; count]);
        let parts = split(&bytes).unwrap();
        prop_assert_eq!(parts.statement, statement.as_bytes());
        prop_assert_eq!(parts.armors.len(), count);
    }
}
