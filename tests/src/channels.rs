//! Every way into a host that SSH has, tried with both keys on a real sshd: only single lines that are judged get through.
//! Each check panics at the first way that is open.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::{Lab, Said, run};

/// Account, its program, and the status of a refusal.
const ACCOUNTS: [(&str, &str); 2] = [("mcp-reader", "mcp-wrapper"), ("pra-runner", "pra-exec")];

/// A client that stays; stopped by its id when the test ends, however it does.
struct Staying(Child);

impl Drop for Staying {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one_clear_line(said: &Said, program: &str, what: &str) {
    // What the client says of its own side.
    let own = ["Connection to ", "Pseudo-terminal will not be allocated"];
    let lines: Vec<&str> = said.err.lines().filter(|line| !own.iter().any(|o| line.starts_with(o))).collect();
    let prefix = format!("{program}: blocked: ");
    assert!(
        said.exit == 126 && lines.len() == 1 && lines[0].trim_end().starts_with(&prefix),
        "{what}: {said:?}"
    );
}

/// No shell, no terminal, no subsystem, and no line that names one.
pub fn no_shell_no_terminal_and_no_subsystem(lab: &Lab, host: &str) {
    for (account, program) in ACCOUNTS {
        let plain = run(&mut lab.ssh(account, host, &[]), b"id\n");
        one_clear_line(&plain, program, "no command");
        // sshd grants no terminal; what is asked for is judged all the same.
        let terminal = run(&mut lab.ssh(account, host, &["-tt"]), b"id\nexit\n");
        assert!(terminal.exit != 0 && !terminal.out.contains("uid="), "{terminal:?}");
        assert!(terminal.err.contains("PTY allocation request failed"), "{terminal:?}");
        let terminal = run(lab.ssh(account, host, &["-tt"]).arg("bash -i"), b"id\nexit\n");
        assert!(terminal.exit != 0 && !terminal.out.contains("uid="), "{terminal:?}");
        for subsystem in ["sftp", "netconf", "grant", "uptime"] {
            let said = run(lab.ssh(account, host, &["-s"]).arg(subsystem), b"");
            assert!(said.exit != 0 && !said.out.contains("load average"), "{account} {subsystem}: {said:?}");
        }
        for line in [
            "-i",
            "bash -i",
            "-c id",
            "sh",
            "/bin/sh -c id",
            "scp -t /tmp/x",
            "scp -f /etc/passwd",
            "rsync --server --sender . /etc",
            "sftp-server",
            "/usr/lib/openssh/sftp-server",
            "internal-sftp",
            "git-upload-pack '/srv/x'",
            "exec id",
            "id;id",
            "$SHELL",
        ] {
            let said = run(lab.ssh(account, host, &[]).args(["--", line]), b"");
            one_clear_line(&said, program, line);
            assert!(!said.out.contains("uid="), "{line}: {said:?}");
        }
    }
}

/// The clients that people have, not only what they send.
pub fn files_are_not_copied(lab: &Lab, host: &str) {
    let options = |account: &str| {
        let key = if account == "mcp-reader" { "reader" } else { "runner" };
        format!(
            "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile={} -i {}",
            lab.file("known_hosts").display(),
            lab.key(key).display()
        )
    };
    for (account, _) in ACCOUNTS {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("copy");
        let address = lab.address(host);
        for client in [
            format!("scp {} {account}@{address}:/etc/passwd {}", options(account), to.display()),
            format!("scp -O {} {account}@{address}:/etc/passwd {}", options(account), to.display()),
            format!(
                "echo 'get /etc/passwd {}' | sftp -b - {} {account}@{address}",
                to.display(),
                options(account)
            ),
            format!("scp -O {} /etc/hostname {account}@{address}:/tmp/copied-in", options(account)),
        ] {
            let said = run(lab.inside("bash").args(["-c", &client]), b"");
            assert!(said.exit != 0, "{client}: {said:?}");
            assert!(!to.exists(), "{client}");
        }
        assert_eq!(lab.root(host, "test -e /tmp/copied-in").exit, 1);
    }
}

/// Connects inside the lab's namespace once the client's listener is there; what comes back from the other end.
fn through(lab: &Lab, port: u16, hello: &str) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port} && printf '{hello}' >&3 && timeout 5 head -c 64 <&3 | od -An -c"
        );
        let said = run(lab.inside("bash").args(["-c", &script]), b"");
        if said.exit == 0 {
            return said.out;
        }
        assert!(Instant::now() < until, "the client's listener on {port} never came: {said:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Local, remote and dynamic forwarding, of ports and of unix sockets, and tunnels.
pub fn nothing_is_forwarded(lab: &Lab, host: &str) {
    for (number, (account, _)) in (0_u16..).zip(ACCOUNTS) {
        let stay = |options: &[&str]| {
            let mut client = lab.ssh(account, host, options);
            client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            Staying(client.spawn().unwrap())
        };
        // The client listens, but sshd opens no channel for what comes.
        let port = 18_100 + number;
        let _local = stay(&["-N", "-L", &format!("127.0.0.1:{port}:127.0.0.1:22")]);
        let answer = through(lab, port, "");
        assert!(!answer.contains("S   S   H"), "{account} -L: {answer}");
        let port = 18_110 + number;
        let _stream = stay(&["-N", "-L", &format!("127.0.0.1:{port}:/run/dbus/system_bus_socket")]);
        let answer = through(lab, port, "\\0AUTH\\r\\n");
        assert!(answer.trim().is_empty(), "{account} -L to a unix socket: {answer}");
        // SOCKS 5 without authentication to 127.0.0.1:22: the answer to the request must not be success.
        let port = 18_120 + number;
        let _dynamic = stay(&["-N", "-D", &format!("127.0.0.1:{port}")]);
        let answer = through(lab, port, "\\x05\\x01\\x00\\x05\\x01\\x00\\x01\\x7f\\x00\\x00\\x01\\x00\\x16");
        assert!(!answer.contains("S   S   H"), "{account} -D: {answer}");
        for (what, options) in [
            ("-W", vec!["-W", "127.0.0.1:22"]),
            ("-R", vec!["-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:18022:127.0.0.1:22"]),
            (
                "-R to a socket",
                vec!["-N", "-o", "ExitOnForwardFailure=yes", "-R", "/tmp/forwarded:127.0.0.1:22"],
            ),
            (
                "tun",
                vec!["-N", "-o", "ExitOnForwardFailure=yes", "-o", "Tunnel=point-to-point", "-w", "any:any"],
            ),
        ] {
            let mut client = lab.ssh(account, host, &options);
            let limited =
                run(lab.inside("timeout").arg("20").arg(client.get_program()).args(client.get_args()), b"");
            client.stdin(Stdio::null());
            assert!(limited.exit != 0 && limited.exit != 124, "{account} {what}: {limited:?}");
            assert!(!limited.out.contains("SSH-2.0"), "{account} {what}: {limited:?}");
        }
        assert_eq!(lab.root(host, "ss -Hltn 'sport = :18022' | grep -q . || test -e /tmp/forwarded").exit, 1);
        assert_eq!(lab.root(host, "ip -br link | grep -q ^tun").exit, 1);
    }
}

/// Agent and X11 forwarding, and variables of the client.
pub fn no_agent_no_display_and_no_environment_arrive(lab: &Lab, host: &str) {
    // What the children of sshd have, looked at while one runs.
    for (account, _) in ACCOUNTS {
        let line = if account == "mcp-reader" { "sleep 5" } else { "grant" };
        let mut client = lab.ssh(
            account,
            host,
            &[
                "-A",
                "-X",
                "-o",
                "SetEnv=LD_PRELOAD=/tmp/x.so LANG=xx_XX BASH_ENV=/tmp/x SSH_ORIGINAL_COMMAND=id",
                "-o",
                "SendEnv=HOME",
            ],
        );
        client
            .arg(line)
            .env("DISPLAY", ":7")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _client = Staying(client.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(20);
        let environment = loop {
            let said = lab.root(
                host,
                &format!("for p in $(pgrep -u {account} -f '(mcp-wrapper|pra-exec) -c'); do e=$(tr '\\0' '\\n' < /proc/$p/environ); case $e in *'SSH_ORIGINAL_COMMAND={line}'*) echo \"$e\"; break;; esac; done"),
            );
            if said.exit == 0 && said.out.contains("SSH_CLIENT=") {
                break said.out;
            }
            assert!(Instant::now() < until, "{account}: its program was never seen: {said:?}");
            std::thread::sleep(Duration::from_millis(50));
        };
        for name in [
            "LD_PRELOAD=",
            "BASH_ENV=",
            "LANG=xx_XX",
            "SSH_AUTH_SOCK=",
            "DISPLAY=",
            "SSH_ORIGINAL_COMMAND=id",
        ] {
            assert!(!environment.contains(name), "{account}: {name} in {environment}");
        }
        assert!(environment.contains(&format!("SSH_ORIGINAL_COMMAND={line}")), "{environment}");
    }
    assert_eq!(lab.root(host, "ls -d /tmp/ssh-* /tmp/.X11-unix/* 2>/dev/null | grep -q .").exit, 1);
}

/// As a login shell, by whoever may start it: su, login, cron, a shell's exec.
pub fn as_a_login_shell_it_takes_one_line_or_refuses(lab: &Lab, host: &str) {
    for (account, program) in ACCOUNTS {
        let place = format!("/usr/local/bin/{program}");
        let as_user = |command: &str| {
            lab.root(host, &format!("exec setpriv --reuid {account} --regid {account} --init-groups env -i bash -c \"{command}\" </dev/null"))
        };
        for command in [
            format!("exec {place}"),
            format!("exec -a -{program} {place}"),
            format!("exec -a -{program} {place} -i"),
            format!("exec {place} -i"),
            format!("exec {place} -l"),
            format!("exec {place} -c"),
            format!("exec {place} -c uptime extra"),
            format!("exec {place} -ic uptime"),
            format!("exec {place} -lc uptime"),
            format!("exec {place} /tmp/script"),
            format!("exec {place} --version"),
            format!("exec {place} -c {place}"),
            format!("exec -a -{program} {place} -c bash"),
            format!("exec script -qec '{place} -i' /dev/null"),
        ] {
            let said = as_user(&command);
            let all = format!("{}{}", said.out, said.err);
            assert!(said.exit == 126 && all.matches("blocked: ").count() == 1, "{command}: {said:?}");
            assert!(!all.contains("load average") && !all.contains("uid="), "{command}: {said:?}");
        }
        let su = lab.root(host, &format!("su - {account} </dev/null"));
        assert!(su.exit == 126 && su.err.contains("blocked: "), "{su:?}");
    }
    let one = lab.root(host, "exec setpriv --reuid mcp-reader --regid mcp-reader --init-groups env -i bash -c \"exec -a -mcp-wrapper /usr/local/bin/mcp-wrapper -c uptime\" </dev/null");
    assert!(one.exit == 0 && one.out.contains("load average"), "{one:?}");
}
