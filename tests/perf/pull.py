#!/usr/bin/env python3
"""Pull and unpack by `holt pull` beside `skopeo copy` and `umoci unpack` of the same image from the same registry on
loopback (Debian's docker-registry), alternately in one run, each time into an empty store.

    tests/perf/pull.py --build build/release [--runs 5] [--image oci-archive:FILE | docker-archive:FILE]
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time


def images():
    if "HOLT_TEST_IMAGES" in os.environ:
        return os.environ["HOLT_TEST_IMAGES"]
    build = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../images/build.sh")
    return subprocess.run([build, "buildah"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Registry:
    """docker-registry on loopback. Use as a context manager."""

    def __init__(self, work):
        self.host = f"127.0.0.1:{free_port()}"
        self.config = os.path.join(work, "registry.yml")
        with open(self.config, "w") as out:
            out.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                      f"storage: {{filesystem: {{rootdirectory: {work}/registry}}}}\nhttp: {{addr: '{self.host}'}}\n")

    def __enter__(self):
        self.process = subprocess.Popen(["docker-registry", "serve", self.config], stderr=subprocess.DEVNULL)
        host, port = self.host.split(":")
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((host, int(port))).close()
                return self
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    self.__exit__()
                    raise RuntimeError("docker-registry did not start") from None
                time.sleep(0.05)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def timed(commands):
    os.sync()
    begin = time.monotonic()
    for command in commands:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--image", default=None, help="default: the image of tests/images/build.sh buildah")
    parser.add_argument("--json", default=None, help="write the figures here, too")
    options = parser.parse_args()
    holt = os.path.join(os.path.abspath(options.build), "bin/holt")
    source = options.image or f"oci-archive:{images()}/buildah.tar"
    copy = ["skopeo", "--insecure-policy", "copy", "-q"]

    with tempfile.TemporaryDirectory(prefix="holt-perf-") as work, Registry(work) as registry:
        name = f"{registry.host}/perf:1"
        subprocess.run(copy + ["--dest-tls-verify=false", source, f"docker://{name}"], check=True)
        store = os.path.join(work, "store")
        layout = os.path.join(work, "layout")
        bundle = os.path.join(work, "bundle")
        contenders = {
            "holt": [[holt, "--store", store, "pull", "-q", name]],
            "skopeo+umoci": [copy + ["--src-tls-verify=false", f"docker://{name}", f"oci:{layout}:1"],
                             ["umoci", "unpack", "--image", f"{layout}:1", bundle]],
        }
        figures = {who: [] for who in contenders}
        for run in range(options.runs + 1):
            for who, commands in contenders.items():
                seconds = timed(commands)
                if run > 0:  # the first fills the page cache
                    figures[who].append(seconds)
                for path in (store, layout, bundle):
                    shutil.rmtree(path, ignore_errors=True)

    medians = {who: statistics.median(values) for who, values in figures.items()}
    for who, values in figures.items():
        print(f"{who:14} median {medians[who]:6.3f} s   min {min(values):6.3f}   max {max(values):6.3f}   n {len(values)}")
    ratio = medians["holt"] / medians["skopeo+umoci"]
    print(f"ratio holt/peer {ratio:6.3f}   (below 1 is faster)")
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"seconds": figures, "ratio": ratio}, out, indent=1)


if __name__ == "__main__":
    main()
