use super::*;
use crate::hosts::fake::{Fake, answer, block_on, sample};
use crate::hosts::reader::Failure;
use crate::hosts::reader::Output;

fn attempt(kind: ProbeKind, target: &Target) -> Attempt<'_> {
    Attempt { kind, target, port: None, count: None, path: None }
}

fn probe(fake: &Fake, kind: ProbeKind, target: &str, port: Option<u16>) -> Probe {
    let target = target.parse().unwrap();
    block_on(test_connectivity(fake, Attempt { kind, target: &target, port, count: None, path: None }))
        .unwrap()
}

#[test]
fn a_real_ping_is_read() {
    let fake = Fake::default().with("ping -n -c 3 -W 2 10.89.0.12", answer(&sample("ping.txt")));
    let ping = probe(&fake, ProbeKind::Ping, "10.89.0.12", None);
    assert_eq!((ping.outcome, ping.sent, ping.received), (Outcome::Ok, Some(3), Some(3)));
    let [least, mean, most] = ping.round_trip_ms.unwrap();
    assert!(least > 0.0 && least <= mean && mean <= most && most < 1000.0, "{ping:?}");
}

#[test]
fn no_answer_and_no_name_are_failures() {
    let text = "PING 10.0.0.9 (10.0.0.9) 56(84) bytes of data.\nFrom 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n\n\
        --- 10.0.0.9 ping statistics ---\n3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2041ms\n";
    let silent = Fake::default().with("ping", Output { exit: Some(1), ..answer(text) });
    let ping = probe(&silent, ProbeKind::Ping, "10.0.0.9", None);
    assert_eq!(ping.outcome, Outcome::Failed);
    assert!(ping.detail.contains("0 of 3 pings answered; From 10.0.0.1"), "{ping:?}");
    let stderr = b"ping: nowhere.example: Name or service not known".to_vec();
    let unknown = Fake::default().with("ping", Output { exit: Some(2), stderr, ..answer("") });
    let ping = probe(&unknown, ProbeKind::Ping, "nowhere.example", None);
    assert!(ping.outcome == Outcome::Failed && ping.detail.contains("Name or service not known"), "{ping:?}");
    let lost = Fake::default().with("ping", Output { exit: None, ..answer(text) });
    let target = "10.0.0.9".parse().unwrap();
    let failure = block_on(test_connectivity(&lost, attempt(ProbeKind::Ping, &target))).unwrap_err();
    assert_eq!(failure.code(), "exit_unknown");
}

#[test]
fn names_are_looked_up_as_the_host_does() {
    let fake = Fake::default()
        .with("getent ahosts t2", answer("10.89.0.12 STREAM t2\n10.89.0.12 DGRAM\n::1 RAW\nx y\n"));
    assert_eq!(probe(&fake, ProbeKind::Dns, "t2", None).addresses, ["10.89.0.12", "::1"]);
    let none = Fake::default().with("getent", Output { exit: Some(2), ..answer("") });
    assert_eq!(probe(&none, ProbeKind::Dns, "t9", None).outcome, Outcome::Failed);
}

#[test]
fn only_ports_of_the_host_itself_are_looked_at() {
    let fake = Fake::default()
        .with("ss -H -tln", answer("LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nLISTEN 0 5 [::1]:631 [::]:*\n"));
    for (target, port, outcome) in
        [("localhost", 22, Outcome::Ok), ("::1", 631, Outcome::Ok), ("127.0.0.1", 2, Outcome::Failed)]
    {
        assert_eq!(probe(&fake, ProbeKind::Tcp, target, Some(port)).outcome, outcome, "{target}:{port}");
    }
}

