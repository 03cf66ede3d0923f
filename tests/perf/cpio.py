"""The archive that kernels read as an initramfs (their buffer-format.rst): the lab's host has no cpio(1)."""


def newc(name, mode, content=b"", device=(0, 0)):
    """One entry; `mode` with the file's type, `device` the major and minor of a device node."""
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
    entry = b"070701" + b"".join(b"%08x" % field for field in fields) + path
    entry += b"\0" * (-len(entry) % 4) + content
    return entry + b"\0" * (-len(entry) % 4)


END = newc("TRAILER!!!", 0)
