#!/usr/bin/env bash
# Builds the guest kernel from Debian's linux-source-6.12 and the fragments beside this script.
#
#   build.sh [--install DIR] [--config-only]
#
# Prints the cache directory with vmlinux (PVH, stripped), bzImage, config and version as the last line of
# stdout; everything else goes to stderr. --install also puts vmlinux and bzImage into DIR. --config-only
# stops after the configuration is known to be what the fragments ask for, and prints nothing.
#
# Cache: ${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/kernel/<hash of source, compiler, fragments, script>/
# A build happens beside it and is renamed into place; a lock keeps two builds from doing the same work.
set -euo pipefail
export LC_ALL=C

readonly kSourcePackage=linux-source-6.12
readonly kSourceTar=/usr/src/$kSourcePackage.tar.xz
readonly kMaxVmlinux=$((20 * 1000 * 1000))
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly cache=${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/kernel

say() { echo "kernel: $*" >&2; }
die() { echo "kernel: error: $*" >&2; exit 1; }

install_dir='' config_only=''
while [ $# -gt 0 ]; do
  case $1 in
    --install) install_dir=${2:?--install needs a directory}; shift 2 ;;
    --config-only) config_only=1; shift ;;
    *) die "unknown argument '$1'" ;;
  esac
done

[ -r "$kSourceTar" ] || die "$kSourceTar is missing: run './dev setup', or 'apt-get install $kSourcePackage'"
for tool in gcc make flex bison bc xz zstd; do
  command -v "$tool" >/dev/null || die "'$tool' is missing: run './dev setup'"
done
source_version=$(dpkg-query -W -f '${Version}' "$kSourcePackage" 2>/dev/null) ||
  source_version=$(sha256sum "$kSourceTar" | cut -c1-16)

fragments=("$here"/*.config)

# A fragment's lines are `CONFIG_NAME=value  # reason`. Fails on a line without a reason and on a symbol named twice.
requests() {
  awk '
    /^[ \t]*(#|$)/ { next }
    !/^CONFIG_[A-Za-z0-9_]+=("[^"]*"|[^ \t"]+)[ \t]+# ./ {
      printf "kernel: error: %s:%d: want CONFIG_NAME=value  # reason\n", FILENAME, FNR > "/dev/stderr"; bad = 1; next
    }
    {
      line = $0; sub(/[ \t]+# .*/, "", line); name = line; sub(/=.*/, "", name)
      if (name in seen) { printf "kernel: error: %s:%d: %s is already in %s\n", FILENAME, FNR, name, seen[name] > "/dev/stderr"; bad = 1 }
      n = split(FILENAME, part, "/"); seen[name] = part[n]; print line "\t" part[n]
    }
    END { exit bad }' "${fragments[@]}"
}

requested=$(requests) || die "the fragments are not well-formed"

