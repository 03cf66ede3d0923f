#!/usr/bin/env bash
# demo.sh BUILD [-- ARGS...]: imports the demo image, once, and runs it with 'holt run'; ARGS replace what is run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(realpath "${1:?usage: demo.sh BUILD [-- ARGS...]}")
shift
[ "${1:-}" != -- ] || shift
readonly here build image=holt/demo

[ "$(id -u)" = 0 ] || { echo "demo: error: holt's image store belongs to root: run './dev demo' as root" >&2; exit 1; }
images=$("$here/build.sh" demo)
stamp=$images/demo.imported
if [ ! -e "$stamp" ] || ! "$build/bin/holt" inspect "$image" >/dev/null 2>&1; then
  echo "demo: importing the image as $image" >&2
  "$build/bin/holt" import "$images/demo.tar" "$image" >&2
  touch "$stamp"
fi

if [ $# -gt 0 ]; then exec "$build/bin/holt" run "$@"; fi
echo "this machine's kernel:  $(uname -r)"
echo "\$ holt run --rm $image uname -a"
guest=$("$build/bin/holt" run --rm "$image" uname -a)
echo "$guest"
[ "$(awk '{ print $3 }' <<<"$guest")" != "$(uname -r)" ] ||
  { echo "demo: error: the container reports this machine's kernel, not its own" >&2; exit 1; }
echo "the container's kernel: $(awk '{ print $3 }' <<<"$guest"), its own"
