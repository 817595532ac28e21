//! A client's hello of TLS 1.2 and 1.3, and the version and cipher of the server's. Nothing is encrypted and nothing is verified: it
//! says whether a port answers TLS, and which.

use serde::Serialize;

/// The most bytes that are read for a server's hello.
pub(super) const MAX_HELLO: usize = 8 << 10;

/// What clients of today offer.
const CIPHERS: [u16; 15] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
    0x002f, 0x0035,
];
const GROUPS: [u16; 3] = [0x1d, 0x17, 0x18];
const SIGNATURES: [u16; 9] = [0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601];
const VERSIONS: [u16; 2] = [0x0304, 0x0303];

/// How a server answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It goes on.
    Hello {
        /// `TLSv1.3` or what it chose.
        version: String,
        /// Its number in hex.
        cipher: String,
    },
    /// It ends the handshake: no certificate for this name, no common version…
    Alert(String),
}

/// The hello for a name; `random` is 96 bytes.
pub(super) fn hello(name: Option<&str>, random: &[u8; 96]) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extend = |number: u16, body: Vec<u8>| {
        extensions.extend(number.to_be_bytes());
        extensions.extend(long(&body));
    };
    if let Some(name) = name {
        extend(0, long(&[&[0], long(name.as_bytes()).as_slice()].concat()));
    }
    extend(0x0a, long(&words(&GROUPS)));
    extend(0x0b, vec![1, 0]);
    extend(0x0d, long(&words(&SIGNATURES)));
    extend(0x17, Vec::new());
    extend(0x2b, short(&words(&VERSIONS)));
    extend(0x2d, vec![1, 1]);
    // Any 32 bytes are a public key of x25519.
    extend(0x33, long(&[words(&GROUPS[..1]), long(&random[64..])].concat()));
    extend(0xff01, vec![0]);
    let body = [
        &[3, 3],
        &random[..32],
        &short(&random[32..64]),
        &long(&words(&CIPHERS)),
        &[1, 0],
        &long(&extensions),
    ]
    .concat();
    let message = [&[1, 0], long(&body).as_slice()].concat();
    [&[22, 3, 1], long(&message).as_slice()].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// Behind a length of one byte. All that is written here is shorter than that can say.
fn short(bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    [&[length], bytes].concat()
}

/// Behind a length of two bytes.
fn long(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), bytes].concat()
}

/// A cursor that never reads behind its end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }
    fn block(&mut self, length: usize) -> Option<Cursor<'a>> {
        let count = self.number(length)?;
        self.take(count).map(Cursor)
    }
}

/// Reads the server's first message: `None` when it has not all come yet.
///
/// # Errors
/// It is no TLS.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let not_tls = || Err("the answer is not TLS".to_owned());
    if bytes.first().is_some_and(|kind| !matches!(kind, 21 | 22)) || bytes.get(1).is_some_and(|b| *b != 3) {
        return not_tls();
    }
    let mut cursor = Cursor(bytes);
    let Some(kind) = cursor.number(1) else { return Ok(None) };
    let (Some(_), Some(length)) = (cursor.number(2), cursor.number(2)) else { return Ok(None) };
    if kind == 21 {
        if length != 2 {
            return not_tls();
        }
        return Ok(cursor.take(2).map(|alert| Answer::Alert(alert_name(alert[1]))));
    }
    let Some(message) = cursor.number(1) else { return Ok(None) };
    if message != 2 {
        return not_tls();
    }
    let Some(body) = cursor.block(3) else {
        return if bytes.len() < MAX_HELLO { Ok(None) } else { not_tls() };
    };
    server_hello(body).map_or_else(not_tls, |answer| Ok(Some(answer)))
}

fn server_hello(mut body: Cursor<'_>) -> Option<Answer> {
    let mut version = body.number(2)?;
    body.take(32)?;
    body.block(1)?;
    let cipher = body.number(2)?;
    body.take(1)?;
    // A server of TLS 1.2 may send none.
    let mut extensions = body.block(2).unwrap_or(Cursor(&[]));
    while !extensions.0.is_empty() {
        let number = extensions.number(2)?;
        let mut content = extensions.block(2)?;
        if number == 0x2b {
            version = content.number(2)?;
        }
    }
    let version = match version {
        0x0304 => "TLSv1.3".to_owned(),
        0x0303 => "TLSv1.2".to_owned(),
        0x0302 => "TLSv1.1".to_owned(),
        0x0301 => "TLSv1.0".to_owned(),
        other => format!("0x{other:04x}"),
    };
    Some(Answer::Hello { version, cipher: format!("0x{cipher:04x}") })
}

