"""scikit-learn's average precision as a server that ranks a map each time it is told to; `unet.py` states the protocol.

    printf 'go\\nquit\\n' | python score.py --scan FILE --threads 2

The work is ours: from unsorted scores (float32) and labels (uint8) in memory to the average precision. The file is one
that `benches/src/bin/score.rs` writes. scikit-learn uses one thread whatever `--threads` says. With `--value` it prints
the average precision instead.
"""

import numpy as np
from sklearn.metrics import average_precision_score

from server import parser, serve


def read(file):
    voxels = np.fromfile(file, np.uint8)
    count = len(voxels) // 5
    return voxels[: 4 * count].view("<f4").copy(), voxels[4 * count :].copy()


def main():
    options = parser(__doc__)
    options.add_argument("--value", action="store_true")
    arguments = options.parse_args()
    scores, labels = read(arguments.scan)
    if arguments.value:
        print(repr(float(average_precision_score(labels, scores))))
        return
    serve(lambda: average_precision_score(labels, scores))


if __name__ == "__main__":
    main()
