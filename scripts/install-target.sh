#!/bin/bash
# install-target.sh - makes this host a target, as root; audits one; changes its keys and approvers. `--help` tells how, docs/TARGET.md what it
# lays. Everything stands in functions and the last line starts it, so that a script that arrives cut short over a pipe does nothing.
set -euo pipefail
umask 022
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
ETC=/etc/mcp-linux-infra
KEYS=/etc/ssh/mcp-linux-infra
SSHD=/etc/ssh/sshd_config.d/60-mcp-linux-infra.conf
SUDOERS=/etc/sudoers.d/mcp-linux-infra
SYSCTL=/etc/sysctl.d/60-mcp-linux-infra.conf
LOGROTATE=/etc/logrotate.d/mcp-linux-infra
LIB=/var/lib/mcp-linux-infra
LOG=/var/log/pra-run.log
LOCK=/run/mcp-linux-infra.lock

usage() {
  cat <<'X'
install-target.sh [--programs DIR] [--reader-key FILE] [--runner-key FILE] [--approvers FILE] [--host NAME] [--tenant NAME]
                  [--log-group] [--prefix DIR] [--from CIDR,...] [--expires YYYYMMDDHHMMZ]
    Makes this host a target. Safe to run again; what is left out then stays as it is.
install-target.sh --check [--json] [the same options]     changes nothing, reports what is not as intended; 1 if anything is not
install-target.sh --add-key reader|runner FILE [--from ...] [--expires ...] [--like FINGERPRINT]
install-target.sh --remove-key reader|runner FINGERPRINT|all [--end-sessions]
install-target.sh --revoke FINGERPRINT                    takes a key away wherever it stands, and ends what it may have open
install-target.sh --remove-approver FINGERPRINT|NAME
install-target.sh --list-keys [--json]
install-target.sh --uninstall                             takes all of it back but the record of what was run

--programs      folder with mcp-wrapper, pra-exec and pra-run; without it they must be in place already
--reader-key    public keys of mcp-reader, one a line; they replace those that are there. --runner-key: of pra-runner
--approvers     an OpenSSH allowed_signers file: who may approve recovery actions on this host
--host          this host's name in the server's inventory (default: its host name)
--log-group     let mcp-reader read the journal and /var/log (groups systemd-journal and adm)
--prefix        where the programs lie: /usr/local (default), or /usr, as packages lay them
--from          addresses that the keys are good from; --expires: until when, in UTC
--like          good from the same addresses as that key, unless --from says otherwise
--end-sessions  end what the account has open as well; a running recovery action, which is root's, goes on to its end
X
}
die() { echo "install-target: $*" >&2; exit 1; }
wrong() { echo "install-target: $*" >&2; usage >&2; exit 2; }
say() { echo "install-target: $*"; }
listening() {  # the sockets on which sshd listens
  local port
  for port in $(sshd -T 2>/dev/null | sed -n 's/^port //p'); do
    awk -v port="$(printf ':%04X' "$port")" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
  done
}
reload_sshd() { systemctl try-reload-or-restart ssh.service 2>/dev/null || systemctl try-reload-or-restart sshd.service 2>/dev/null || true; }

