#!/usr/bin/env python3
"""PSS of all host processes of one idle container, and of its guest's memory, beside the peer of start.py.

    tests/perf/memory.py --build build/release [--accel software|kvm]

The guest's memory is a shared mapping (memfd): its pages count as "guest", all the rest as "host".
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer  # noqa: E402


def pss(pid):
    """(host, guest) PSS of a process in KiB."""
    host = guest = 0
    in_guest = False
    try:
        with open(f"/proc/{pid}/smaps") as smaps:
            for line in smaps:
                head = line.split(None, 1)[0]
                if "-" in head and not head.endswith(":"):
                    in_guest = "/memfd:" in line
                elif line.startswith("Pss:"):
                    kib = int(line.split()[1])
                    if in_guest:
                        guest += kib
                    else:
                        host += kib
    except OSError:
        pass
    return host, guest


def report(name, pids):
    total_host = total_guest = 0
    print(name)
    for pid in pids:
        host, guest = pss(pid)
        total_host += host
        total_guest += guest
        with open(f"/proc/{pid}/comm") as comm:
            print(f"  {comm.read().strip():18} host {host / 1024:7.1f} MiB   guest memory {guest / 1024:7.1f} MiB")
    print(f"  {'together':18} host {total_host / 1024:7.1f} MiB   guest memory {total_guest / 1024:7.1f} MiB")
    return total_host


def pids_with(marker):
    """Processes whose environment or arguments name our private root, found by the directory they were started for."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                if marker.encode() in cmdline.read():
                    found.append(int(entry))
        except OSError:
            pass
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--accel", default="software", choices=["software", "kvm"])
    parser.add_argument("--image", default=None)
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
        before = set(pids_with(""))
        subprocess.run(holt + ["run", "-d", "--network", "none", "--name", "idle", "--accel", options.accel, "perf", "sleep", "600"],
                       check=True, stdout=subprocess.DEVNULL)
        time.sleep(3)
        monitors = pids_with(os.path.join(work, "run"))
        ours = sorted(set(sum([[pid] + peer.children(pid) for pid in monitors], [])) - before)
        host = report("holt", ours)
        subprocess.run(holt + ["rm", "-f", "idle"], check=True, stdout=subprocess.DEVNULL)
        with peer.Peer(build, initramfs, rootfs, "kvm" if options.accel == "kvm" else "tcg", idle=True) as machine:
            end = time.monotonic() + 60
            while "peer: status" not in machine.console() and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(3)
            theirs = report("qemu-microvm+virtiofsd", machine.pids())
        print(f"ratio of host memory, holt/peer: {host / theirs:.3f}")


if __name__ == "__main__":
    main()
