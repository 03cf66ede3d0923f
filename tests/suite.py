#!/usr/bin/env python3
"""suite.py LAYER: runs the suites in $HOLT_TEST_ITEMS one after the other; the part of tests/run that works inside the lab.

Each suite is one process of its GoogleTest program. Its log and its results, as JSON, go to $HOLT_RESULTS. What a suite
leaves behind, a process or a mount, is ended and counted as a failed test of its own.
"""

import ctypes
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

PR_SET_CHILD_SUBREAPER = 36
SUITE_SECONDS = {"software": 900, "kvm": 1500, "trixie": 1500}


@dataclasses.dataclass
class Result:
    name: str  # PROGRAM/Suite.Test
    state: str  # passed, failed, skipped
    seconds: float
    message: str
    log: str


def stem(item):
    return item["name"] + ("." + item["suite"].replace("/", "_") if item["suite"] else "")


def list_suites(command):
    """[(suite, number of tests)] of a GoogleTest program."""
    done = subprocess.run(command + ["--gtest_list_tests"], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        sys.exit(f"error: {command[0]} --gtest_list_tests: {done.stderr or done.returncode}")
    suites = []
    for text in done.stdout.splitlines():
        if re.match(r"\S+\.( |$)", text):
            suites.append([text.split()[0][:-1], 0])
        elif text.startswith("  ") and suites and not text.strip().startswith("DISABLED_"):
            suites[-1][1] += 1
    return [(name, count) for name, count in suites if count]


def parse_report(item, report, log):
    results = []
    for case in xml.parse(report).getroot().iter("testcase"):
        name = f"{item['name']}/{case.get('classname')}.{case.get('name')}"
        state, message = "passed", ""
        failures, skips = case.findall("failure"), case.findall("skipped")
        if failures:
            state, message = "failed", failures[0].get("message", "")
        elif skips or case.get("result") == "skipped":
            state = "skipped"
            # "file:line\nreason"
            message = " ".join(skips[0].get("message", "").splitlines()[1:]).strip() if skips else ""
        elif case.get("status") == "notrun":
            continue
        results.append(Result(name, state, float(case.get("time", 0)), message, log))
    return results


def parse_log(item, log, why):
    """What a program that died said before: GoogleTest writes its report only at the end."""
    with open(log, errors="replace") as lines:
        text = lines.read()
    results, running = [], {}
    for kind, name in re.findall(r"^\[ *(RUN|OK|FAILED|SKIPPED) *\] (\S+?)(?:,|\s|$)", text, re.M):
        if kind == "RUN":
            running[name] = True
        elif running.pop(name, None):
            state = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}[kind]
            results.append(Result(f"{item['name']}/{name}", state, 0, "" if state == "passed" else "see the log", log))
    victims = list(running) or [item["suite"] or "(program)"]
    return results + [Result(f"{item['name']}/{name}", "failed", 0, why, log) for name in victims]


def run_item(item, results_dir, timeout, environment=None):
    """Runs one program, or one suite of it; returns its results."""
    base = os.path.join(results_dir, stem(item))
    log, report = base + ".log", base + ".xml"
    command = list(item["command"])
    if item["gtest"]:
        command.append("--gtest_output=xml:" + report)
        if item["suite"]:
            command.append(f"--gtest_filter={item['suite']}.*")
    start = time.monotonic()
    with open(log, "wb") as out, tempfile.TemporaryDirectory(prefix="holt-t.", dir="/var/tmp",
                                                             ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                   env=dict(environment or os.environ, TMPDIR=scratch), cwd=scratch)
        try:
            status = process.wait(timeout)
            why = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            why = f"did not end within {timeout} s"
        left = clean_up(scratch) if item["suite"] else []
    if not item["gtest"]:
        state = "passed" if status == 0 else "failed"
        return [Result(item["name"], state, time.monotonic() - start, "" if status == 0 else why, log)]
    results = []
    if os.path.exists(report):
        try:
            results = parse_report(item, report, log)
        except xml.ParseError:
            results = []
    if not results:
        results = parse_log(item, log, why)
    elif status != 0 and not any(r.state == "failed" for r in results):
        results.append(Result(f"{item['name']}/(exit)", "failed", 0, why, log))
    if left:
        results.append(Result(f"{item['name']}/{item['suite']}.(left behind)", "failed", 0, "; ".join(left), log))
        with open(log, "a") as out:
            out.write("left behind:\n" + "\n".join(left) + "\n")
    return results


def children():
    """Our living children: daemons of a suite end up with us, the subreaper."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            if int(fields[1]) == os.getpid() and fields[0] != "Z":
                with open(f"/proc/{entry}/cmdline") as cmdline:
                    found.append((int(entry), cmdline.read().replace("\0", " ").strip()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def clean_up(scratch):
    """Ends what a suite left; returns what it was."""
    deadline = time.monotonic() + 3  # what is on its way out may finish
    while True:
        reap()
        processes = children()
        if not processes or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    left = [f"process {pid}: {command[:160]}" for pid, command in processes]
    while processes:
        for pid, _ in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.1)
        reap()
        processes = children()
    with open("/proc/self/mounts") as mounts:
        points = [text.split()[1].encode().decode("unicode_escape") for text in mounts]
    for point in sorted((p for p in points if p.startswith(scratch + "/")), reverse=True):
        left.append(f"mount {point}")
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
    return left


def line(layer, item, results):
    """One line for people about a finished program or suite."""
    failed = [r for r in results if r.state == "failed"]
    skipped = sum(r.state == "skipped" for r in results)
    seconds = sum(r.seconds for r in results)
    text = f"{'FAIL' if failed else 'ok':4} {layer:9}{item['name']}{'/' + item['suite'] if item['suite'] else ''}"
    text += f" ({len(results)}{f', {skipped} skipped' if skipped else ''}, {seconds:.1f} s)"
    for result in failed:
        text += f"\n     {result.name}: {result.message.splitlines()[0] if result.message else ''}"
    return text


def main():
    layer = sys.argv[1]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    results_dir = os.environ["HOLT_RESULTS"]
    environment = {k: v for k, v in os.environ.items() if k != "HOLT_TEST_ITEMS"}
    failed = False
    for item in json.loads(os.environ["HOLT_TEST_ITEMS"]):
        own = os.path.join(results_dir, stem(item) + ".files")
        os.makedirs(own, exist_ok=True)
        environment["HOLT_RESULTS"] = own
        results = run_item(item, results_dir, SUITE_SECONDS[layer], environment)
        print(line(layer, item, results), flush=True)
        if not any(r.state == "failed" for r in results):
            shutil.rmtree(own, ignore_errors=True)
        failed = failed or any(r.state == "failed" for r in results)
        with open(os.path.join(results_dir, stem(item) + ".json"), "w") as out:
            json.dump([dataclasses.asdict(r) for r in results], out)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
