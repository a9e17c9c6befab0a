"""The machine, and the pinned packages in target/tools."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
SITE = ROOT / "target/tools" / f"peers-{sys.implementation.cache_tag}"
PACKAGES = ("numpy", "opencv-python-headless", "dlib-bin", "faiss-cpu", "usearch")
# What decides how fast such code runs, as Linux names it on x86-64 and on ARM.
FLAGS = (
    *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
# One thread each; and a numpy that takes the kernels it finds best for this processor.
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "RAYON_NUM_THREADS")
OWN_CHOICE = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Load average from which a machine is not idle.
BUSY = 0.5


class Trouble(Exception):
    """Something the person at the keyboard must know: what, and what to do."""


def install():
    """Brings the pinned packages into target/tools, once; at once, or not at all."""
    stamp = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    mark = SITE / "requirements.sha256"
    if mark.is_file() and mark.read_text() == stamp:
        return
    print(f"installing the peers into {SITE.relative_to(ROOT)} (about 110 MB, once)", file=sys.stderr, flush=True)
    part = SITE.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--root-user-action", "ignore"]
    try:
        done = subprocess.run(
            [*command, "--target", part, "--requirement", REQUIREMENTS], capture_output=True, text=True
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["pip said nothing"]
            raise Trouble(
                f"the peers could not be installed: {lines[-1]}\n"
                "  what to do: `apt install python3-pip` if pip is missing; mend the network; there are wheels for\n"
                "  Linux on x86-64 and aarch64, for Python 3.11 to 3.14"
            )
        (part / mark.name).write_text(stamp)
        shutil.rmtree(SITE, ignore_errors=True)
        os.replace(part, SITE)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def fetch_weights():
    """dlib's networks, pinned in models/assets.toml like all others."""
    if subprocess.run([sys.executable, ROOT / "scripts/fetch.py", "--kind", "model,sample,peer"]).returncode != 0:
        raise Trouble("weights or sample pictures are missing: see above")


def environment():
    """Ours and theirs run in this."""
    kept = {name: value for name, value in os.environ.items() if name not in OWN_CHOICE}
    own = {"PYTHONPATH": str(SITE), "PYTHONDONTWRITEBYTECODE": "1", "OPENCV_LOG_LEVEL": "ERROR"}
    return kept | dict.fromkeys(ONE_THREAD, "1") | own


def describe():
    """What the figures hold for."""
    told = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        told.setdefault(name.strip(), value.strip())
    found = set((told.get("flags") or told.get("Features") or "").split())
    with open("/proc/meminfo") as file:
        memory_kb = int(file.readline().split()[1])
    return {
        "cpu": told.get("model name") or told.get("Model") or platform.processor() or "unknown",
        "arch": platform.machine(),
        "flags": [flag for flag in FLAGS if flag in found],
        "cores": os.cpu_count(),
        "memory_gb": round(memory_kb / 1e6, 1),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {"Python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }
