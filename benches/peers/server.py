"""The loop of all peers that are servers, whose protocol `unet.py` states, and the arguments of those that work on one file."""

import argparse
import re
import sys
import time


def milliseconds(iteration):
    """What one iteration takes."""
    start = time.perf_counter()
    iteration()
    return 1e3 * (time.perf_counter() - start)


def peak_mib():
    """The largest resident set of this process so far."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read()).group(1)) / 1024


def parser(description):
    """The arguments of a peer that works on one file."""
    arguments = argparse.ArgumentParser(description=description.splitlines()[0])
    arguments.add_argument("--scan", required=True)
    arguments.add_argument("--threads", type=int, default=2)
    return arguments


def serve(iteration):
    """Answers the lines of stdin until `quit`, or its end."""
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            print(f"peak {peak_mib():.0f}", flush=True)
            return
        if line.strip() != "go":
            sys.exit(f"unknown request {line.strip()!r}; expected go or quit")
        print(f"{milliseconds(iteration):.3f}", flush=True)
