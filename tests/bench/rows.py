"""The rows of the table. Each function measures one, and returns its figures."""

import dataclasses
import os
import statistics
import subprocess
import time

import servers
from report import Detail, Figure

MIB = 1024 * 1024
KIB = 1024


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 2  # of one measurement of a round
    latency_seconds: float = 25
    settle_seconds: float = 10  # after which memory counts
    wait_seconds: float = 5  # in which the CPU of waiting calls is counted
    idle_seconds: float = 10
    grants: int = 10_000
    log_mib: float = 64
    many_calls: int = 100_000
    few_calls: int = 10_000
    connections: int = 1000
    waiting: int = 5000


SMOKE = Size(rounds=1, seconds=0.2, latency_seconds=0.3, settle_seconds=0.1, wait_seconds=0.2, idle_seconds=0.2,
             grants=500, log_mib=0.25, many_calls=400, few_calls=200, connections=64, waiting=256)


class Pairs:
    """Measures servers alternately, and keeps what each of them did in each round."""

    def __init__(self, bench, size):
        self.bench = bench
        self.size = size
        self.details = []

    def run(self, load, loads):
        """loads: {name: (process, address, flags)}. Returns {name: [calls/s of each round]}."""
        results = {name: [] for name in loads}
        for name, (process, address, flags) in loads.items():
            self.bench.load(address, *flags, "--seconds", self.size.seconds / 2)  # warms it up
        for _ in range(self.size.rounds):
            for name, (process, address, flags) in loads.items():
                before = process.cpu_s()
                result = self.bench.load(address, *flags, "--seconds", self.size.seconds)
                # Of all calls of the load: also of the mints that its replays repeat.
                result["cpu_us"] = (process.cpu_s() - before) * 1e6 / result["all_calls"]
                results[name].append(result)
        for name, rounds in results.items():
            self.details.append(Detail(name, load, **{
                key: statistics.median(result[key] for result in rounds)
                for key in ("calls_per_s", "cpu_us", "p50_ms", "p99_ms", "client_us")}))
        return {name: [result["calls_per_s"] for result in rounds] for name, rounds in results.items()}


def ratios(results, of, to):
    return [one / other for one, other in zip(results[of], results[to])]


def throughput(bench, size, pairs):
    tokend = bench.start_tokend("everything", bench.config("everything"))
    bare = bench.start_bare()
    nginx = bench.start_nginx_proxy()
    echo = bench.start_echo()
    grpc = bench.identities()
    json = [*bench.identities(), "--work", "json"]
    results = {}
    for in_flight in (16, 64, 256):
        flags = ["--in-flight", in_flight]
        loads = {"tokend": (tokend, tokend.address, [*grpc, *flags]), "bare": (bare, bare.address, [*grpc, *flags])}
        if in_flight > 16:
            loads["nginx"] = (nginx, nginx.address, [*json, *flags])
        results[in_flight] = pairs.run(f"mints, {in_flight} in flight", loads)
    for in_flight, target in ((16, 0.9), (64, 1), (256, 1)):
        yield Figure("tokend / bare gRPC", f"{in_flight} in flight", "", target, True,
                     ratios(results[in_flight], "tokend", "bare"))
    for in_flight, target in ((64, 0.4), (256, 0.45)):
        values = ratios(results[in_flight], "bare", "nginx")
        yield Figure("tokend / nginx", f"{in_flight} in flight", "", target, True,
                     ratios(results[in_flight], "tokend", "nginx"),
                     f"bare gRPC / nginx: {statistics.median(values):.2f}")

    flags = [*grpc, "--in-flight", 64]
    stranger = [*bench.identities("stranger"), "--work", "refused"]
    echoed = pairs.run("64 in flight", {
        "echo": (echo, echo.address, flags),
        "tokend, replays": (tokend, tokend.address, [*flags, "--work", "replay"]),
        "tokend, refusals": (tokend, tokend.address, [*stranger, "--in-flight", 64])})
    yield Figure("replays / echo", "", "", 0.5, True, ratios(echoed, "tokend, replays", "echo"))
    yield Figure("refusals / echo", "", "", 0.6, True, ratios(echoed, "tokend, refusals", "echo"))
    yield refused_beside(bench, size, tokend, flags, stranger, "upstream at once")
    for server in (bare, nginx, echo, tokend):
        server.stop()

    slow = bench.start_tokend("slow", bench.config("slow", delay_ms=100))
    yield refused_beside(bench, size, slow, flags, stranger, "upstream of 100 ms")
    slow.stop()


def refused_beside(bench, size, tokend, flags, stranger, what):
    """Calls while another caller is refused, against calls without."""
    refusals, values = [], []
    flags = [*flags, "--seconds", size.seconds]
    for _ in range(size.rounds):
        alone = bench.load(tokend.address, *flags)["calls_per_s"]
        command = bench.load_command(tokend.address, [*stranger, "--in-flight", 256, "--rate", 20_000, "--seconds",
                                                      size.seconds + 1])
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(0.5)  # both are under way
        try:
            values.append(bench.load(tokend.address, *flags)["calls_per_s"] / alone)
        finally:
            output, _ = other.communicate(timeout=servers.PATIENCE_S)
        if other.returncode != 0:
            raise RuntimeError("bench: the refused calls failed")
        refusals.append(bench.parse(output)["calls_per_s"])
    return Figure("permitted calls beside refusals / without", what, "", 0.9, True, values,
                  f"{statistics.median(refusals):,.0f} refusals/s")


