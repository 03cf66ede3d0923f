"""The peer of the start and memory benchmarks: QEMU microvm with holt's kernel and initramfs and Debian's virtiofsd."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

import cpio

VIRTIOFSD = "/usr/lib/qemu/virtiofsd"


def demo_image():
    """The demo image's root file system as a tar; made if it is not there yet."""
    if "HOLT_TEST_IMAGES" in os.environ:
        return os.path.join(os.environ["HOLT_TEST_IMAGES"], "demo.tar")
    build = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../images/build.sh")
    made = subprocess.run([build, "demo"], stdout=subprocess.PIPE, check=True)
    return os.path.join(made.stdout.decode().strip(), "demo.tar")


def with_peer_init(build, directory):
    """The guest's initramfs with the peer's init appended as a second archive; returns its path."""
    with open(os.path.join(build, "tests/bench/holt-perf-peer-init"), "rb") as init:
        extra = cpio.newc("peer-init", 0o100755, init.read()) + cpio.END
    path = os.path.join(directory, "initramfs.cpio")
    with open(path, "wb") as out, open(os.path.join(build, "share/holt/initramfs.cpio"), "rb") as base:
        content = base.read()
        out.write(content + b"\0" * (-len(content) % 512) + extra)
    return path


class Peer:
    """One virtual machine of the peer's. Use as a context manager; `wait()` returns when it powered off."""

    def __init__(self, build, initramfs, rootfs, accel, command="exec true", memory="1024M", cpus=1, idle=False,
                 daemon="virtiofsd", daemon_options=(), devices=(), prefix=()):
        self.directory = tempfile.mkdtemp(prefix="holt-peer-")
        sock = os.path.join(self.directory, "fs.sock")
        if daemon == "holt-fsd":
            serve = [os.path.join(build, "libexec/holt/holt-fsd"), "--socket-path", sock, "--shared-dir", rootfs]
        else:
            serve = [VIRTIOFSD, f"--socket-path={sock}", "-o", f"source={rootfs}", "-o", "cache=auto", "-o", "xattr",
                     "-o", "sandbox=namespace"]
        self.fsd = subprocess.Popen(serve + list(daemon_options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not os.path.exists(sock):
            if time.monotonic() > end or self.fsd.poll() is not None:
                raise RuntimeError(f"{daemon} did not start")
            time.sleep(0.001)
        append = 'console=hvc0 quiet panic=-1 reboot=t rdinit=/peer-init "PERF_COMMAND=%s"' % command
        if idle:
            append += " PERF_IDLE=1"
        if accel == "kvm":
            append += " tsc=reliable no_timer_check"
        machine = "microvm,acpi=off,rtc=on,pit=on,pic=on,isa-serial=off,memory-backend=mem"
        self.log = open(os.path.join(self.directory, "console"), "w+b")
        self.qemu = subprocess.Popen(
            [*prefix, "qemu-system-x86_64", "-M", machine, "-accel", accel if accel == "kvm" else "tcg,thread=multi",
             "-cpu", "host" if accel == "kvm" else "max,-la57", "-smp", str(cpus), "-m", memory,
             "-object", f"memory-backend-memfd,id=mem,size={memory},share=on", "-nodefaults", "-no-user-config",
             "-nographic", "-no-reboot", "-global", "virtio-mmio.force-legacy=false",
             "-kernel", os.path.join(build, "share/holt/vmlinux"), "-initrd", initramfs, "-append", append,
             "-chardev", "stdio,id=con", "-device", "virtio-serial-device", "-device", "virtconsole,chardev=con",
             "-chardev", f"socket,id=fs,path={sock}", "-device", "vhost-user-fs-device,chardev=fs,tag=holt,queue-size=1024",
             *devices],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def console(self):
        self.log.flush()
        with open(self.log.name, "rb") as log:
            return log.read().decode(errors="replace")

    def wait(self, timeout=60):
        self.qemu.wait(timeout)
        self.fsd.wait(timeout)
        if "peer: status 0" not in self.console():
            raise RuntimeError("the peer failed:\n" + self.console())

    def pids(self):
        return [self.qemu.pid, self.fsd.pid] + children(self.fsd.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.qemu, self.fsd):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        self.log.close()
        shutil.rmtree(self.directory)


def children(pid):
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as listing:
            for child in listing.read().split():
                found += [int(child)] + children(int(child))
    except OSError:
        pass
    return found
