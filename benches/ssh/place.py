"""A target of the benchmark's own: accounts, log service, files and one sshd on loopback, in namespaces that end with it.

`scripts/bench-ssh.sh` has entered new mount, process, network and host-name namespaces before; nothing here changes the machine.
"""

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
WRAPPER = "/usr/local/bin/mcp-wrapper"
LOG_LINES = 400
LOG_FILE = "/var/log/bench.log"

# Account, user id, login shell, forced command.
ACCOUNTS = [
    ("mcp-reader", 64001, WRAPPER, WRAPPER),
    ("bench-bash", 64002, "/bin/bash", "/usr/local/bin/case-wrapper"),
    ("bench-sh", 64003, "/bin/sh", None),
    ("bench-log", 64004, "/bin/bash", "/usr/local/bin/case-wrapper log"),
]


def call(*argv):
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


class Place:
    def __init__(self, folder, wrapper):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.records = 0
        self._devices()
        self._programs(wrapper)
        self._accounts()
        self._files()
        self.port = self._sshd()

    def _devices(self):
        """A /dev with a log socket in it; what it takes is counted and dropped."""
        new = self.folder / "dev"
        new.mkdir()
        call("mount", "-t", "tmpfs", "-o", "mode=755", "none", str(new))
        for name in ["null", "zero", "full", "random", "urandom", "tty"]:
            (new / name).touch()
            call("mount", "--bind", f"/dev/{name}", str(new / name))
        for name, to in [("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]:
            (new / name).symlink_to(to)
        for name in ["pts", "shm"]:
            (new / name).mkdir()
        call("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "none", str(new / "pts"))
        (new / "ptmx").symlink_to("pts/ptmx")
        call("mount", "--move", str(new), "/dev")
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind("/dev/log")
        os.chmod("/dev/log", 0o666)

        def drain():
            while True:
                log.recv(65536)
                self.records += 1

        threading.Thread(target=drain, daemon=True).start()

    def _programs(self, wrapper):
        old = self.folder / "local-bin"
        old.mkdir()
        call("mount", "--bind", "/usr/local/bin", str(old))
        call("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/usr/local/bin")
        for entry in old.iterdir():
            Path("/usr/local/bin", entry.name).symlink_to(entry)
        for source, name in [(wrapper, "mcp-wrapper"), (HERE / "case-wrapper", "case-wrapper")]:
            place = Path("/usr/local/bin", name)
            place.unlink(missing_ok=True)
            shutil.copy(source, place)
            place.chmod(0o755)
        # Its configuration is the default one.
        if Path("/etc/mcp-linux-infra").is_dir():
            call("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/etc/mcp-linux-infra")

    def _accounts(self):
        for name, lines in [
            ("passwd", [f"{n}:x:{uid}:{uid}::/nonexistent:{shell}" for n, uid, shell, _ in ACCOUNTS]),
            ("group", [f"{n}:x:{uid}:" for n, uid, _, _ in ACCOUNTS]),
            ("shadow", [f"{n}:*:19000:0:99999:7:::" for n, _, _, _ in ACCOUNTS]),
        ]:
            own = [n + ":" for n, _, _, _ in ACCOUNTS]
            kept = [l for l in Path("/etc", name).read_text().splitlines() if not l.startswith(tuple(own))]
            new = self.folder / name
            new.write_text("\n".join(kept + lines) + "\n")
            new.chmod(0o600 if name == "shadow" else 0o644)
            call("mount", "--bind", str(new), f"/etc/{name}")
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "host"))
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "key"))
        public = (self.folder / "key.pub").read_text()
        for name, _, _, forced in ACCOUNTS:
            option = f'restrict,command="{forced}" ' if forced else "restrict "
            (self.folder / f"keys.{name}").write_text(option + public)

    def _files(self):
        call("mount", "-t", "tmpfs", "-o", "mode=755", "none", "/var/log")
        line = "Nov 26 00:00:00 host daemon[123]: a record of about eighty bytes, number %06d\n"
        Path(LOG_FILE).write_text("".join(line % i for i in range(LOG_LINES)))
        os.chmod(LOG_FILE, 0o644)

    def _sshd(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile {self.folder}/keys.%u\n"
            "StrictModes no\nMaxSessions 10\nPermitTTY no\nPermitUserRC no\nDisableForwarding yes\n"
        )
        os.makedirs("/run/sshd", exist_ok=True)
        self.sshd_log = self.folder / "sshd.log"
        self.daemon = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-E", str(self.sshd_log), "-f", str(config)], stdin=subprocess.DEVNULL
        )
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return port
            except OSError:
                time.sleep(0.02)
        raise SystemExit("bench-ssh: sshd does not listen: " + self.sshd_log.read_text())

    def known_hosts(self):
        kind, key = (self.folder / "host.pub").read_text().split()[:2]
        place = self.folder / "known_hosts"
        place.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        return place

    def config(self):
        """What our own client reads."""
        host_key = " ".join((self.folder / "host.pub").read_text().split()[:2])
        place = self.folder / "config.toml"
        place.write_text(
            f'[[hosts]]\nname = "bench"\naddress = "127.0.0.1"\nport = {self.port}\nhost_key = "{host_key}"\n'
            f'reader_user = "mcp-reader"\nreader_key = "{self.folder}/key"\n'
        )
        return place

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()
