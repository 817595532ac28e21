//! OpenSSH and this library say the same of the same bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Key, OpenSsh, Target, UP, UV, statement};
use grant::{Approvers, Code, NAMESPACE, PublicKey};

#[test]
fn what_ssh_keygen_signs_is_taken() {
    let ssh = OpenSsh::new();
    let bytes = statement().to_bytes();
    for kind in ["ed25519", "ecdsa"] {
        let line = ssh.key(kind, kind, "alice");
        for hash in ["sha512", "sha256"] {
            let armor = ssh.sign(kind, NAMESPACE, &bytes, &["-O", &format!("hashalg={hash}")]);
            let verified = Target::trusting(&*line).judge(&bytes, &[&armor]).unwrap();
            assert_eq!(verified.approvals[0].person, "alice");
            assert!(!verified.approvals[0].user_verified);
            assert!(ssh.verifies(&line, "alice", &bytes, &armor));
            assert_eq!(Target::trusting(&*line).code(&bytes[1..], &[&armor]), Code::Signature);
        }
        let foreign = ssh.sign(kind, "file", &bytes, &[]);
        assert_eq!(Target::trusting(&*line).code(&bytes, &[foreign]), Code::Namespace);
    }
}

#[test]
fn two_persons_sign_with_ssh_keygen() {
    let ssh = OpenSsh::new();
    let bytes = statement().to_bytes();
    let approvers = ssh.key("a", "ed25519", "alice") + &ssh.key("b", "ecdsa", "bob");
    let armors = [ssh.sign("a", NAMESPACE, &bytes, &[]), ssh.sign("b", NAMESPACE, &bytes, &[])];
    let target = Target::trusting(approvers).asking(2, false);
    let persons: Vec<_> =
        target.judge(&bytes, &armors).unwrap().approvals.into_iter().map(|a| a.person).collect();
    assert_eq!(persons, ["alice", "bob"]);
    assert_eq!(target.code(&bytes, &armors[..1]), Code::TooFewApprovers);
}

#[test]
fn what_is_signed_here_is_taken_by_ssh_keygen() {
    let ssh = OpenSsh::new();
    let bytes = statement().to_bytes();
    for key in [Key::ed25519(1), Key::p256(), Key::sk_ed25519(2, "ssh:", UP), Key::sk_p256("ssh:", UP | UV)] {
        let line = key.line("alice", "");
        let armor = key.sign(&bytes);
        assert!(ssh.verifies(&line, "alice", &bytes, armor.as_bytes()), "{}", key.name);
        assert!(!ssh.verifies(&line, "alice", &bytes[1..], armor.as_bytes()), "{}", key.name);
        assert!(Target::trusting(line).judge(&bytes, &[armor]).is_ok(), "{}", key.name);
    }
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    let ssh = OpenSsh::new();
    for kind in ["ed25519", "ecdsa"] {
        let line = ssh.key(kind, kind, "alice");
        let text = line.strip_prefix("alice ").unwrap();
        let key = PublicKey::from_text(text).unwrap();
        let listed = ssh.run(&["-l", "-f", &format!("{kind}.pub")], None);
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains(&key.fingerprint()), "{listed}");
        assert!(text.starts_with(&key.to_text()));
        assert_eq!(PublicKey::from_text(&key.to_text()), Ok(key));
    }
}

#[test]
fn an_approvers_file_means_the_same_to_openssh() {
    let ssh = OpenSsh::new();
    let bytes = statement().to_bytes();
    let key = Key::ed25519(1);
    let armor = key.sign(&bytes);
    for (options, taken) in [
        ("", true),
        (r#"namespaces="pra-grant@mcp-linux-infra" "#, true),
        (r#"namespaces="git,pra-grant@mcp-linux-infra" "#, true),
        (r#"namespaces="git" "#, false),
        (r#"valid-after="20200101Z",valid-before="20991231Z" "#, true),
        (r#"valid-before="20200101Z" "#, false),
        (r#"valid-after="20991231Z" "#, false),
    ] {
        let file = format!("# approvers\n\n  {}", key.line("alice", options));
        assert_eq!(ssh.verifies(&file, "alice", &bytes, armor.as_bytes()), taken, "{options}");
        assert_eq!(Target::trusting(file).judge(&bytes, &[&armor]).is_ok(), taken, "{options}");
    }
}

#[test]
fn lines_that_mean_more_than_they_seem_refuse_the_file() {
    let good = Key::ed25519(1).line("alice", "");
    let key = Key::ed25519(2);
    for (line, cause) in [
        (key.line("*", ""), "wildcard"),
        (key.line("bob*", ""), "wildcard"),
        (key.line("bob,carol", ""), "list"),
        (key.line("!bob", ""), "negation"),
        (key.line("\"bob\"", ""), "quotes"),
        (key.line("bób", ""), "ASCII"),
        (key.line("-bob", ""), "letters"),
        (key.line("bob", "cert-authority "), "certificate authorities"),
        (key.line("bob", "cert-authority,namespaces=\"a\" "), "certificate authorities"),
        (key.line("bob", "verify-required "), "verify-required"),
        (key.line("bob", "namespaces=\"*\" "), "wildcards"),
        (key.line("bob", "valid-before=\"20991231\" "), "UTC"),
        (Key::ed25519(1).line("bob", ""), "line 1"),
        (Key::sk_ed25519(1, "ssh:", UP).line("bob", ""), "line 1"),
        ("bob\n".to_owned(), "no key"),
        ("bob ssh-ed25519\n".to_owned(), "length"),
        ("bob ssh-ed25519 ====\n".to_owned(), "base64"),
        ("bob ssh-ed25519 AAAA\n".to_owned(), "length"),
        ("bob ssh-dss AAAA\n".to_owned(), "ssh-dss"),
        ("bob ssh-ed25519-cert-v01@openssh.com AAAA\n".to_owned(), "certificates"),
        (key.line("bob", "").replace("ssh-ed25519", "ecdsa-sha2-nistp256"), "does not fit"),
        (key.line("bob", "").replace('\n', "\r\n"), "control character"),
    ] {
        let error = Approvers::parse(&format!("{good}{line}")).unwrap_err();
        assert_eq!(error.line, 2, "{line}");
        assert!(error.to_string().contains(cause), "{line}: {error}");
    }
    assert!(Approvers::parse("").unwrap().is_empty());
    assert!(Approvers::parse("# nobody\n\n \t\n").unwrap().is_empty());
    assert_eq!(Approvers::parse(&good).unwrap().iter().count(), 1);
}
