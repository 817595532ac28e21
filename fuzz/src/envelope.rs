//! The envelope: cut, never changed.

use session::envelope::{MAX_ENVELOPE, MAX_SIGNATURES, MAX_STATEMENT, join, split};

/// Takes the bytes as an envelope.
pub fn check(data: &[u8]) {
    let once = split(data);
    assert_eq!(once, split(data));
    let parts = match once {
        Ok(parts) => parts,
        Err(error) => return assert!(!error.code().is_empty() && !error.to_string().is_empty()),
    };
    assert!(data.len() <= MAX_ENVELOPE && parts.statement.len() <= MAX_STATEMENT);
    assert!((1..=MAX_SIGNATURES).contains(&parts.armors.len()));
    assert!(parts.statement.ends_with(b"\n"));
    assert_eq!([parts.statement, &parts.armors.concat()].concat(), data);
    let whole = join(parts.statement, &parts.armors);
    assert!(whole == data || whole == [data, b"\n"].concat());
    assert_eq!(
        split(&whole).map(|p| (p.statement, p.armors.len())),
        Ok((parts.statement, parts.armors.len()))
    );
    // What the target does with it next: refused or not, it must end.
    let _ = grant::Envelope::new(parts.statement, &parts.armors);
}
