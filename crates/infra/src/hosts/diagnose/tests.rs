//! Incidents, played from real answers of a Debian host with one thing changed.

use policy::{Catalogue, Level};

use super::super::fake::{Fake, answer, block_on, sample};
use super::super::reader::Output;
use super::*;

fn remedies() -> Remedies {
    Remedies {
        units: BTreeMap::from([("unbound".to_owned(), "restart_unbound".to_owned())]),
        container: Some("restart_container".to_owned()),
        log_space: Some("rotate_logs".to_owned()),
    }
}

/// A host on which nothing is wrong.
fn healthy() -> Fake {
    Fake::default()
        .with("df", answer(&sample("df.txt")))
        .with("cat /proc/meminfo", answer(&sample("meminfo.txt")))
        .with("cat /proc/stat", answer(&sample("proc-stat.txt")))
        .with("cat /proc/loadavg", answer("0.1 0.2 0.3 1/100 999\n"))
        .with("cat /etc/resolv.conf", answer("nameserver 127.0.0.53\noptions edns0\n"))
        .with("systemctl list-units --no-pager --type=service", answer(&sample("list-units.json")))
        .with("systemctl list-units --no-pager --failed", answer("[]\n"))
        .with("systemctl list-unit-files", answer(&sample("list-unit-files.json")))
        .with("systemctl show", answer(&sample("show-oneshots.txt")))
        .with("podman ps", answer(&sample("podman-ps.json")))
        .with("ip -j addr", answer(&sample("ip-addr.json")))
        .with("ip -j route", answer("[{\"dst\":\"default\",\"gateway\":\"10.79.0.1\",\"dev\":\"eth0\"}]"))
        .with("ss", answer(&sample("ss-listen.txt")))
        .with("resolvectl status", answer(&sample("resolvectl.txt")))
        .with("resolvectl query", answer("mcp-linux-infra-probe.example.com: Name 'x' not found"))
        .with("date", answer(&format!("{}\n", now())))
        .with("timedatectl show", answer("Timezone=Etc/UTC\nNTP=yes\nNTPSynchronized=yes\n"))
        .with("journalctl", answer(""))
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn diagnose(host: &Fake, checks: &[Check]) -> Diagnosis {
    block_on(diagnose_system(host, checks, &remedies())).unwrap()
}

/// The host with unbound stopped by `systemctl stop`.
fn unbound_stopped() -> Fake {
    let listed = sample("list-units.json").replace(
        r#"{"unit":"unbound.service","load":"loaded","active":"active","sub":"running""#,
        r#"{"unit":"unbound.service","load":"loaded","active":"inactive","sub":"dead""#,
    );
    healthy()
        .with("systemctl list-units --no-pager --type=service", answer(&listed))
        .with("systemctl show", answer(&(sample("show-stopped.txt") + "\n" + &sample("show-oneshots.txt"))))
        .with("ss", answer(&sample("ss-listen.txt").replace("127.0.0.1:53 ", "127.0.0.1:5353 ")))
        .with("journalctl --no-pager --output=json --output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT,UNIT,SYSLOG_IDENTIFIER -n 10 -u unbound.service", answer(&sample("journal-unbound.jsonl")))
}

#[test]
fn a_healthy_host_is_short() {
    let host = healthy();
    let diagnosis = diagnose(&host, &[]);
    assert_eq!(diagnosis.findings, [], "{}", diagnosis.summary());
    assert!(
        diagnosis.checks.iter().all(|c| c.state == CheckState::Ok && c.error.is_none()),
        "{:?}",
        diagnosis.checks
    );
    assert_eq!(
        diagnosis.summary(),
        "nothing wrong was found\nok: disk, memory, clock, services, containers, certificates, dns, network, load, logs"
    );
    let json = serde_json::to_string(&diagnosis).unwrap();
    assert!(json.len() < 600, "{} bytes", json.len());
}

#[test]
fn the_policy_permits_every_question() {
    let catalogue = Catalogue::builtin().unwrap();
    let plain = healthy()
        .with("cat /etc/resolv.conf", answer("nameserver 10.0.0.1\n"))
        .with("ip -j route", answer("[]"));
    let busy = healthy()
        .with("cat /proc/loadavg", answer("99 99 99 1/1 1"))
        .with("cat /proc/meminfo", answer("MemTotal: 100 kB\nMemAvailable: 1 kB\n"));
    let hosts = [unbound_stopped(), plain, busy];
    for host in &hosts {
        diagnose(host, &[]);
        block_on(super::super::get_system_info(host)).unwrap_or_else(|e| panic!("{e}"));
        block_on(super::super::get_service_status(host, &"unbound".parse().unwrap())).unwrap();
        block_on(super::super::verify_service(host, &"unbound".parse().unwrap())).unwrap();
        let query = super::super::LogQuery {
            since: Some("2026-11-24 04:30".parse().unwrap()),
            lines: Some(1000),
            ..Default::default()
        };
        block_on(super::super::fetch_logs(host, &query)).unwrap();
    }
    let asked: std::collections::BTreeSet<String> = hosts.iter().flat_map(Fake::asked).collect();
    assert!(asked.len() > 20, "{asked:?}");
    for line in asked {
        let judged = catalogue.judge(&line);
        assert_eq!(judged.verdict, Level::Auto, "{line}: {}", judged.reason);
    }
}

#[test]
fn a_service_that_was_stopped_cleanly_is_the_first_finding() {
    let diagnosis = diagnose(&unbound_stopped(), &[]);
    let first = &diagnosis.findings[0];
    assert_eq!(
        (first.severity, first.check, first.subject.as_str()),
        (Severity::Critical, Check::Services, "unbound.service")
    );
    assert!(first.what.starts_with("enabled but stopped since Tue 2026-11-24"), "{}", first.what);
    assert_eq!(first.suggestion.as_ref().unwrap().action, "restart_unbound");
    assert!(
        first.evidence.iter().any(|l| l.contains("Stopped unbound.service - Unbound DNS server")),
        "{:?}",
        first.evidence
    );
    let second = &diagnosis.findings[1];
    assert_eq!((second.check, second.subject.as_str()), (Check::Dns, "127.0.0.1"));
    assert_eq!(diagnosis.findings.len(), 2, "{}", diagnosis.summary());
    let text = diagnosis.summary();
    assert!(text.contains("suggested action: restart_unbound") && text.len() < 1500, "{text}");
}

#[test]
fn a_property_that_the_host_does_not_name_hides_nothing() {
    let host = unbound_stopped().with("systemctl show", answer("Id=unbound.service\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\nType=simple\n"));
    let diagnosis = diagnose(&host, &[Check::Services]);
    assert_eq!(diagnosis.findings[0].what, "enabled but not running");
    assert!(diagnosis.findings[0].suggestion.is_some());
}

#[test]
fn what_has_a_reason_not_to_run_is_no_finding() {
    for reason in [
        "Type=oneshot",
        "Type=simple\nConditionResult=no",
        "Type=simple\nTriggeredBy=unbound.socket",
        "Type=simple\nLoadState=masked",
    ] {
        let show = format!(
            "Id=unbound.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\n{reason}\n"
        );
        let diagnosis =
            diagnose(&unbound_stopped().with("systemctl show", answer(&show)), &[Check::Services]);
        assert_eq!(diagnosis.findings, [], "{reason}");
    }
}

#[test]
fn failures_and_crash_loops() {
    let cases = [
        ("ActiveState=failed\nResult=oom-kill", "failed: killed for lack of memory (OOM)"),
        (
            "ActiveState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=203",
            "failed: exit status 203 (its program cannot be executed)",
        ),
        (
            "ActiveState=failed\nResult=start-limit-hit\nNRestarts=5",
            "failed: gave up after 5 restarts (start limit hit)",
        ),
        (
            "ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1\nNRestarts=42",
            "crash loop, restarted 42 times: exit status 1",
        ),
    ];
    for (show, what) in cases {
        let failed = r#"[{"unit":"app.service","load":"loaded","active":"failed","sub":"failed","description":"App"}]"#;
        let host = healthy()
            .with("systemctl list-units --no-pager --failed", answer(failed))
            .with("systemctl show", answer(&format!("Id=app.service\nLoadState=loaded\n{show}\n")));
        let diagnosis = diagnose(&host, &[Check::Services]);
        assert_eq!(
            (diagnosis.findings[0].what.as_str(), diagnosis.findings[0].severity),
            (what, Severity::Critical)
        );
    }
}

#[test]
fn a_full_disk_comes_before_what_it_breaks() {
    let host = unbound_stopped().with("df", answer("Filesystem Type Inodes IUsed 1B-blocks Used Avail Mounted on\n/dev/sda1 ext4 100 10 1000 1000 0 /var\n/dev/sda2 ext4 100 100 1000 10 990 /data\n"));
    let diagnosis = diagnose(&host, &[]);
    assert_eq!((diagnosis.findings[0].check, diagnosis.findings[0].subject.as_str()), (Check::Disk, "/data"));
    assert!(diagnosis.findings[0].what.contains("inodes") && diagnosis.findings[0].suggestion.is_none());
    assert_eq!(diagnosis.findings[1].suggestion.as_ref().unwrap().action, "rotate_logs");
    assert_eq!(diagnosis.findings[2].subject, "unbound.service");
}

#[test]
fn memory_and_load() {
    let host = healthy()
        .with("cat /proc/meminfo", answer("MemTotal: 1000 kB\nMemAvailable: 30 kB\n"))
        .with("cat /proc/loadavg", answer("20.0 9.0 3.0 1/1 1"))
        .with(
            "ps -e -o pid,user,rss,comm",
            answer("    PID USER       RSS COMMAND\n   1 root  900 hog\u{1b}[2J\n"),
        )
        .with("ps -e -o pid,user,pcpu,comm", answer("    PID USER     %CPU COMMAND\n   7 app  99.0 spin\n"));
    let diagnosis = diagnose(&host, &[Check::Load, Check::Memory]);
    assert_eq!(diagnosis.findings[0].what, "only 3.0 % of the memory is available");
    assert_eq!(diagnosis.findings[0].evidence.last().unwrap(), "1 root  900 hog");
    assert_eq!(
        diagnosis.findings[1].what,
        "10.0 processes for each processor run or wait; process 7 (spin) of app uses 99.0 % of a processor"
    );
    assert!(diagnosis.findings[1].evidence.last().unwrap().contains("spin"));
    assert_eq!(diagnosis.removed_controls, 1);
}

#[test]
fn resolvers() {
    let dns = |host: Fake| diagnose(&host, &[Check::Dns]).findings;
    let plain = || {
        healthy()
            .with("cat /etc/resolv.conf", answer("search x\nnameserver 10.0.0.1%eth0\nnameserver bogus\n"))
    };
    assert_eq!(
        dns(healthy().with("cat /etc/resolv.conf", answer("# none\n")))[0].subject,
        "/etc/resolv.conf"
    );
    assert!(
        dns(plain().with("dig", answer(";; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 1"))).is_empty()
    );
    let unreachable =
        Output { exit: Some(9), ..answer(";; connection timed out; no servers could be reached\n") };
    let found = dns(plain().with("dig", unreachable));
    assert_eq!((found[0].severity, found[0].subject.as_str()), (Severity::Critical, "10.0.0.1"));
    let servfail = Output {
        exit: Some(1),
        stderr: b"x: resolve call failed: Could not resolve, server or network returned error SERVFAIL"
            .to_vec(),
        ..Output::default()
    };
    assert_eq!(dns(healthy().with("resolvectl query", servfail))[0].severity, Severity::Warning);
    let refused = Output {
        exit: Some(1),
        stderr: b"x: resolve call failed: Lookup failed due to system error: Connection refused".to_vec(),
        ..Output::default()
    };
    assert_eq!(
        dns(healthy().with("resolvectl query", refused))[0].what,
        "names do not resolve: no resolver answers"
    );
    let hangs = healthy().failing("resolvectl query", Failure::TimedOut { seconds: 15 });
    assert_eq!(dns(hangs)[0].severity, Severity::Critical);
}

#[test]
fn networks() {
    let net = |addr: &str, route: &str| {
        let host = healthy()
            .with("ip -j addr", answer(addr))
            .with("ip -j route", answer(route))
            .with("ip -6 -j route", answer("[]"));
        diagnose(&host, &[Check::Network]).findings
    };
    let link = |state: &str| {
        format!(
            r#"[{{"ifname":"eth0","flags":["UP"{}],"operstate":"{state}","addr_info":[{{"local":"10.0.0.5","scope":"global"}}]}}]"#,
            if state == "DOWN" { ",\"NO-CARRIER\"" } else { "" }
        )
    };
    let default = r#"[{"dst":"default"}]"#;
    assert!(net(&link("UP"), default).is_empty());
    assert_eq!(net(&link("DOWN"), default)[0].severity, Severity::Critical);
    assert_eq!(net(&link("UP"), "[]")[0].severity, Severity::Info);
    assert!(net("[]", default)[0].what.contains("no interface has an address"));
    let docker = link("DOWN").replace("eth0", "docker0");
    assert!(!net(&docker, default).iter().any(|f| f.subject == "docker0"), "an empty bridge is fine");
}

#[test]
fn sick_containers() {
    let raw = r#"[{"Names":["web"],"Image":"i","State":"exited","Status":"Exited (137) 2 minutes ago","ExitCode":137},
        {"Names":["ok"],"State":"exited","ExitCode":0},{"Names":null,"Id":"abc","State":"running","Status":"Up 2 hours (unhealthy)"}]"#;
    let diagnosis = diagnose(&healthy().with("podman ps", answer(raw)), &[Check::Containers]);
    assert_eq!(diagnosis.findings.len(), 2);
    let first = &diagnosis.findings[0];
    assert!(first.what.contains("status 137 (killed"), "{}", first.what);
    assert_eq!(first.suggestion.as_ref().unwrap().params["container"], "web");
    assert!(diagnosis.summary().contains("suggested action: restart_container container=web"));
    assert_eq!(diagnosis.findings[1].subject, "abc");
}

