#!/usr/bin/env python3
"""`podman run --rm --network none IMAGE true` with holt, crun and runsc (gVisor), alternately in one run: time from exec to
exit, and the memory of a container that sleeps.

    tests/perf/engines.py --build build/release [--accel software|kvm] [--runs 10] [--runsc FILE]

After that, where the time goes: the same with each call of the runtime stamped (by a shell, which costs a little).

A runtime that is not installed is left out, and said so. Memory is the PSS of conmon and of every process below it (Podman has
no daemon); what is in a memfd, a guest's memory with holt and a container's with runsc, is told apart.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import memory  # noqa: E402
import peer  # noqa: E402


# Podman's own would be more than the benchmark may have on a machine without CAP_SYS_RESOURCE.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")


class Podman:
    """A Podman with a store of its own, and the runtimes to compare."""

    def __init__(self, work, build, accel, runsc):
        self.work = work
        self.runtimes = {"holt": os.path.join(work, "holt")}
        self.script("holt", f'HOLT_ACCEL={accel} exec {build}/bin/holt --root {work}/holt-root "$@"')
        if shutil.which("crun"):
            self.runtimes["crun"] = shutil.which("crun")
        if runsc:
            self.runtimes["runsc"] = os.path.join(work, "runsc")
            # Podman calls it with flags of runc's before the command; its own come first.
            self.script("runsc", f'exec {runsc} --root {work}/runsc-root --ignore-cgroups --network=none "$@"')
        for runtime, path in list(self.runtimes.items()):
            self.runtimes[f"{runtime}-stamped"] = os.path.join(work, f"{runtime}-stamped")
            self.stamped_script(f"{runtime}-stamped", path)
        with open(os.path.join(work, "policy.json"), "w") as policy:
            policy.write('{"default":[{"type":"insecureAcceptAnything"}]}')

    def script(self, name, line):
        path = os.path.join(self.work, name)
        with open(path, "w") as script:
            script.write(f"#!/bin/sh\n{line}\n")
        os.chmod(path, 0o755)

    def stamped_script(self, name, runtime):
        """Writes the verb, and when it began and ended, into the file `stamps`; the first word that is a verb is it."""
        self.script(name, f"""begin=$(date +%s.%N)
for word in "$@"; do
  case $word in create | start | state | kill | delete) verb=$word; break;; esac
done
{runtime} "$@"
status=$?
echo "${{verb:-other}} $begin $(date +%s.%N)" >>{self.work}/stamps
exit $status""")

    def steps(self, runtime):
        """[(step, seconds)] of one `run true`, in order, together all of it: each verb, and what is not the runtime's."""
        stamps = os.path.join(self.work, "stamps")
        open(stamps, "w").close()
        now = time.time()
        self.run_true(f"{runtime}-stamped")
        ended = time.time()
        with open(stamps) as lines:
            calls = sorted((float(begin), float(end), verb) for verb, begin, end in map(str.split, lines))
        steps, last = [], "begins"
        for begin, end, verb in calls:
            steps += [(f"{last} to {verb}", begin - now), (verb, end - begin)]
            now, last = end, verb
        return steps + [(f"{last} to the end", ended - now)]

    def words(self, runtime, *args):
        return ["podman", f"--root={self.work}/root", f"--runroot={self.work}/run", f"--tmpdir={self.work}/tmp",
                "--storage-driver=overlay", "--cgroup-manager=cgroupfs", "--events-backend=none",
                f"--runtime={self.runtimes[runtime]}", *args]

    def call(self, runtime, *args):
        done = subprocess.run(self.words(runtime, *args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"error: podman {' '.join(args)} with {runtime}: {done.stderr.strip()}")
        return done.stdout.strip()

    def run_true(self, runtime):
        begin = time.monotonic()
        self.call(runtime, "run", "--rm", "--network=none", *LIMITS, "demo", "true")
        return time.monotonic() - begin

    def memory(self, runtime):
        """(private to the host, in memfds) of a container that sleeps, in MiB."""
        container = self.call(runtime, "run", "--detach", "--network=none", *LIMITS, "demo", "sleep", "1000")
        try:
            time.sleep(2)
            conmon = int(self.call(runtime, "inspect", "--format", "{{.State.ConmonPid}}", container))
            sizes = [memory.pss(pid) for pid in [conmon] + descendants(conmon)]
            return tuple(sum(size[part] for size in sizes) / 1024 for part in (0, 1))
        finally:
            self.call(runtime, "rm", "--force", "--time=0", container)


def descendants(root):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parents[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
            except OSError:
                pass
    found = [root]
    for pid in found:  # grows as it goes
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--accel", default="software", choices=["software", "kvm"])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--runsc", default=shutil.which("runsc"), help="gVisor's program (the one in PATH)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="holt-perf-") as work:
        podman = Podman(work, os.path.abspath(options.build), options.accel, options.runsc)
        runtimes = [name for name in ("holt", "crun", "runsc") if name in podman.runtimes]
        for missing in {"holt", "crun", "runsc"} - set(runtimes):
            print(f"{missing}: not installed, left out")
        podman.call("holt", "import", peer.demo_image(), "demo")
        try:
            for runtime in runtimes:
                podman.run_true(runtime)
            seconds = {runtime: [] for runtime in runtimes}
            for _ in range(options.runs):
                for runtime in runtimes:
                    seconds[runtime].append(podman.run_true(runtime))
            sizes = {runtime: podman.memory(runtime) for runtime in runtimes}
            steps = {runtime: [podman.steps(runtime) for _ in range(options.runs)] for runtime in runtimes}
        finally:
            podman.call("holt", "rm", "--all", "--force", "--time=0")
            podman.call("holt", "rmi", "--all", "--force")

    ours = statistics.median(seconds["holt"])
    ours_memory = sum(sizes["holt"])
    print(f"{'':8}{'median':>8}{'min':>8}{'max':>8}  {'holt/it':>8}   {'host':>8}{'memfd':>8}  {'holt/it':>8}")
    for runtime, values in seconds.items():
        median = statistics.median(values)
        host, memfd = sizes[runtime]
        print(f"{runtime:8}{median:8.3f}{min(values):8.3f}{max(values):8.3f}  {ours / median:8.2f}   "
              f"{host:8.1f}{memfd:8.1f}  {ours_memory / (host + memfd):8.2f}")
    print(f"seconds, n {options.runs}; MiB of one that sleeps (accel {options.accel})")
    for runtime in runtimes:
        print(f"\n{runtime}, where the time goes:")
        order = [name for name, _ in steps[runtime][0]]
        for name in order:
            print(f"  {statistics.median(dict(run).get(name, 0) for run in steps[runtime]):8.3f}  {name}")


if __name__ == "__main__":
    main()