#[test]
fn what_the_target_does_not_permit_is_said() {
    let stderr = b"mcp-wrapper: blocked: 10.0.0.5:22 is not among the addresses that this host may probe: nothing was sent; to permit \
        it root writes [probe] allow = [\"10.0.0.5:22\"] into /etc/mcp-linux-infra/target.toml\n"
        .to_vec();
    let target = Output { stderr, exit: Some(126), ..answer("") };
    let early = Failure::Blocked { reason: "it is never connected to".into() };
    let fake = Fake::default().with("probe", target).failing("probe http http://169.254.169.254", early);
    for (kind, target, port, asked) in [
        (ProbeKind::Tcp, "10.0.0.5", Some(22), "probe tcp 10.0.0.5:22"),
        (ProbeKind::Tls, "fd00::5", Some(443), "probe tls [fd00::5]:443"),
        (ProbeKind::Tcp, "localhost.evil.example", Some(22), "probe tcp localhost.evil.example:22"),
        (ProbeKind::Http, "localhost", None, "probe http http://localhost:80/"),
        (ProbeKind::Http, "169.254.169.254", Some(80), "probe http http://169.254.169.254:80/"),
    ] {
        let refused = probe(&fake, kind, target, port);
        assert_eq!(refused.outcome, Outcome::NotPermitted, "{target}");
        assert!(refused.summary().contains("nothing was sent"), "{}", refused.summary());
        assert_eq!(fake.asked().last().unwrap(), asked);
    }
    let told = probe(&fake, ProbeKind::Tcp, "10.0.0.5", Some(22)).detail;
    assert!(told.contains("[probe] allow = [\"10.0.0.5:22\"]"), "{told}");
}

#[test]
fn an_answer_of_http_is_typed() {
    let report = r#"{"target":"t2:8080","attempts":[{"address":"fd00::5","connected":false,"connect_ms":1.5,"error":"Connection refused"},
        {"address":"10.0.0.5","connected":true,"connect_ms":0.25,"answer_ms":2.5,"http":{"status":503,"reason":"Service Unavailable",
        "headers":[["server","caddy"],["retry-after","5\u001b[31m"]]}}],"not_tried":["10.0.0.6"]}"#;
    let fake = Fake::default().with("probe http http://t2:8080/healthz", answer(report));
    let target = "t2".parse().unwrap();
    let question = Attempt { port: Some(8080), path: Some("/healthz"), ..attempt(ProbeKind::Http, &target) };
    let told = block_on(test_connectivity(&fake, question)).unwrap();
    assert_eq!((told.outcome, told.http_status), (Outcome::Ok, Some(503)));
    assert_eq!((told.connect_ms, told.answer_ms), (Some(0.25), Some(2.5)));
    assert_eq!(told.headers["server"], "caddy");
    assert!(!told.headers["retry-after"].contains('\u{1b}'), "{told:?}");
    assert_eq!(told.addresses, ["fd00::5", "10.0.0.5"]);
    for part in
        ["fd00::5: Connection refused", "10.0.0.5: HTTP 503 Service Unavailable", "not tried: 10.0.0.6"]
    {
        assert!(told.detail.contains(part), "{}", told.detail);
    }
}

