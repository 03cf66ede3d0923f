#!/usr/bin/env python3
"""Time from exec of `holt run IMAGE true` to its exit, beside QEMU microvm with the same kernel and initramfs and
Debian's virtiofsd doing the same job, alternately in one run.

    tests/perf/start.py --build build/release [--accel software|kvm] [--runs 10]

In the lab: tests/lab/run --build build/release -- python3 tests/perf/start.py --build build/release --accel kvm
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer  # noqa: E402


def timed(function):
    begin = time.monotonic()
    function()
    return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--accel", default="software", choices=["software", "kvm"])
    parser.add_argument("--network", default="none", choices=["none", "passt"])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--image", default=None, help="a rootfs tar; default: tests/images/build.sh demo")
    parser.add_argument("--json", default=None, help="write the figures here, too")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    image = options.image or peer.demo_image()

    with tempfile.TemporaryDirectory(prefix="holt-perf-") as work:
        rootfs = os.path.join(work, "rootfs")
        os.makedirs(rootfs)
        subprocess.run(["tar", "-xf", image, "-C", rootfs], check=True)
        initramfs = peer.with_peer_init(build, work)
        holt = [os.path.join(build, "bin/holt"), "--root", os.path.join(work, "run"), "--store", os.path.join(work, "store")]
        subprocess.run(holt + ["import", image, "perf"], check=True, stdout=subprocess.DEVNULL)
        run = holt + ["run", "--rm", "--network", options.network, "--accel", options.accel, "perf", "true"]

        def ours():
            subprocess.run(run, check=True, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

        def theirs():
            with peer.Peer(build, initramfs, rootfs, "kvm" if options.accel == "kvm" else "tcg") as machine:
                machine.wait()

        ours()
        theirs()
        figures = {"holt": [], "qemu-microvm+virtiofsd": []}
        for _ in range(options.runs):
            figures["holt"].append(timed(ours))
            figures["qemu-microvm+virtiofsd"].append(timed(theirs))

    medians = {name: statistics.median(values) for name, values in figures.items()}
    for name, values in figures.items():
        print(f"{name:24} median {medians[name]:6.3f} s   min {min(values):6.3f}   max {max(values):6.3f}   n {len(values)}")
    ratio = medians["holt"] / medians["qemu-microvm+virtiofsd"]
    print(f"ratio holt/peer          {ratio:6.3f}   (accel {options.accel}; below 1 is faster)")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"accel": options.accel, "seconds": figures, "ratio": ratio}, out, indent=1)


if __name__ == "__main__":
    main()
