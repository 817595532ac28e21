//! Twelve incidents that are staged on a real host, and what each must be called.

/// One incident.
pub struct Incident {
    /// What happened.
    pub name: &'static str,
    /// Makes it happen, as root on the host.
    pub stage: &'static str,
    /// Undoes it; runs also when it was never staged.
    pub undo: &'static str,
    /// The check that must find it first.
    pub check: &'static str,
    /// Stands in the first finding's subject.
    pub subject: &'static str,
    /// Stands in what the first finding says.
    pub what: &'static str,
    /// What a person would type to get there, one call each.
    pub by_hand: &'static [&'static str],
    /// How far the staging is from the real thing; empty when it is the real thing.
    pub near: &'static str,
}

/// Waits until a command succeeds, at most ten seconds.
macro_rules! until {
    ($command:literal) => {
        concat!("for i in $(seq 100); do ", $command, " && break; sleep 0.1; done; ", $command)
    };
}

/// The incidents.
pub const INCIDENTS: [Incident; 12] = [
    Incident {
        name: "service stopped",
        stage: "systemctl stop unbound",
        undo: "systemctl start unbound",
        check: "services",
        subject: "unbound.service",
        what: "enabled but stopped since",
        by_hand: &[
            "systemctl --failed --no-pager",
            "systemctl list-units --type=service --all --no-pager",
            "systemctl status unbound --no-pager",
            "journalctl -u unbound -n 50 --no-pager",
        ],
        near: "",
    },
    Incident {
        name: "crash loop",
        stage: concat!(
            "printf '[Unit]\\nStartLimitIntervalSec=0\\n[Service]\\nExecStart=/bin/sh -c \"echo cannot open database; exit 3\"\\nRestart=always\\nRestartSec=2\\n' \
             > /run/systemd/system/incident-loop.service; systemctl daemon-reload; systemctl start incident-loop; ",
            until!("[ $(systemctl show incident-loop -p NRestarts --value) -ge 1 ]"),
            "; ",
            until!("[ $(systemctl show incident-loop -p SubState --value) = auto-restart ]")
        ),
        undo: "systemctl stop incident-loop; rm -f /run/systemd/system/incident-loop.service; systemctl daemon-reload",
        check: "services",
        subject: "incident-loop.service",
        what: "crash loop",
        by_hand: &[
            "systemctl --failed --no-pager",
            "systemctl list-units --type=service --all --no-pager",
            "systemctl status incident-loop --no-pager",
            "journalctl -u incident-loop -n 50 --no-pager",
        ],
        near: "",
    },
    Incident {
        name: "OOM kill",
        stage: "logger -p kern.err -t kernel 'Out of memory: Killed process 4711 (java) total-vm:8123456kB, anon-rss:4012345kB'; journalctl --sync",
        undo: "true",
        check: "logs",
        subject: "",
        what: "the kernel killed processes for lack of memory",
        by_hand: &["free -h", "journalctl -p err -n 200 --no-pager", "ps aux --sort=-rss"],
        near: "the kernel's line is written to the log; memory is the machine's, and no process is killed",
    },
    Incident {
        name: "disk full",
        stage: "mkdir -p /srv/incident; mount -t tmpfs -o size=2m tmpfs /srv/incident; dd if=/dev/zero of=/srv/incident/fill bs=4k status=none || true",
        undo: "umount /srv/incident; rmdir /srv/incident",
        check: "disk",
        subject: "/srv/incident",
        what: "% of the space is used",
        by_hand: &["df -h", "df -i", "journalctl -p err -n 100 --no-pager"],
        near: "",
    },
    Incident {
        name: "inodes full",
        stage: "mkdir -p /srv/incident; mount -t tmpfs -o size=2m,nr_inodes=40 tmpfs /srv/incident; for i in $(seq 60); do : > /srv/incident/$i || break; done 2>/dev/null",
        undo: "umount /srv/incident; rmdir /srv/incident",
        check: "disk",
        subject: "/srv/incident",
        what: "% of the inodes are used",
        by_hand: &["df -h", "df -i", "journalctl -p err -n 100 --no-pager"],
        near: "",
    },
    Incident {
        name: "DNS resolver down",
        stage: "systemctl kill -s STOP unbound; resolvectl flush-caches",
        undo: "systemctl kill -s CONT unbound",
        check: "dns",
        subject: "127.0.0",
        what: "no resolver answers",
        by_hand: &[
            "cat /etc/resolv.conf",
            "resolvectl status --no-pager",
            "systemctl status unbound --no-pager",
            "dig example.com +time=2 +tries=1",
            "ss -tuln",
        ],
        near: "",
    },
    Incident {
        name: "wrong resolver",
        stage: "cp -P /etc/resolv.conf /root/incident-resolv.conf; rm /etc/resolv.conf; echo 'nameserver 127.0.0.99' > /etc/resolv.conf",
        undo: "[ ! -e /root/incident-resolv.conf ] || { rm -f /etc/resolv.conf; mv /root/incident-resolv.conf /etc/resolv.conf; }",
        check: "dns",
        subject: "127.0.0.99",
        what: "is the configured resolver and nothing listens there",
        by_hand: &[
            "cat /etc/resolv.conf",
            "resolvectl status --no-pager",
            "dig example.com +time=2 +tries=1",
            "ss -tuln",
        ],
        near: "",
    },
    Incident {
        name: "port taken",
        stage: concat!(
            "systemd-run -q --unit incident-first python3 -m http.server 8099 --bind 127.0.0.1; ",
            until!("ss -Htln | grep -q ':8099 '"),
            "; printf '[Service]\\nExecStart=python3 -m http.server 8099 --bind 127.0.0.1\\n' > /run/systemd/system/incident-web.service; \
             systemctl daemon-reload; systemctl start incident-web; ",
            until!("systemctl is-failed -q incident-web"),
            "; journalctl --sync"
        ),
        undo: "systemctl stop incident-first; systemctl reset-failed incident-web; rm -f /run/systemd/system/incident-web.service; systemctl daemon-reload",
        check: "services",
        subject: "incident-web.service",
        what: "a port is taken by another program",
        by_hand: &[
            "systemctl --failed --no-pager",
            "systemctl status incident-web --no-pager",
            "journalctl -u incident-web -n 50 --no-pager",
            "ss -tlnp",
        ],
        near: "",
    },
    Incident {
        name: "certificate expired",
        stage: concat!(
            "mkdir -p /srv/incident-tls; cd /srv/incident-tls; \
             openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=lab-ca 2>/dev/null; \
             openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=web.lab.test 2>/dev/null; \
             printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=db\\nnew_certs_dir=.\\nserial=serial\\ndefault_md=sha256\\npolicy=p\\ncertificate=ca.pem\\nprivate_key=ca.key\\n[p]\\ncommonName=supplied\\n' > ca.cnf; \
             : > db; echo 1000 > serial; \
             openssl ca -batch -config ca.cnf -in request.pem -out cert.pem -notext -startdate 20250101000000Z -enddate 20250201000000Z 2>/dev/null; \
             systemd-run -q --unit incident-tls openssl s_server -quiet -accept 127.0.0.1:8443 -cert $PWD/cert.pem -key $PWD/key.pem; ",
            until!("ss -Htln | grep -q ':8443 '")
        ),
        undo: "systemctl stop incident-tls; rm -rf /srv/incident-tls",
        check: "certificates",
        subject: "port 8443",
        what: "the certificate has expired",
        by_hand: &[
            "systemctl --failed --no-pager",
            "ss -tln",
            "journalctl -p err -n 100 --no-pager",
            "openssl s_client -connect localhost:8443",
        ],
        near: "",
    },
    Incident {
        name: "clock wrong",
        stage: "printf '%s\\n' '#!/bin/sh' 'echo 1700000000' > /root/incident-fake; chmod 755 /root/incident-fake; mount --bind /root/incident-fake /usr/bin/date",
        undo: "umount /usr/bin/date; rm -f /root/incident-fake",
        check: "clock",
        subject: "clock",
        what: "behind this server's",
        by_hand: &["timedatectl", "date", "chronyc tracking", "journalctl -p err -n 100 --no-pager"],
        near: "the clock is the machine's: the host's `date` is replaced by one that is wrong",
    },
    Incident {
        name: "container restarting",
        stage: concat!(
            "mkdir -p /run/podman; systemd-run -q --unit incident-podman podman system service -t 0 unix:///run/podman/podman.sock; ",
            until!("podman --url unix:///run/podman/podman.sock version >/dev/null 2>&1"),
            "; chgrp mcp-reader /run/podman /run/podman/podman.sock; chmod 750 /run/podman; chmod 660 /run/podman/podman.sock; \
             podman run -q -d --name incident-loop --restart=always localhost/lab-web:1 /bin/sh -c 'sleep 1; exit 3' >/dev/null; ",
            "for i in $(seq 200); do [ $(podman inspect incident-loop --format '{{.RestartCount}}') -ge 3 ] && break; sleep 0.1; done"
        ),
        undo: "podman rm -f -t 0 incident-loop; systemctl stop incident-podman; rm -rf /run/podman",
        check: "containers",
        subject: "incident-loop",
        what: "restart",
        by_hand: &[
            "podman ps -a",
            "podman logs --tail 50 incident-loop",
            "podman inspect incident-loop",
            "journalctl -p err -n 100 --no-pager",
        ],
        near: "",
    },
    Incident {
        name: "high load by one process",
        stage: concat!(
            "systemd-run -q --unit incident-hog -p Nice=-10 sh -c 'while :; do :; done'; echo '24.00 18.00 9.00 26/300 4711' > /run/incident-loadavg; \
             mount --bind /run/incident-loadavg /proc/loadavg; ",
            until!(
                "ps -o pcpu= -p $(systemctl show incident-hog -p MainPID --value) | awk '{ exit !($1 > 60) }'"
            )
        ),
        undo: "umount /proc/loadavg; rm -f /run/incident-loadavg; systemctl stop incident-hog",
        check: "load",
        subject: "load",
        what: "(sh) of root uses",
        by_hand: &["uptime", "ps aux --sort=-pcpu", "top -b -n 1"],
        near: "load is the machine's: /proc/loadavg is replaced; the process that takes a processor is real",
    },
];
