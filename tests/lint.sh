#!/usr/bin/env bash
# lint.sh BUILD: formatting, clang-tidy, shellcheck and the layers; every complaint is an error.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
build=${1:?usage: lint.sh BUILD}
failed=0
step() { # NAME COMMAND...
  echo "lint: $1" >&2
  shift
  "$@" || failed=1
}

mapfile -t sources < <(git ls-files '*.cc' '*.h')
mapfile -t units < <(git ls-files '*.cc' | while read -r unit; do
  grep -q "\"file\": \"$PWD/$unit\"" "$build/compile_commands.json" && echo "$unit"
done)
mapfile -t scripts < <(git ls-files | while read -r file; do
  [ -f "$file" ] && head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*\b(bash|sh)$' && echo "$file"
done)
step clang-format clang-format-16 --dry-run --Werror "${sources[@]}"
step shellcheck shellcheck -S warning -x "${scripts[@]}"
step layers ctest --test-dir "$build" -R '^layers_test$' --output-on-failure --no-tests=error
step clang-tidy run-clang-tidy-16 -quiet -p "$build" -j "$(nproc)" "${units[@]}"
[ "$failed" = 0 ] && echo "lint: nothing to complain of" >&2
exit "$failed"
