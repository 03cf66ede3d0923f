#!/usr/bin/env python3
"""holt-fsd beside Debian's virtiofsd: the same guest (QEMU microvm, holt's kernel), the same workload, alternately.

    tests/perf/fs.py --build build/release [--accel software|kvm] [--runs 3] [--holt-options "--cache always"]

Ratios above 1: holt-fsd is faster.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--accel", default="software", choices=["software", "kvm"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mebibytes", type=int, default=128)
    parser.add_argument("--random-reads", type=int, default=8192)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--holt-options", default="", help="more options for holt-fsd")
    parser.add_argument("--virtiofsd-options", default="", help="more options for virtiofsd")
    parser.add_argument("--json", default=None, help="write the figures here, too")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    image = peer.demo_image()

    daemons = {"holt-fsd": options.holt_options.split(), "virtiofsd": options.virtiofsd_options.split()}
    figures = {name: {} for name in daemons}
    units = {}
    with tempfile.TemporaryDirectory(prefix="holt-perf-") as work:
        rootfs = os.path.join(work, "rootfs")
        os.makedirs(rootfs)
        subprocess.run(["tar", "-xf", image, "-C", rootfs], check=True)
        shutil.copy(os.path.join(build, "tests/bench/holt-perf-fs-workload"), rootfs)
        initramfs = peer.with_peer_init(build, work)
        command = f"exec /holt-perf-fs-workload /bench {options.mebibytes} {options.random_reads} {options.files}"
        for round_number in range(options.runs + 1):  # the first one warms up
            for name, more in daemons.items():
                accel = "kvm" if options.accel == "kvm" else "tcg"
                with peer.Peer(build, initramfs, rootfs, accel, command=command, daemon=name, daemon_options=more) as machine:
                    machine.wait(600)
                    found = re.findall(r"^figure (\S+) (\S+) (\S+)", machine.console().replace("\r", ""), re.M)
                if round_number == 0:
                    continue
                for figure, value, unit in found:
                    figures[name].setdefault(figure, []).append(float(value))
                    units[figure] = unit

    print(f"{'':18} {'holt-fsd':>12} {'virtiofsd':>12}   ratio   (medians of {options.runs}, accel {options.accel})")
    for figure, unit in units.items():
        ours, theirs = (statistics.median(figures[name][figure]) for name in ("holt-fsd", "virtiofsd"))
        print(f"{figure:18} {ours:12.1f} {theirs:12.1f}   {ours / theirs:5.2f}   {unit}")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"accel": options.accel, "units": units, "figures": figures}, out, indent=1)


if __name__ == "__main__":
    main()