def latency(bench, size, pairs):
    """One call at a time, through tokend and to the upstream itself, both at the same time."""
    tokend = bench.start_tokend("latency", bench.config("latency", delay_ms=100))
    upstream = f"127.0.0.1:{bench.upstream_ports[100]}"
    one = ["--connections", 1, "--in-flight", 1, "--seconds", size.latency_seconds]
    bench.load(tokend.address, *bench.identities("caller-0"), "--connections", 1, "--in-flight", 1, "--calls", 2)
    direct = subprocess.Popen(bench.load_command(upstream, [*bench.identities("caller-0"), "--work", "json", *one]),
                              stdout=subprocess.PIPE, text=True)
    try:
        through = bench.load(tokend.address, *bench.identities("caller-0"), *one)
    finally:
        output, _ = direct.communicate(timeout=servers.PATIENCE_S)
    to = bench.parse(output)
    disk_ms = fdatasyncs(tokend.audit_log.parent / "probe", max(10, int(size.latency_seconds * 2)))
    tokend.stop()
    for percentile, target in (("p50", 1.2), ("p99", 4)):
        key = f"{percentile}_ms"
        disk = disk_ms[min(len(disk_ms) - 1, len(disk_ms) * int(percentile[1:]) // 100)]
        yield Figure("latency added to an upstream of 100 ms", percentile, "ms", target, False,
                     [through[key] - to[key]],
                     f"{through['calls']} calls; direct: {to[key]:.1f} ms; one fdatasync of two: {disk:.2f} ms")


def fdatasyncs(path, count):
    """How long each of some fdatasyncs takes, in ms and sorted, at the pace of one call at a time."""
    took = []
    with open(path, "ab", buffering=0) as file:
        for _ in range(count):
            file.write(b"x" * 700)
            begun = time.monotonic()
            os.fdatasync(file)
            took.append((time.monotonic() - begun) * 1000)
            time.sleep(0.05)
    return sorted(took)


def relay(bench, size, pairs):
    centre = bench.start_tokend("centre", bench.config("centre"))
    relayed = bench.start_tokend("relay", bench.relay("relay", centre.address))
    time.sleep(size.settle_seconds / 5)
    idle, _ = relayed.memory()
    one = ["--connections", 1, "--in-flight", 1, "--seconds", size.seconds]
    added = []
    for _ in range(size.rounds + 1):  # the first round warms both up
        direct = bench.load(centre.address, *bench.identities("relay"), *one)
        through = bench.load(relayed.address, *one)
        added.append(through["p50_ms"] - direct["p50_ms"])
    relayed.stop()
    centre.stop()
    yield Figure("a relay's hop", "added p50", "ms", 1.8, False, added[1:])
    yield Figure("a relay's hop", "idle, resident", "MiB", 20, False, [idle / MIB])


def many_in_flight(bench, size, pairs):
    tokend = bench.start_tokend("many", bench.config("many", delay_ms=200, max_in_flight=1024, remember="1s"))
    flags = [*bench.identities(), "--connections", 16, "--in-flight", 1000]
    bench.load(tokend.address, *flags, "--seconds", size.seconds)
    process = bench.start(bench.load_command(tokend.address, [*flags, "--seconds", 2.5 * size.seconds]), "load",
                          stdout=subprocess.PIPE, text=True)
    resident = []
    while process.popen.poll() is None:
        resident.append(tokend.memory()[0])
        time.sleep(0.1)
    if process.popen.returncode != 0:
        raise RuntimeError(f"bench: {process.log.read_text()}")
    result = bench.parse(process.popen.stdout.read())
    process.popen.stdout.close()
    tokend.stop()
    what = "1,000 POSTs in flight over an upstream of 200 ms"
    # The first answers come after 200 ms.
    ideal = 5000 * (1 - 0.2 / (2.5 * size.seconds))
    yield Figure(what, "rate / the ideal 5,000/s", "", 0.9, True, [result["calls_per_s"] / ideal])
    yield Figure(what, "resident, the most", "MiB", 64, False, [max(resident) / MIB])


def waiting(bench, size, pairs):
    """Calls that wait for a slot of the upstream, all of which are held by calls without an answer."""
    slots, connections = 64, 64
    tokend = bench.start_tokend("waiting", bench.config("waiting", delay_ms=60_000, max_in_flight=slots))
    calls = size.waiting - size.waiting % connections

    def held(count):
        return bench.held_load(tokend.address, *bench.identities(), "--connections", connections, "--in-flight", count,
                               "--calls", count)

    def begin(load, total):
        load.begin()
        servers.wait_until(lambda: tokend.gauge("tokend_calls_in_flight") == total, "all calls are in flight")
        time.sleep(size.settle_seconds / 5)

    with held(slots) as holders, held(calls) as load:
        begin(holders, slots)
        before = tokend.memory()
        begin(load, slots + calls)
        cpu_s, begun = tokend.cpu_s(), time.monotonic()
        time.sleep(size.wait_seconds)
        cpu = (tokend.cpu_s() - cpu_s) / (time.monotonic() - begun)
        after = tokend.memory()
    tokend.kill()  # its calls would be waited for
    row = f"{size.waiting:,} calls waiting for upstream slots"
    yield Figure(row, "CPU", "% of a core", 1, False, [100 * cpu])
    yield Figure(row, "a call", "KiB", 6, False, [(after[0] - before[0]) / calls / KIB])


def idle(bench, size, pairs):
    """A sidecar: one listener, one grant, the admin page."""
    tokend = bench.start_tokend("idle", bench.sidecar("idle"))
    time.sleep(size.settle_seconds / 5)
    switches, begun = tokend.context_switches(), time.monotonic()
    time.sleep(size.idle_seconds)
    rate = (tokend.context_switches() - switches) / (time.monotonic() - begun)
    resident, anonymous = tokend.memory()
    yield Figure("idle", "resident", "MiB", 20, False, [resident / MIB])
    yield Figure("idle", "anonymous", "MiB", 4, False, [anonymous / MIB])
    yield Figure("idle", "context switches", "/s", 5, False, [rate])
    yield connections(bench, size, tokend, "unix", [], 20)
    tokend.stop()
    tokend = bench.start_tokend("tls", bench.config("tls"))
    yield connections(bench, size, tokend, "TLS", bench.identities(), 40)
    tokend.stop()


def connections(bench, size, tokend, kind, flags, target):
    """What an idle connection costs, after it has carried a call."""
    with bench.held_load(tokend.address, *flags, "--connections", 8):
        pass  # what the first ones need once is not theirs alone
    before = tokend.memory()[0]
    with bench.held_load(tokend.address, *flags, "--connections", size.connections):
        after = tokend.memory()[0]
    return Figure("an idle connection", kind, "KiB", target, False, [(after - before) / size.connections / KIB],
                  f"{size.connections} connections")


def grants(bench, size, pairs):
    ready, resident = [], []
    for _ in range(min(3, size.rounds)):
        tokend = bench.start_tokend("grants", bench.config("grants", grants=size.grants))
        time.sleep(size.settle_seconds / 10)
        ready.append(tokend.ready_ms)
        resident.append(tokend.memory()[0] / MIB)
        tokend.stop()
    yield Figure(f"{size.grants:,} grants", "ready", "ms", 150, False, ready)
    yield Figure(f"{size.grants:,} grants", "resident", "MiB", 40, False, resident)


def audit_log(bench, size, pairs):
    """The start with a long audit log, and tokenctl on it."""
    config = bench.config("resume", remember="10m")
    tokend = bench.start_tokend("resume", config)
    log = tokend.audit_log
    while log.stat().st_size < size.log_mib * MIB:
        bench.load(tokend.address, *bench.identities(), "--in-flight", 256, "--seconds", min(2, size.seconds))
    tokend.stop()
    ready = []
    for _ in range(min(3, size.rounds)):
        tokend = bench.start_tokend("resume", config)
        ready.append(tokend.ready_ms)
        tokend.stop()
    megabytes = log.stat().st_size / MIB
    yield Figure("start to ready with an audit log to resume", f"{size.log_mib} MiB", "ms", 300, False, ready,
                 f"{megabytes:.0f} MiB of log")

    tokenctl = bench.binaries / "tokenctl"
    commands = {"sha256sum": ["sha256sum", log], "verify": [tokenctl, "audit", "verify", log],
                "find": [tokenctl, "audit", "find", log, "--event", "daemon.started"]}
    rates = {name: [] for name in commands}
    for _ in range(min(3, size.rounds)):
        for name, command in commands.items():
            begun = time.monotonic()
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
            rates[name].append(megabytes / (time.monotonic() - begun))
            if done.returncode != 0:
                raise RuntimeError(f"bench: {name}: {done.stderr}")
    note = f"sha256sum: {statistics.median(rates['sha256sum']):.0f} MiB/s"
    yield Figure("tokenctl audit", "verify", "MiB/s", 150, True, rates["verify"], note)
    yield Figure("tokenctl audit", "find", "MiB/s", 200, True, rates["find"], note)


def memory(bench, size, pairs):
    tokend = bench.start_tokend("memory", bench.config("memory", remember="1s"))
    resident = []
    flags = [*bench.identities(), "--in-flight", 64]
    for calls in (size.few_calls, size.many_calls - size.few_calls):
        bench.load(tokend.address, *flags, "--calls", calls)
        time.sleep(1 + size.settle_seconds)
        resident.append(tokend.memory()[0])
    tokend.stop()
    yield Figure(f"memory after {size.many_calls:,} calls", f"/ after {size.few_calls:,}", "", 1.05, False,
                 [resident[1] / resident[0]],
                 f"{resident[0] / MIB:.1f} MiB, then {resident[1] / MIB:.1f} MiB")


ROWS = (throughput, latency, relay, many_in_flight, waiting, idle, grants, audit_log, memory)