#[test]
fn a_container_that_comes_back_again_and_again() {
    let raw = r#"[{"Names":["loop"],"Image":"i","State":"running","Status":"Up 2 seconds","Restarts":7,"ExitCode":1},
        {"Names":["settled"],"State":"running","Status":"Up 3 hours","Restarts":7},
        {"Names":["asked"],"State":"running","Status":"Up Less than a second ago"},
        {"Names":["--url=evil"],"State":"running","Status":"Up 1 second"},
        {"Names":["gone"],"State":"exited","Status":"Exited (1) 3 seconds ago","ExitCode":1,"Restarts":4}]"#;
    let host = healthy()
        .with("podman ps", answer(raw))
        .with("podman inspect --format {{.RestartCount}} asked", answer("5\n"));
    let diagnosis = diagnose(&host, &[Check::Containers]);
    assert!(!host.asked().iter().any(|line| line.contains("evil")), "a name that is none is never asked for");
    let what: Vec<&str> = diagnosis.findings.iter().map(|f| f.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "restarts again and again, 7 times so far",
            "restarts again and again, 5 times so far",
            "exited with status 1, restarted 4 times"
        ]
    );
}

#[test]
fn a_clock_that_is_wrong_comes_before_what_it_breaks() {
    let host = unbound_stopped().with("date", answer(&format!("{}\n", now() - 3600)));
    let diagnosis = diagnose(&host, &[]);
    assert_eq!(
        (diagnosis.findings[0].check, diagnosis.findings[0].severity),
        (Check::Clock, Severity::Critical)
    );
    assert!(diagnosis.findings[0].what.contains("behind this server's"), "{}", diagnosis.findings[0].what);
    assert_eq!(diagnosis.findings[1].subject, "unbound.service");
    let unreadable = diagnose(&healthy().with("date", answer("yesterday")), &[Check::Clock]);
    assert_eq!(unreadable.checks[0].state, CheckState::Failed, "no number is no clock that is right");
}