#[test]
fn an_answer_of_tcp_and_tls_is_told() {
    let refused = r#"{"target":"t2:9","attempts":[{"address":"10.0.0.5","connected":false,"connect_ms":0.1,"error":"Connection refused"}]}"#;
    let alert = r#"{"target":"t2:9","attempts":[{"address":"10.0.0.5","connected":true,"connect_ms":0.1,"answer_ms":1,"tls":{"alert":"unrecognized_name"}}]}"#;
    let hello = r#"{"target":"t2:9","attempts":[{"address":"10.0.0.5","connected":true,"connect_ms":0.1,"answer_ms":1,"tls":{"hello":{"version":"TLSv1.3","cipher":"0x1301"}}}]}"#;
    let open = r#"{"target":"t2:9","attempts":[{"address":"10.0.0.5","connected":true,"connect_ms":0.1}]}"#;
    for (kind, report, exit, outcome, said) in [
        (ProbeKind::Tcp, refused, 1, Outcome::Failed, "Connection refused"),
        (ProbeKind::Tcp, open, 0, Outcome::Ok, "connected in 0.1 ms"),
        (ProbeKind::Tls, hello, 0, Outcome::Ok, "TLSv1.3"),
        (ProbeKind::Tls, alert, 0, Outcome::Ok, "unrecognized_name"),
    ] {
        let fake = Fake::default().with("probe", Output { exit: Some(exit), ..answer(report) });
        let told = probe(&fake, kind, "t2", Some(9));
        assert_eq!(told.outcome, outcome, "{told:?}");
        assert!(told.detail.contains(said), "{told:?}");
    }
    let nobody =
        r#"{"target":"t9:9","attempts":[],"error":"the name has no address on this host, or none in time"}"#;
    let fake = Fake::default().with("probe", Output { exit: Some(1), ..answer(nobody) });
    let told = probe(&fake, ProbeKind::Tcp, "t9", Some(9));
    assert!(told.outcome == Outcome::Failed && told.detail.contains("no address"), "{told:?}");
    let fake = Fake::default().with("probe", answer("{\"attempts\":"));
    let target = "t2".parse().unwrap();
    let question = Attempt { port: Some(9), ..attempt(ProbeKind::Tcp, &target) };
    assert_eq!(block_on(test_connectivity(&fake, question)).unwrap_err().code(), "unreadable_output");
}

#[test]
fn tls_of_the_host_itself_comes_with_its_certificate() {
    let stderr = b"CONNECTION ESTABLISHED\nProtocol version: TLSv1.3\nCiphersuite: x\nPeer certificate: CN = web.example\nVerification error: certificate has expired\n".to_vec();
    let fake = Fake::default().with("openssl", Output { stderr, ..answer("") });
    let tls = probe(&fake, ProbeKind::Tls, "127.0.0.1", Some(443));
    assert_eq!(tls.outcome, Outcome::Ok);
    assert!(tls.detail.contains("TLSv1.3") && tls.detail.contains("certificate has expired"), "{tls:?}");
    assert_eq!(fake.asked(), ["openssl s_client -connect localhost:443 -brief"]);
    let stderr = b"connect:errno=111\n".to_vec();
    let closed = Fake::default().with("openssl", Output { stderr, exit: Some(1), ..answer("") });
    let tls = probe(&closed, ProbeKind::Tls, "localhost", Some(444));
    assert!(tls.outcome == Outcome::Failed && tls.detail.contains("errno=111"), "{tls:?}");
}

#[test]
fn a_target_is_never_an_option_nor_a_url() {
    for given in ["", "-c", "--help", "http://x/", "a b", "a;b", "$(id)", "x\ny", "ü", ".x", &"a".repeat(254)]
    {
        assert_eq!(given.parse::<Target>().unwrap_err().code(), "bad_arguments", "{given:?}");
    }
    let fake = Fake::default();
    let target = "localhost".parse().unwrap();
    let ping = attempt(ProbeKind::Ping, &target);
    for wrong in [
        attempt(ProbeKind::Tcp, &target),
        Attempt { kind: ProbeKind::Tls, port: Some(0), ..ping },
        Attempt { count: Some(21), ..ping },
        Attempt { path: Some("/"), ..ping },
        Attempt { kind: ProbeKind::Http, path: Some("/?a=b"), ..ping },
        Attempt { kind: ProbeKind::Http, path: Some("x"), ..ping },
        Attempt { kind: ProbeKind::Http, path: Some("/../x"), ..ping },
        Attempt { kind: ProbeKind::Http, path: Some("/\r\nX: y"), ..ping },
    ] {
        assert_eq!(
            block_on(test_connectivity(&fake, wrong)).unwrap_err().code(),
            "bad_arguments",
            "{wrong:?}"
        );
    }
    assert!(fake.asked().is_empty());
}