# --- files: written whole beside their place, then renamed. No reader of these folders takes a name that ends so. ---
put() {  # put FILE MODE: standard input becomes FILE, root's; nothing is written if that is what it is
  local new
  new=$(mktemp "$1.XXXXXX.dpkg-tmp")
  if ! { cat > "$new" && chown root:root "$new" && chmod "$2" "$new"; }; then rm -f "$new"; die "$1 could not be written"; fi
  if [ -f "$1" ] && [ ! -L "$1" ] && cmp -s "$new" "$1" && [ "$(stat -c %U:%G:%a "$1")" = "root:root:${2#0}" ]; then rm -f "$new"; return; fi
  sync "$new"
  mv -fT "$new" "$1"
}
tidy() { rm -f {"$ETC/approvers","$KEYS"/*,"$SSHD","$SUDOERS","$SYSCTL","$LOGROTATE"}.??????.dpkg-tmp; }  # what a run that was killed has left

# --- accounts, and what each file says. `account` is reader or runner, `user` its login. ---
user_of() { if [ "$1" = reader ]; then echo mcp-reader; else echo pra-runner; fi; }
program_of() { if [ "$1" = reader ]; then echo "$prefix/bin/mcp-wrapper"; else echo "$prefix/bin/pra-exec"; fi; }
sshd_text() {
  cat <<X
# Made by install-target.sh (mcp-linux-infra).
Match User mcp-reader
    ForceCommand $(program_of reader)
Match User pra-runner
    ForceCommand $(program_of runner)
Match User mcp-reader,pra-runner
    PubkeyAuthentication yes
    AuthenticationMethods publickey
    AuthorizedKeysFile $KEYS/%u
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
}
sudoers_text() {
  cat <<X
Defaults:pra-runner !requiretty, env_reset, secure_path="/usr/sbin:/usr/bin:/sbin:/bin"
pra-runner ALL=(root) NOPASSWD: $prefix/sbin/pra-run ""
X
}
# pra-run carries its chain of records on into the new file. A copy that is then cut short would lose records.
logrotate_text() {
  cat <<X
# Made by install-target.sh (mcp-linux-infra).
$LOG {
    monthly
    rotate 24
    maxsize 16M
    create 0640 root root
    compress
    delaycompress
    missingok
    notifempty
}
X
}
sysctl_text() { printf '# Made by install-target.sh (mcp-linux-infra): ping for the group of mcp-reader.\nnet.ipv4.ping_group_range = %s %s\n' "$1" "$1"; }

# --- keys ---
KEY='[a-z0-9@.-]+ AAAA[A-Za-z0-9+/]+={0,3}'
fingerprints() { if [ -e "$1" ]; then ssh-keygen -lf "$1" 2>/dev/null | cut -d' ' -f2 || true; fi; }
fingerprint() { ssh-keygen -lf - 2>/dev/null <<<"$1" | cut -d' ' -f2; }
options_of() { printf 'restrict,command="%s"%s%s' "$(program_of "$1")" "${from:+,from=\"$from\"}" "${expires:+,expiry-time=\"$expires\"}"; }
key_lines() {  # key_lines ACCOUNT FILE: a public key file as lines of an authorized_keys file
  local line options
  options=$(options_of "$1")
  while read -r line || [ -n "$line" ]; do
    case $line in ''|'#'*) continue;; esac
    [[ $line =~ ^($KEY)([[:space:]]|$) ]] && [ -n "$(fingerprint "${BASH_REMATCH[1]}")" ] || die "$2 holds a line that is no public key"
    printf '%s %s\n' "$options" "${BASH_REMATCH[1]}"
  done < "$2"
}
option() { sed -nE "s/.*[ ,]$1=\"([^\"]*)\".*/\1/p" <<<"${2% AAAA*}"; }
apart() {  # apart READER-FILE RUNNER-FILE: no key may be both accounts'
  local both
  both=$(comm -12 <(fingerprints "$1" | sort) <(fingerprints "$2" | sort))
  [ -z "$both" ] || die "reader and runner must have different keys; $both is both's"
}
# Not grep -q behind a pipe: it leaves at the first match, and pipefail takes the SIGPIPE of its writer for "no match".
stands_in() { fingerprints "$1" | grep -xF -- "$2" >/dev/null; }
add_key() {
  local file added line print other
  file=$KEYS/$(user_of "$1") other=$KEYS/$(user_of "$([ "$1" = reader ] && echo runner || echo reader)")
  [ -f "$file" ] || die "this host is no target: $file is missing"
  apart "$2" "$other"
  if [ -z "$from" ] && [ -n "$like" ]; then
    while read -r line || [ -n "$line" ]; do if [ "$(fingerprint "$line")" = "$like" ]; then from=$(option from "$line"); fi; done < "$file"
  fi
  added=$(key_lines "$1" "$2")
  [ -n "$added" ] || die "$2 holds no key"
  { while read -r line || [ -n "$line" ]; do
      print=$(fingerprint "$line") || true
      if [ -z "$print" ] || ! stands_in "$2" "$print"; then printf '%s\n' "$line"; fi
    done < "$file"
    printf '%s\n' "$added"; } | put "$file" 644
  say "$(user_of "$1") has $(fingerprints "$file" | wc -l) key(s)"
}
remove_key() {  # remove_key ACCOUNT FINGERPRINT|all
  local file line
  file=$KEYS/$(user_of "$1")
  [ -f "$file" ] || die "this host is no target: $file is missing"
  while [ "$2" != all ] && { read -r line || [ -n "$line" ]; }; do
    if [ "$(fingerprint "$line")" != "$2" ]; then printf '%s\n' "$line"; fi
  done < "$file" | put "$file" 644
  if stands_in "$file" "$2"; then die "$2 still stands in $file"; fi
  say "$(user_of "$1") has $(fingerprints "$file" | wc -l) key(s)"
}
revoke() {  # where it stands nowhere it may have stood before a run that was cut off: then sessions are ended as well
  local account stood=''
  for account in reader runner; do
    if stands_in "$KEYS/$(user_of $account)" "$1"; then stood+=" $account"; fi
    remove_key $account "$1"
  done
  if grep -qE "$KEY" "$ETC/approvers" && stands_in <(grep -oE "$KEY" "$ETC/approvers") "$1"; then stood+=' approver'; fi
  remove_approver "$1"
  for account in ${stood:-reader runner}; do
    if [ "$account" != approver ]; then end_sessions "$(user_of "$account")"; fi
  done
}
remove_approver() {  # the whole line goes, also when it names several persons: a key that is to be gone must not stay for another name
  local line kept=0
  [ -f "$ETC/approvers" ] || die "this host is no target: $ETC/approvers is missing"
  while read -r line || [ -n "$line" ]; do
    if [[ $1 != SHA256:* ]]; then case ",${line%%[[:space:]]*}," in *",$1,"*) continue;; esac
    elif [[ $line =~ [[:space:]]($KEY)([[:space:]]|$) ]] && [ "$(fingerprint "${BASH_REMATCH[1]}")" = "$1" ]; then continue; fi
    printf '%s\n' "$line"
  done < "$ETC/approvers" | put "$ETC/approvers" 644
  kept=$(grep -cvE '^[[:space:]]*(#|$)' "$ETC/approvers" || true)
  say "$kept approver key(s)"
}
list_keys() {
  local account line all='' print addresses until
  for account in reader runner; do
    if [ ! -f "$KEYS/$(user_of $account)" ]; then continue; fi
    while read -r line || [ -n "$line" ]; do
      print=$(fingerprint "$line") || true
      if [ -z "$print" ]; then continue; fi
      addresses=$(option from "$line") until=$(option expiry-time "$line")
      if [ $json = 1 ]; then all+=${all:+,}$(printf '{"account":"%s","fingerprint":"%s","from":%s,"expires":%s}' $account "$print" "$(text "$addresses")" "$(text "$until")")
      else echo "$account $print${addresses:+ from $addresses}${until:+ until $until}"; fi
    done < "$KEYS/$(user_of $account)"
  done
  if [ $json = 1 ]; then echo "{\"keys\":[$all]}"; fi
}
text() { if [ -z "$1" ]; then echo null; else printf '"%s"' "$(printf %s "$1" | tr '\n\t' '  ' | tr -cd ' -~' | sed 's/[\\"]/\\&/g')"; fi; }

# A session outlives the key that opened it. Only the account's own processes are ended: pra-run is root's and goes on.
end_sessions() {
  local quiet=0
  id "$1" >/dev/null 2>&1 || return 0
  for _ in {1..50}; do
    if pkill -KILL -u "$1"; then quiet=0; else quiet=$((quiet + 1)); fi
    if [ $quiet = 2 ]; then say "$1 has no session"; return; fi   # twice: sshd may just have been letting one in
    sleep 0.1
  done
  die "processes of $1 do not end: $(pgrep -u "$1" | tr '\n' ' ')"
}

# --- take all of it back ---
packaged() {  # rpm is asked only where it has a database: it would make one
  dpkg-query -S "$1" >/dev/null 2>&1 && return
  [ -e /usr/lib/sysimage/rpm ] || [ -e /var/lib/rpm/rpmdb.sqlite ] || [ -e /var/lib/rpm/Packages ] || return 1
  rpm -qf "$1" >/dev/null 2>&1
}
uninstall() {
  local user p
  rm -f "$SSHD" "$SUDOERS" "$LOGROTATE"
  if [ -f "$SYSCTL" ]; then
    rm -f "$SYSCTL"
    sysctl -qw net.ipv4.ping_group_range="1 0" || true  # as the kernel has it: nobody
  fi
  reload_sshd
  for user in mcp-reader pra-runner; do
    if id $user >/dev/null 2>&1; then end_sessions $user; userdel $user; fi
  done
  for p in {/usr,/usr/local}/{bin/mcp-wrapper,bin/pra-exec,sbin/pra-run}; do
    if [ -e $p ] && ! packaged $p; then rm -f $p; fi
  done
  tidy
  rm -rf "$ETC" "$KEYS" "$LIB"
  say "removed. $LOG is kept: it is the record of what was run; remove it by hand."
}

# --- make it a target ---
look() {  # before anything is touched
  local p f
  for p in bin/mcp-wrapper bin/pra-exec sbin/pra-run; do
    if [ -n "$programs" ]; then [ -x "$programs/${p#*/}" ] || die "--programs $programs: ${p#*/} is not there; scripts/build-target.sh makes it"
    else [ -x "$prefix/$p" ] || die "$prefix/$p is not in place: --programs DIR, see --help"; fi
  done
  for f in "$reader" "$runner" "$approvers"; do [ -z "$f" ] || [ -s "$f" ] || die "file '$f' is missing or empty"; done
  [ -n "$reader" ] || [ -f "$KEYS/mcp-reader" ] || die "--reader-key is missing"
  [ -n "$runner" ] || [ -f "$KEYS/pra-runner" ] || die "--runner-key is missing"
  [ -n "$approvers" ] || [ -f "$ETC/approvers" ] || die "--approvers is missing"
  for f in "$reader" "$runner"; do [ -z "$f" ] || [ -n "$(fingerprints "$f")" ] || die "$f is no public key"; done
  apart "${reader:-$KEYS/mcp-reader}" "${runner:-$KEYS/pra-runner}"
  command -v sudo >/dev/null || die "sudo is not installed"
  command -v visudo >/dev/null || die "visudo is not installed"
  [ -f /etc/ssh/ssh_host_ed25519_key.pub ] || die "this host has no ed25519 host key: ssh-keygen -A makes one"
  grep -qsE '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config || die "sshd_config does not include /etc/ssh/sshd_config.d/*.conf: add that line first"
}
lay_programs() {
  local p
  if [ -n "$programs" ]; then
    install -d -o root -g root -m 755 "$prefix/bin" "$prefix/sbin"
    for p in bin/mcp-wrapper bin/pra-exec sbin/pra-run; do put "$prefix/$p" 755 < "$programs/${p#*/}"; done
  fi
  if [ "$prefix" = /usr ]; then rm -f /usr/local/bin/mcp-wrapper /usr/local/bin/pra-exec /usr/local/sbin/pra-run; fi  # else pra-exec would take the old one
}
# Their login shells are the programs themselves, so that no shell is ever in the path.
lay_account() {
  local user shell
  user=$(user_of "$1") shell=$(program_of "$1")
  if ! id "$user" >/dev/null 2>&1; then
    useradd --system --user-group --no-create-home --home-dir "$LIB/home" --shell "$shell" --comment "mcp-linux-infra" "$user"
  fi
  # '*': no password ever fits, and unlike '!' the account is not locked for keys
  if [ "$(getent passwd "$user" | cut -d: -f6,7)" != "$LIB/home:$shell" ] || [ "$(getent shadow "$user" | cut -d: -f2)" != '*' ]; then
    usermod --shell "$shell" --home "$LIB/home" --password '*' "$user"
  fi
}
lay_ping() {  # the wrapper lets no program gain a capability, so the kernel must let the reader's group send echo requests
  local gid low high
  gid=$(id -g mcp-reader)
  read -r low high < /proc/sys/net/ipv4/ping_group_range || return 0
  if [ "$low" -gt "$high" ] || [ -f "$SYSCTL" ]; then
    sysctl_text "$gid" | put "$SYSCTL" 644
    sysctl -qp "$SYSCTL" || echo "install-target: net.ipv4.ping_group_range could not be set: ping and mtr will not work" >&2
  elif [ "$gid" -lt "$low" ] || [ "$gid" -gt "$high" ]; then
    echo "install-target: net.ipv4.ping_group_range is $low $high, without group $gid of mcp-reader: ping and mtr will not work" >&2
  fi
}
lay_ledger() {
  install -d -o root -g root -m 700 "$LIB/ledger"
  if [ ! -f "$LIB/ledger/clock" ]; then
    # A host that has run grants has lost the record of those used: grants from before now are refused from here on.
    if [ -n "$(find "$LOG" "$LOG".* -size +0 2>/dev/null)" ]; then date +%s | put "$LIB/ledger/epoch" 600; fi
    echo 0 | put "$LIB/ledger/clock" 600
  fi
  if [ ! -f "$LOG" ]; then install -o root -g root -m 640 /dev/null "$LOG"; fi
  chown root:root "$LOG"; chmod 640 "$LOG"
}
lay_sudoers() {
  visudo -cqf <(sudoers_text) || die "the sudo rule is refused by visudo"
  sudoers_text | put "$SUDOERS" 440
}
lay_sshd() {
  local old='' sockets now
  install -d -o root -g root -m 755 /etc/ssh/sshd_config.d
  if [ -f "$SSHD" ]; then old=$(cat "$SSHD"); fi
  sshd_text | put "$SSHD" 644
  if ! sshd -t; then
    if [ -n "$old" ]; then printf '%s\n' "$old" | put "$SSHD" 644; else rm -f "$SSHD"; fi
    die "sshd refuses the configuration; it was taken back"
  fi
  sockets=$(listening)
  reload_sshd
  for _ in {1..50}; do  # until it listens anew: it takes no login in between
    now=$(listening)
    if [ -n "$now" ] && [ "$now" != "$sockets" ]; then break; fi
    sleep 0.1
  done
}
install_target() {
  local group reader_lines='' runner_lines=''
  look
  # in variables, so that a bad file ends it here
  if [ -n "$reader" ]; then reader_lines=$(key_lines reader "$reader"); fi
  if [ -n "$runner" ]; then runner_lines=$(key_lines runner "$runner"); fi
  tidy
  lay_programs
  install -d -o root -g root -m 755 "$LIB" "$LIB/home"   # an empty home that belongs to root
  lay_account reader
  lay_account runner
  if [ $log_group = 1 ]; then
    for group in systemd-journal adm; do if getent group $group >/dev/null; then usermod -aG $group mcp-reader; fi; done
  fi
  lay_ping
  # keys: owned by root, outside the homes
  install -d -o root -g root -m 755 "$KEYS" "$ETC" "$ETC/plugins.d" "$ETC/actions.d" /etc/logrotate.d
  if [ -n "$reader" ]; then printf '%s\n' "$reader_lines" | put "$KEYS/mcp-reader" 644; fi
  if [ -n "$runner" ]; then printf '%s\n' "$runner_lines" | put "$KEYS/pra-runner" 644; fi
  if [ -n "$approvers" ]; then put "$ETC/approvers" 644 < "$approvers"; fi
  if [ ! -f "$ETC/target.toml" ]; then
    printf '# What this target asks for. Keys: docs/TARGET.md\nhost = "%s"\ntenant = "%s"\n' "$host" "$tenant" | put "$ETC/target.toml" 644
  fi
  chown root:root {"$ETC/target.toml","$ETC/approvers","$KEYS/mcp-reader","$KEYS/pra-runner"}
  chmod 644 {"$ETC/target.toml","$ETC/approvers","$KEYS/mcp-reader","$KEYS/pra-runner"}
  lay_ledger
  logrotate_text | put "$LOGROTATE" 644
  lay_sudoers
  lay_sshd
  say "$host is a target of tenant $tenant; $(grep -cvE '^[[:space:]]*(#|$)' "$ETC/approvers" || true) approver key(s)"
  echo "pin this host key in the server's config: $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
}

# --- audit: what is not as intended, why, and what mends it ---
AGAIN='run install-target.sh again (mcp-linux-infra deploy HOST)'
drifts=''
drift() {  # drift CHECK CAUSE MEND
  found=$((found + 1))
  if [ $json = 1 ]; then drifts+=${drifts:+,}$(printf '{"check":"%s","cause":%s,"mend":%s}' "$1" "$(text "$2")" "$(text "$3")")
  else printf '%s: %s\n    mend: %s\n' "$1" "$2" "$3" | tr -cd '\n -~'; fi
}
is() {  # is CHECK PATH KIND OWNER:GROUP MODE; false when it is not there
  local seen
  seen=$(stat -c '%F|%U:%G|%a' -- "$2" 2>/dev/null) || { drift "$1" "$2 is missing" "$AGAIN"; return 1; }
  seen=${seen/regular empty file/regular file}
  if [ "${seen%%|*}" != "$3" ]; then drift "$1" "$2 is a ${seen%%|*}, not a $3" "remove it, then $AGAIN"; return 1; fi
  if [ "$seen" != "$3|$4|$5" ]; then drift "$1" "$2 is ${seen#*|}, not $4|$5" "chown $4 $2 && chmod $5 $2"; fi
}
says() {  # says CHECK FILE MODE: FILE exists and holds standard input; never behind a pipe, whose subshell would lose what was found
  local want
  want=$(cat)
  if ! is "$1" "$2" 'regular file' root:root "$3"; then return 1; fi
  if [ "$(cat "$2")" != "$want" ]; then drift "$1" "$2 does not say what was laid: $(diff <(echo "$want") "$2" | grep '^[<>]' | head -3 | tr '\n' ' ')" "$AGAIN"; return 1; fi
}
check_programs() {
  local p dir
  for p in bin/mcp-wrapper bin/pra-exec sbin/pra-run; do
    if ! is programs "$prefix/$p" 'regular file' root:root 755; then continue; fi
    if [ -n "$programs" ] && ! cmp -s "$prefix/$p" "$programs/${p#*/}"; then drift programs "$prefix/$p is not the one of $programs" "$AGAIN"; fi
    if [ "$prefix" = /usr ] && [ -e "/usr/local/$p" ]; then drift programs "/usr/local/$p lies there as well and goes before" "rm /usr/local/$p"; fi
  done
  for dir in / /usr "$prefix" "$prefix/bin" "$prefix/sbin" /etc /etc/ssh /var /var/lib; do
    if [ "$(stat -Lc %u "$dir")" != 0 ] || [ $((0$(stat -Lc %a "$dir") & 2)) != 0 ]; then drift programs "$dir can be written by others than root" "chown root $dir && chmod o-w $dir"; fi
  done
}
check_account() {  # check_account ACCOUNT GROUPS-IT-MAY-HAVE
  local user entry group
  user=$(user_of "$1")
  entry=$(getent passwd "$user") || { drift account "there is no account $user" "$AGAIN"; return; }
  if [ "$(cut -d: -f7 <<<"$entry")" != "$(program_of "$1")" ]; then drift account "the login shell of $user is $(cut -d: -f7 <<<"$entry")" "usermod --shell $(program_of "$1") $user"; fi
  if [ "$(cut -d: -f6 <<<"$entry")" != "$LIB/home" ]; then drift account "the home of $user is $(cut -d: -f6 <<<"$entry")" "usermod --home $LIB/home $user"; fi
  if [ "$(getent shadow "$user" | cut -d: -f2)" != '*' ]; then drift account "$user has a password, or is locked" "usermod --password '*' $user"; fi
  if [ "$(id -u "$user")" = 0 ]; then drift account "$user is root" "userdel $user, then $AGAIN"; fi
  for group in $(id -Gn "$user"); do
    case " $user $2 " in *" $group "*) ;; *) drift groups "$user is in group $group" "gpasswd -d $user $group";; esac
  done
  if [ "$1$log_group" = reader1 ]; then
    for group in systemd-journal adm; do
      if getent group $group >/dev/null && ! id -Gn "$user" | grep -w -- $group >/dev/null; then drift groups "$user is not in group $group" "usermod -aG $group $user"; fi
    done
  fi
}
check_keys() {  # check_keys ACCOUNT FILE-OF-THE-KEYS-IT-SHOULD-HAVE
  local file line print seen='' form now
  file=$KEYS/$(user_of "$1") now=$(date -u +%Y%m%d%H%M)Z
  form="^restrict,command=\"$(program_of "$1")\"(,from=\"[0-9a-fA-F.:/,]+\")?(,expiry-time=\"([0-9]{12}Z)\")? $KEY\$"
  if ! is keys "$file" 'regular file' root:root 644; then return; fi
  while read -r line || [ -n "$line" ]; do
    if [ -z "$line" ]; then continue; fi
    print=$(fingerprint "$line") || true
    seen+=$print$'\n'
    if ! [[ $line =~ $form ]]; then drift keys "$file has a line that was not laid so: $(cut -c1-120 <<<"$line")" "${print:+install-target.sh --remove-key $1 $print, then }$AGAIN"
    elif [[ -n ${BASH_REMATCH[3]} && ${BASH_REMATCH[3]} < $now ]]; then drift keys "$print of $(user_of "$1") has expired (${BASH_REMATCH[3]})" "install-target.sh --remove-key $1 $print"
    elif [ -n "$2" ] && ! fingerprints "$2" | grep -xF -- "$print" >/dev/null; then drift keys "$(user_of "$1") has a key that is not the server's: $print" "install-target.sh --remove-key $1 $print"; fi
  done < "$file"
  if [ -z "$seen" ]; then drift keys "$(user_of "$1") has no key" "$AGAIN"; fi
  for print in $(if [ -n "$2" ]; then fingerprints "$2"; fi); do
    grep -qxF -- "$print" <<<"$seen" || drift keys "$(user_of "$1") lacks the server's key $print" "install-target.sh --add-key $1 FILE (mcp-linux-infra deploy HOST)"
  done
}
sshd_files() {  # what sshd reads, in an order that does not matter here
  local pattern
  echo /etc/ssh/sshd_config
  sed -nE 's/^[[:space:]]*[Ii]nclude[[:space:]=]+//p' /etc/ssh/sshd_config | tr -d '"' | tr -s ' \t' '\n' | while read -r pattern; do
    case $pattern in /*) ;; *) pattern=/etc/ssh/$pattern;; esac
    compgen -G "$pattern" || true
  done
}
probes() {  # where a login might come from such that a Match block of somebody else holds: one line for sshd -T -C each
  local line words key value spec
  echo 'host=nowhere,addr=192.0.2.1'
  sshd_files | grep -vxF "$SSHD" | while read -r line; do grep -hiE '^[[:space:]]*match[[:space:]=]' "$line" || true; done | tr -d '"!' | tr '=' ' ' | while read -ra words; do
    spec='' key=''
    for value in "${words[@]:1}"; do
      if [ -z "$key" ]; then key=${value,,}; if [ "$key" = all ]; then key=''; fi; continue; fi
      value=${value%%,*}
      case $key in
        address) spec+=,addr=$(tr '*?' '11' <<<"${value%/*}");; host) spec+=,host=$(tr '*?' 'xx' <<<"$value");;
        localaddress) spec+=,laddr=$(tr '*?' '11' <<<"${value%/*}");; localport) spec+=,lport=$value;;
      esac
      key=''
    done
    case $spec in *,addr=*) ;; *) spec+=,addr=192.0.2.1;; esac
    case $spec in *,host=*) ;; *) spec+=,host=nowhere;; esac
    echo "${spec#,}"
  done | sort -u
}
sshd_wants() {  # what sshd's own answer for an account must be, as patterns
  cat <<X
forcecommand $(program_of "$1")
pubkeyauthentication yes
authenticationmethods publickey
authorizedkeysfile $KEYS/%u
authorizedkeyscommand none
passwordauthentication no
kbdinteractiveauthentication no
disableforwarding yes
permittty no
permituserrc no
permittunnel no
permituserenvironment no
maxsessions 10
chrootdirectory none
loglevel INFO|VERBOSE|DEBUG[123]?
X
}
set_at() {  # set_at KEYWORD [VALUE]: the lines of others that set it
  local value=${2:-}
  sshd_files | grep -vxF "$SSHD" | xargs -r -d '\n' grep -HniE "^[[:space:]]*$1[[:space:]=]+\"?${value//[^A-Za-z0-9]/.}" | head -3 | cut -d: -f1,2 | tr '\n' ' '
}
kept_out() {  # kept_out USER EFFECTIVE: the keyword by which sshd refuses the account before it looks at a key
  local key name word groups listed fits
  groups=$(id -Gn "$1" 2>/dev/null) || true
  for key in denyusers allowusers denygroups allowgroups; do
    listed=$(sed -n "s/^$key //p" <<<"$2") fits=0
    while read -r word; do
      for name in $(case $key in *users) echo "$1";; *) echo "$groups";; esac); do if [[ $name == ${word%@*} ]]; then fits=1; fi; done
    done <<<"$listed"
    case $key$fits in deny*1) echo $key; return;; allow*0) if [ -n "$listed" ]; then echo $key; return; fi;; esac
  done
}
check_login() {  # check_login ACCOUNT PROBE: what is said of one is not said again of another place to come from
  local user effective key want got place
  user=$(user_of "$1")
  effective=$(sshd -T -C "user=$user,$2" 2>&1) || { drift sshd "sshd -T -C user=$user,$2: $effective" "mend what it names"; return; }
  while read -r key want; do
    got=$(sed -n "s/^$key //p" <<<"$effective" | head -1)
    if [[ $got =~ ^($want)$ || $reported == *"|$user $key|"* ]]; then continue; fi
    reported+="|$user $key|" place=$(set_at "$key" "$got") || place=$(set_at "$key") || true
    drift sshd "sshd gives $user '$key $got' (login from ${2//,/, }), set at ${place:-a place that was not found}" "take that line away, or exempt $user from it; then systemctl reload ssh"
  done < <(sshd_wants "$1")
  key=$(kept_out "$user" "$effective")
  if [ -n "$key" ] && [[ $reported != *"|$user $key|"* ]]; then
    reported+="|$user $key|"
    drift login "$key of sshd keeps $user out, set at $(set_at "$key" || true)" "let $user in there, then systemctl reload ssh"
  fi
}
check_sshd() {
  local refused probe reported=''
  if ! grep -qsE '^[[:space:]]*Include[[:space:]]+/etc/ssh/sshd_config\.d/' /etc/ssh/sshd_config; then
    drift sshd "/etc/ssh/sshd_config does not include /etc/ssh/sshd_config.d/*.conf" "add that line at its top, then systemctl reload ssh"; return
  fi
  says sshd "$SSHD" 644 < <(sshd_text) || return 0
  refused=$(sshd -t 2>&1) || { drift sshd "sshd refuses its configuration: $refused" "mend the place that sshd -t names"; return; }
  while read -r probe; do check_login reader "$probe"; check_login runner "$probe"; done < <(probes)
}
check_sudo() {
  local listed rules
  says sudoers "$SUDOERS" 440 < <(sudoers_text) || return 0
  listed=$(sudo -n -l -U pra-runner 2>&1) || true
  rules=$(sed '1,/may run the following/d' <<<"$listed" | sed -E 's/^ +//' | grep . || true)
  if [ "$rules" != "(root) NOPASSWD: $prefix/sbin/pra-run \"\"" ]; then
    drift sudoers "sudo lets pra-runner run: $(tr '\n' ';' <<<"${rules:-nothing}")" "take every other rule away: grep -rnE 'pra-runner|%pra-runner|ALL' /etc/sudoers /etc/sudoers.d"
  fi
  if grep -qE '!env_reset|[ ,]setenv|!secure_path|env_keep.*LD_' <<<"${listed%%may run*}"; then drift sudoers "sudo's defaults for pra-runner keep its environment" "take !env_reset, setenv and env_keep of LD_ away: grep -rn Defaults /etc/sudoers /etc/sudoers.d"; fi
  if sudo -n -l -U mcp-reader 2>&1 | grep 'may run the following' >/dev/null; then drift sudoers "sudo lets mcp-reader run something: $(sudo -n -l -U mcp-reader | sed '1,/may run/d' | tr -s ' \n' ' ')" "take that rule away: grep -rnE 'mcp-reader|ALL' /etc/sudoers /etc/sudoers.d"; fi
}
check_log() {
  local gid low high f storage
  is log "$LOG" 'regular file' root:root 640 || true
  for f in "$LOG".*; do if [ -f "$f" ]; then is log "$f" 'regular file' root:root 640 || true; fi; done
  says logrotate "$LOGROTATE" 644 < <(logrotate_text) || true
  for f in $(grep -lsE "^[^#]*$LOG|^[^#]*/var/log/(\*|pra-?\*)" /etc/logrotate.d/* | grep -vxF "$LOGROTATE" || true); do drift logrotate "$f rotates $LOG as well" "take it out of $f"; done
  if [ ! -S /dev/log ]; then drift log "/dev/log is no socket: nothing is logged, and nothing runs" "systemctl restart systemd-journald.socket systemd-journald-dev-log.socket (or the syslog daemon)"; fi
  storage=$(systemd-analyze cat-config systemd/journald.conf 2>/dev/null | sed -nE 's/^[[:space:]]*Storage[[:space:]]*=[[:space:]]*//p' | tail -1)
  if [ "$storage" = none ] && ! pgrep -x rsyslogd >/dev/null && ! pgrep -x syslog-ng >/dev/null; then drift log "journald keeps nothing (Storage=none), and no other daemon does" "take Storage=none out of /etc/systemd/journald.conf and its drop-ins; then systemctl restart systemd-journald"; fi
  gid=$(id -g mcp-reader 2>/dev/null) && read -r low high < /proc/sys/net/ipv4/ping_group_range || return 0
  if [ "$low" -gt "$gid" ] || [ "$high" -lt "$gid" ]; then drift sysctl "net.ipv4.ping_group_range is $low $high: mcp-reader cannot ping" "sysctl -p $SYSCTL, or $AGAIN"; fi
  if [ -f "$SYSCTL" ]; then says sysctl "$SYSCTL" 644 < <(sysctl_text "$gid") || true; fi
}
check() {
  local f
  check_programs
  check_account reader 'systemd-journal adm'
  check_account runner ''
  is files "$KEYS" directory root:root 755 || true
  check_keys reader "$reader"
  check_keys runner "$runner"
  for f in "$ETC" "$ETC/plugins.d" "$ETC/actions.d" "$LIB" "$LIB/home"; do is files "$f" directory root:root 755 || true; done
  for f in "$ETC"/plugins.d/* "$ETC"/actions.d/*; do if [ -e "$f" ]; then is files "$f" 'regular file' root:root 644 || true; fi; done
  if [ -n "$(ls -A "$LIB/home" 2>/dev/null)" ]; then drift files "$LIB/home is not empty: $(find "$LIB/home" -mindepth 1 -maxdepth 1 -printf '%f ')" "look who put that there, then remove it"; fi
  is files "$ETC/target.toml" 'regular file' root:root 644 || true
  if is approvers "$ETC/approvers" 'regular file' root:root 644 && [ -n "$approvers" ] && ! cmp -s "$approvers" "$ETC/approvers"; then drift approvers "$ETC/approvers is not the reviewed file" "$AGAIN"; fi
  is ledger "$LIB/ledger" directory root:root 700 && is ledger "$LIB/ledger/clock" 'regular file' root:root 600 || true
  check_sshd
  check_sudo
  check_log
  if [ $json = 1 ]; then printf '{"host":%s,"ok":%s,"drifts":[%s]}\n' "$(text "$host")" "$([ $found = 0 ] && echo true || echo false)" "$drifts"
  elif [ $found = 0 ]; then say "everything is as intended"; else say "$found thing(s) are not as intended"; fi
  [ $found = 0 ]
}

main() {
  local programs='' reader='' runner='' approvers='' host tenant=default log_group=0 prefix='' from='' expires='' like='' json=0 found=0 verb=install account='' what='' end=0
  host=$(uname -n)
  if [ $# = 0 ]; then usage >&2; exit 2; fi
  while [ $# -gt 0 ]; do
    case $1 in --programs|--reader-key|--runner-key|--approvers|--host|--tenant|--prefix|--from|--expires|--like|--revoke|--remove-approver) [ $# -ge 2 ] || wrong "$1 needs a value";;
      --add-key|--remove-key) [ $# -ge 3 ] || wrong "$1 needs an account and a value";; esac
    case $1 in
      --programs) programs=$2; shift;; --reader-key) reader=$2; shift;; --runner-key) runner=$2; shift;; --approvers) approvers=$2; shift;;
      --host) host=$2; shift;; --tenant) tenant=$2; shift;; --prefix) prefix=$2; shift;; --from) from=$2; shift;; --expires) expires=$2; shift;; --like) like=$2; shift;;
      --log-group) log_group=1;; --json) json=1;; --end-sessions) end=1;;
      --check|--list-keys|--uninstall) verb=${1#--};;
      --add-key|--remove-key) verb=${1#--} account=$2 what=$3; shift 2;;
      --revoke|--remove-approver) verb=${1#--} what=$2; shift;;
      --help) usage; exit 0;;
      *) wrong "unknown option $1";;
    esac
    shift
  done
  [ "$(id -u)" = 0 ] || die "needs root"
  case $host$tenant in *[!A-Za-z0-9._-]*|'') die "--host and --tenant: letters, digits, '.', '_' and '-' only";; esac
  # What is not told is as it was laid.
  if [ -z "$prefix" ]; then prefix=/usr/local; if grep -qsF 'ForceCommand /usr/bin/mcp-wrapper' "$SSHD"; then prefix=/usr; fi; fi
  case $prefix in /usr|/usr/local) ;; *) die "--prefix is /usr or /usr/local";; esac
  case $account in ''|reader|runner) ;; *) die "the account is reader or runner";; esac
  [[ -z $expires || $expires =~ ^[0-9]{12}Z$ ]] || die "--expires: YYYYMMDDHHMMZ, as in 202612312359Z"
  [[ -z $from || $from =~ ^[0-9a-fA-F.:/,]+$ ]] || die "--from: addresses and networks, with commas between"
  # sshd itself judges the networks: one that it does not take would keep every login out
  [ -z "$from" ] || sshd -T -f /dev/stdin -C "user=x,host=x,addr=192.0.2.1" >/dev/null 2>&1 <<<"Match Address $from" || die "--from $from: sshd does not take it"
  exec 9>"$LOCK"; flock -w 60 9 || die "another run holds $LOCK"
  case $verb in
    install) install_target;;
    check) check;;
    list-keys) list_keys;;
    uninstall) uninstall;;
    add-key) [ -s "$what" ] || die "file '$what' is missing or empty"; add_key "$account" "$what";;
    revoke) [[ $what =~ ^SHA256:[A-Za-z0-9+/]{43}$ ]] || die "a fingerprint is SHA256: and 43 characters"; revoke "$what";;
    remove-key) [[ $what =~ ^(all|SHA256:[A-Za-z0-9+/]{43})$ ]] || die "a fingerprint is SHA256: and 43 characters"
      remove_key "$account" "$what"; if [ $end = 1 ]; then end_sessions "$(user_of "$account")"; fi;;
    remove-approver) [[ $what =~ ^(SHA256:[A-Za-z0-9+/]{43}|[A-Za-z0-9._@+-]+)$ ]] || die "an approver is a fingerprint or a name"
      remove_approver "$what";;
  esac
}
main "$@" < /dev/null; exit
