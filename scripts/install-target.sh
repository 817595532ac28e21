#!/bin/bash
# install-target.sh - makes this host a target, as root. Safe to run again; --uninstall takes all of it back.
#
#   ./install-target.sh --programs DIR --reader-key FILE.pub --runner-key FILE.pub --approvers FILE \
#       [--host NAME] [--tenant NAME] [--log-group]
#   ./install-target.sh --uninstall
#
# --programs   folder with mcp-wrapper, pra-exec and pra-run (scripts/build-target.sh makes it)
# --approvers  an OpenSSH allowed_signers file: who may approve recovery actions on this host
# --host       this host's name in the server's inventory (default: its host name)
# --log-group  let mcp-reader read the journal and /var/log (groups systemd-journal and adm)
set -euo pipefail
ETC=/etc/mcp-linux-infra
KEYS=/etc/ssh/mcp-linux-infra
SSHD=/etc/ssh/sshd_config.d/60-mcp-linux-infra.conf
SUDOERS=/etc/sudoers.d/mcp-linux-infra
SYSCTL=/etc/sysctl.d/60-mcp-linux-infra.conf
LIB=/var/lib/mcp-linux-infra
LOG=/var/log/pra-run.log

die() { echo "install-target: $*" >&2; exit 1; }
usage() { sed -n '4,12p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
reload_sshd() { systemctl try-reload-or-restart ssh.service 2>/dev/null || systemctl try-reload-or-restart sshd.service 2>/dev/null || true; }

uninstall() {
  rm -f "$SSHD" "$SUDOERS"
  if [ -f "$SYSCTL" ]; then
    rm -f "$SYSCTL"
    # as the kernel has it: nobody
    sysctl -qw net.ipv4.ping_group_range="1 0" || true
  fi
  reload_sshd
  for user in mcp-reader pra-runner; do
    if id "$user" >/dev/null 2>&1; then userdel "$user"; fi
  done
  rm -f /usr/local/bin/mcp-wrapper /usr/local/bin/pra-exec /usr/local/sbin/pra-run
  rm -rf "$ETC" "$KEYS" "$LIB"
  echo "install-target: removed. $LOG is kept: it is the record of what was run; remove it by hand."
}

programs='' reader='' runner='' approvers='' host=$(hostname) tenant=default log_group=0
[ $# -gt 0 ] || usage
[ "$(id -u)" = 0 ] || die "needs root"
while [ $# -gt 0 ]; do
  case $1 in
    --programs) programs=${2:?}; shift 2;;
    --reader-key) reader=${2:?}; shift 2;;
    --runner-key) runner=${2:?}; shift 2;;
    --approvers) approvers=${2:?}; shift 2;;
    --host) host=${2:?}; shift 2;;
    --tenant) tenant=${2:?}; shift 2;;
    --log-group) log_group=1; shift;;
    --uninstall) uninstall; exit 0;;
    *) echo "install-target: unknown option $1" >&2; usage;;
  esac
done

# --- look before touching anything ---
for p in mcp-wrapper pra-exec pra-run; do [ -x "$programs/$p" ] || die "--programs $programs: $p is not there; scripts/build-target.sh makes it"; done
for f in "$reader" "$runner" "$approvers"; do [ -s "$f" ] || die "file '$f' is missing or empty"; done
for f in "$reader" "$runner"; do ssh-keygen -lf "$f" >/dev/null || die "$f is no public key"; done
[ "$(ssh-keygen -lf "$reader" | cut -d' ' -f2)" != "$(ssh-keygen -lf "$runner" | cut -d' ' -f2)" ] || die "reader and runner must have different keys"
case $host$tenant in *[!A-Za-z0-9._-]*|'') die "--host and --tenant: letters, digits, '.', '_' and '-' only";; esac
command -v sudo >/dev/null || die "sudo is not installed"
command -v visudo >/dev/null || die "visudo is not installed"
[ -f /etc/ssh/ssh_host_ed25519_key.pub ] || die "this host has no ed25519 host key: ssh-keygen -A makes one"
grep -qsE '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config || die "sshd_config does not include /etc/ssh/sshd_config.d/*.conf: add that line first"

# --- programs ---
install -o root -g root -m 755 "$programs/mcp-wrapper" "$programs/pra-exec" /usr/local/bin/
install -d -o root -g root -m 755 /usr/local/sbin
install -o root -g root -m 755 "$programs/pra-run" /usr/local/sbin/

install -d -o root -g root -m 755 "$LIB" "$LIB/home"   # an empty home that belongs to root

