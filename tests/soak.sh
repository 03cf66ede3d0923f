#!/usr/bin/env bash
# soak.sh BUILD [RUNS]: with each back end, RUNS (200) runs of the demo image in a row, then eight at once, RUNS times create,
# start and delete, RUNS execs in one machine, and 50 containers of Podman's at once; after every one no process, mount, cgroup or
# file of it may be left, and what goes on may not grow. Too long for every test run, where a few turns of each are made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$(realpath "${1:?usage: soak.sh BUILD [RUNS]}")
runs=${2:-200}
images=$(tests/images/build.sh)
tests="cd '$build/tests/e2e' && ./crash_test --gtest_filter=CrashTest.ManyRunsInARowLeaveNothing && ./run_test --gtest_filter=RunTest.EightAtOnce && ./soak_test && HOLT_TEST_CONTAINERS=50 ./podman_test --gtest_filter=*ManyAtOnce"

echo "soak: $runs runs in software"
HOLT_TEST_RUNS=$runs HOLT_TEST_ACCEL=software HOLT_BUILD_DIR=$build HOLT_TEST_IMAGES=$images bash -c "$tests"
echo "soak: $runs runs under KVM"
tests/lab/run --build "$build" --images "$images" --timeout 7200 --env HOLT_TEST_RUNS="$runs" -- bash -c "$tests"
