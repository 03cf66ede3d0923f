#!/usr/bin/env bash
# fuzz.sh [SECONDS]: builds the fuzzers (preset fuzz) and runs each for SECONDS, starting from its corpus. What it finds new
# stays in build/fuzz/corpus; a crash ends the run and names the input.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-30}
[ -e build/fuzz/build.ninja ] || cmake --preset fuzz
cmake --build build/fuzz
shopt -s nullglob
fuzzers=(build/fuzz/tests/fuzz/*)
[ ${#fuzzers[@]} -gt 0 ] || { echo "fuzz: error: no fuzzers were built" >&2; exit 1; }
for fuzzer in "${fuzzers[@]}"; do
  name=$(basename "$fuzzer")
  found=build/fuzz/corpus/$name
  seeds=()
  [ ! -d "tests/corpus/${name%_fuzz}" ] || seeds=("tests/corpus/${name%_fuzz}")
  mkdir -p "$found"
  echo "fuzz: $name for $seconds s"
  "$fuzzer" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/$name-" \
    "$found" ${seeds[@]+"${seeds[@]}"}
done
