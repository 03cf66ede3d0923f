#!/usr/bin/env python3
"""Time from exec of the VMM to the first line that the guest's /init prints, and to the VMM's exit: holt-vmm beside QEMU
microvm with the same kernel, initramfs, processors and memory, alternately in one run on the same KVM.

    tests/lab/run --build build/release -- python3 tests/perf/boot.py --build build/release

The initramfs is the one of the end-to-end tests: /init prints a line and powers off.
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
import cpio  # noqa: E402

MARK = b"guest: off"


def make_initramfs(build, directory):
    with open(os.path.join(build, "tests/e2e/vmm_guest"), "rb") as source:
        init = source.read()
    path = os.path.join(directory, "initramfs")
    with open(path, "wb") as out:
        out.write(cpio.newc("dev", 0o040755) + cpio.newc("dev/console", 0o020600, device=(5, 1)) +
                  cpio.newc("init", 0o100755, init) + cpio.END)
    return path


def timed(command):
    """(seconds to the mark, seconds to the exit)"""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, marked = b"", None
    while chunk := os.read(process.stdout.fileno(), 65536):
        output += chunk
        if marked is None and MARK in output:
            marked = time.monotonic() - begin
    errors = process.stderr.read()
    if process.wait() != 0 or marked is None:
        sys.exit(f"{command[0]} failed with {process.returncode}:\n{output.decode(errors='replace')}{errors.decode()}")
    return marked, time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--json", default=None, help="write the figures here, too")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    kernel = os.path.join(build, "share/holt/vmlinux")

    with tempfile.TemporaryDirectory(prefix="holt-perf-") as work:
        os.chmod(work, 0o755)
        initramfs = make_initramfs(build, work)
        ours = [os.path.join(build, "tests/bench/holt-perf-vmm-boot"), os.path.join(build, "libexec/holt/holt-vmm"), kernel,
                initramfs, str(options.cpus), str(options.memory), "act=off"]
        # acpi=on: it must be able to power off, as ours does. What else makes it quick is as its documentation says.
        theirs = ["qemu-system-x86_64", "-M", "microvm,acpi=on,rtc=on,pit=on,pic=on,isa-serial=off,pcie=off,usb=off,"
                  "x-option-roms=off,memory-backend=mem", "-accel", "kvm", "-cpu", "host", "-smp", str(options.cpus),
                  "-m", f"{options.memory}M", "-object", f"memory-backend-memfd,id=mem,size={options.memory}M,share=on",
                  "-nodefaults", "-no-user-config", "-nographic", "-no-reboot",
                  "-global", "virtio-mmio.force-legacy=false", "-kernel", kernel, "-initrd", initramfs,
                  "-append", "console=hvc0 quiet panic=-1 random.trust_cpu=on random.trust_bootloader=on "
                  "rcupdate.rcu_expedited=1 cryptomgr.notests no_timer_check tsc=reliable act=off",
                  "-chardev", "stdio,id=con", "-device", "virtio-serial-device", "-device", "virtconsole,chardev=con",
                  "-device", "virtio-rng-device"]
        figures = {"holt-vmm": [], "qemu-microvm": []}
        timed(ours), timed(theirs)  # the page cache's turn
        for _ in range(options.runs):
            figures["holt-vmm"].append(timed(ours))
            figures["qemu-microvm"].append(timed(theirs))

    ratios = {}
    for index, what in enumerate(("to /init", "to exit")):
        medians = {}
        for name, values in figures.items():
            column = [value[index] for value in values]
            medians[name] = statistics.median(column)
            print(f"{name:14} {what:9} median {medians[name]:6.3f} s   min {min(column):6.3f}   max {max(column):6.3f}   "
                  f"n {len(column)}")
        ratios[what] = medians["holt-vmm"] / medians["qemu-microvm"]
        print(f"ratio          {what:9} {ratios[what]:6.3f}   (below 1: holt-vmm is faster)")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"seconds": figures, "ratios": ratios}, out, indent=1)


if __name__ == "__main__":
    main()