#[test]
fn certificates_of_ports_that_listen_are_looked_at() {
    let expired = Output {
        stderr: b"verify error:num=10:certificate has expired\nnotAfter=Feb  1 00:00:00 2020 GMT\nPeer certificate: CN = web\n".to_vec(),
        ..answer("")
    };
    let tls = |sockets: &str| healthy().with("ss", answer(sockets)).with("openssl s_client", expired.clone());
    let host = tls("tcp LISTEN 0 4096 0.0.0.0:443 0.0.0.0:*\n");
    let diagnosis = diagnose(&host, &[Check::Certificates]);
    assert_eq!(diagnosis.findings[0].what, "the certificate has expired");
    assert_eq!(diagnosis.findings[0].subject, "TLS server on port 443");
    let silent = tls("tcp LISTEN 0 4096 0.0.0.0:80 0.0.0.0:*\n");
    assert!(diagnose(&silent, &[Check::Certificates]).findings.is_empty());
    assert!(!silent.asked().iter().any(|line| line.starts_with("openssl")), "no port, no question");
}

#[test]
fn a_service_whose_log_tells_the_cause() {
    let failed =
        r#"[{"unit":"app.service","load":"loaded","active":"failed","sub":"failed","description":"App"}]"#;
    let lines: String = std::iter::once("bind() to 0.0.0.0:8080 failed: Address already in use")
        .chain(["giving up", "bye", "main process exited", "failed"])
        .map(|m| format!("{{\"MESSAGE\":\"{m}\",\"PRIORITY\":\"3\",\"_SYSTEMD_UNIT\":\"app.service\"}}\n"))
        .collect();
    let host = healthy()
        .with("systemctl list-units --no-pager --failed", answer(failed))
        .with("systemctl show", answer("Id=app.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\nExecMainCode=1\nExecMainStatus=1\n"))
        .with("journalctl", answer(&lines));
    let diagnosis = diagnose(&host, &[Check::Services]);
    let first = &diagnosis.findings[0];
    assert_eq!(first.what, "failed: exit status 1; its log says that a port is taken by another program");
    assert!(first.evidence.iter().any(|l| l.contains("0.0.0.0:8080")), "{:?}", first.evidence);
}

