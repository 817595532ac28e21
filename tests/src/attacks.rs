//! What somebody with both keys tries, and somebody who has got a shell as one of the two accounts, past the wrapper. Each check panics at
//! the first thing that works; each looks whether the thing happened, not only what was said.

use std::process::{Command, Stdio};

use crate::{Lab, Said, run};

/// The accounts of a target.
const ACCOUNTS: [&str; 2] = ["mcp-reader", "pra-runner"];
/// What an attack leaves when it works.
const MARK: &str = "/var/tmp/attacked";
/// A library that leaves the mark when a program loads it.
const LIBRARY: &str = "/var/tmp/attack.so";
const HOME: &str = "/var/lib/mcp-linux-infra/home";
/// What is root's alone.
const PROTECTED: [&str; 20] = [
    "/usr/local/bin/mcp-wrapper",
    "/usr/local/bin/pra-exec",
    "/usr/local/sbin/pra-run",
    "/etc/mcp-linux-infra",
    "/etc/mcp-linux-infra/target.toml",
    "/etc/mcp-linux-infra/approvers",
    "/etc/mcp-linux-infra/plugins.d",
    "/etc/mcp-linux-infra/actions.d",
    "/etc/ssh/mcp-linux-infra",
    "/etc/ssh/mcp-linux-infra/mcp-reader",
    "/etc/ssh/mcp-linux-infra/pra-runner",
    "/etc/ssh/sshd_config.d/60-mcp-linux-infra.conf",
    "/etc/sudoers.d/mcp-linux-infra",
    "/etc/logrotate.d/mcp-linux-infra",
    "/var/lib/mcp-linux-infra",
    HOME,
    "/var/lib/mcp-linux-infra/ledger",
    "/var/lib/mcp-linux-infra/ledger/clock",
    "/var/log/pra-run.log",
    "/var/log/auth.log",
];

/// All of them.
pub fn all(lab: &Lab, host: &str) {
    library(lab, host);
    lines(lab, host);
    sudo(lab, host);
    files(lab, host);
    user_files(lab, host);
    environment(lab, host);
    lab.must(host, &format!("rm -f {LIBRARY} {MARK}"));
}

/// A shell line as an account, as if there were no wrapper.
fn escaped(lab: &Lab, host: &str, account: &str, line: &str) -> Said {
    let quoted = line.replace('\'', r"'\''");
    lab.root(
        host,
        &format!(
            "exec setpriv --reuid {account} --regid {account} --init-groups env -i HOME={HOME} USER={account} \
             PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -c '{quoted}' </dev/null"
        ),
    )
}

fn not_happened(lab: &Lab, host: &str, what: &str) {
    assert_eq!(lab.root(host, &format!("test -e {MARK}")).exit, 1, "{what}: it happened");
}

