"""One asyncssh connection that runs what it is told: `COUNT COMMAND` on stdin, `NANOSECONDS OK FAILED BYTES` on stdout."""

import asyncio
import sys
import time

import asyncssh


async def one(connection, command):
    try:
        done = await connection.run(command, encoding=None)
        return (done.exit_status == 0, len(done.stdout))
    except asyncssh.Error:
        return (False, 0)


async def main(port, user, key, known_hosts):
    options = dict(port=port, username=user, client_keys=[key], known_hosts=known_hosts, config=None, agent_path=None)
    async with asyncssh.connect("127.0.0.1", **options) as connection:
        print("ready", flush=True)
        for line in sys.stdin:
            count, command = line.rstrip("\n").split(" ", 1)
            started = time.perf_counter_ns()
            if count == "1":
                results = [await one(connection, command)]
            else:
                results = await asyncio.gather(*(one(connection, command) for _ in range(int(count))))
            took = time.perf_counter_ns() - started
            ok = sum(1 for good, _ in results if good)
            print(took, ok, len(results) - ok, sum(size for _, size in results), flush=True)


asyncio.run(main(int(sys.argv[1]), *sys.argv[2:5]))
