"""What the emulated Pi is made of: Debian's arm64 packages, unpacked, and an initramfs with the gate in it.

    apt (a private configuration) -> debs/ -> linux/ (kernel, device tree), sysroot/ (C and C++ libraries, busybox)
    sysroot + the arm64 gate + models -> initrd

All of it lies in one cache folder; what is there is not fetched again. The machine's own apt and dpkg stay as they are.
"""

import os
import shutil
import subprocess
from pathlib import Path


class Trouble(Exception):
    """What happened, and what to do."""


def call(command, **options):
    """Runs a command quietly; its words are told when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Trouble(f"{command[0]} failed ({done.returncode}): {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def need_programs():
    """Says by name what must be installed."""
    wanted = {
        "qemu-system-aarch64": "qemu-system-arm",
        "qemu-aarch64-static": "qemu-user-static",
        "apt-get": "apt",
        "dpkg-deb": "dpkg",
    }
    missing = [package for program, package in wanted.items() if shutil.which(program) is None]
    if missing:
        raise Trouble(f"not installed: {', '.join(missing)}\n  what to do: apt install {' '.join(missing)}")


# ---------------------------------------------------------------------------------------------------- packages


LIBRARIES = ("busybox-static", "libc6", "libgcc-s1", "libstdc++6")


def apt_options(cache):
    """An apt that knows arm64 alone and keeps its lists in the cache; sources and keys are the machine's."""
    state = cache / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "state"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Dir::State": state / "state",
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def fetch_packages(cache):
    """Brings Debian's kernel and libraries into `cache`/linux and `cache`/sysroot, once."""
    linux, sysroot, debs = cache / "linux", cache / "sysroot", cache / "debs"
    if linux.is_dir() and sysroot.is_dir():
        return
    options = apt_options(cache)
    try:
        call(["apt-get", *options, "update"])
        depends = call(["apt-cache", *options, "depends", "linux-image-arm64"]).split()
        kernels = [word for word in depends if word.startswith("linux-image-") and word != "linux-image-arm64"]
        if not kernels:
            raise Trouble("linux-image-arm64 names no kernel: this machine's apt sources have no Debian for arm64")
        shutil.rmtree(debs, ignore_errors=True)
        debs.mkdir()
        call(["apt-get", *options, "download", kernels[0], *LIBRARIES], cwd=debs)
    except Trouble as trouble:
        raise Trouble(f"Debian's arm64 packages could not be fetched: {trouble}\n"
                      "  what to do: mend the network and run it again") from None
    for folder in (linux, sysroot):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(part := folder.with_suffix(".part"), ignore_errors=True)
        for deb in debs.iterdir():
            if deb.name.startswith("linux-image-") == (folder is linux):
                call(["dpkg-deb", "-x", deb, part])
        part.rename(folder)


def only(folder, pattern):
    """The one file below `folder` with that name."""
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        raise Trouble(f"{len(found)} files {pattern} in {folder}, one was expected: remove that folder and run it again")
    return found[0]


def kernel_and_tree(cache):
    """Paths of the kernel and of the Pi 3's device tree."""
    linux = cache / "linux"
    return only(linux, "vmlinuz-*"), only(linux, "bcm2837-rpi-3-b.dtb")


# ---------------------------------------------------------------------------------------------------- initramfs


INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
exec </dev/ttyS1 >/dev/ttyS1 2>&1
stty -echo
echo RIG-UP
# As a script, not as its input: no greeting, no prompt.
sh /dev/ttyS1
"""


def make_initramfs(cache, programs, files):
    """Writes `cache`/initrd: busybox, libraries, `programs` in /usr/bin, and `files` (guest path: host path or text)."""
    sysroot = cache / "sysroot"
    tree = {"/init": INIT}
    for library in ("ld-linux-aarch64.so.1", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"):
        tree[f"/lib/{library}"] = sysroot / "lib/aarch64-linux-gnu" / library
    tree["/lib/libgcc_s.so.1"] = only(sysroot, "libgcc_s.so.1")
    tree["/lib/libstdc++.so.6"] = only(sysroot, "libstdc++.so.6")
    tree["/bin/busybox"] = sysroot / "bin/busybox"
    tree |= {f"/usr/bin/{program.name}": program for program in programs} | files
    with open(cache / "initrd", "wb") as archive:
        for folder in ("/proc", "/sys", "/dev", "/tmp", "/var", "/var/lib"):
            write_entry(archive, folder, 0o040755, b"")
        made = {"/var", "/var/lib"}
        for path, content in tree.items():
            for parent in reversed(Path(path).parents[:-1]):
                if str(parent) not in made:
                    write_entry(archive, str(parent), 0o040755, b"")
                    made.add(str(parent))
            data = content.encode() if isinstance(content, str) else Path(content).read_bytes()
            write_entry(archive, path, 0o100755, data)
        write_entry(archive, "/TRAILER!!!", 0, b"")
    return cache / "initrd"


def write_entry(archive, path, mode, data):
    """One file in the "newc" form of cpio, which the kernel unpacks (Documentation/driver-api/early-userspace)."""
    name = os.fsencode(path.lstrip("/")) + b"\0"
    fields = (archive.tell(), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name, data):
        archive.write(part + b"\0" * (-len(part) % 4))