#[test]
fn errors_in_the_log_are_grouped() {
    let line = |unit: &str, message: &str| {
        format!("{{\"MESSAGE\":\"{message}\",\"PRIORITY\":\"3\",\"_SYSTEMD_UNIT\":\"{unit}\"}}\n")
    };
    let mut raw: String =
        (0..20).map(|i| line("app.service", &format!("request {i} to 10.0.0.{i} failed"))).collect();
    raw.push_str(&line("kernel", "Out of memory: Killed process 4711 (java)"));
    raw.push_str(&line("db.service", "single"));
    let diagnosis = diagnose(&healthy().with("journalctl", answer(&raw)), &[Check::Logs]);
    let shown: Vec<_> = diagnosis.findings.iter().map(|f| (f.severity, f.what.as_str())).collect();
    assert_eq!(
        shown,
        [
            (Severity::Critical, "the kernel killed processes for lack of memory (1 line in the last hour)"),
            (Severity::Warning, "20 lines of error in the last hour"),
            (Severity::Info, "1 line of error in the last hour"),
        ]
    );
    assert!(diagnosis.findings[1].evidence[0].contains("request 19"));
}

#[test]
fn checks_that_fail_are_rows_beside_the_others() {
    let host = healthy()
        .with("df", Output { stdout: sample("df.txt").into(), ..Output::default() })
        .with("podman ps", Output { exit: Some(127), ..Output::default() })
        .with("ip -j addr", answer("[{\"ifname\":"))
        .failing("journalctl", Failure::TimedOut { seconds: 30 })
        .with(
            "ss",
            Output {
                exit: Some(126),
                stderr: b"mcp-wrapper: blocked: no such form\n".to_vec(),
                ..Output::default()
            },
        );
    let diagnosis = diagnose(&host, &[]);
    let state = |check| diagnosis.checks.iter().find(|c| c.check == check).unwrap();
    assert_eq!(state(Check::Disk).state, CheckState::Failed, "no exit status is not success");
    assert_eq!(state(Check::Containers).state, CheckState::Skipped);
    assert_eq!(state(Check::Network).state, CheckState::Failed);
    assert_eq!(state(Check::Logs).state, CheckState::Failed);
    assert_eq!((state(Check::Dns).state, state(Check::Memory).state), (CheckState::Ok, CheckState::Ok));
    assert!(state(Check::Dns).error.as_ref().unwrap().contains("no such form"));
    let text = diagnosis.summary();
    assert!(
        text.contains("NOT checked: disk, certificates, network, logs")
            && text.contains("skipped: containers"),
        "{text}"
    );
}