compiler=$(gcc --version | head -n 1)
hash=$({ echo "$source_version"; echo "$compiler"; echo "$requested"; sha256sum <"${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-20)
final=$cache/$hash

deliver() {
  if [ -n "$install_dir" ]; then
    mkdir -p "$install_dir"
    local f
    for f in vmlinux bzImage; do
      cmp -s "$final/$f" "$install_dir/$f" && continue
      cp "$final/$f" "$install_dir/.$f.$$"
      mv -f "$install_dir/.$f.$$" "$install_dir/$f"
    done
  fi
  echo "$final"
}

if [ -z "$config_only" ] && [ -e "$final/vmlinux" ]; then deliver; exit 0; fi

mkdir -p "$cache"
exec 9>"$cache/lock"
if ! flock -n 9; then
  say "another build holds $cache/lock; waiting for it"
  flock 9
fi
if [ -z "$config_only" ] && [ -e "$final/vmlinux" ]; then deliver; exit 0; fi

# One fixed place, so that ccache finds the objects of an earlier configuration again.
work=$cache/build
tree=$work/$kSourcePackage
log=$work/log
rm -rf "$work"
mkdir -p "$work"
cleanup() { rm -rf "$tree"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

say "unpacking $kSourcePackage $source_version"
tar -C "$work" --no-same-owner -xf "$kSourceTar" || die "cannot unpack $kSourceTar (disk full?)"

# The result must not depend on who builds it, where and when.
KBUILD_BUILD_TIMESTAMP=@$(stat -c %Y "$tree/Makefile")
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER=holt KBUILD_BUILD_HOST=holt KBUILD_BUILD_VERSION=1
cc=gcc
command -v ccache >/dev/null && cc='ccache gcc'
run_make() { nice -n 5 make -C "$tree" ARCH=x86_64 CC="$cc" HOSTCC="$cc" "$@" >>"$log" 2>&1; }

say "configuring from ${#fragments[@]} fragments"
cut -f1 <<<"$requested" >"$work/requested.config"
run_make KCONFIG_ALLCONFIG="$work/requested.config" allnoconfig || { tail -n 20 "$log" >&2; die "configuration failed"; }
run_make olddefconfig || { tail -n 20 "$log" >&2; die "configuration failed"; }

# Every symbol a fragment asks for must be there with that value: a missing dependency drops it without a word.
lost=0
while IFS=$'\t' read -r line fragment; do
  name=${line%%=*} want=${line#*=}
  got=$(sed -n "s/^$name=//p" "$tree/.config")
  [ "$want" = n ] && want=
  if [ "$got" != "$want" ]; then
    say "error: $fragment asks for $line, but the configuration has ${got:-n} (a dependency is missing, or something selects it)"
    lost=$((lost + 1))
  fi
done <<<"$requested"
[ "$lost" -eq 0 ] || die "$lost symbols did not survive olddefconfig"
say "$(grep -c '=' "$tree/.config") options set, all $(wc -l <<<"$requested") requested ones as asked for"
if [ -n "$config_only" ]; then cp "$tree/.config" "$work/config"; exit 0; fi

say "compiling with $(nproc) jobs: 7 to 10 minutes on two idle cores, once per configuration (log: $log)"
start=$SECONDS
run_make -j"$(nproc)" vmlinux bzImage &
make_pid=$!
trap 'kill "$make_pid" 2>/dev/null; exit 130' INT TERM
every=20
[ -t 2 ] && every=2
ticks=0
while kill -0 "$make_pid" 2>/dev/null; do
  sleep 1
  ticks=$((ticks + 1))
  if [ $((ticks % every)) -eq 0 ]; then
    text="kernel: $(grep -c '^  CC ' "$log" || true) files compiled in $((SECONDS - start)) s"
    if [ -t 2 ]; then printf '\r%s' "$text" >&2; else echo "$text" >&2; fi
  fi
done
[ -t 2 ] && echo >&2
wait "$make_pid" || { grep -E 'error|Error' "$log" | tail -n 10 >&2; die "the build failed; its log is $log"; }

out=$work/out
mkdir "$out"
strip -s -o "$out/vmlinux" "$tree/vmlinux"
cp "$tree/arch/x86/boot/bzImage" "$out/bzImage"
cp "$tree/.config" "$out/config"
run_make -s kernelrelease || true
cat "$tree/include/config/kernel.release" >"$out/version"
size=$(stat -c %s "$out/vmlinux")
[ "$size" -le "$kMaxVmlinux" ] || die "vmlinux is $size bytes stripped; the limit is $kMaxVmlinux"
readelf -n "$out/vmlinux" 2>/dev/null | grep -q Xen || die "vmlinux has no PVH note"
sync -f "$out"
mv -T "$out" "$final"
say "$(cat "$final/version"): vmlinux $((size / 1000)) kB, bzImage $(($(stat -c %s "$final/bzImage") / 1000)) kB, built in $((SECONDS - start)) s"
deliver
