#!/usr/bin/env bash
# by_others.sh TOOL DIRECTORY OUT: makes the archive OUT with another project's tool from the root file systems demo.tar and
# debian.tar in DIRECTORY:
#   buildah  OCI archive, several layers on debian.tar: files that replace others, whiteouts, an opaque directory, a package to install
#   podman   what `podman save` writes (docker-archive), made by `podman import`
#   umoci    OCI layout in a tar, two layers made by `umoci repack`
set -euo pipefail
tool=$1 from=$(realpath "$2") out=$(realpath -m "$3")
work=$(mktemp -d)
export TMPDIR=$work
trap 'rm -rf "$work"' EXIT
storage=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)

with_buildah() {
  b() { buildah "${storage[@]}" "$@"; }
  local c m
  mkdir -p "$work/greet/DEBIAN" "$work/greet/usr/bin"
  printf 'Package: greet\nVersion: 1.0\nArchitecture: all\nDepends: dash\nMaintainer: nobody <nobody@example.org>\nDescription: greets\n' \
    >"$work/greet/DEBIAN/control"
  printf '#!/bin/sh\nadduser --system --group --quiet --no-create-home greeter 2>/dev/null || useradd -r greeter\n' >"$work/greet/DEBIAN/postinst"
  printf '#!/bin/sh\necho greetings\n' >"$work/greet/usr/bin/greet"
  chmod 755 "$work/greet/DEBIAN/postinst" "$work/greet/usr/bin/greet"
  dpkg-deb --root-owner-group --build "$work/greet" "$work/greet.deb" >/dev/null
  c=$(b from scratch)
  b add "$c" "$from/debian.tar" / >/dev/null
  b config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd bash "$c"
  b commit --rm "$c" layers:base >/dev/null
  c=$(b from layers:base)
  m=$(b mount "$c")
  mkdir -p "$m/srv/gone" "$m/srv/opaque/below" "$m/srv/kept"
  echo below >"$m/srv/opaque/old"
  echo below >"$m/srv/gone/file"
  echo below >"$m/srv/replaced"
  mkdir "$m/srv/becomes-file"
  ln "$m/srv/replaced" "$m/srv/kept/hard-link"
  b umount "$c" >/dev/null
  b commit --rm "$c" layers:middle >/dev/null
  c=$(b from layers:middle)
  m=$(b mount "$c")
  rm -r "$m/srv/gone" "$m/srv/opaque" "$m/srv/becomes-file" "$m/etc/debian_version"
  mkdir "$m/srv/opaque"
  echo above >"$m/srv/opaque/new"
  rm "$m/srv/replaced"
  echo above >"$m/srv/replaced"
  echo file >"$m/srv/becomes-file"
  cp "$work/greet.deb" "$m/srv/greet.deb"
  b umount "$c" >/dev/null
  b config --workingdir /srv --user 1000:1000 --env GREETING=hello --entrypoint '["/usr/bin/env"]' --cmd true \
    --label holt.test=layers --stop-signal SIGINT "$c"
  b commit --rm "$c" layers:1 >/dev/null
  b push -q layers:1 "oci-archive:$out:layers:1"
}

with_podman() {
  p() { podman "${storage[@]}" --cgroup-manager cgroupfs "$@"; }
  p import -q --change 'CMD ["/bin/sh", "-c", "echo from podman"]' --change 'ENV MADE_BY=podman' \
    "$from/demo.tar" localhost/made-by/podman:1 >/dev/null
  p save -q --format docker-archive -o "$out" localhost/made-by/podman:1
}

with_umoci() {
  local layout=$work/layout
  umoci init --layout "$layout"
  umoci new --image "$layout:base"
  umoci unpack --image "$layout:base" "$work/bundle" >/dev/null
  tar -xf "$from/demo.tar" -C "$work/bundle/rootfs"
  umoci repack --image "$layout:base" "$work/bundle" >/dev/null
  rm -r "$work/bundle"
  umoci unpack --image "$layout:base" "$work/bundle" >/dev/null
  rm "$work/bundle/rootfs/etc/issue"
  echo umoci >"$work/bundle/rootfs/etc/made-by"
  umoci repack --image "$layout:1" "$work/bundle" >/dev/null
  umoci config --image "$layout:1" --config.cmd cat --config.cmd /etc/made-by
  umoci rm --image "$layout:base"
  umoci gc --layout "$layout" >/dev/null
  tar -cf "$out" -C "$layout" .
}

"with_$tool"
