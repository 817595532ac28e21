#!/usr/bin/env bash
# test-packages.sh - builds the packages and lives their life on a clean Debian host of the lab, as root: lintian, install, units, a target
# that works over ssh, upgrade, remove, purge; then the RPMs. Ends with `N passed, N failed`.
# Needs target/debug/mcp-linux-infra and target/dist, which the earlier steps of scripts/test.sh have built.
set -uo pipefail
cd "$(dirname "$0")/.."
. lab/common.sh
set +e
H=t1
work=$(mktemp -d)
passed=0 failed=0
cleanup() { LAB_FAST=1 lab/down.sh >/dev/null 2>&1; rm -rf "$work"; }
trap cleanup EXIT
trap 'exit 130' INT TERM
# t NAME COMMAND... - one check
t() {
  local name=$1 said; shift
  if said=$("$@" 2>&1); then passed=$((passed + 1)); else failed=$((failed + 1)); printf 'FAILED: %s\n%s\n' "$name" "$said" | head -40; fi
}
on() { inside "$H" /bin/bash -c "set -eo pipefail; $1" < /dev/null; }      # as root on the host
not() { if "$@"; then return 1; fi; }
root() { echo "$RUN/$H/root/$1"; }                                            # a place of the host, seen from here

# --- what the host needs: lintian and rpm here; the host itself has rpm ---
need=()
for c in lintian:lintian rpmbuild:rpm dpkg-shlibdeps:dpkg-dev; do command -v "${c%%:*}" >/dev/null || need+=("${c##*:}"); done
if [ ${#need[@]} -gt 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null || exit 1; fi

# --- built, and built again: the same bytes ---
export SOURCE_DATE_EPOCH=1795651200
t "packages are built" scripts/build-packages.sh --debug --out "$work/1" --version 0.1.0-1
t "packages are built again" scripts/build-packages.sh --debug --out "$work/again" --version 0.1.0-1
t "the same sources give the same bytes" diff -r "$work/1" "$work/again"
t "the next version is built" scripts/build-packages.sh --debug --out "$work/2" --version 0.1.0-2
for deb in "$work"/1/*.deb; do t "lintian: $(basename "$deb")" lintian --allow-root --fail-on error "$deb"; done
if [ $failed != 0 ]; then echo "$passed passed, $failed failed"; exit 1; fi

# --- a clean host, without the lab's own switch that leaves documentation out ---
lab/down.sh >/dev/null 2>&1
lab/up.sh 1 || exit 1
grep -l path-exclude "$(root etc/dpkg/dpkg.cfg.d)"/* | xargs -r rm
install -d "$(root root/packages)"
cp -r "$work/1" "$work/2" "$(root root/packages)/"
state() {  # every file that somebody could have made: kind, mode, owner; and what /etc holds
  on 'find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /root -o -path /var/log/journal -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/systemd \
        -o -path /var/lib/rpm -o -path /var/lib/containers -o -path /var/lib/private -o -path /var/lib/logrotate -o -path /var/lib/fail2ban \) -prune -o -printf "%p %y %m %U:%G\n" | sort
      find /etc -xdev -type f ! -name "*-" ! -name .updated -exec sha256sum {} + | sort -k2'
}
state > "$work/before"

# --- installed: nothing is on, nobody has got in ---
t "dpkg installs both" on 'dpkg -i /root/packages/1/*.deb'
t "nothing is enabled or runs" on '! systemctl is-enabled mcp-linux-infra && ! systemctl is-active mcp-linux-infra'
t "no account can log in" on '! id mcp-reader && ! id pra-runner && test ! -e /etc/ssh/mcp-linux-infra && test ! -e /etc/sudoers.d/mcp-linux-infra'
t "keys and configuration are the service's alone" on 'test "$(stat -c %U:%a /etc/mcp-linux-infra-server /var/lib/mcp-linux-infra-server | xargs)" = "mcp-linux-infra:750 mcp-linux-infra:700"'
t "manual pages" on 'for p in man1/mcp-linux-infra.1 man1/mcp-linux-infra-init.1 man1/mcp-linux-infra-policy-check.1 man5/target.toml.5 man8/pra-run.8 man8/pra-exec.8 man8/mcp-wrapper.8; do zcat /usr/share/man/$p.gz | grep "^.SH NAME" >/dev/null || { echo $p; exit 1; }; done'
t "bash completes" on 'source /usr/share/bash-completion/completions/mcp-linux-infra && COMP_WORDS=(mcp-linux-infra poli) COMP_CWORD=1 && _mcp__linux__infra mcp-linux-infra poli mcp-linux-infra && [[ " ${COMPREPLY[*]} " = *" policy "* ]]'
t "zsh and fish completions are there" on 'grep -q "#compdef mcp-linux-infra" /usr/share/zsh/vendor-completions/_mcp-linux-infra && grep -q "complete -c mcp-linux-infra" /usr/share/fish/vendor_completions.d/mcp-linux-infra.fish'
t "licences of others are told" on 'zcat /usr/share/doc/mcp-linux-infra/third-party.gz | grep "^russh " >/dev/null && zcat /usr/share/doc/mcp-linux-infra-target/third-party.gz | grep "^ring " >/dev/null'

# --- the server's keys, host and approver by `init`, as its account; this same host as its target ---
S='sudo -u mcp-linux-infra mcp-linux-infra --config /etc/mcp-linux-infra-server/config.toml'
address=$(awk -v h=$H '$1 == h {print $2}' "$RUN/hosts")
print=$(ssh-keygen -lf "$(root etc/ssh/ssh_host_ed25519_key.pub)" | cut -d' ' -f2)
ssh-keygen -q -t ed25519 -N '' -C alice -f "$work/alice"
install -m 644 "$work/alice.pub" "$(root srv/alice.pub)"
INIT="$S init --host $H --address $address --host-key $print --approver alice@example.org --approver-key /srv/alice.pub --json"
t "init as root, who would make keys that the service cannot read, is refused" not on 'mcp-linux-infra --config /etc/mcp-linux-infra-server/config.toml init --batch'
t "init in the service's folder" on "$INIT"
t "init again: all is kept" on "$INIT | grep -q '\"config\":{\"path\":\"/etc/mcp-linux-infra-server/config.toml\",\"state\":\"kept\"}'"
on 'umask 077; echo "alice $(openssl rand -hex 32)" > /tmp/tokens; install -o mcp-linux-infra -g mcp-linux-infra -m 600 /tmp/tokens /etc/mcp-linux-infra-server/tokens'
t "the setup command makes a target" on "cd /etc/mcp-linux-infra-server && mcp-linux-infra-setup-target --reader-key keys/reader.pub --runner-key keys/runner.pub --approvers approvers --host $H --log-group"
t "it is as intended" on 'mcp-linux-infra-setup-target --check'
t "doctor: reader, runner, sudo and verifier" on "$S doctor $H"
reader() {  # reader LINE - by OpenSSH, from the control namespace
  ip netns exec "$LAB_NAME-ctl" ssh -i "$work/reader" -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile="$RUN/$H/known_hosts" -o ConnectTimeout=5 "mcp-reader@$address" "$1" < /dev/null
}
install -m 600 "$(root etc/mcp-linux-infra-server/keys/reader)" "$work/reader"
t "ssh: a command that reads" reader uptime
t "ssh: no other" not reader 'id; touch /tmp/owned'
t "what was refused did not happen" on 'test ! -e /tmp/owned'
# One action, from the proposal over a person's signature to root on this host, through /usr/sbin/pra-run.
install -o "$(on 'id -u mcp-linux-infra')" -m 600 "$work/alice" "$(root srv/alice)"
act() {
  on "cd /tmp; execute() { $S tool call execute_pra_action --arg host=$H --arg action=restart_unbound --arg approval_token=\$1 --json; }
    before=\$(systemctl show unbound -p MainPID --value)
    id=\$($S tool call propose_pra_action --arg host=$H --arg action=restart_unbound --arg rationale=test --json | grep -oE 'pr_[0-9a-f]+' | head -1)
    if execute \$id; then exit 1; fi
    test \$(systemctl show unbound -p MainPID --value) = \$before
    $S approve \$id --key /srv/alice --yes
    execute \$id
    test \$(systemctl show unbound -p MainPID --value) != \$before"
}
t "a signed action runs, an unsigned one does not" act

# --- the unit ---
# 8080 is the lab's own web server.
MOVE='sed -i s/:8080/:8787/ /etc/mcp-linux-infra-server/server.env'
t "the service starts" on "$MOVE"' && systemctl enable --now mcp-linux-infra && systemctl is-active mcp-linux-infra'
call() {  # call [HEADER] - the status of a request to the service
  on "for i in \$(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8787) 2>/dev/null && break; sleep .05; done
    curl -s -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' $1 \
    -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"clientInfo\":{\"name\":\"t\",\"version\":\"1\"}}}' http://127.0.0.1:8787/mcp"
}
answers() { [ "$(call "-H \"Authorization: Bearer \$(cut -d' ' -f2 /etc/mcp-linux-infra-server/tokens)\"")" = 200 ] && [ "$(call '')" = 401 ]; }
t "it answers who has a token, and nobody else" answers
pid() { on 'systemctl show mcp-linux-infra -p MainPID --value'; }
t "it has no capability and can gain none" on 'p=/proc/$(systemctl show mcp-linux-infra -p MainPID --value)/status; grep -qE "^CapBnd:\s+0+$" $p && grep -qE "^CapEff:\s+0+$" $p && grep -qE "^NoNewPrivs:\s+1" $p && grep -qE "^Seccomp:\s+2" $p'
score=$(on 'systemd-analyze security --no-pager mcp-linux-infra.service' | grep -oE 'exposure level for [^ ]+ [0-9.]+' | grep -oE '[0-9.]+$')
echo "systemd-analyze security mcp-linux-infra.service: ${score:-no answer}"
t "its exposure is below 2.0" awk -v s="${score:-9}" 'BEGIN { exit !(s < 2.0) }'

# --- the next version: configuration, keys and the running service stay ---
on 'echo "# by hand" >> /etc/mcp-linux-infra-server/config.toml; echo "# by hand" >> /etc/mcp-linux-infra/target.toml; echo "# by hand" >> /etc/mcp-linux-infra-server/server.env'
kept() { on 'cd /etc; find mcp-linux-infra mcp-linux-infra-server ssh/mcp-linux-infra sudoers.d/mcp-linux-infra ssh/sshd_config.d -type f -exec sha256sum {} + | sort -k2; find mcp-linux-infra mcp-linux-infra-server ssh/mcp-linux-infra /var/lib/mcp-linux-infra -printf "%p %m %U:%G\n" | sort; systemctl is-enabled mcp-linux-infra'; }
kept > "$work/kept"; old=$(pid)
t "dpkg upgrades both" on 'dpkg -i /root/packages/2/*.deb && dpkg-query -W mcp-linux-infra mcp-linux-infra-target | grep -c 0.1.0-2 | grep -qx 2'
kept > "$work/kept-after"
t "configuration, keys and accounts are as they were" diff "$work/kept" "$work/kept-after"
t "the service runs as the new program" test "$(pid)" != "$old"
t "and answers" answers
t "doctor after the upgrade" on "$S doctor $H"

# --- removed: no way in; installed again: as before ---
t "dpkg removes both" on 'dpkg -r mcp-linux-infra mcp-linux-infra-target'
t "the service is gone" on '! systemctl is-active mcp-linux-infra && ! pgrep -x mcp-linux-infra'
t "nobody gets in" not reader uptime
t "sshd and sudo still take their configuration" on 'sshd -t && visudo -cq'
t "dpkg installs both again" on 'dpkg -i /root/packages/2/*.deb'
kept > "$work/kept-after"
t "all is as it was" diff "$work/kept" "$work/kept-after"
t "doctor after coming back" on "systemctl start mcp-linux-infra; $S doctor $H"

# --- purged: nothing but the records ---
t "dpkg purges both" on 'dpkg -P mcp-linux-infra mcp-linux-infra-target'
on 'rm -f /srv/alice* /tmp/tokens'
state > "$work/after"
diff "$work/before" "$work/after" | grep '^[<>]' | grep -vE '^> /var/log/(pra-run.log|[a-z.]+) f|^> /var/lib/mcp-linux-infra-server(/state.db(-wal|-shm)?)? [df] (600|700|644) 0:0$' > "$work/left"
t "nothing is left but the records" diff /dev/null "$work/left"
t "the records are kept" on 'test -s /var/log/pra-run.log && test -s /var/lib/mcp-linux-infra-server/state.db'
t "the accounts are gone" on '! id mcp-reader && ! id pra-runner && ! id mcp-linux-infra'
foreign() {  # a target that the script made is not the package's to take back
  on 'dpkg -i /root/packages/2/mcp-linux-infra-target_*.deb; echo "# ForceCommand /usr/local/bin/mcp-wrapper" > /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf
    dpkg -P mcp-linux-infra-target; test -e /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf; rm /etc/ssh/sshd_config.d/60-mcp-linux-infra.conf'
}
t "a purge leaves a target of the script alone" foreign

# --- RPM: by Debian's rpm, so the names of dependencies are not looked up; files, scripts and what they do are ---
t "rpm installs both" on 'rpm -i --force-debian --nodeps /root/packages/1/*.rpm 2>&1'
t "every file is as it was packed" on 'rpm -V --nodeps mcp-linux-infra mcp-linux-infra-target'
t "its configuration is configuration" on 'rpm -qc mcp-linux-infra | grep -c . | grep -qx 2'
t "the rpm's service starts" on 'umask 077; echo "alice $(openssl rand -hex 32)" > /tmp/tokens; install -o mcp-linux-infra -g mcp-linux-infra -m 600 /tmp/tokens /etc/mcp-linux-infra-server/tokens
  '"$MOVE"' && systemctl start mcp-linux-infra && systemctl is-active mcp-linux-infra'
t "and answers" answers
old=$(pid)
on 'echo "# by hand" >> /etc/mcp-linux-infra-server/config.toml'
t "rpm upgrades both" on 'rpm -U --force-debian --nodeps /root/packages/2/*.rpm 2>&1 && tail -1 /etc/mcp-linux-infra-server/config.toml | grep -qx "# by hand" && stat -c %U /etc/mcp-linux-infra-server | grep -qx mcp-linux-infra'
t "the rpm's service runs as the new program" test "$(pid)" != "$old"
t "rpm removes both" on 'rpm -e --nodeps mcp-linux-infra mcp-linux-infra-target 2>&1 && ! systemctl is-active mcp-linux-infra && test ! -e /usr/bin/mcp-wrapper && test ! -e /usr/bin/mcp-linux-infra'

echo "$passed passed, $failed failed"
[ $failed = 0 ]
