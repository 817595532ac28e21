//! The target alone: plain OpenSSH clients, no server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it does not expect"
)]

use e2e::grant::{describe, now, perform, random, result, sign, sign_as, statement};
use e2e::{Lab, run};

#[test]
fn a_permitted_command_is_the_programs_own_answer() {
    let lab = Lab::get();
    lab.must("t1", "systemctl start unbound");
    let said = lab.read("t1", "systemctl is-active unbound");
    assert_eq!((said.out.as_str(), said.exit), ("active\n", 0));
    assert_eq!(lab.read("t1", "systemctl is-active no-such-unit").exit, 3, "the exit status passes through");
    assert!(lab.read("t1", "cat /etc/resolv.conf").out.contains("nameserver"));
}

#[test]
fn what_the_policy_does_not_permit_is_refused_with_one_line() {
    let lab = Lab::get();
    for line in [
        "reboot",
        "systemctl stop unbound",
        "cat /etc/shadow",
        "uptime; reboot",
        "systemctl status -H evil unbound",
        "bash",
        "sh -c id",
        "cat /var/log/../../etc/shadow",
        "journalctl --vacuum-size=1K",
        "scp -t /tmp",
        "rsync --server . /",
        "/usr/bin/id",
        "mcp-wrapper -c id",
    ] {
        let said = lab.read("t1", line);
        assert_eq!(said.exit, 126, "{line}: {said:?}");
        assert!(
            said.err.contains("mcp-wrapper: blocked: ") && said.err.trim().lines().count() == 1,
            "{line}: {said:?}"
        );
        assert_eq!(said.out, "", "{line}");
    }
    assert_eq!(lab.must("t1", "systemctl is-active unbound"), "active");
}

#[test]
fn a_service_written_link_does_not_lead_out() {
    let lab = Lab::get();
    lab.must("t1", "mkdir -p /var/log/linked && ln -sfn /etc /var/log/linked/out && ln -sfn /etc/shadow /var/log/linked/s && chmod 755 /var/log/linked");
    for line in ["cat /var/log/linked/out/passwd", "cat /var/log/linked/s", "ls /var/log/linked/out"] {
        let said = lab.read("t1", line);
        assert_eq!(said.exit, 126, "{line}: {said:?}");
    }
    lab.must("t1", "rm -r /var/log/linked");
}

#[test]
fn long_output_is_cut_and_said() {
    let lab = Lab::get();
    lab.must("t1", "yes 0123456789 | head -c 3000000 > /var/log/long.log");
    let said = lab.read("t1", "cat /var/log/long.log");
    assert!(said.err.contains("output cut at") && said.exit == 125, "{} {}", said.err, said.exit);
    assert!(said.out.len() <= 1 << 20);
    lab.must("t1", "rm /var/log/long.log");
}

#[test]
fn every_other_ssh_feature_is_refused_for_both_keys() {
    let lab = Lab::get();
    for account in ["mcp-reader", "pra-runner"] {
        let shell = run(&mut lab.ssh(account, "t1", &["-tt"]), b"id\nexit\n");
        assert!(shell.exit != 0 && !shell.out.contains("uid="), "{account} shell: {shell:?}");
        let plain = run(&mut lab.ssh(account, "t1", &[]), b"id\n");
        assert_eq!(plain.exit, 126, "{account} without a command: {plain:?}");
        let subsystem = run(lab.ssh(account, "t1", &["-s"]).arg("sftp"), b"");
        assert!(subsystem.exit != 0, "{account} sftp: {subsystem:?}");
        // The server refuses the channel: nothing comes back from sshd's own port.
        let forward = run(&mut lab.ssh(account, "t1", &["-W", "127.0.0.1:22"]), b"");
        assert!(forward.exit != 0 && !forward.out.contains("SSH-2.0"), "{account} -W: {forward:?}");
        let remote = run(
            &mut lab.ssh(
                account,
                "t1",
                &["-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:18022:127.0.0.1:22"],
            ),
            b"",
        );
        assert!(
            remote.exit != 0 && remote.err.contains("remote port forwarding failed"),
            "{account} -R: {remote:?}"
        );
        let env = run(
            lab.ssh(account, "t1", &["-o", "SetEnv=SSH_ORIGINAL_COMMAND=id LD_PRELOAD=/x"]).arg("id -x"),
            b"",
        );
        assert_eq!(env.exit, 126, "{account} env: {env:?}");
        let agent = run(lab.ssh(account, "t1", &["-A", "-X"]).arg("true"), b"");
        assert!(!lab.must("t1", "ls /tmp").contains("ssh-"), "{account} agent: {agent:?}");
    }
}

