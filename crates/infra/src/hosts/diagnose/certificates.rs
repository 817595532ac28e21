//! Certificates of the TLS servers that listen on the host itself.
//!
//! Asked are the ports that speak TLS from the first byte; a handshake tells more than a file, as it shows what is served.

use futures::future::{join, join_all};

use super::{Check, Checked, Finding, Ground, Severity};
use crate::hosts::ask::Streams;
use crate::hosts::hygiene::one_line;
use crate::hosts::reader::Failure;

/// Ports that speak TLS from the first byte: HTTPS, SMTPS, LDAPS, DNS over TLS, IMAPS, POP3S, Kubernetes, HTTPS by custom.
const PORTS: [&str; 9] = ["443", "465", "636", "853", "993", "995", "6443", "8443", "9443"];
/// openssl's status when the handshake fails.
const NO_HANDSHAKE: i32 = 1;

pub(super) async fn check(ground: Ground<'_>) -> Result<Checked, Failure> {
    let sockets = ground.asker.text(&["ss", "-H", "-tuln"]).await?;
    let open: Vec<&str> = PORTS.into_iter().filter(|port| listens(&sockets.text, port)).collect();
    let asked = open.iter().map(|port| join(async move { *port }, ask(ground, port)));
    let mut done = Checked::default();
    for (port, said) in join_all(asked).await {
        match said {
            // Without the program nothing can be asked; that is no finding.
            Err(missing @ Failure::Missing { .. }) => return Err(missing),
            said => {
                if let Some(said) = done.part(said)? {
                    done.findings.extend(judge(port, &said));
                }
            }
        }
    }
    Ok(done)
}

async fn ask(ground: Ground<'_>, port: &str) -> Result<Streams, Failure> {
    let place = format!("localhost:{port}");
    ground.asker.streams(&["openssl", "s_client", "-connect", &place, "-brief"], &[NO_HANDSHAKE]).await
}

fn listens(sockets: &str, port: &str) -> bool {
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace();
        let tcp = words.next() == Some("tcp");
        let local = words.nth(3).and_then(|local| local.rsplit_once(':'));
        tcp && local.is_some_and(|(_, p)| p == port)
    })
}

/// Whether the server's certificate is past or before its time. That it is signed by nobody known is not looked at: a host's
/// own servers often are.
fn judge(port: &str, said: &Streams) -> Option<Finding> {
    let text = || said.stderr.lines().chain(said.stdout.lines());
    let has = |words: &str| text().any(|line| line.contains(words));
    let what = if has("certificate has expired") {
        "the certificate has expired"
    } else if has("certificate is not yet valid") {
        "the certificate is not yet valid: it, or the clock, is wrong"
    } else {
        return None;
    };
    let after = |begin: &str| {
        text().find_map(|line| line.trim().strip_prefix(begin)).map(|rest| one_line(rest.trim(), 120))
    };
    let dates = ["notAfter=", "notBefore="].map(|key| after(key).map(|date| format!("{key}{date}")));
    let mut evidence: Vec<String> = after("Peer certificate:").into_iter().collect();
    evidence.extend(dates.into_iter().flatten());
    Some(Finding {
        severity: Severity::Critical,
        check: Check::Certificates,
        subject: format!("TLS server on port {port}"),
        what: what.to_owned(),
        evidence,
        suggestion: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRED: &str = "depth=0 CN = web.example\nverify error:num=10:certificate has expired\nnotAfter=Feb  1 00:00:00 2020 GMT\n\
        CONNECTION ESTABLISHED\nPeer certificate: CN = web.example\nVerification error: certificate has expired\n";

    fn said(stderr: &str) -> Streams {
        Streams { stdout: String::new(), stderr: stderr.to_owned(), truncated: false }
    }

    #[test]
    fn a_certificate_past_its_time_is_found() {
        let found = judge("443", &said(EXPIRED)).unwrap();
        assert_eq!(
            (found.severity, found.what.as_str()),
            (Severity::Critical, "the certificate has expired")
        );
        assert_eq!(found.evidence, ["CN = web.example", "notAfter=Feb  1 00:00:00 2020 GMT"]);
        let early =
            said("verify error:num=9:certificate is not yet valid\nnotBefore=Jan  1 00:00:00 2040 GMT\n");
        assert!(judge("443", &early).unwrap().what.contains("not yet valid"));
    }

    #[test]
    fn one_that_is_only_unknown_is_none() {
        assert_eq!(
            judge("443", &said("verify error:num=18:self-signed certificate\nCONNECTION ESTABLISHED\n")),
            None
        );
        assert_eq!(judge("443", &said("connect:errno=111\n")), None);
    }

    #[test]
    fn only_tcp_ports_that_listen() {
        let sockets = "udp UNCONN 0 0 0.0.0.0:443 0.0.0.0:*\ntcp LISTEN 0 4096 [::]:8443 [::]:*\ntcp LISTEN 0 1 127.0.0.1:14430 0.0.0.0:*\n";
        let open: Vec<&str> = PORTS.into_iter().filter(|p| listens(sockets, p)).collect();
        assert_eq!(open, ["8443"]);
    }
}
