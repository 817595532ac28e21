use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use policy::Catalogue;
use serde_json::Value;

use super::*;
use crate::readers::relay;
use crate::run::{End, Sink};
use crate::sandbox::Kernel;

fn permit(line: &str) -> Permit {
    Catalogue::builtin().unwrap().judge(line).permit.unwrap_or_else(|| panic!("{line} is blocked"))
}

fn plan(line: &str) -> Plan {
    of(&permit(line)).unwrap().unwrap()
}

/// Probes as a target does, in the sandbox, with these addresses of the name.
fn try_probe(line: &str, found: &str) -> Result<(End, Value), String> {
    let local = Local::default();
    let talk = plan(line).judge_by(&local, &config::Probe::default(), found)?;
    let kernel = Kernel::running();
    assert!(kernel.lacks().is_none(), "this test needs Landlock and seccomp: {kernel:?}");
    let (mut out, mut err) = (Sink::keep(1 << 16), Sink::keep(1 << 16));
    let end = relay::run(talk, Some(kernel), &permit(line), &mut out, &mut err)?.unwrap();
    assert_eq!(err.text(), "");
    Ok((end, serde_json::from_str(&out.text()).unwrap()))
}

/// A server that takes one connection, reads until the text `until` and says something.
fn server(until: &'static str, says: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut peer, _): (TcpStream, _) = listener.accept().unwrap();
        let mut got = Vec::new();
        let mut byte = [0];
        while !got.ends_with(until.as_bytes()) && peer.read(&mut byte).unwrap() == 1 {
            got.push(byte[0]);
        }
        peer.write_all(says).unwrap();
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        // The rest of a hello; a peer that has closed with bytes unread resets.
        let _ = peer.read_to_end(&mut got);
        got
    });
    (port, thread)
}

#[test]
fn lines_become_plans() {
    let http = plan("probe http --get http://localhost:8080/a/b");
    let asked = Question::Http { host: "localhost:8080".into(), path: "/a/b".into(), get: true };
    assert_eq!((http.question, http.endpoint.port), (asked, 8080));
    assert_eq!(plan("probe tls web.lab.test:443").question, Question::Tls(Some("web.lab.test".into())));
    assert_eq!(plan("probe tls 10.0.0.5:443").question, Question::Tls(None));
    assert_eq!(plan("probe tcp t2:22").name(), Some("t2"));
    assert_eq!(plan("probe tcp localhost:22").name(), None);
    assert!(of(&permit("uptime")).unwrap().is_none());
    let mut other = permit("probe tcp localhost:22");
    other.argv.push("more".to_owned());
    assert!(of(&other).is_err(), "a plugin of somebody else's with other words");
}

#[test]
fn each_address_of_a_name_is_judged_and_only_the_permitted_are_connected_to() {
    let judged = |found: &str| {
        plan("probe tcp db.lab.test:5432").judge_by(&Local::default(), &config::Probe::default(), found)
    };
    let talk = judged("10.0.0.5 STREAM db.lab.test\n127.0.0.1 STREAM\n127.0.0.1 DGRAM\n169.254.169.254 RAW\nfe80::1%eth0 RAW\nx y\n").unwrap();
    assert_eq!(talk.to(), ["127.0.0.1:5432".parse().unwrap()]);
    for (found, why) in [
        ("169.254.169.254 STREAM\n", "never"),
        ("::ffff:127.0.0.1 STREAM\n", "never"),
        ("10.0.0.5 STREAM\n", "[probe] allow = [\"10.0.0.5:5432\"]"),
    ] {
        let told = judged(found).unwrap_err();
        assert!(told.contains(why), "{found}: {told}");
    }
    for found in ["", "fe80::1%eth0 STREAM\n", "x\n"] {
        assert!(judged(found).unwrap().to().is_empty(), "{found}");
    }
    let many: String = (1..=9).map(|n| format!("127.0.0.{n} STREAM\n")).collect();
    assert_eq!(judged(&many).unwrap().to().len(), TRIED);
}

