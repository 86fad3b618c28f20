"""Measures tokend beside others and against its targets, and prints a table (tests/bench/README.md).

  tests/bench/run                     everything, in less than ten minutes on two cores; the build comes before
  tests/bench/run throughput memory   only these rows
  tests/bench/run --micro             then also what single parts cost
  tests/bench/run --smoke             every row once, in half a minute: whether it works
Uses only the loopback interface and leaves no process and no file but its tables.
"""

import argparse
import dataclasses
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import report  # noqa: E402
import rows  # noqa: E402
import servers  # noqa: E402

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("tokend", "tokenctl", "bench-load", "bench-echo", "bench-bare-proxy")
MICRO = {"bench-micro": 0.5, "bench-policy": 0.5, "bench-audit": 2}


def arguments():
    names = [row.__name__ for row in rows.ROWS]
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(names))
    parser.add_argument("--rounds", type=int, help="of each pair")
    parser.add_argument("--seconds", type=float, help="of each measurement of a round")
    parser.add_argument("--full", action="store_true", help="1,000,000 calls in the row of memory: minutes more")
    parser.add_argument("--smoke", action="store_true", help="every row once, with tiny counts")
    parser.add_argument("--micro", action="store_true", help="also run the benchmarks of single parts")
    parser.add_argument("--binaries", type=pathlib.Path, help="take the programs from this folder and build nothing")
    parser.add_argument("--output", type=pathlib.Path, default=SOURCE / "build/bench", help="the folder of the tables")
    given = parser.parse_args()
    unknown = set(given.rows) - set(names)
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}; the rows are {', '.join(names)}")
    return given


def build(programs):
    """Builds the programs in the folder of the release preset, and returns where they are."""
    subprocess.run([SOURCE / "deploy/install-dependencies", "--tests"], check=True)
    subprocess.run(["cmake", "--preset", "release", "-DTOKEND_TESTS=ON"], cwd=SOURCE, check=True, stdout=sys.stderr)
    subprocess.run(["cmake", "--build", "--preset", "release", "-j", str(os.cpu_count()), "--target", *programs],
                   cwd=SOURCE, check=True, stdout=sys.stderr)
    return SOURCE / "build/release/bin"


def size_of(given):
    size = rows.SMOKE if given.smoke else rows.Size()
    changes = {name: getattr(given, name) for name in ("rounds", "seconds") if getattr(given, name) is not None}
    if given.full:
        changes["many_calls"] = 1_000_000
    return dataclasses.replace(size, **changes)


def machine(folder):
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=SOURCE, capture_output=True, text=True,
                               check=False).stdout.strip()
    disk = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False).stdout.strip()
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return (f"{os.cpu_count()} CPUs, Linux {platform.release()}, load average before {load}, audit log on {disk}, "
            f"tokend {described or 'of no repository'}")


def measure(given, binaries):
    size = size_of(given)
    figures = []
    started = time.monotonic()
    with servers.Bench(binaries) as bench:
        about = f"{machine(bench.home)}, {size.rounds} rounds of {size.seconds:g} s"
        print(about, flush=True)
        pairs = rows.Pairs(bench, size)
        for row in rows.ROWS:
            if given.rows and row.__name__ not in given.rows:
                continue
            begun = time.monotonic()
            found = list(row(bench, size, pairs))
            if not found:
                raise RuntimeError(f"bench: {row.__name__} has measured nothing")
            figures += found
            print(f"{row.__name__}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(report.text_table(report.HEAD, [figure.cells() for figure in figures]))
    if pairs.details:
        print()
        print(report.text_table(report.DETAIL_HEAD, [detail.cells() for detail in pairs.details]))
    report.write(given.output, about, figures, pairs.details)
    print(f"\n{time.monotonic() - started:.0f} s; written: {given.output}/table.md, table.csv, table.svg", flush=True)


def main():
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the processes are ended
    micro = tuple(MICRO) if given.micro else ()
    binaries = given.binaries or build(PROGRAMS + micro)
    measure(given, binaries)
    for program in micro:
        print(flush=True)
        subprocess.run([binaries / program, f"--benchmark_min_time={MICRO[program]}"], check=True,
                       stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.exit(str(error))