/// Builds the library and puts it on the host; and shows that it would work.
fn library(lab: &Lab, host: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (source, built) = (dir.path().join("a.c"), dir.path().join("a.so"));
    let text = format!(
        "#include <fcntl.h>\n__attribute__((constructor)) static void mark(void) {{ open(\"{MARK}\", O_CREAT | O_WRONLY, 0666); }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let cc = run(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&built).arg(&source), b"");
    assert_eq!(cc.exit, 0, "{cc:?}");
    std::fs::copy(&built, lab.file(&format!("run/{host}/root{LIBRARY}"))).unwrap();
    lab.must(host, &format!("chmod 755 {LIBRARY}; rm -f {MARK}; LD_PRELOAD={LIBRARY} /bin/true; rm {MARK}"));
}

/// Lines over SSH that would run sudo, write, or replace what is root's.
fn lines(lab: &Lab, host: &str) {
    let mut tried = vec![
        "sudo -l".to_owned(),
        "sudo -i".to_owned(),
        format!("sudo -n touch {MARK}"),
        "sudo -n /usr/local/sbin/pra-run".to_owned(),
        "sudo -n -u ops id".to_owned(),
        "sudoedit /etc/mcp-linux-infra/approvers".to_owned(),
        format!("su -c 'touch {MARK}'"),
        format!("env LD_PRELOAD={LIBRARY} uptime"),
        format!("LD_PRELOAD={LIBRARY} uptime"),
        "crontab -".to_owned(),
        format!("touch {MARK}"),
    ];
    tried.extend(PROTECTED.iter().map(|path| format!("tee {path}")));
    for program in ["rm -rf", "cp /etc/hostname", "scp -t", "truncate -s 0", "chmod 777"] {
        tried.push(format!("{program} /etc/mcp-linux-infra/approvers"));
    }
    for account in ACCOUNTS {
        for line in &tried {
            let said = run(lab.ssh(account, host, &[]).arg(line), b"x\n");
            assert_eq!(said.exit, 126, "{account}: {line}: {said:?}");
        }
    }
    not_happened(lab, host, "a line over SSH");
}

/// With a shell as the account: every way that sudo has.
fn sudo(lab: &Lab, host: &str) {
    let pra_run = "/usr/local/sbin/pra-run";
    let tried = [
        format!("sudo -n -i touch {MARK}"),
        format!("sudo -n -s touch {MARK}"),
        format!("sudo -n touch {MARK}"),
        format!("sudo -n -u ops touch {MARK}"),
        format!("sudo -n -g adm touch {MARK}"),
        format!("sudo -n {pra_run} touch {MARK}"),
        format!("sudo -n {pra_run} ''"),
        format!("sudo -n -- {pra_run} --version"),
        format!("sudo -n -u ops {pra_run}"),
        format!("sudo -n -g root {pra_run}"),
        format!("sudo -n -E {pra_run}"),
        format!("sudo -n LD_PRELOAD={LIBRARY} {pra_run}"),
        format!("LD_PRELOAD={LIBRARY} sudo -n --preserve-env=LD_PRELOAD {pra_run}"),
        format!("sudo -n -D /tmp {pra_run}"),
        format!("sudo -n -R / {pra_run}"),
        "sudo -n /usr/local/sbin/../sbin/mcp-wrapper".to_owned(),
        format!("sudo -n bash -c 'touch {MARK}'"),
        "sudo -n visudo".to_owned(),
        "sudo -n -U root -l".to_owned(),
        "SUDO_EDITOR=/usr/bin/tee sudoedit -n /etc/mcp-linux-infra/approvers".to_owned(),
        "sudo -n -e /etc/shadow".to_owned(),
        format!("su root -c 'touch {MARK}'"),
        format!("su ops -c 'touch {MARK}'"),
        format!("systemd-run --no-ask-password touch {MARK}"),
        "systemctl --no-ask-password restart unbound".to_owned(),
        "setpriv --reuid 0 id".to_owned(),
        "unshare --user --map-root-user sudo -n id".to_owned(),
    ];
    for account in ACCOUNTS {
        for line in &tried {
            let said = escaped(lab, host, account, line);
            assert!(said.exit != 0 && !said.out.contains("uid="), "{account}: {line}: {said:?}");
            not_happened(lab, host, line);
        }
    }
    // The one thing that the runner may: without arguments, in a clean environment, and it takes nothing but grants.
    let bare = format!("sudo -n {pra_run}");
    assert_ne!(escaped(lab, host, "mcp-reader", &bare).exit, 126);
    for environment in
        [String::new(), format!("LD_PRELOAD={LIBRARY} PATH=/var/tmp BASH_ENV=/var/tmp/x SUDO_PROMPT=x ")]
    {
        // The library marks what the account itself runs with it, as it may.
        let said = escaped(lab, host, "pra-runner", &format!("{environment}/usr/bin/{bare}"));
        assert!(said.exit == 126 && said.err.contains("nobody has signed"), "{said:?}");
        let owner = lab.root(host, &format!("stat -c %U {MARK}"));
        assert!(owner.exit != 0 || owner.out.trim() != "root", "root has loaded the library");
        lab.must(host, &format!("rm -f {MARK}"));
    }
    let listed = escaped(lab, host, "pra-runner", "sudo -n -l");
    let rules: Vec<&str> = listed.out.lines().filter(|l| l.starts_with("    (")).map(str::trim).collect();
    assert_eq!(rules, [r#"(root) NOPASSWD: /usr/local/sbin/pra-run """#], "{listed:?}");
}

/// Names, modes, owners, times and bytes of what is root's; of what is written to meanwhile all but size, time and bytes.
fn looks(lab: &Lab, host: &str) -> String {
    let paths = PROTECTED.join(" ");
    lab.must(
        host,
        &format!(
            "find {paths} ! -name auth.log ! -name pra-run.log -printf '%p %y %m %U %G %s %T@ %l\\n' | sort -u; \
             find /var/log/auth.log /var/log/pra-run.log -printf '%p %y %m %U %G\\n'; \
             find {paths} -type f ! -name auth.log ! -name pra-run.log -print0 | xargs -0 sha256sum"
        ),
    )
}

/// With a shell as the account: writing, replacing and removing each thing that is root's.
fn files(lab: &Lab, host: &str) {
    let before = looks(lab, host);
    let log = lab.must(host, "cat /var/log/pra-run.log");
    let paths = PROTECTED.join(" ");
    for account in ACCOUNTS {
        let script = format!(
            r#"
            works() {{ "$@" 2>/dev/null && echo "$*"; }}
            append() {{ echo x >> "$1"; }}
            empty() {{ : > "$1"; }}
            works touch {MARK}
            for p in {paths}; do
                if [ -d "$p" ]; then
                    works touch "$p/x.toml"; works mkdir "$p/x"; works ln -s /etc/shadow "$p/y.toml"; works cp /bin/true "$p/z"
                else
                    works append "$p"; works empty "$p"; works truncate -s 0 "$p"; works cp /etc/hostname "$p"
                fi
                works rm -rf "$p"; works mv "$p" "$p.old"; works ln -sfT /etc/hostname "$p"; works mv -T /etc/hostname "$p"
                works chmod 777 "$p"; works chown {account} "$p"; works touch -d @1 "$p"; works setfacl -m u:{account}:rwx "$p"
                works setfattr -n user.x -v y "$p"; works mount --bind /tmp "$p"; works rmdir "$p"
            done
            exit 0"#
        );
        let said = escaped(lab, host, account, &script);
        // Its own file in /var/tmp is what it may write: so what works is told.
        assert!(said.exit == 0 && said.out == format!("touch {MARK}\n"), "{account}: {said:?}");
        lab.must(host, &format!("rm {MARK}"));
        let secrets =
            "/etc/shadow /var/log/pra-run.log /var/lib/mcp-linux-infra/ledger /etc/sudoers.d/mcp-linux-infra";
        let said = escaped(
            lab,
            host,
            account,
            &format!("for p in {secrets}; do [ -r $p ] && echo $p; done; exit 0"),
        );

        assert_eq!(said.out, "", "{account}: {said:?}");
    }
    assert_eq!(before, looks(lab, host), "something changed");
    assert_eq!(log, lab.must(host, "cat /var/log/pra-run.log"), "the log changed");
}

/// Files that a login would run or read, tried by the account; and even if root had put them there, no login takes them.
fn user_files(lab: &Lab, host: &str) {
    let names = ".ssh/rc .ssh/environment .ssh/authorized_keys .ssh/config .bashrc .profile .bash_login .pam_environment .forward";
    for account in ACCOUNTS {
        let script = format!(
            "mkdir {HOME}/.ssh 2>/dev/null && echo folder; for n in {names}; do (echo x > {HOME}/$n) 2>/dev/null && echo $n; done; exit 0"
        );
        let said = escaped(lab, host, account, &script);
        assert!(said.exit == 0 && said.out.is_empty(), "{account}: {said:?}");
    }
    lab.must(
        host,
        &format!(
            "cd {HOME} && mkdir -m 755 .ssh && for n in {names}; do printf '#!/bin/sh\\ntouch {MARK}\\n' > $n; chmod 755 $n; done; \
             echo 'FROM_USER=1' > .ssh/environment; echo 'FROM_USER DEFAULT=1' > .pam_environment; \
             ssh-keygen -q -t ed25519 -N '' -f /root/attack-key && cp /root/attack-key.pub .ssh/authorized_keys"
        ),
    );
    let own = lab.must(host, "cat /root/attack-key");
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, format!("{own}\n")).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let logins = ACCOUNTS.map(|account| {
        let line = if account == "mcp-reader" { "uptime" } else { "id" };
        let known = lab.file("known_hosts");
        let mut with_own = lab.inside("ssh");
        with_own
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o"])
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(&key)
            .arg(format!("{account}@{}", lab.address(host)))
            .arg(line);
        (run(lab.ssh(account, host, &[]).arg(line), b""), run(&mut with_own, b""))
    });
    let child = child_environment(lab, host, &[]);
    lab.must(host, &format!("rm -rf {HOME}/.[a-z]* /root/attack-key /root/attack-key.pub"));
    not_happened(lab, host, "a login");
    assert!(!child.contains("FROM_USER"), "{child}");
    assert!(logins[0].0.exit == 0 && logins[1].0.exit == 126, "the right keys still work: {logins:?}");
    for (_, own) in &logins {
        assert!(own.exit == 255 && own.err.contains("Permission denied (publickey)"), "{own:?}");
    }
}

/// The environment of what the wrapper runs for a client with these options.
fn child_environment(lab: &Lab, host: &str, options: &[&str]) -> String {
    let mut client = lab.ssh("mcp-reader", host, options);
    client.arg("sleep 4").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = client.spawn().unwrap();
    let said = lab.root(
        host,
        "for i in $(seq 300); do p=$(pgrep -n -u mcp-reader -x sleep) && tr '\\0' '\\n' < /proc/$p/environ && exit 0; sleep 0.05; done; exit 1",
    );
    let ended = client.wait().unwrap();
    assert!(said.exit == 0 && ended.success() && said.out.contains("PATH="), "{said:?} {ended:?}");
    said.out
}

/// Variables by the client, and by somebody who starts the programs with a shell as the account.
fn environment(lab: &Lab, host: &str) {
    let sent = format!(
        "SetEnv=LD_PRELOAD={LIBRARY} LD_LIBRARY_PATH=/var/tmp LC_ALL=xx LC_ATTACK=xx LANG=xx PATH=/var/tmp BASH_ENV=/var/tmp/x PAGER=/var/tmp/x HOME=/var/tmp"
    );
    let child = child_environment(lab, host, &["-o", &sent]);
    for wrong in ["LD_", "LC_ATTACK", "=xx", "/var/tmp", "BASH_ENV", "SSH_"] {
        assert!(!child.contains(wrong), "{wrong}: {child}");
    }
    not_happened(lab, host, "a variable of the client");

    lab.must(host, &format!("mkdir -p /var/tmp/evil; for p in uptime sudo logger sh; do printf '#!/bin/sh\\ntouch {MARK}\\n' > /var/tmp/evil/$p; chmod 755 /var/tmp/evil/$p; done"));
    let bad = format!(
        "PATH=/var/tmp/evil LD_PRELOAD={LIBRARY} SHELL=/var/tmp/evil/sh IFS=/ BASH_ENV=/var/tmp/evil/sh"
    );
    for (account, command) in [
        ("mcp-reader", "/usr/local/bin/mcp-wrapper -c uptime"),
        ("pra-runner", "/usr/local/bin/pra-exec -c grant"),
    ] {
        // bash itself starts the program, so nothing but the program can load the library.
        let said = escaped(lab, host, account, &format!("{bad} exec {command}"));
        let wanted = if account == "mcp-reader" { 0 } else { 126 };
        assert_eq!(said.exit, wanted, "{account}: {said:?}");
        not_happened(lab, host, command);
    }
    lab.must(host, "rm -rf /var/tmp/evil");
}