#[test]
fn sudo_permits_nothing_but_pra_run_without_arguments() {
    let lab = Lab::get();
    for command in ["id", "/usr/local/sbin/pra-run x", "-s", "/bin/bash", "-u root /usr/bin/id"] {
        let said = lab.root(
            "t1",
            &format!(
                "setpriv --reuid pra-runner --regid pra-runner --init-groups sudo -n {command} </dev/null"
            ),
        );
        assert!(said.exit != 0 && !said.out.contains("uid=0"), "{command}: {said:?}");
    }
    assert!(lab.root("t1", "setpriv --reuid mcp-reader --regid mcp-reader --init-groups sudo -n /usr/local/sbin/pra-run </dev/null").exit != 0);
    let listed = lab.must("t1", "sudo -l -U pra-runner");
    assert!(listed.contains("/usr/local/sbin/pra-run \"\""), "{listed}");
}

#[test]
fn unbound_is_recovered_with_ssh_keygen_and_ssh_alone_and_the_replay_is_refused() {
    let lab = Lab::get();
    lab.must("t2", "systemctl stop unbound");
    let statement = statement(&lab, "t2", "restart_unbound", &[]);
    let envelope = sign(&lab, &statement, &["alice"]);
    let said = lab.hand_over("t2", &envelope);
    let answer = result(&said);
    assert_eq!((said.exit, &answer["outcome"]), (0, &"succeeded".into()), "{said:?}");
    assert_eq!(lab.must("t2", "systemctl is-active unbound"), "active");
    lab.must("t2", "systemctl stop unbound");
    let again = lab.hand_over("t2", &envelope);
    assert_eq!((again.exit, &result(&again)["code"]), (126, &"nonce_seen".into()), "{again:?}");
    assert_eq!(
        lab.root("t2", "systemctl is-active unbound").out.trim(),
        "inactive",
        "the replay did nothing"
    );
    lab.must("t2", "systemctl start unbound");
    let log = lab.must("t2", "cat /var/log/pra-run.log");
    assert!(log.contains(statement["nonce"].as_str().unwrap()) && log.contains("nonce_seen"));
}

#[test]
fn the_same_grant_at_the_same_time_runs_exactly_once() {
    let lab = Lab::get();
    let envelope = sign(&lab, &statement(&lab, "t1", "flush_dns_cache", &[]), &["alice"]);
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| result(&lab.hand_over("t1", &envelope))["outcome"].to_string()))
            .collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|o| o.contains("succeeded")).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|o| o.contains("refused")).count(), 3, "{outcomes:?}");
}

#[test]
fn every_action_does_what_it_says() {
    let lab = Lab::get();
    let ok = |action: &str, params: &[(&str, &str)]| {
        let (exit, answer) = perform(&lab, "t1", action, params, &["bob"]);
        assert_eq!(exit, 0, "{action}: {answer}");
        answer
    };
    let pid = |unit: &str| lab.must("t1", &format!("systemctl show {unit} -p MainPID --value"));
    let before = pid("caddy");
    ok("reload_caddy", &[]);
    assert_eq!(pid("caddy"), before, "a reload keeps the process");
    ok("restart_caddy", &[]);
    assert_ne!(pid("caddy"), before);
    let before = pid("unbound");
    ok("restart_unbound", &[]);
    assert_ne!(pid("unbound"), before);
    ok("flush_dns_cache", &[]);
    let container = || lab.must("t1", "podman inspect lab-web --format '{{.State.Pid}}'");
    let before = container();
    ok("restart_container", &[("container", "lab-web")]);
    assert_ne!(container(), before);
    lab.must("t1", "systemctl start lab-svc");
    let before = pid("lab-svc");
    let answer = ok("restart_container", &[("container", "lab-svc")]);
    assert!(
        answer["steps"].to_string().contains("\"systemctl\",\"restart\",\"lab-svc.service\""),
        "through its unit: {answer}"
    );
    assert_ne!(pid("lab-svc"), before);
    assert_eq!(lab.must("t1", "systemctl is-active lab-svc"), "active");
    lab.must("t1", "systemctl stop lab-svc");
}

