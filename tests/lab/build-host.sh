#!/usr/bin/env bash
# build-host.sh [SUITE]: builds the root file system of the lab's test host from Debian's SUITE (bookworm), once, and
# prints the cache directory that holds it: root.img (ext4), vmlinuz (Debian's cloud kernel), stage1/ (busybox and the
# modules that mount root.img). What is in it: SUITE.packages.
#
# Cache: ${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/lab/<hash of suite, package list and this script>/
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here suite=${1:-bookworm}
readonly cache=${HOLT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/holt}/lab

say() { echo "lab: $*" >&2; }
die() { echo "lab: error: $*" >&2; exit 1; }

list=$here/$suite.packages
[ -r "$list" ] || die "no test host of Debian '$suite': there is no $list"
packages=$(sed 's/#.*//' "$list" | tr -s ' \n' ',' | sed 's/^,//; s/,$//')
hash=$({ echo "$suite $packages"; sha256sum <"${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-20)
final=$cache/$hash
if [ -e "$final/root.img" ]; then echo "$final"; exit 0; fi

[ "$(id -u)" = 0 ] || die "building the test host needs root"
for tool in mmdebstrap mke2fs cpio; do
  command -v "$tool" >/dev/null || die "'$tool' is missing: run './dev setup'"
done
mkdir -p "$cache"
exec 9>"$cache/$suite.lock"
flock 9
if [ -e "$final/root.img" ]; then echo "$final"; exit 0; fi

work=$cache/$suite.build
rm -rf --one-file-system "$work"
mkdir -p "$work/out/stage1/modules"
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM
root=$work/root log=$work/log

say "building the $suite test host's root with mmdebstrap: one to two minutes, once"
start=$SECONDS
sources=("$("$here/../debian/source.sh" "$suite")")
# For packages that name it (apt takes nothing else from it).
[[ $packages != */$suite-backports* ]] || sources+=("$("$here/../debian/source.sh" "$suite-backports")")
mmdebstrap --variant=apt --mode=root --architectures=amd64 --include="$packages" \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='chroot "$1" sh -eu' \
  "$suite" "$root" "${sources[@]}" 2>"$log" <<'HOOK' || { tail -n 20 "$log" >&2; die "mmdebstrap failed"; }
# The kernel is unpacked, not installed: its package would pull in the tools of an initramfs that we do not use.
cd /tmp
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
apt-get -q download "$kernel"
dpkg-deb -x "$kernel"_*.deb kernel
for modules in kernel/lib/modules kernel/usr/lib/modules; do
  [ ! -d "$modules" ] || cp -a "$modules" /lib/
done
cp -a kernel/boot/vmlinuz-* /boot/vmlinuz
depmod "$(ls /lib/modules)"
rm -rf /tmp/*
# Of systemd nothing starts but what the lab's own target asks for (guest/units), or what is asked of its sockets.
rm -rf /lib/systemd/system/*.wants /etc/systemd/system/* /lib/systemd/system-generators/*
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nAudit=no\n' >/etc/systemd/journald.conf.d/lab.conf
echo lab >/etc/hostname
echo 127.0.0.1 localhost lab >/etc/hosts
HOOK
say "$suite test host's root: $(du -sm "$root" | cut -f1) MB in $((SECONDS - start)) s"

# A fixed one: without it, this would be a first boot, at which everything that is installed is enabled.
echo 686f6c7400000000686f6c7400000000 >"$root/etc/machine-id"

# Stage 1: enough to mount the root disk.
cp "$root/boot/vmlinuz" "$work/out/vmlinuz"
cp "$root/bin/busybox" "$work/out/stage1/busybox"
version=$(ls "$root/lib/modules")
order=0
# modprobe prints the dependencies in the order in which they have to go in.
for module in virtio_pci virtio_blk crc32c_generic ext4; do
  chroot "$root" modprobe --show-depends -S "$version" "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
  order=$((order + 1))
  to=$work/out/stage1/modules/$(printf %02d "$order")-$(basename "$file" .xz)
  case $file in
    *.xz) xz -dc "$root$file" >"$to" ;; # the initrd's insmod takes them as they are
    *) cp "$root$file" "$to" ;;
  esac
done
[ -n "$(ls "$work/out/stage1/modules")" ] || die "no modules for the test host's initrd found in $version"

mke2fs -q -F -t ext4 -d "$root" -E lazy_itable_init=1,lazy_journal_init=1 -O ^metadata_csum -m 0 "$work/out/root.img" 12G >>"$log" ||
  die "mke2fs failed (disk full?)"
sync -f "$work/out"
mv -T "$work/out" "$final"
say "$suite test host ready in $((SECONDS - start)) s: $final"
echo "$final"