#[test]
fn a_name_is_not_looked_up_again() {
    // Whatever the name means a moment later: the address that was judged is the one that is connected to.
    let (port, thread) = server("", b"");
    let (end, report) =
        try_probe(&format!("probe tcp rebound.invalid:{port}"), "127.0.0.1 STREAM\n").unwrap();
    assert_eq!(end, End::Exit(0), "{report}");
    assert_eq!(
        (&report["attempts"][0]["address"], &report["attempts"][0]["connected"]),
        (&"127.0.0.1".into(), &true.into())
    );
    assert_eq!(thread.join().unwrap(), b"", "nothing was sent");
}

#[test]
fn a_name_without_an_address_is_a_failure_and_no_refusal() {
    let (end, report) = try_probe("probe tcp nobody.invalid:22", "").unwrap();
    assert_eq!((end, &report["attempts"]), (End::Exit(1), &serde_json::json!([])));
    assert!(report["error"].as_str().unwrap().contains("no address"), "{report}");
}

#[test]
fn a_refused_address_sees_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = format!("probe tcp 127.0.0.1:{}", listener.local_addr().unwrap().port());
    let closed = config::Probe { own: false, allow: Vec::new() };
    let told = plan(&line).judge_by(&Local::default(), &closed, "").unwrap_err();
    assert!(told.contains("nothing was sent"), "{told}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn http_status_headers_and_time_are_told_and_no_body() {
    let says = b"HTTP/1.1 503 Service Unavailable\r\nServer: lab\r\nSet-Cookie: secret\r\n\r\nsecret body";
    let (port, thread) = server("\r\n\r\n", says);
    let (end, report) = try_probe(&format!("probe http http://127.0.0.1:{port}/healthz"), "").unwrap();
    assert_eq!(end, End::Exit(0), "{report}");
    let attempt = &report["attempts"][0];
    assert_eq!(
        (&attempt["http"]["status"], &attempt["http"]["reason"]),
        (&503.into(), &"Service Unavailable".into())
    );
    assert_eq!(attempt["http"]["headers"], serde_json::json!([["server", "lab"]]));
    assert!(
        attempt["connect_ms"].as_f64() > Some(0.0) && attempt["answer_ms"].as_f64() > Some(0.0),
        "{report}"
    );
    assert!(!report.to_string().contains("secret"));
    let asked = String::from_utf8(thread.join().unwrap()).unwrap();
    assert!(asked.starts_with("HEAD /healthz HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n"), "{asked}");
}

#[test]
fn what_does_not_answer_as_asked_fails_in_words() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (end, report) = try_probe(&format!("probe tcp 127.0.0.1:{closed}"), "").unwrap();
    assert_eq!((end, &report["attempts"][0]["error"]), (End::Exit(1), &"Connection refused".into()));
    for (line, until, says, error) in [
        ("probe http http://127.0.0.1:PORT/", "\r\n\r\n", &b"SSH-2.0-OpenSSH_9.2\r\n"[..], "not HTTP"),
        ("probe http http://127.0.0.1:PORT/", "\r\n\r\n", b"HTTP/1.1 200 OK\r\nserver: a\r\n", "closed"),
        ("probe tls 127.0.0.1:PORT", "\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", "not TLS"),
    ] {
        let (port, thread) = server(until, says);
        let (end, report) = try_probe(&line.replace("PORT", &port.to_string()), "").unwrap();
        let told = report["attempts"][0]["error"].as_str().unwrap().to_owned();
        assert!(end == End::Exit(1) && told.contains(error), "{report}");
        thread.join().unwrap();
    }
}

#[test]
fn tls_says_version_or_alert() {
    let (port, thread) = server("\0", &[21, 3, 3, 0, 2, 2, 70]);
    let (end, report) = try_probe(&format!("probe tls 127.0.0.1:{port}"), "").unwrap();
    assert_eq!((end, &report["attempts"][0]["tls"]["alert"]), (End::Exit(0), &"protocol_version".into()));
    let hello = thread.join().unwrap();
    assert_eq!(&hello[..3], [22, 3, 1], "a client's hello was sent");
}
