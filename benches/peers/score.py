"""scikit-learn's average precision as a server that ranks a map each time it is told to; `unet.py` states the protocol.

    printf 'go\\nquit\\n' | python score.py --scan FILE --threads 2

The work is ours: from unsorted scores (float32) and labels (uint8) in memory to the average precision. The file is one
that `benches/src/bin/score.rs` writes. scikit-learn uses one thread whatever `--threads` says. With `--value` it prints
the average precision instead.
"""

import argparse
import re
import sys
import time

import numpy as np
from sklearn.metrics import average_precision_score


def read(file):
    voxels = np.fromfile(file, np.uint8)
    count = len(voxels) // 5
    return voxels[: 4 * count].view("<f4").copy(), voxels[4 * count :].copy()


def peak_mib():
    """The largest resident set of this process so far."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read()).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--value", action="store_true")
    arguments = parser.parse_args()
    scores, labels = read(arguments.scan)
    if arguments.value:
        print(repr(float(average_precision_score(labels, scores))))
        return
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            print(f"peak {peak_mib():.0f}", flush=True)
            return
        start = time.perf_counter()
        average_precision_score(labels, scores)
        print(f"{1e3 * (time.perf_counter() - start):.3f}", flush=True)


if __name__ == "__main__":
    main()
