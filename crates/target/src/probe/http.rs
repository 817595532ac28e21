//! One request of HTTP/1.1, and the head of its answer.

use serde::Serialize;

/// The most bytes of a head.
pub(super) const MAX_HEAD: usize = 8 << 10;
/// Headers that say how a service is. None that holds a cookie, a challenge or a token.
const TOLD: [&str; 7] =
    ["content-type", "content-length", "date", "location", "retry-after", "server", "via"];
/// The most characters of one value.
const MAX_VALUE: usize = 200;

/// The request, without credentials and without a body.
pub(super) fn request(host: &str, path: &str, get: bool) -> Vec<u8> {
    let method = if get { "GET" } else { "HEAD" };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mcp-linux-infra\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    .into_bytes()
}

/// The head of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Head {
    /// 100 to 599.
    status: u16,
    /// What stands behind the number.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// Some headers, in lower case, in their order.
    headers: Vec<(String, String)>,
}

/// Reads a head: `None` when its end has not come yet.
///
/// # Errors
/// It is no answer of HTTP, or it is longer than what is read.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Head>, String> {
    let known = b"HTTP/1.";
    let common = known.len().min(bytes.len());
    if bytes[..common] != known[..common] {
        return Err("the answer is not HTTP/1".to_owned());
    }
    let Some(end) = end(bytes) else {
        return if bytes.len() < MAX_HEAD {
            Ok(None)
        } else {
            Err(format!("its head has more than {MAX_HEAD} bytes"))
        };
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().splitn(3, ' ');
    let version = first.next().unwrap_or_default();
    let digits = first.next().unwrap_or_default();
    let status = digits.parse().ok().filter(|n| digits.len() == 3 && (100..600).contains(n));
    let (Some(status), "HTTP/1.0" | "HTTP/1.1") = (status, version) else {
        return Err("its first line is no status line of HTTP/1".to_owned());
    };
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.to_ascii_lowercase();
        TOLD.contains(&name.as_str()).then(|| {
            let value = value.trim();
            // What stands behind may be a token.
            let value =
                if name == "location" { value.split(['?', '#']).next().unwrap_or_default() } else { value };
            (name, plain(value))
        })
    });
    Ok(Some(Head { status, reason: plain(first.next().unwrap_or_default()), headers: headers.collect() }))
}

/// Where the empty line begins.
fn end(bytes: &[u8]) -> Option<usize> {
    let of = |mark: &[u8]| bytes.windows(mark.len()).position(|w| w == mark);
    [of(b"\r\n\r\n"), of(b"\n\n")].into_iter().flatten().min()
}

fn plain(text: &str) -> String {
    text.trim().chars().filter(|c| matches!(c, ' '..='~')).take(MAX_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_no_more_than_it_needs() {
        let asked = String::from_utf8(request("localhost:8080", "/healthz", false)).unwrap();
        assert!(asked.starts_with("HEAD /healthz HTTP/1.1\r\nHost: localhost:8080\r\n"), "{asked}");
        assert!(asked.ends_with("Connection: close\r\n\r\n") && asked.lines().count() == 6, "{asked}");
        assert!(request("a", "/", true).starts_with(b"GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn heads_are_read() {
        let head = |text: &str| read(text.as_bytes()).unwrap().unwrap();
        let told = head(
            "HTTP/1.1 302 Found here\r\nServer: caddy\r\nSet-Cookie: id=secret\r\nLOCATION: https://a/b?code=secret#x\r\n\
             WWW-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nbody: secret",
        );
        assert_eq!((told.status, told.reason.as_str()), (302, "Found here"));
        let headers: Vec<(&str, &str)> = told.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(headers, [("server", "caddy"), ("location", "https://a/b"), ("content-length", "5")]);
        assert!(!serde_json::to_string(&told).unwrap().contains("secret"));
        assert_eq!(head("HTTP/1.0 200\n\n").status, 200);
        let hostile = head("HTTP/1.1 200 \u{1b}[31mred\u{202e}\r\nServer: a\x07\u{200b}b\r\n\r\n");
        assert_eq!((hostile.reason.as_str(), hostile.headers[0].1.as_str()), ("[31mred", "ab"));
        assert_eq!(
            head(&format!("HTTP/1.1 200 OK\r\nserver: {}\r\n\r\n", "a".repeat(5000))).headers[0].1.len(),
            MAX_VALUE
        );
    }

    #[test]
    fn what_is_no_head_is_an_error() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "\x15\x03\x01\x00\x02",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/1.1 600 OK\r\n\r\n",
            "HTTP/1.1 +20 OK\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.12 200 OK\r\n\r\n",
            "http/1.1 200 OK\r\n\r\n",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(MAX_HEAD));
        assert!(read(long.as_bytes()).is_err());
        for begun in ["", "H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nserver: a\r\n"] {
            assert_eq!(read(begun.as_bytes()), Ok(None), "{begun:?}");
        }
    }

    proptest::proptest! {
        /// Nothing panics, and a head is the same however much stands behind it.
        #[test]
        fn any_bytes_are_a_head_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600), begin in 0_usize..4) {
            let begins: [&[u8]; 4] = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 ", b"HTTP/1.0 404 x\r\nlocation: "];
            let bytes = [begins[begin], &bytes].concat();
            if let Ok(Some(head)) = read(&bytes) {
                proptest::prop_assert_eq!(read(&[&bytes, &b"\r\n\r\nmore"[..]].concat()), Ok(Some(head.clone())));
                proptest::prop_assert!(head.headers.iter().all(|(_, v)| v.len() <= MAX_VALUE && v.bytes().all(|b| (b' '..=b'~').contains(&b))));
            }
        }
    }
}