fn alert_name(number: u8) -> String {
    match number {
        0 => "close_notify",
        10 => "unexpected_message",
        40 => "handshake_failure",
        47 => "illegal_parameter",
        50 => "decode_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        112 => "unrecognized_name",
        _ => return format!("alert {number}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's hello with these extensions.
    fn answer(version: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let body = [&version[..], &[7; 32], &short(&[1; 32]), &[0x13, 1, 0], &long(extensions)].concat();
        let message = [&[2, 0], long(&body).as_slice()].concat();
        [&[22, 3, 3], long(&message).as_slice()].concat()
    }

    #[test]
    fn a_hello_has_the_lengths_it_says() {
        for name in [None, Some("web.lab.test"), Some(&*"a".repeat(253))] {
            let hello = hello(name, &[9; 96]);
            let mut record = Cursor(&hello);
            assert_eq!(record.number(3), Some(0x16_0301));
            let mut message = record.block(2).unwrap();
            assert!(record.0.is_empty() && message.number(1) == Some(1));
            let mut body = message.block(3).unwrap();
            assert!(message.0.is_empty());
            body.take(34).unwrap();
            assert_eq!(body.block(1).unwrap().0.len(), 32);
            assert_eq!(body.block(2).unwrap().0.len(), 30);
            body.block(1).unwrap();
            let mut extensions = body.block(2).unwrap();
            assert!(body.0.is_empty());
            let mut named = None;
            while !extensions.0.is_empty() {
                let number = extensions.number(2).unwrap();
                let content = extensions.block(2).unwrap();
                if number == 0 {
                    named = Some(String::from_utf8(content.0[5..].to_vec()).unwrap());
                }
            }
            assert_eq!(named.as_deref(), name);
        }
    }

    #[test]
    fn version_and_cipher_are_read_and_alerts_named() {
        let hello = |version: &str| {
            Ok(Some(Answer::Hello { version: version.to_owned(), cipher: "0x1301".to_owned() }))
        };
        assert_eq!(read(&answer([3, 3], &[0, 0x2b, 0, 2, 3, 4])), hello("TLSv1.3"));
        assert_eq!(read(&answer([3, 3], &[])), hello("TLSv1.2"));
        assert_eq!(read(&answer([3, 1], &[0, 0x17, 0, 0])), hello("TLSv1.0"));
        assert_eq!(read(&[21, 3, 1, 0, 2, 2, 40]), Ok(Some(Answer::Alert("handshake_failure".to_owned()))));
        assert_eq!(read(&[21, 3, 1, 0, 2, 2, 200]), Ok(Some(Answer::Alert("alert 200".to_owned()))));
    }

    #[test]
    fn what_is_no_hello_is_an_error_and_a_part_is_none() {
        let whole = answer([3, 3], &[0, 0x2b, 0, 2, 3, 4]);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Ok(None), "{length}");
        }
        for other in [
            &b"SSH-2.0-x"[..],
            b"HTTP/1.1 400",
            b"\x16\x02",
            b"\x16\x03\x03\x00\x04\x01\x00\x00\x00",
            b"\x15\x03\x03\x00\x03abc",
        ] {
            assert!(read(other).is_err(), "{other:?}");
        }
        let endless = [&[22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff][..], &vec![0; MAX_HELLO]].concat();
        assert!(read(&endless).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0_usize..100, begin in 0_usize..3) {
            let whole = answer([3, 3], &[0, 0x2b, 0, 2, 3, 4]);
            let bytes = [&whole[..at.min(whole.len()) * (begin & 1)], &[22, 3, 3][..begin & 2], &bytes].concat();
            let once = read(&bytes);
            if matches!(once, Ok(Some(_))) {
                proptest::prop_assert_eq!(read(&[&bytes[..], b"more"].concat()), once);
            }
        }
    }
}
