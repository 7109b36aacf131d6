#!/usr/bin/env python3
"""The figures of docs/performance.md: `holdfast bench` against a fresh `holdfast serve`.

Prints a Markdown table of operations a second, latencies, server CPU time for each operation and
each GB, peak memory and write amplification. The server's CPU time is what to compare: it survives
most of a machine's noise, and of several runs of each row the one that took the least CPU time is
printed. Every byte that is read is checked. Needs only Python's standard library.

    cargo build --release && tests/perf/figures.py [--binary PATH] [--data DIR] [--repeat N] [--quick]
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEYS = {"HOLDFAST_ACCESS_KEY": "PERFKEY", "HOLDFAST_SECRET_KEY": "perf-secret-perf-secret"}
HEAD = ["work", "streams", "op/s", "MB/s", "CPU-ms/op", "CPU-s/GB", "p50 ms", "p99 ms",
        "peak RSS MiB", "written/put", "client/server CPU"]


class Server:
    """A `holdfast serve` of its own, on free ports, in a folder that is removed again."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = tempfile.mkdtemp(prefix="holdfast-perf-", dir=folder)
        self.host, admin = f"127.0.0.1:{free_port()}", free_port()
        command = [binary, "serve", "--data", self.folder + "/data", "--listen", self.host]
        command += ["--admin-listen", f"127.0.0.1:{admin}"]
        self.process = subprocess.Popen(command, env={**os.environ, **KEYS, "HOLDFAST_LOG": "warn"},
                                        stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                ready = http.client.HTTPConnection("127.0.0.1", admin, timeout=1)
                ready.request("GET", "/readyz")
                if ready.getresponse().status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("the server did not become ready")
            time.sleep(0.1)

    def measure(self, name, line, repeat):
        """Runs a bench `repeat` times and prints the row of the one that took the least CPU."""
        # Each time new objects are put; what is read is what was put first.
        writes = line.startswith(("put", "multipart", "mixed"))
        lines = [f"{line}-{turn if writes else 0}" for turn in range(repeat)]
        runs = [self.bench(name, line) for line in lines]
        print(row(name, min(runs, key=lambda run: run["server"]["cpu_ms_per_operation"])), flush=True)

    def bench(self, name, line):
        command = [self.binary, "bench", *line.split(), "--endpoint", f"http://{self.host}"]
        command += ["--json", "--server-pid", str(self.process.pid)]
        done = subprocess.run(command, env={**os.environ, **KEYS}, stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stdout.decode()}")
        return json.loads(done.stdout)

    def take_away(self, *drives):
        for drive in drives:
            os.rename(f"{self.folder}/data/drives/{drive}", f"{self.folder}/gone-{drive}")
        time.sleep(3)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        shutil.rmtree(self.folder)


def row(name, figures):
    server = figures["server"]
    kinds = figures["by_operation"]
    # Of a mix, the latency of its reads.
    latency = kinds.get(figures["workload"], kinds.get("get"))["latency_ms"]
    rate, moved = figures["operations"] / figures["seconds"], figures["bytes"]
    cells = [name, figures["concurrency"], f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}",
             f"{moved / figures['seconds'] / 1e6:,.0f}" if moved else "",
             f"{server['cpu_ms_per_operation']:,.2f}",
             f"{server['cpu_seconds_per_gb']:.2f}" if moved >= 100e6 else "",
             f"{latency['p50']:,.1f}", f"{latency['p99']:,.1f}",
             f"{server['peak_rss_bytes'] / (1 << 20):.0f}",
             f"{server['write_amplification']:.2f}" if server.get("write_amplification") else "",
             f"{figures['client_cpu_seconds'] / max(server['cpu_seconds'], 0.01):.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(server, scale, repeat):
    small, middle, large = max(10_000 // scale, 1_000), 1_000 // scale, max(32 // scale, 8)
    of_4k = f"--size 4KiB --objects {small} --prefix small"
    of_1m = f"--size 1MiB --objects {middle} --prefix middle"
    of_64m = f"--size 64MiB --objects {large} --prefix large"
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for name, line in [
        ("PUT 4 KiB", f"put --prepare --count {small} --concurrency 64 {of_4k}"),
        ("GET 4 KiB", f"get --count {small} --concurrency 64 {of_4k}"),
        ("HEAD 4 KiB", f"head --count {small} --concurrency 64 {of_4k}"),
        ("list 1,000 keys", f"list --count {400 // scale} --concurrency 4 {of_4k}"),
        ("mixed 4 KiB: 45 get, 30 head, 15 put, 10 delete",
         f"mixed --prepare --count {small} --concurrency 64 --size 4KiB --objects 1000 --prefix mixed"),
        ("PUT 1 MiB", f"put --count {middle} {of_1m}"),
        ("GET 1 MiB", f"get --count {middle} {of_1m}"),
        ("PUT 64 MiB", f"put --count {large} --concurrency 4 {of_64m}"),
        ("GET 64 MiB", f"get --count {large} --concurrency 4 {of_64m}"),
        ("GET 1 MiB ranges of 64 MiB", f"range --count {middle} {of_64m}"),
        ("PUT 64 MiB", f"put --count {large} --concurrency 16 --size 64MiB --prefix many"),
        ("PUT 64 MiB, one stream",
         f"put --count {large // 4} --concurrency 1 --size 64MiB --prefix one"),
        ("PUT 64 MiB, signed bodies",
         f"put --signed --count {large // 2} --concurrency 4 --size 64MiB --prefix signed"),
        ("multipart PUT 256 MiB, parts of 16 MiB",
         "multipart --count 4 --concurrency 4 --size 256MiB --part-size 16MiB --prefix parts"),
    ]:
        server.measure(name, line, repeat)
    server.take_away("02", "05")
    for name, line in [
        ("GET 4 KiB, 2 of 6 drives gone", f"get --count {small} --concurrency 64 {of_4k}"),
        ("GET 1 MiB, 2 of 6 drives gone", f"get --count {middle} {of_1m}"),
        ("GET 64 MiB, 2 of 6 drives gone", f"get --count {large} --concurrency 4 {of_64m}"),
    ]:
        server.measure(name, line, repeat)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--binary", default=str(ROOT / "target/release/holdfast"))
    options.add_argument("--data", help="where the server's folder is made (default: the temp folder)")
    options.add_argument("--repeat", type=int, default=3, help="runs of each row (default: 3)")
    options.add_argument("--quick", action="store_true", help="a tenth of the operations")
    options = options.parse_args()
    server = Server(options.binary, options.data)
    try:
        run(server, 10 if options.quick else 1, options.repeat)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