#[test]
fn each_check_that_is_done_is_told_once() {
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |check: Check, done, total| told.lock().unwrap().push((check, done, total));
    let checks = [Check::Dns, Check::Disk];
    block_on(diagnose_system_telling(&healthy(), &checks, &remedies(), &tell)).unwrap();
    let mut told = told.into_inner().unwrap();
    let counts: Vec<_> = told.iter().map(|(_, done, total)| (*done, *total)).collect();
    assert_eq!(counts, [(1, 2), (2, 2)]);
    told.sort_unstable();
    assert_eq!(told.iter().map(|(check, ..)| *check).collect::<Vec<_>>(), [Check::Disk, Check::Dns]);
}

#[test]
fn a_host_out_of_reach_is_one_error() {
    let host = healthy().failing("df", Failure::Unreachable { cause: "web01: connection refused".into() });
    let failure = block_on(diagnose_system(&host, &[], &remedies())).unwrap_err();
    assert_eq!(failure.code(), "unreachable");
}

#[test]
fn only_the_checks_that_were_asked_for_once_each() {
    let diagnosis = diagnose(&healthy(), &[Check::Memory, Check::Disk, Check::Memory]);
    let checks: Vec<Check> = diagnosis.checks.iter().map(|c| c.check).collect();
    assert_eq!(checks, [Check::Disk, Check::Memory]);
}

