//! What the catalogue's examples speak of, put on a host so that they find something: a repository, logs, a certificate and a TLS
//! server, a service, names and addresses. Taken away again at the end, also of a test that fails.

use crate::Lab;

/// The host with its fixtures.
pub struct Fixture<'a> {
    lab: &'a Lab,
    host: &'a str,
}

/// Everything that is made by hand lies here, so that it is found again.
const MAKE: &str = r#"set -e
    # Logs that stay as they are while the test looks: the journal takes what the wrapper logs.
    systemctl -q stop syslog.socket rsyslog.service cron.service logrotate.timer systemd-tmpfiles-clean.timer apt-daily.timer 2>/dev/null || true
    mkdir -p /var/lib/lab-fixture
    for f in syslog auth.log; do touch /var/log/$f; mv /var/log/$f /var/lib/lab-fixture/; done
    for i in $(seq 40); do echo "2026-11-25T09:00:$((i + 10)).000000+00:00 t2 app[$i]: line $i of the	log, no error"; done > /var/log/syslog
    echo '2026-11-25T09:01:00.000000+00:00 t2 app[41]: échec: old error' >> /var/log/syslog
    # Rotated logs, each as another program compresses them; the oldest holds what two rotations put one behind the other.
    for i in $(seq 4000); do echo "2026-11-24T09:00:00.000000+00:00 t2 sshd[$i]: Error: connection $((i * 7919 % 1000)) refused"; done > /tmp/old
    cp /tmp/old /var/log/auth.log; gzip -c /tmp/old > /var/log/auth.log.2.gz
    { gzip -1 -c /var/log/syslog; gzip -9 -c /tmp/old; } > /var/log/syslog.2.gz
    xz -c /tmp/old > /var/log/app.log.1.xz; zstd -q -c /tmp/old > /var/log/app.log.1.zst; rm /tmp/old
    for f in syslog syslog.2.gz auth.log auth.log.2.gz app.log.1.xz app.log.1.zst; do chown root:adm /var/log/$f; chmod 640 /var/log/$f; done
    mkdir -p /var/log/nginx /etc/nginx/conf.d; echo 'server {}' > /etc/nginx/conf.d/site.conf
    echo '2026/11/25 09:00:00 [error] 1#1: upstream timed out, $remote_addr' > /var/log/nginx/error.log
    printf '%s\n' '2026-11-25 09:00:00 install a error' '2026-11-25 09:00:01 configure b -v' > /var/log/dpkg.log
    [ -e /etc/networks ] || echo 'loopback 127.0.0.0' > /etc/networks
    [ -e /etc/fstab ] || echo '# none' > /etc/fstab
    # A repository that is not the reader's, with something that is not committed.
    git init -q -b main /srv/app; cd /srv/app; echo one > file; git add file
    git -c user.name=Lab -c user.email=lab@lab.test commit -q -m 'first' --date 2026-11-25T09:00:00Z; git tag v1; git branch other
    echo two >> file; echo new > other
    # A certificate, and a server that shows it.
    mkdir -p /etc/letsencrypt/live/example.com; cd /etc/letsencrypt/live/example.com
    openssl req -x509 -newkey rsa:2048 -nodes -keyout privkey.pem -out fullchain.pem -days 30 -subj /CN=example.com 2>/dev/null
    systemd-run -q --unit lab-tls openssl s_server -quiet -accept 127.0.0.1:443 -cert $PWD/fullchain.pem -key $PWD/privkey.pem
    # A service by the name that most examples use.
    cp /bin/sleep /usr/sbin/nginx
    printf '[Unit]\nDescription=lab nginx\n[Service]\nUser=www-data\nExecStart=/usr/sbin/nginx infinity\n[Install]\nWantedBy=multi-user.target\n' > /etc/systemd/system/nginx.service
    useradd --system --no-create-home nginx
    systemctl daemon-reload; systemctl -q enable --now nginx
    # Names and addresses: nothing leaves the host.
    for a in 10.0.0.1 10.0.0.53 8.8.8.8; do ip addr add $a/32 dev lo; done; ip -6 addr add 2001:db8::1/128 dev lo nodad
    { printf 'server:\n'; for n in example.com google.com; do
        printf 'local-zone: "%s." static\nlocal-data: "%s. 300 IN A 10.0.0.1"\nlocal-data: "%s. 300 IN MX 10 mail.%s."\n' $n $n $n $n; done
      for a in 10.0.0.53 8.8.8.8; do printf 'interface: %s\naccess-control: %s/32 allow\n' $a $a; done
      printf 'local-zone: "infra." static\nlocal-data: "web01.infra. 300 IN A 10.0.0.1"\n'
      printf 'local-data-ptr: "8.8.8.8 300 dns.google"\n'; } > /etc/unbound/unbound.conf.d/lab-fixture.conf
    systemctl restart unbound; resolvectl flush-caches
    nft add table inet filter
    # The container engine, as an operator opens it to the reader.
    mkdir -p /run/podman
    systemd-run -q --unit lab-podman podman system service -t 0 unix:///run/podman/podman.sock
    mkdir -p -m 700 /var/cache/containers
    podman run -q -d --name web -p 8082:8080 localhost/lab-web:1 >/dev/null
    # It makes its folder and socket anew when it starts: opened only once it answers.
    for i in $(seq 100); do podman --url unix:///run/podman/podman.sock version >/dev/null 2>&1 && break; sleep 0.1; done
    chgrp mcp-reader /run/podman /run/podman/podman.sock; chmod 750 /run/podman; chmod 660 /run/podman/podman.sock
    setpriv --reuid=mcp-reader --regid=mcp-reader --init-groups test -w /run/podman/podman.sock
"#;

const UNDO: &str = r"
    podman rm -f web >/dev/null; systemctl stop lab-podman; rm -rf /run/podman
    nft delete table inet filter
    rm -f /etc/unbound/unbound.conf.d/lab-fixture.conf; systemctl restart unbound
    for a in 10.0.0.1 10.0.0.53 8.8.8.8; do ip addr del $a/32 dev lo; done; ip -6 addr del 2001:db8::1/128 dev lo
    systemctl -q disable --now nginx; rm -f /etc/systemd/system/nginx.service /usr/sbin/nginx; systemctl daemon-reload
    userdel nginx
    systemctl stop lab-tls
    rm -f /var/log/dpkg.log; rm -rf /etc/letsencrypt /srv/app /var/log/nginx /etc/nginx
    rm -f /var/log/syslog.2.gz /var/log/auth.log.2.gz /var/log/app.log.1.xz /var/log/app.log.1.zst
    mv -f /var/lib/lab-fixture/* /var/log/; rmdir /var/lib/lab-fixture
    systemctl start syslog.socket rsyslog.service cron.service logrotate.timer systemd-tmpfiles-clean.timer
    systemctl is-system-running";

impl<'a> Fixture<'a> {
    /// Makes them.
    pub fn make(lab: &'a Lab, host: &'a str) -> Self {
        // What a run that was killed has left.
        lab.must(host, &format!("[ ! -d /var/lib/lab-fixture ] || {{ {UNDO} >/dev/null 2>&1; true; }}"));
        let fixture = Self { lab, host };
        lab.must(host, MAKE);
        fixture
    }
}

impl Drop for Fixture<'_> {
    fn drop(&mut self) {
        let said = self.lab.root(self.host, UNDO);
        if !std::thread::panicking() {
            assert_eq!(said.out.trim(), "running", "the host is as it was: {said:?}");
        }
    }
}
