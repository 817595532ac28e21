//! Base64 (RFC 4648, standard alphabet), strictly: padded, no bits behind the end, nothing else in between. What is encoded here
//! is public, so nothing is done to hide it from a clock.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = unpadded(bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Without padding, as OpenSSH writes fingerprints.
pub(crate) fn unpadded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
        }
    }
    text
}

/// The alphabet for URLs, without padding, as WebAuthn writes challenges.
pub(crate) fn url(bytes: &[u8]) -> String {
    unpadded(bytes).replace('+', "-").replace('/', "_")
}

/// The bytes, if the text is what [`encode`] writes for them.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    // Two digits of a last group make one byte, three two.
    if !text.len().is_multiple_of(4) || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | value(*digit)?;
        }
        let spare = 6 * group.len() % 8;
        if bits & ((1 << spare) - 1) != 0 {
            return None;
        }
        let whole = (bits >> spare).to_be_bytes();
        bytes.extend(&whole[4 - 6 * group.len() / 8..]);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_canonical_text_is_read() {
        assert_eq!(decode("").unwrap(), b"");
        assert_eq!(decode("Zg==").unwrap(), b"f");
        assert_eq!(decode("Zm9vYg==").unwrap(), b"foob");
        for bad in [
            "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "=", "==", "====", "Z===", "Zm9v=", "Zm9v====", "Zg==Zg==",
            "Zm 9v", "Zm9v\n", "Zm-v", "Zm_v", "Zmé", "Z=g=", "A", "AAAAA",
        ] {
            assert!(decode(bad).is_none(), "{bad:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_same_as_a_library_s(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(encode(&bytes), Base64::encode_string(&bytes));
            prop_assert_eq!(unpadded(&bytes), Base64Unpadded::encode_string(&bytes));
            prop_assert_eq!(url(&bytes), Base64UrlUnpadded::encode_string(&bytes));
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn refuses_what_a_library_refuses(text in "[A-Za-c0-9+/=]{0,12}|[AQgw]{2}[AQgwZ]?={0,2}") {
            prop_assert_eq!(decode(&text), Base64::decode_vec(&text).ok());
        }
    }
}
