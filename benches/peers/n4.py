"""SimpleITK's N4 as a server that corrects a scan each time it is told to; `unet.py` states the protocol.

    printf 'go\\nquit\\n' | python n4.py --scan SCAN --threads 2

The work is ours: from voxels and mask in memory to the corrected voxels, at SimpleITK's defaults and shrink factor 4.
"""

import argparse
import re
import sys
import time

import SimpleITK as sitk

SHRINK = [4, 4, 4]


def correct(image, mask):
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.Execute(sitk.Shrink(image, SHRINK), sitk.Shrink(mask, SHRINK))
    return image / sitk.Exp(n4.GetLogBiasFieldAsImage(image))


def peak_mib():
    """The largest resident set of this process so far."""
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read()).group(1)) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scan", required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(arguments.threads)
    image = sitk.Cast(sitk.ReadImage(arguments.scan), sitk.sitkFloat32)
    mask = sitk.Cast(image > 0, sitk.sitkUInt8)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            print(f"peak {peak_mib():.0f}", flush=True)
            return
        start = time.perf_counter()
        correct(image, mask)
        print(f"{1e3 * (time.perf_counter() - start):.3f}", flush=True)


if __name__ == "__main__":
    main()