# --- accounts: their login shells are the programs themselves, so that no shell is ever in the path ---
account() {
  if ! id "$1" >/dev/null 2>&1; then
    useradd --system --user-group --no-create-home --home-dir "$LIB/home" --shell "$2" --comment "mcp-linux-infra" "$1"
  fi
  # '*': no password ever fits, and unlike '!' the account is not locked for keys
  usermod --shell "$2" --home "$LIB/home" --password '*' "$1"
}
account mcp-reader /usr/local/bin/mcp-wrapper
account pra-runner /usr/local/bin/pra-exec
if [ $log_group = 1 ]; then
  for group in systemd-journal adm; do if getent group $group >/dev/null; then usermod -aG $group mcp-reader; fi; done
fi

# --- ping and mtr: the wrapper lets no program gain a capability, so the kernel must let the reader's group send echo requests ---
gid=$(id -g mcp-reader)
if read -r low high < /proc/sys/net/ipv4/ping_group_range; then
  if [ "$low" -gt "$high" ]; then
    printf '# Made by install-target.sh (mcp-linux-infra): ping for the group of mcp-reader.\nnet.ipv4.ping_group_range = %s %s\n' "$gid" "$gid" > "$SYSCTL"
    sysctl -qp "$SYSCTL" || echo "install-target: net.ipv4.ping_group_range could not be set: ping and mtr will not work" >&2
  elif [ "$gid" -lt "$low" ] || [ "$gid" -gt "$high" ]; then
    echo "install-target: net.ipv4.ping_group_range is $low $high, without group $gid of mcp-reader: ping and mtr will not work" >&2
  fi
fi

# --- keys: owned by root, outside the homes ---
install -d -o root -g root -m 755 "$KEYS"
key() { printf 'restrict,command="%s" %s\n' "$2" "$(cut -d' ' -f1,2 "$3")" > "$KEYS/$1"; chown root:root "$KEYS/$1"; chmod 644 "$KEYS/$1"; }
key mcp-reader /usr/local/bin/mcp-wrapper "$reader"
key pra-runner /usr/local/bin/pra-exec "$runner"

# --- configuration ---
install -d -o root -g root -m 755 "$ETC" "$ETC/plugins.d" "$ETC/actions.d"
if [ ! -f "$ETC/target.toml" ]; then
  printf '# What this target asks for. Keys: docs/TARGET.md\nhost = "%s"\ntenant = "%s"\n' "$host" "$tenant" > "$ETC/target.toml"
fi
install -o root -g root -m 644 "$approvers" "$ETC/approvers"
chmod 644 "$ETC/target.toml"

# --- the record of used grants and the log: root's alone ---
install -d -o root -g root -m 755 "$LIB"
install -d -o root -g root -m 700 "$LIB/ledger"
if [ ! -f "$LIB/ledger/clock" ]; then
  # A host that has run grants has lost the record of those used: grants from before now are refused from here on.
  if [ -s "$LOG" ]; then date +%s > "$LIB/ledger/epoch"; chmod 600 "$LIB/ledger/epoch"; fi
  echo 0 > "$LIB/ledger/clock"; chmod 600 "$LIB/ledger/clock"
fi
[ -f "$LOG" ] || install -o root -g root -m 640 /dev/null "$LOG"

# --- sudo: one program, no arguments ---
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
cat > "$tmp" <<'X'
Defaults:pra-runner !requiretty, env_reset, secure_path="/usr/sbin:/usr/bin:/sbin:/bin"
pra-runner ALL=(root) NOPASSWD: /usr/local/sbin/pra-run ""
X
visudo -cqf "$tmp" || die "the sudo rule is refused by visudo"
install -o root -g root -m 440 "$tmp" "$SUDOERS"

# --- sshd: these two accounts can do nothing but their forced command ---
install -d -o root -g root -m 755 /etc/ssh/sshd_config.d
cat > "$tmp" <<'X'
# Made by install-target.sh (mcp-linux-infra).
Match User mcp-reader
    ForceCommand /usr/local/bin/mcp-wrapper
Match User pra-runner
    ForceCommand /usr/local/bin/pra-exec
Match User mcp-reader,pra-runner
    AuthenticationMethods publickey
    AuthorizedKeysFile /etc/ssh/mcp-linux-infra/%u
    AuthorizedKeysCommand none
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    DisableForwarding yes
    PermitTTY no
    PermitUserRC no
    PermitTunnel no
    MaxSessions 10
Match all
X
old=''
if [ -f "$SSHD" ]; then old=$(cat "$SSHD"); fi
install -o root -g root -m 644 "$tmp" "$SSHD"
if ! sshd -t; then
  if [ -n "$old" ]; then printf '%s\n' "$old" > "$SSHD"; else rm -f "$SSHD"; fi
  die "sshd refuses the configuration; it was taken back"
fi
reload_sshd
echo "install-target: $host is a target of tenant $tenant; $(grep -cvE '^[[:space:]]*(#|$)' "$ETC/approvers") approver key(s)"
echo "pin this host key in the server's config: $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
