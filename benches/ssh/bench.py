"""Our one-shot command and our session beside what others use, on one sshd, in one run. See docs/BENCHMARKS.md.

Started by scripts/bench-ssh.sh, which has made namespaces of its own: everything ends with them.
"""

import argparse
import os
import re
import statistics
import subprocess
import time
from pathlib import Path

import place

HERE = Path(__file__).resolve().parent
# The same work for everybody: a program, and a file that our target reads without one.
LINES = ["uptime", "cat " + place.LOG_FILE]
ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


class Persistent:
    """A client that keeps one connection and answers `COUNT COMMAND` with `NANOSECONDS OK FAILED BYTES`."""

    def __init__(self, *argv, prefix=""):
        self.prefix = prefix
        self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.child.stdout.readline() != "ready\n":
            raise SystemExit(f"bench-ssh: {argv[0]} has no connection")

    def run(self, line, count=1):
        self.child.stdin.write(f"{self.prefix}{count} {line}\n")
        self.child.stdin.flush()
        took, ok, failed, size = map(int, self.child.stdout.readline().split())
        return took, ok, failed, size

    def stop(self):
        self.child.stdin.close()
        self.child.wait()


class Master:
    """OpenSSH's ControlMaster: a client process for each command, over one connection."""

    def __init__(self, where, user):
        self.socket = where.folder / f"mux.{user}"
        self.base = ["/usr/bin/ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-p", str(where.port)]
        self.base += ["-o", f"UserKnownHostsFile={where.known_hosts()}", "-i", str(where.folder / "key")]
        self.base += ["-S", str(self.socket)]
        self.to = f"{user}@127.0.0.1"
        self.child = subprocess.Popen(
            self.base + ["-M", "-N", self.to], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        while not self.socket.exists():
            time.sleep(0.02)

    def command(self, line, direct=True):
        # Without -o ProxyCommand a client that gets no channel makes a connection of its own.
        own = [] if direct else ["-o", "ProxyCommand=false"]
        return self.base + own + [self.to, line]

    def run(self, line, count=1):
        started = time.perf_counter_ns()
        children = [
            subprocess.Popen(
                self.command(line, direct=count == 1), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            for _ in range(count)
        ]
        sizes = [len(child.communicate()[0]) for child in children]
        took = time.perf_counter_ns() - started
        ok = sum(1 for child in children if child.returncode == 0)
        return took, ok, count - ok, sum(sizes)

    def stop(self):
        self.child.terminate()
        self.child.wait()


class Local:
    """A program as sshd would start it, without sshd: how long it takes and what processor time."""

    def __init__(self, argv, uid, line, environment):
        self.argv, self.uid, self.environment = [*argv, line], uid, dict(ENVIRONMENT, **environment)
        if environment:
            self.argv.pop()

    def run(self, _line, _count=1):
        read, write = os.pipe()
        started = time.perf_counter_ns()
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(self.uid)
            os.setuid(self.uid)
            null = os.open("/dev/null", os.O_RDWR)
            for fd, at in [(null, 0), (write, 1), (null, 2)]:
                os.dup2(fd, at)
            os.execve(self.argv[0], self.argv, self.environment)
        os.close(write)
        size = 0
        while chunk := os.read(read, 1 << 16):
            size += len(chunk)
        _, status, usage = os.wait4(child, 0)
        took = time.perf_counter_ns() - started
        os.close(read)
        self.cpu = (usage.ru_utime + usage.ru_stime) * 1e9
        return took, int(status == 0), int(status != 0), size


def rounds(contestants, line, count):
    """Each in turn, round by round: what the machine does besides hits all alike."""
    times = {name: [] for name in contestants}
    cpu = {name: [] for name in contestants}
    failed = dict.fromkeys(contestants, 0)
    names = list(contestants)
    for turn in range(-3, count):
        # Not always behind the same one.
        for name in names[turn % len(names):] + names[: turn % len(names)]:
            took, _, lost, size = contestants[name].run(line)
            if turn >= 0:
                times[name].append(took)
                cpu[name].append(getattr(contestants[name], "cpu", 0))
                failed[name] += lost or (size == 0)
    return times, cpu, failed


def table(title, times, failed, against, cpu=None):
    print(f"\n{title}\n")
    print(f"| | median ms | lowest quarter ms | {'processor ms | ' if cpu else ''}ratio to {against} | rounds | failed |")
    print(f"|---|---:|---:|{'---:|' if cpu else ''}---:|---:|---:|")
    for name, own in times.items():
        pairs = statistics.median(a / b for a, b in zip(own, times[against]))
        quarter = statistics.quantiles(own, n=4)[0]
        extra = f" {statistics.median(cpu[name]) / 1e6:.2f} |" if cpu else ""
        print(
            f"| {name} | {statistics.median(own) / 1e6:.2f} | {quarter / 1e6:.2f} |{extra} {pairs:.2f} | {len(own)} | {failed[name]} |",
            flush=True,
        )


def alone(line, count):
    users = {name: uid for name, uid, _, _ in place.ACCOUNTS}
    original = {"SSH_ORIGINAL_COMMAND": line}
    contestants = {
        "`mcp-wrapper -c`": Local([place.WRAPPER, "-c"], users["mcp-reader"], line, {}),
        "bash `case` script": Local(["/bin/bash", "-c", "/usr/local/bin/case-wrapper"], users["bench-bash"], "", original),
        "the same, with a log record": Local(["/bin/bash", "-c", "/usr/local/bin/case-wrapper log"], users["bench-log"], "", original),
        "`sh -c`": Local(["/bin/sh", "-c"], users["bench-sh"], line, {}),
    }
    times, cpu, failed = rounds(contestants, line, count)
    table(f"The program alone, without sshd: `{line}`", times, failed, "bash `case` script", cpu)


def one_shot(where, peer, line, count):
    contestants = {
        "`mcp-wrapper`": peer(where, "mcp-reader"),
        "bash `case` script": peer(where, "bench-bash"),
        "the same, with a log record": peer(where, "bench-log"),
        "`sh -c`": peer(where, "bench-sh"),
    }
    times, _, failed = rounds(contestants, line, count)
    table(f"One-shot through sshd, a channel for each command on one warm connection: `{line}`", times, failed, "bash `case` script")
    for contestant in contestants.values():
        contestant.stop()


def clients(where, arguments):
    found = {"our session, sandboxed": Persistent(arguments.client, str(where.config()))}
    if arguments.go:
        found["Go x/crypto/ssh"] = go(arguments)(where, "bench-sh")
    if arguments.asyncssh:
        found["asyncssh"] = asyncssh(arguments)(where, "bench-sh")
    found["OpenSSH ControlMaster"] = Master(where, "bench-sh")
    return found


def session(found, line, count):
    times, _, failed = rounds(found, line, count)
    ours, *others = found
    best = min(others, key=lambda name: statistics.median(times[name]))
    table(f"A warm request: `{line}`; the others' without a sandbox, by `sh -c`", times, failed, best)


def parallel(found, count, rounds_):
    print("\n64 at once, `uptime`, MaxSessions 10, until all have answered or failed\n")
    print("| | median ms | answered | failed | rounds |\n|---|---:|---:|---:|---:|")
    results = {name: [] for name in found}
    for _ in range(rounds_):
        for name, contestant in found.items():
            results[name].append(contestant.run("uptime", count))
    for name, all_ in results.items():
        ms = statistics.median(took for took, *_ in all_) / 1e6
        print(f"| {name} | {ms:.1f} | {sum(r[1] for r in all_)} | {sum(r[2] for r in all_)} | {rounds_} |", flush=True)


def go(arguments):
    return lambda where, user: Persistent(
        arguments.go, str(where.port), user, str(where.folder / "key"), str(where.known_hosts())
    )


def asyncssh(arguments):
    return lambda where, user: Persistent(
        arguments.asyncssh, str(HERE / "asyncssh_client.py"), str(where.port), user, str(where.folder / "key"), str(where.known_hosts())
    )


def machine():
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    version = subprocess.run(["/usr/bin/ssh", "-V"], capture_output=True, text=True).stderr.strip()
    print(time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "·", os.cpu_count(), "processors,", model and model[1], "· Linux", os.uname().release)
    print(version)


def load(when):
    print(f"\nLoad average {when}: {' '.join(Path('/proc/loadavg').read_text().split()[:3])}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--wrapper", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--go", default="")
    parser.add_argument("--asyncssh", default="", help="a python that has asyncssh")
    parser.add_argument("--rounds", type=int, default=101)
    arguments = parser.parse_args()
    machine()
    load("before")
    where = place.Place(arguments.folder, arguments.wrapper)
    peer = go(arguments) if arguments.go else asyncssh(arguments)
    for line in LINES:
        alone(line, arguments.rounds)
    for line in LINES:
        one_shot(where, peer, line, arguments.rounds)
    found = clients(where, arguments)
    for line in LINES:
        session(found, line, arguments.rounds)
    parallel(found, 64, 5)
    for client in found.values():
        client.stop()
    load("behind")
    print(f"\n{where.records} records came to the log service.")
    where.stop()


main()
