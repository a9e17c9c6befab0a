#!/usr/bin/env python3
"""The start, the memory and the idling of the whole gate, among 1,000, 10,000 and 100,000 made-up people.

    make bench-start                              or, after `make build`:
    python3 benches/start.py

Takes two minutes, on an otherwise idle machine. The gate looks at pictures of an empty, noisy wall, 15 a second.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("Python %d.%d is too old: this needs Python 3.11 or newer" % sys.version_info[:2])

import json
import os
import random
import re
import statistics
import struct
import subprocess
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target/release"
PEOPLE = (1_000, 10_000, 100_000)
STARTS = 3
FPS = 15
WALL_FRAMES = 45
# Long enough for a change to be noticed and loaded.
WINDOW_S = 3
TICKS_S = os.sysconf("SC_CLK_TCK")
CONFIG = f"""
[camera]
source = "replay:../wall"
replay_fps = {FPS}.0
replay_loop = true
[relay]
driver = "simulated"
[store]
dir = "store"
key_file = "site.key"
[vision]
models = "{ROOT / 'models'}"
"""


class Trouble(Exception):
    """Something the person at the keyboard must know: what, and what to do."""


class Running:
    """The daemon, stopped at the end."""

    def __init__(self, site):
        self.log = open(site / "log", "w")
        command = [PROGRAMS / "gate-daemon", "run", "--config", site / "gate.toml"]
        self.process = subprocess.Popen(command, cwd=site, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def ready_ms(self):
        """What the gate says it took, from its first instruction to the first frame."""
        for _ in range(600):
            text = Path(self.log.name).read_text()
            if told := re.search(r"ready.*after_ms=(\d+)", re.sub(r"\x1b\[\d*m", "", text)):
                return int(told[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise Trouble(f"the gate did not get ready; it said:\n{text}")

    def memory_mb(self, name):
        """A line of /proc/PID/status, such as VmHWM, the most there ever was."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1000

    def processor_s(self, seconds):
        """What of these seconds it computed."""
        before = self._ticks()
        time.sleep(seconds)
        return (self._ticks() - before) / TICKS_S

    def _ticks(self):
        # The name, in brackets, may hold anything; user and system time are the 12th and 13th after it.
        after = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(after[11]) + int(after[12])


def wall(folder):
    """Pictures of a grey wall by a camera with noise of a few grey levels."""
    folder.mkdir()
    greys = bytes(118 + (byte & 3) for byte in range(256))
    pixels = bytearray(640 * 480 * 3)
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + len(pixels), 0, 54, 40, 640, 480, 1, 24, 0, 0, 0, 0, 0, 0)
    for number in range(WALL_FRAMES):
        pixels[0::3] = pixels[1::3] = pixels[2::3] = random.randbytes(640 * 480).translate(greys)
        (folder / f"{number:03}.bmp").write_bytes(header + pixels)


def told(command):
    """What it prints."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()}")
    return done.stdout


def measured(site, people):
    """A row of the table."""
    (site / "gate.toml").write_text(CONFIG)
    card = tomllib.loads((ROOT / "models/sface.toml").read_text())
    crowd = ["cargo", "run", "--quiet", "--release", "-p", "gate-store", "--example", "crowd", "--"]
    told([*crowd, site, str(people), card["sha256"], str(card["encoding"]["dim"])])
    ready, *others = zip(*(started(site, people) for _ in range(STARTS)))
    peak_mb, change_mb, change_s = map(statistics.median, others)
    return f"{people:9,}  {min(ready):5} to {max(ready):3}  {peak_mb:9.0f}  {change_mb:9.1f}  {change_s:9.2f}"


def started(site, people):
    """Once: ms until ready, the most MB until then and a while later; MB and seconds that suspending somebody takes."""
    with Running(site) as gate:
        ready_ms = gate.ready_ms()
        time.sleep(WINDOW_S)
        peak_mb, without_s = gate.memory_mb("VmHWM"), gate.processor_s(WINDOW_S)
        before_mb = gate.memory_mb("VmRSS")
        try:
            Path(f"/proc/{gate.process.pid}/clear_refs").write_text("5")  # the most starts anew
        except PermissionError:
            raise Trouble("the gate's memory is root's to look into: sudo make bench-start") from None
        change(site, "suspend", people)
        with_s = gate.processor_s(WINDOW_S)
        change_mb = gate.memory_mb("VmHWM") - before_mb
        change(site, "resume", people)
    return ready_ms, peak_mb, change_mb, with_s - without_s


def change(site, what, people):
    """Of the one in the middle."""
    told([PROGRAMS / "enroll-tool", "--config", site / "gate.toml", what, f"p{people // 2}"])


def idle(site):
    """What share of a core the wall takes. Without reading its pictures, which cost more than a camera's frames."""
    command = [PROGRAMS / "gate-daemon", "bench", "--config", site / "gate.toml", "--replay", site.parent / "wall"]
    report = json.loads(told([*command, "--frames", "900", "--json"]))
    return report["stages"]["frame"]["mean_ms"] * FPS / 1000


def main():
    if not (PROGRAMS / "enroll-tool").is_file():
        raise Trouble("the programs are missing: run `make build` first")
    print("   people   ready, ms  memory, MB  change, MB  change, s of a processor")
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        wall(Path(name) / "wall")
        for people in PEOPLE:
            site = Path(name) / str(people)
            site.mkdir()
            print(measured(site, people), flush=True)
        share = 100 * idle(site)
    print(f"idle: at {FPS} frames a second, without taking them from a camera: {share:.2f} % of a core")
    print("three starts. ready: least and most, from the first instruction to the first frame; memory: the most until 3 s later;")
    print("change: what suspending one person takes more, for the moment, and of a processor, in the middle start")


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"bench-start: {trouble}")
    except KeyboardInterrupt:
        sys.exit("\nbench-start: interrupted; nothing of it is left")
