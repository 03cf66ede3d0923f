#!/usr/bin/env python3
"""What tests/suite.py makes of programs that misbehave."""

import ctypes
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
import suite  # noqa: E402


class SuiteTest(unittest.TestCase):
    def setUp(self):
        ctypes.CDLL(None).prctl(suite.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def run_script(self, script, timeout=20, name="Suite"):
        """Runs a shell script in the place of a GoogleTest program; its arguments are GoogleTest's."""
        item = {"name": "program", "command": ["/bin/bash", "-c", script, "program"], "suite": name, "gtest": True}
        return suite.run_item(item, self.directory.name, timeout)

    REPORT = """
        report=${1#--gtest_output=xml:}
        echo '<testsuites><testsuite name="Suite">
        <testcase name="Good" status="run" result="completed" time="0.1" classname="Suite"/>
        <testcase name="Bad" status="run" result="completed" time="0.1" classname="Suite"><failure message="why"/></testcase>
        <testcase name="Not" status="run" result="skipped" time="0" classname="Suite">
        <skipped message="x.cc:1&#x0A;no fuse here"/></testcase>
        </testsuite></testsuites>' >"$report"
    """

    def test_reads_the_report(self):
        results = {r.name: (r.state, r.message) for r in self.run_script(self.REPORT)}
        self.assertEqual(results, {"program/Suite.Good": ("passed", ""), "program/Suite.Bad": ("failed", "why"),
                                   "program/Suite.Not": ("skipped", "no fuse here")})

    def test_a_process_left_behind_is_a_failure_and_is_ended(self):
        results = self.run_script(self.REPORT + "setsid sleep 4711 & disown; exit 0")
        left = [r for r in results if "left behind" in r.name]
        self.assertEqual(len(left), 1)
        self.assertIn("sleep 4711", left[0].message)
        self.assertEqual(suite.children(), [])

    def test_a_mount_left_behind_is_a_failure_and_is_ended(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        results = self.run_script(self.REPORT + 'mkdir "$TMPDIR/m"; mount -t tmpfs none "$TMPDIR/m"')
        left = [r for r in results if "left behind" in r.name]
        self.assertEqual(len(left), 1, results)
        self.assertIn("/m", left[0].message)
        point = left[0].message.split()[-1]
        self.assertNotEqual(subprocess.run(["mountpoint", "-q", point]).returncode, 0)

    def test_a_crash_fails_the_test_that_was_running(self):
        results = self.run_script("echo '[ RUN      ] Suite.A'; echo '[       OK ] Suite.A (0 ms)'; "
                                  "echo '[ RUN      ] Suite.B'; kill -SEGV $$")
        self.assertEqual([(r.name, r.state) for r in results],
                         [("program/Suite.A", "passed"), ("program/Suite.B", "failed")])
        self.assertIn("signal 11", results[1].message)

    def test_a_hang_is_ended(self):
        results = self.run_script("echo '[ RUN      ] Suite.A'; sleep 100", timeout=1)
        self.assertEqual([(r.state, r.message) for r in results], [("failed", "did not end within 1 s")])

    def test_a_program_that_says_nothing_is_a_failure(self):
        self.assertEqual([r.state for r in self.run_script("exit 0")], ["failed"])

    def test_an_exit_status_is_not_lost(self):
        passing = self.REPORT.replace('<failure message="why"/>', "")
        self.assertEqual([r.name for r in self.run_script(passing + "exit 3") if r.state == "failed"],
                         ["program/(exit)"])


if __name__ == "__main__":
    unittest.main()