#[test]
fn hostile_answers_forge_nothing() {
    let failed = r#"[{"unit":"evil.service","load":"loaded","active":"failed","sub":"failed","description":"d"},{"unit":"--host=root@attacker","active":"failed"}]"#;
    let show = "Id=evil.service\nLoadState=loaded\nActiveState=failed\nResult=x\u{1b}]0;a\u{7}\u{202e} password=hunter2\n";
    let host = healthy()
        .with("systemctl list-units --no-pager --failed", answer(failed))
        .with("systemctl show", answer(show));
    let diagnosis = diagnose(&host, &[Check::Services]);
    assert!(!host.asked().iter().any(|l| l.contains("attacker")), "a name that is none is never asked for");
    assert_eq!(diagnosis.findings[0].what, "failed: x password=[redacted]");
    assert!(diagnosis.removed_controls >= 2 && diagnosis.redactions == 1);
}

#[test]
fn broken_answers_of_every_kind_never_panic() {
    for junk in [
        "",
        "\0\0",
        "null",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[{\"unit\":null}]",
        "\u{1b}[",
        "9".repeat(400).as_str(),
        "{\"MESSAGE\":{}}",
        "=\n\n=\n",
    ] {
        let mut host = Fake::default();
        for program in [
            "df",
            "cat",
            "systemctl",
            "podman",
            "ip",
            "ss",
            "resolvectl",
            "dig",
            "journalctl",
            "ps",
            "uname",
            "date",
            "timedatectl",
            "openssl",
        ] {
            host = host.with(program, answer(junk));
        }
        let diagnosis = diagnose(&host, &[]);
        assert_eq!(diagnosis.checks.len(), Check::ALL.len(), "{junk:?}");
        assert!(!diagnosis.summary().is_empty());
        block_on(super::super::get_system_info(&host)).unwrap();
    }
}

#[test]
fn what_is_kept_is_the_worst_and_bounded() {
    let long = "\u{1f600}\"x\n".repeat(2000);
    let finding = |severity| Finding {
        severity,
        check: Check::Disk,
        subject: long.clone(),
        what: long.clone(),
        evidence: vec![long.clone(); 9],
        suggestion: None,
    };
    let mut findings = vec![finding(Severity::Critical)];
    findings.extend(vec![finding(Severity::Info); 39]);
    let row = |check, state| CheckRow { check, state, error: None };
    let checks = vec![row(Check::Disk, CheckState::Findings), row(Check::Dns, CheckState::Failed)];
    let whole = Diagnosis { findings, checks, truncated: false, removed_controls: 0, redactions: 0 };
    let kept = whole.kept();
    assert!(kept.to_string().len() <= 32 << 10, "{}", kept.to_string().len());
    assert_eq!(
        (&kept["findings"][0]["severity"], kept["findings"].as_array().unwrap().len()),
        (&"critical".into(), 8)
    );
    assert_eq!(kept["findings"][0]["evidence"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&kept["checked"][0], &kept["undone"][0], &kept["more"]),
        (&"disk".into(), &"dns".into(), &true.into())
    );
}