#[test]
fn logs_are_rotated_only_where_the_configuration_keeps_them() {
    let lab = Lab::get();
    lab.must("t1", "rm -f /var/log/labapp/*.log.*; echo line > /var/log/labapp/app.log");
    let (exit, answer) = perform(&lab, "t1", "rotate_logs", &[("config", "labapp")], &["alice"]);
    assert_eq!(exit, 0, "{answer}");
    lab.must("t1", "test -e /var/log/labapp/app.log.1");
    for bad in ["../cron.d/x", "-f", "a b", "/etc/passwd"] {
        let (exit, answer) = perform(&lab, "t1", "rotate_logs", &[("config", bad)], &["alice"]);
        assert_eq!((exit, &answer["code"]), (126, &"bad_params".into()), "{bad}: {answer}");
    }
}

#[test]
fn a_reboot_takes_two_persons() {
    let lab = Lab::get();
    // /run is empty after a boot; the kernel, and with it the boot id, is shared with the lab's machine.
    lab.must("t2", "touch /run/before-reboot");
    for keys in [&["alice"][..], &["alice", "alice"]] {
        let (exit, answer) = perform(&lab, "t2", "reboot_system", &[], keys);
        assert_eq!((exit, &answer["code"]), (126, &"too_few_approvers".into()), "{answer}");
    }
    assert!(
        lab.root("t2", "systemctl is-active mcp-linux-infra-reboot.timer").exit != 0,
        "nothing is scheduled"
    );
    let (exit, answer) = perform(&lab, "t2", "reboot_system", &[], &["alice", "bob"]);
    assert_eq!(exit, 0, "{answer}");
    let until = std::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let said = run(
            lab.ssh("mcp-reader", "t2", &["-o", "ConnectTimeout=2"]).arg("systemctl is-system-running"),
            b"",
        );
        if said.out.trim() == "running" && lab.root("t2", "test ! -e /run/before-reboot").exit == 0 {
            break;
        }
        assert!(std::time::Instant::now() < until, "it did not come back: {said:?}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[test]
fn forged_changed_and_misdirected_grants_are_refused_and_nothing_runs() {
    let lab = Lab::get();
    let pid = || lab.must("t1", "systemctl show unbound -p MainPID --value");
    let before = pid();
    let base = || statement(&lab, "t1", "restart_unbound", &[]);
    let changed = |key: &str, value: serde_json::Value| {
        let mut s = base();
        s[key] = value;
        s
    };
    let refused = |what: &str, envelope: &[u8], code: &str| {
        let said = lab.hand_over("t1", envelope);
        assert_eq!((said.exit, result(&said)["code"].as_str().unwrap()), (126, code), "{what}: {said:?}");
    };
    refused("a stranger's key", &sign(&lab, &base(), &["mallory"]), "unknown_signer");
    refused("the runner's own key", &sign(&lab, &base(), &["runner"]), "unknown_signer");
    refused("no signature", &sign(&lab, &base(), &[]), "too_few_approvers");
    refused("another namespace", &sign_as(&lab, &base(), &["alice"], "file"), "namespace");
    let signed = String::from_utf8(sign(&lab, &base(), &["alice"])).unwrap();
    refused(
        "changed after signing",
        signed.replace("restart_unbound", "restart_caddy").as_bytes(),
        "signature",
    );
    refused("spaces added", signed.replacen("{\"", "{ \"", 1).as_bytes(), "signature");
    refused(
        "another host",
        &sign(&lab, &statement(&lab, "t2", "restart_unbound", &[]), &["alice"]),
        "host_mismatch",
    );
    refused("another tenant", &sign(&lab, &changed("tenant", "other".into()), &["alice"]), "tenant_mismatch");
    refused(
        "an unknown action",
        &sign(&lab, &changed("action", "rm_rf".into()), &["alice"]),
        "unknown_action",
    );
    refused(
        "another definition",
        &sign(&lab, &changed("plan", "0".repeat(64).into()), &["alice"]),
        "plan_changed",
    );
    refused(
        "another policy",
        &sign(&lab, &changed("policy", "0".repeat(64).into()), &["alice"]),
        "policy_changed",
    );
    refused(
        "its own approver",
        &sign(&lab, &changed("proposed_by", "alice@example.org".into()), &["alice"]),
        "self_approval",
    );
    refused("a field too many", &sign(&lab, &changed("run_as", "root".into()), &["alice"]), "malformed");
    refused(
        "expired",
        &sign(
            &lab,
            &{
                let mut s = base();
                s["not_before"] = (now() - 400).into();
                s["expires_at"] = (now() - 1).into();
                s
            },
            &["alice"],
        ),
        "expired",
    );
    refused("too long", &sign(&lab, &changed("expires_at", (now() + 1000).into()), &["alice"]), "lifetime");
    refused(
        "for later",
        &sign(
            &lab,
            &{
                let mut s = base();
                s["not_before"] = (now() + 60).into();
                s["expires_at"] = (now() + 120).into();
                s
            },
            &["alice"],
        ),
        "not_yet_valid",
    );
    refused("too large", &vec![b' '; 70_000], "too_large");
    let used = base();
    lab.must("t1", "true");
    let two = {
        let mut s = base();
        s["proposal"] = used["proposal"].clone();
        s["nonce"] = random(32).into();
        s
    };
    assert_eq!(
        lab.hand_over(
            "t1",
            &sign(
                &lab,
                &{
                    let mut s = used.clone();
                    s["action"] = "flush_dns_cache".into();
                    s["plan"] = describe(&lab, "t1")["plans"]["flush_dns_cache"].clone();
                    s
                },
                &["alice"]
            )
        )
        .exit,
        0
    );
    refused("a second grant of one proposal", &sign(&lab, &two, &["alice"]), "proposal_seen");
    assert_eq!(pid(), before, "unbound was never touched");
    let other = run(lab.ssh("pra-runner", "t1", &[]).arg("restart_unbound"), b"");
    assert_eq!((other.exit, result(&other)["code"].as_str().unwrap()), (126, "action_mismatch"));
    assert_eq!(pid(), before);
}

#[test]
fn without_its_ledger_or_log_the_target_refuses_all() {
    let lab = Lab::get();
    let envelope = || sign(&lab, &statement(&lab, "t1", "flush_dns_cache", &[]), &["alice"]);
    lab.must("t1", "mv /var/lib/mcp-linux-infra/ledger /var/lib/mcp-linux-infra/gone");
    let said = lab.hand_over("t1", &envelope());
    lab.must("t1", "mv /var/lib/mcp-linux-infra/gone /var/lib/mcp-linux-infra/ledger");
    assert_eq!(result(&said)["code"], "ledger_missing", "{said:?}");
    lab.must("t1", "mv /var/log/pra-run.log /var/log/pra-run.gone");
    let said = lab.hand_over("t1", &envelope());
    lab.must("t1", "mv /var/log/pra-run.gone /var/log/pra-run.log");
    assert_eq!(result(&said)["code"], "audit_unavailable", "{said:?}");
    lab.must("t1", "chmod 666 /etc/mcp-linux-infra/approvers");
    let said = lab.hand_over("t1", &envelope());
    lab.must("t1", "chmod 644 /etc/mcp-linux-infra/approvers");
    assert_eq!(result(&said)["code"], "config", "{said:?}");
    assert_eq!(lab.hand_over("t1", &envelope()).exit, 0);
}

/// `scripts/offline-grant.sh` with these arguments for t1, signed by these persons with `ssh-keygen`.
fn offline(lab: &Lab, arguments: &[&str], keys: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let statement = dir.path().join("grant.json");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/offline-grant.sh");
    let ssh = format!(
        "ip netns exec {}-ctl ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile={} -i {}",
        std::env::var("LAB_NAME").unwrap_or_else(|_| "mcplab".into()),
        lab.file("known_hosts").display(),
        lab.key("reader").display()
    );
    let account = format!("mcp-reader@{}", lab.address("t1"));
    let mut draft = std::process::Command::new(script);
    let made = run(draft.arg(account).args(arguments).env("SSH", ssh), b"");
    assert_eq!(made.exit, 0, "{made:?}");
    std::fs::write(&statement, &made.out).unwrap();
    let mut envelope = made.out.into_bytes();
    for key in keys {
        let signature = statement.with_extension("json.sig");
        let _ = std::fs::remove_file(&signature);
        let mut keygen = std::process::Command::new("ssh-keygen");
        keygen
            .args(["-q", "-Y", "sign", "-n", "pra-grant@mcp-linux-infra", "-f"])
            .arg(lab.key(key))
            .arg(&statement);
        assert_eq!(run(&mut keygen, b"").exit, 0);
        envelope.extend(std::fs::read(signature).unwrap());
    }
    envelope
}

#[test]
fn the_documented_way_without_a_server_works_as_it_is_written() {
    let lab = Lab::get();
    let dir = tempfile::tempdir().unwrap();
    let envelope = offline(&lab, &["rotate_logs", "logs are large", "config=labapp"], &["alice"]);
    let bundle = dir.path().join("bundle");
    std::fs::write(&bundle, &envelope).unwrap();
    let mut verify = std::process::Command::new(Lab::program());
    verify.args(["grant", "verify"]).arg(&bundle).arg("--approvers").arg(lab.file("approvers"));
    let verified = run(&mut verify, b"");
    assert!(verified.exit == 0 && verified.out.contains("alice@example.org"), "{verified:?}");
    let said = lab.hand_over("t1", &envelope);
    assert_eq!((said.exit, &result(&said)["outcome"]), (0, &"succeeded".into()), "{said:?}");
}

#[test]
fn without_a_server_a_proposal_is_denied_as_it_is_written() {
    let lab = Lab::get();
    let grant = offline(&lab, &["rotate_logs", "logs are large", "config=labapp"], &["alice"]);
    let text = String::from_utf8_lossy(&grant);
    let id = text.split("\"proposal\":\"").nth(1).unwrap().split('"').next().unwrap();
    let said = lab.hand_over("t1", &offline(&lab, &["--deny", id, "not on a Friday"], &["bob"]));
    assert_eq!((said.exit, &result(&said)["code"]), (0, &"denied".into()), "{said:?}");
    let said = lab.hand_over("t1", &grant);
    assert_eq!((said.exit, &result(&said)["code"]), (126, &"denied".into()), "{said:?}");
    assert!(result(&said)["steps"].as_array().unwrap().is_empty(), "{said:?}");
}

#[test]
fn without_a_server_the_glass_is_broken_and_reviewed_as_it_is_written() {
    let lab = Lab::get();
    let config = "/etc/mcp-linux-infra/target.toml";
    let rules = "[approval.actions.rotate_logs]\nmin = 2\n[[break_glass]]\nactions = [\"rotate_logs\"]\n";
    lab.must(
        "t1",
        &format!("cp -p {config} {config}.kept && printf '\n{}' >> {config}", rules.replace('\n', "\\n")),
    );
    let action = ["rotate_logs", "logs are large", "config=labapp"];
    let broken =
        offline(&lab, &[&["--break-glass", "nobody else answers"], &action[..]].concat(), &["alice"]);
    let text = String::from_utf8_lossy(&broken).into_owned();
    let id = text.split("\"proposal\":\"").nth(1).unwrap().split('"').next().unwrap();
    let review = ["--review", id, "rotate_logs", "looked at it, all is well"];
    let said: Vec<_> = [
        offline(&lab, &action, &["alice"]),
        broken.clone(),
        offline(&lab, &[&["--break-glass", "once more, please"], &action[..]].concat(), &["alice"]),
        offline(&lab, &review, &["alice"]),
        offline(&lab, &review, &["bob"]),
    ]
    .iter()
    .map(|envelope| result(&lab.hand_over("t1", envelope))["code"].as_str().unwrap().to_owned())
    .collect();
    lab.must("t1", &format!("mv {config}.kept {config}"));
    assert_eq!(said, ["too_few_approvers", "ok", "review_pending", "no_review", "reviewed"]);
}
