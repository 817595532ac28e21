//! What a host is like, line by line, so that two looks can be compared: files, processes, sockets, units, network, kernel settings.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Lab;

/// The folders of which everything is compared: kind, mode, owner, size, time, target of a link; and the bytes of each file.
const TREES: &str = "etc usr opt srv home root boot var/spool var/lib var/cache tmp var/tmp dev/shm";

/// What services write there by themselves, whoever looks; and why.
const SERVICES_WRITE: [(&str, &str); 9] = [
    ("/var/lib/systemd/timers", "stamps of timers that have elapsed"),
    ("/var/lib/systemd/random-seed", "systemd-random-seed"),
    ("/var/lib/logrotate/status", "logrotate.timer"),
    ("/var/lib/containers/storage/overlay-containers", "logs and states of the containers that run"),
    ("/var/cache/containers", "podman's service keeps a lock of short names of images there"),
    (
        "/var/lib/mcp-linux-infra/ledger/clock",
        "the highest time that pra-run has seen, also with a refused grant",
    ),
    (
        "/root/.rpmdb/rpmdb.sqlite-",
        "podman's service asks rpm and dpkg for the versions that podman info shows",
    ),
    ("/tmp/systemd-private-", "private folders of services that D-Bus starts for a question"),
    ("/var/tmp/systemd-private-", "the same"),
];

/// Settings of the kernel that are counters, random, or follow what runs.
const COUNTERS: &str = "random|nr$|_nr|file-nr|count|usage|state$|last_pid|dentry|inode|_max_|domainname|sched_domain|tcp_fastopen_key|\
    flowtable|stat_refresh|entropy|poweroff_cmd|gc_|max_lock_depth|neigh|ns_last_pid|pty|quota\\.syncs";

/// One look at a host.
pub struct State {
    lines: BTreeMap<String, usize>,
}

impl State {
    /// Looks, once the sessions of both accounts are gone.
    pub fn look(lab: &Lab, host: &str) -> Self {
        settle(lab, host);
        let without: Vec<String> =
            SERVICES_WRITE.iter().map(|(path, _)| format!("-path '{}*' -prune -o", &path[1..])).collect();
        let without = without.join(" ");
        let script = format!(
            r#"cd / || exit 1
            for d in {TREES} var/lib/containers; do [ -d $d ] && find $d -xdev {without} -printf 'file /%p %y %m %U %G %s %T@ %l\n'; done |
                sed -E 's#^(file /(var/)?tmp d .*) [0-9]+ [0-9.]+ $#\1#'
            for d in {TREES}; do [ -d $d ] && find $d -xdev {without} -type f -print0; done | xargs -0 sha256sum | sed 's/^/bytes /'
            find var/log -xdev -path 'var/log/journal/*' -prune -o -printf 'log /%p %y %m %U %G\n'
            ps -ww -eo sid=,pid=,user:20=,args= | awk '$1 != 0 {{ $1 = ""; print "process" $0 }}'
            ss -HtulpnwxO | sed -E 's/pid=[0-9]+|fd=[0-9]+|\* +[0-9]+|users:|[0-9]+ *$//g; s/ +/ /g; s/^([^ ]+ [^ ]+) [0-9]+ [0-9]+/\1/' |
                grep -v -e /run/user/ | sed 's/^/socket /'
            ss -HtuanpO state connected | sed -E 's/^([^ ]+ +[^ ]+) +[0-9]+ +[0-9]+/\1/' | grep -v -e TIME-WAIT -e sshd | sed 's/^/connection /'
            systemctl list-units --all --plain --no-legend --no-pager | awk '{{ print "unit", $1, $2, $3, $4 }}' |
                grep -v -E '^unit (session-|user-|user@|user-runtime-dir@|run-user-|run-r|run-u|dev-|sys-)'
            systemctl list-unit-files --no-legend --no-pager | grep -v transient | sed 's/^/unit-file /'
            for u in $(systemctl list-units --type=service --state=running --plain --no-legend --no-pager | cut -d' ' -f1 | grep -v user@); do
                systemctl show -p Id,MainPID,NRestarts,InvocationID $u | tr '\n' ' '; echo; done | sed 's/^/service /'
            ip -o addr | sed -E 's/(valid|preferred)_lft [^ ]+//g; s/^/address /'
            ip -o route show table all | sed 's/^/route /'; ip rule | sed 's/^/rule /'
            nft -s list ruleset 2>/dev/null | sed -E 's/counter packets [0-9]+ bytes [0-9]+/counter/; s/^/nft /'
            iptables-save 2>/dev/null | sed -E 's/^#.*//; s/\[[0-9:]+\]//; s/^/iptables /'
            grep -v /run/user/ proc/self/mounts | sed 's/^/mount /'
            ipcs -a | sed 's/^/ipc /'
            sysctl -a 2>/dev/null | grep -v -E '^[^=]*({COUNTERS})' | sed 's/^/sysctl /'
            podman ps -aq | xargs -r podman inspect --format '{{{{.Name}}}} {{{{.State.Status}}}} {{{{.State.StartedAt}}}} {{{{.State.Pid}}}}' | sed 's/^/container /'
            hostname | sed 's/^/name /'
            true"#
        );
        let mut lines = BTreeMap::new();
        for line in lab.must(host, &script).lines() {
            *lines.entry(line.trim().to_owned()).or_insert(0) += 1;
        }
        for kind in ["file", "bytes", "process", "socket", "unit", "service", "address", "nft", "sysctl"] {
            let seen = lines.keys().any(|l| l.starts_with(&format!("{kind} ")));
            assert!(seen, "no line of kind {kind}: the look does not work");
        }
        Self { lines }
    }

    /// How many lines were seen.
    pub fn len(&self) -> usize {
        self.lines.values().sum()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What differs: `-` was there before, `+` is there after.
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (line, count) in &self.lines {
            if after.lines.get(line) != Some(count) {
                changes.push(format!("- {line} ({count})"));
            }
        }
        for (line, count) in &after.lines {
            if self.lines.get(line) != Some(count) {
                changes.push(format!("+ {line} ({count})"));
            }
        }
        changes
    }
}

/// Waits until no process of the two accounts is left: their user managers stay for ten seconds after the last session. Services
/// that D-Bus starts for a question would stay for thirty.
fn settle(lab: &Lab, host: &str) {
    lab.must(host, "systemctl stop systemd-hostnamed systemd-timedated systemd-localed systemd-machined");
    let started = Instant::now();
    loop {
        let left =
            lab.root(host, "ps -o pid=,args= -u mcp-reader -u pra-runner; systemctl list-jobs --no-legend");
        if left.out.trim().is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "processes that do not end: {}", left.out);
        std::thread::sleep(Duration::from_millis(200));
    }
}
