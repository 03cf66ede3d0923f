"""Can this machine's /dev/kvm run a stock guest at hardware speed?

A present /dev/kvm does not mean so: some hosts interpret guest kernel code at a few MIPS. The probe runs a guest of
ten bytes, a loop of a million turns. Hardware needs less than a millisecond for it, an interpreter most of a second.
"""

import ctypes
import fcntl
import mmap
import os
import signal
import struct
import time

KVM_CREATE_VM = 0xAE01
KVM_CREATE_VCPU = 0xAE41
KVM_GET_VCPU_MMAP_SIZE = 0xAE04
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_SET_TSS_ADDR = 0xAE47
KVM_RUN = 0xAE80
KVM_EXIT_HLT = 5

LIMIT_SECONDS = 0.1

# At the reset vector: mov ecx, 1000000; loop (32-bit counter) onto itself; hlt.
GUEST = bytes.fromhex("66b940420f00" "67e2fd" "f4")


def _run_guest():
    """Returns the seconds that the loop took, or raises OSError."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    vm = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    fcntl.ioctl(vm, KVM_SET_TSS_ADDR, 0x7FFBD000)
    memory = mmap.mmap(-1, 0x1000)
    memory[0xFF0 : 0xFF0 + len(GUEST)] = GUEST
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(vm, KVM_SET_USER_MEMORY_REGION, struct.pack("IIQQQ", 0, 0, 0xFFFFF000, 0x1000, address))
    vcpu = fcntl.ioctl(vm, KVM_CREATE_VCPU, 0)
    run = mmap.mmap(vcpu, fcntl.ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0))
    start = time.monotonic()
    fcntl.ioctl(vcpu, KVM_RUN, 0)
    took = time.monotonic() - start
    reason = struct.unpack_from("I", run, 8)[0]
    if reason != KVM_EXIT_HLT:
        raise OSError(0, f"the probe's guest ended with exit reason {reason}")
    return took


def probe():
    """Returns (usable, why)."""
    if not os.path.exists("/dev/kvm"):
        return False, "there is no /dev/kvm"
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # A guest that never comes back must not take us with it.
        signal.alarm(5)
        try:
            os.write(write_end, f"{_run_guest():.6f}".encode())
        except OSError as error:
            os.write(write_end, f"/dev/kvm: {error.strerror or error}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    try:
        took = float(answer)
    except ValueError:
        return False, answer or "the probe's guest did not finish in 5 s"
    if took > LIMIT_SECONDS:
        return False, f"/dev/kvm interprets guest code: a loop of a million turns took {took:.2f} s"
    return True, f"/dev/kvm runs guests (a loop of a million turns took {took * 1000:.2f} ms)"


if __name__ == "__main__":
    usable, why = probe()
    print(why)
    raise SystemExit(0 if usable else 1)
