#!/usr/bin/env python3
"""holt's virtio-net beside QEMU's own: the same kernel, the same namespace, veth, tap and redirects, alternately.

    tests/perf/net.py --build build/release [--accel software|kvm] [--runs 3] [--mtu 1500]

Throughput: ratios above 1 mean that holt is faster; round trips: below 1.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer  # noqa: E402

HERE, THERE = f"holt-perf-here-{os.getpid()}", f"holt-perf-there-{os.getpid()}"
PORT = 7000


def sh(command, **more):
    return subprocess.run(command, shell=True, check=True, **more)


class Networks:
    """The container's namespace with eth0 (10.9.1.2), and what it is connected to (10.9.1.1), where the server runs."""

    def __init__(self, workload, mtu):
        self.workload, self.mtu, self.server = workload, mtu, None

    def __enter__(self):
        for name in (HERE, THERE):
            sh(f"ip netns add {name}")
        sh(f"ip -n {THERE} link add there type veth peer name eth0 netns {HERE}")
        sh(f"ip -n {THERE} address add 10.9.1.1/24 dev there && ip -n {THERE} link set there up mtu {self.mtu}")
        sh(f"ip -n {HERE} address add 10.9.1.2/24 dev eth0 && ip -n {HERE} link set eth0 up mtu {self.mtu}")
        self.server = subprocess.Popen(["ip", "netns", "exec", THERE, self.workload, "serve", str(PORT)],
                                       start_new_session=True)
        return self

    def __exit__(self, *_):
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait()
        for name in (HERE, THERE):
            sh(f"ip netns del {name}")

    def make_tap(self):
        """As shim/network does it, for the peer."""
        sh(f"ip -n {HERE} tuntap add tap0 mode tap vnet_hdr && ip -n {HERE} link set tap0 up mtu {self.mtu}")
        for one, other in (("eth0", "tap0"), ("tap0", "eth0")):
            sh(f"tc -n {HERE} qdisc add dev {one} clsact")
            sh(f"tc -n {HERE} filter add dev {one} ingress protocol all u32 match u32 0 0 "
               f"action mirred egress redirect dev {other}")

    def remove_tap(self):
        sh(f"ip -n {HERE} link del tap0 && tc -n {HERE} qdisc del dev eth0 clsact")


def figures_of(text):
    found = re.findall(r"^figure (\S+) (\S+) (\S+)", text.replace("\r", ""), re.M)
    if len(found) != 3:
        raise RuntimeError("no figures:\n" + text)
    return found


def run_holt(options, build, rootfs, work, run):
    bundle = os.path.join(work, "bundle")
    os.makedirs(bundle, exist_ok=True)
    config = {
        "ociVersion": "1.0.2",
        "process": {"args": ["sh", "-c", run], "cwd": "/", "env": ["PATH=/usr/bin:/bin"]},
        "root": {"path": rootfs},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")] +
                  [{"type": "network", "path": f"/run/netns/{HERE}"}]},
    }
    with open(os.path.join(bundle, "config.json"), "w") as out:
        json.dump(config, out)
    holt = [os.path.join(build, "bin/holt"), "--root", os.path.join(work, "root")]
    output = os.path.join(work, "output")
    with open(output, "wb") as out:
        subprocess.run(holt + ["create", "--accel", options.accel, "--bundle", bundle, "bench"], check=True, stdout=out,
                       stdin=subprocess.DEVNULL)
    try:
        subprocess.run(holt + ["start", "bench"], check=True)
        subprocess.run(holt + ["wait", "bench"], check=True, stdout=subprocess.DEVNULL, timeout=900)
    finally:
        subprocess.run(holt + ["delete", "--force", "bench"], check=True)
    with open(output) as text:
        return figures_of(text.read())


def run_peer(options, build, rootfs, networks, initramfs, run):
    networks.make_tap()
    try:
        accel = "kvm" if options.accel == "kvm" else "tcg"
        command = f"/holt-perf-net-workload setup eth0 10.9.1.2 {options.mtu} && {run}"
        devices = ["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no,vhost=off",
                   "-device", "virtio-net-device,netdev=net0"]
        with peer.Peer(build, initramfs, rootfs, accel, command=command, devices=devices,
                       prefix=["ip", "netns", "exec", HERE]) as machine:
            machine.wait(900)
            return figures_of(machine.console())
    finally:
        networks.remove_tap()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--accel", default="software", choices=["software", "kvm"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--mebibytes", type=int, default=64)
    parser.add_argument("--round-trips", type=int, default=500)
    parser.add_argument("--json", default=None, help="write the figures here, too")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    workload = os.path.join(build, "tests/bench/holt-perf-net-workload")

    figures, units = {"holt": {}, "qemu": {}}, {}
    with tempfile.TemporaryDirectory(prefix="holt-perf-", dir="/var/tmp") as work, Networks(workload, options.mtu) as networks:
        rootfs = os.path.join(work, "rootfs")
        os.makedirs(rootfs)
        subprocess.run(["tar", "-xf", peer.demo_image(), "-C", rootfs], check=True)
        shutil.copy(workload, rootfs)
        initramfs = peer.with_peer_init(build, work)
        run = f"/holt-perf-net-workload run 10.9.1.1 {PORT} {options.mebibytes} {options.round_trips}"
        for _ in range(options.runs):
            for name in figures:
                if name == "holt":
                    found = run_holt(options, build, rootfs, work, run)
                else:
                    found = run_peer(options, build, rootfs, networks, initramfs, run)
                for figure, value, unit in found:
                    figures[name].setdefault(figure, []).append(float(value))
                    units[figure] = unit

    print(f"{'':12} {'holt':>10} {'QEMU':>10}   holt/QEMU   (medians of {options.runs}, accel {options.accel}, MTU {options.mtu})")
    for figure, unit in units.items():
        ours, theirs = (statistics.median(figures[name][figure]) for name in ("holt", "qemu"))
        print(f"{figure:12} {ours:10.1f} {theirs:10.1f}   {ours / theirs:9.2f}   {unit}")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"accel": options.accel, "mtu": options.mtu, "units": units, "figures": figures}, out, indent=1)


if __name__ == "__main__":
    main()
