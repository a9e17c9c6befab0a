#!/usr/bin/env python3
"""The gate on a Raspberry Pi 3 that is emulated: `make rig-pi` (builds first), or python3 tests/rig/pi/rig_pi.py

    this program ── serial line ──> shell ── gate-daemon (arm64) ── rppal ── /dev/mem ──> GPIO registers
          └──────── QEMU's monitor: GPFSEL1, GPLEV0 ────────────────────────────────────────────┘

What is claimed is seen from outside, in the registers of the emulated BCM2837, never asked of the gate. Times of the pin
are by the Pi's clock, which counts instructions (machine.py): a busy machine here changes nothing there. At last one picture is encoded by the arm64 program (under qemu-user) and by this machine's, and the two are compared.
"""

import json
import platform
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

from machine import Pi, Pin
from rootfs import Trouble, call, fetch_packages, kernel_and_tree, make_initramfs, need_programs

ROOT = Path(__file__).resolve().parents[3]
CACHE = ROOT / "target" / "rig-pi"
ARM64 = ROOT / "target" / "aarch64-unknown-linux-gnu"
MODELS = ROOT / "models"
SAMPLES = MODELS / "cache" / "samples"
LINE = 17
PULSE_MAX_MS = 4000
# What waking the thread and a slow processor may add to a pulse.
SLACK_MS = 100
LOCK_WITHIN_S = 1.0
ENCODING_WITHIN = 1e-3
CONFIG = "/etc/face-gate/gate.toml"
STARTED = time.monotonic()


def config(active):
    """The gate's configuration on the Pi."""
    return f"""
[camera]
source = "replay:/pictures"
[relay]
driver = "rppal"
line = {LINE}
active = "{active}"
pulse_max_ms = {PULSE_MAX_MS}
[store]
key_file = "/etc/face-gate/site.key"
"""


def stop_path():
    """The command by which the unit locks the gate after its process has ended, as the unit has it."""
    unit = (ROOT / "systemd" / "gate-daemon.service").read_text()
    found = re.search(r"^ExecStopPost=(.*relay lock.*)$", unit, re.MULTILINE)
    if found is None:
        raise Trouble("systemd/gate-daemon.service has no ExecStopPost= that locks the relay: the door could stay open")
    return found.group(1)


class Check:
    """One claim: prints one line with what was measured and how long it took."""

    def __init__(self, what):
        self.what = what
        self.start = time.monotonic()

    def holds(self, measured):
        print(f"ok    {self.what}: {measured}  [{time.monotonic() - self.start:.1f} s]", flush=True)

    def expect(self, true, measured):
        if not true:
            raise Trouble(f"{self.what}: {measured}")


# ---------------------------------------------------------------------------------------------------- on the Pi


def boot():
    """The emulated Pi with the gate installed as the package does it."""
    programs = [ARM64 / "release" / name for name in ("gate-daemon", "enroll-tool")]
    files = {
        CONFIG: config("high"),
        "/etc/face-gate/low.toml": config("low"),
        "/usr/lib/face-gate/libonnxruntime.so": ARM64 / "runtime" / "libonnxruntime.so",
        "/pictures/1.jpg": SAMPLES / "obama.jpg",
    }
    for path in [*MODELS.glob("*.toml"), *MODELS.glob("*.onnx"), *(MODELS / "cache").glob("*.onnx")]:
        if path.name != "assets.toml":
            files[f"/usr/share/face-gate/{path.relative_to(ROOT)}"] = path
    absent = [path for path in [*programs, *files.values()] if isinstance(path, Path) and not path.is_file()]
    if absent:
        raise Trouble(f"not built or fetched: {absent[0]}\n  what to do: make setup, scripts/build-for.sh arm64")
    check = Check("boot")
    initrd = make_initramfs(CACHE, programs, files)
    pi = Pi(*kernel_and_tree(CACHE), initrd, CACHE, LINE)
    pi.run(f"date -s @{int(time.time())}")
    check.holds(f"{pi.run('uname -rm')}, {initrd.stat().st_size / 1e6:.0f} MB of initramfs")
    return pi


def check_board(pi):
    check = Check("gate-daemon check")
    pi.run(f"enroll-tool --config {CONFIG} init")
    pi.send(f"gate-daemon check --config {CONFIG} --json 2>/tmp/check.err")
    _, text = pi.answer(300)
    found = {row["what"]: row.get("found") or "FAIL " + row["error"] for row in json.loads(text)["checks"]}
    check.expect("Raspberry Pi 3" in found["board"], f"the board is not told as a Raspberry Pi 3: {text}")
    check.expect(json.loads(text)["ok"], f"not all is well: {text}")
    check.holds(f"board {found['board']}; relay {found['relay'].split(',')[0]}; all is well")


def on(active):
    """The pin while the relay is energised."""
    return Pin(driven=True, high=active == "high")


def off(active):
    """The pin while the gate is locked: driven so, since a pin that is let go follows its pull, which locks one polarity."""
    return Pin(driven=True, high=active != "high")


def settings(active):
    return CONFIG if active == "high" else "/etc/face-gate/low.toml"


def check_pulse(pi, asked_ms, active):
    """The pin goes on for as long as asked, or for the configured maximum, and off again."""
    due_ms = min(asked_ms, PULSE_MAX_MS)
    check = Check(f"pulse of {asked_ms} ms, active {active}" + (f", maximum {PULSE_MAX_MS}" if due_ms < asked_ms else ""))
    energised = on(active)
    pi.run(f"gate-daemon relay lock --config {settings(active)}")
    check.expect(pi.pin() == off(active), f"`relay lock` left the pin {pi.pin()}")
    # Seen from outside, the clock of an idle processor jumps from timer to timer: this makes it tick while we look.
    pi.run("(while usleep 20000; do :; done) & echo $! >/tmp/ticker")
    pi.send(f"gate-daemon relay pulse --ms {asked_ms} --config {settings(active)}; code=$?; kill $(cat /tmp/ticker); (exit $code)")
    rise, coarse_rise = pi.watch(lambda pin: pin == energised, 30)
    fall, coarse_fall = pi.watch(lambda pin: pin != energised, 30)
    code, text = pi.answer()
    check.expect(code == 0, f"gate-daemon ended with {code}: {text}")
    check.expect(pi.pin() == off(active), f"the pulse left the pin {pi.pin()}")
    length_ms, coarse_ms = (fall - rise) * 1e3, max(coarse_rise, coarse_fall) * 1e3
    check.expect(coarse_ms < due_ms / 2, f"the pin was seen only every {coarse_ms:.0f} ms: this machine is too busy")
    check.expect(
        due_ms - coarse_ms <= length_ms <= due_ms + coarse_ms + SLACK_MS,
        f"the pin was {energised} for {length_ms:.0f} ms, {due_ms} were due",
    )
    check.holds(f"{energised} for {length_ms:.0f} ms (±{coarse_ms:.0f} ms), then {pi.pin()}")


def check_kill(pi, active):
    """A process killed in its pulse leaves the relay on; the unit's stop path locks it."""
    check = Check(f"kill -9 in a pulse, active {active}")
    energised = on(active)
    pi.run(f"gate-daemon relay lock --config {settings(active)}")
    pi.run(f"gate-daemon relay pulse --ms {PULSE_MAX_MS} --config {settings(active)} >/tmp/pulse.log 2>&1 & echo $! >/tmp/pid")
    rise, _ = pi.watch(lambda pin: pin == energised, 30)
    pi.run("kill -9 $(cat /tmp/pid); wait 2>/dev/null; ! kill -0 $(cat /tmp/pid) 2>/dev/null")
    killed = pi.clock_s()
    check.expect(killed - rise < PULSE_MAX_MS / 1e3, "the pulse was over before its process could be killed")
    # Beyond the end that the pulse would have had.
    while (now := pi.clock_s()) < rise + PULSE_MAX_MS / 1e3 + 1.0:
        check.expect(pi.pin() == energised, f"the pin fell back by itself, which this board does not: it is {pi.pin()}")
    command = stop_path().replace(CONFIG, settings(active))
    sent, sent_here = pi.clock_s(), time.monotonic()
    pi.send(command)
    locked, _ = pi.watch(lambda pin: pin != energised, 30)
    locked_here = time.monotonic()
    code, text = pi.answer()
    pin = pi.pin()
    check.expect(code == 0, f"`{command}` ended with {code}: {text}")
    check.expect(pin == off(active), f"the stop path left the pin {pin}")
    check.expect(locked - sent <= LOCK_WITHIN_S, f"locked only {locked - sent:.2f} s after the stop path was called")
    check.holds(
        f"STAYS {energised} by itself, seen for {now - killed:.1f} s; `{command}` locks it in {(locked - sent) * 1e3:.0f} ms"
        f" ({(locked_here - sent_here) * 1e3:.0f} ms here), pin {pin}"
    )


# ---------------------------------------------------------------------------------------------------- encodings


def faces(path):
    """What gate-lab keeps of each picture (gate-lab/src/cache.rs): {picture: (box, landmarks; unit vector)}, in pixels."""
    data = path.read_bytes()
    magic = b"gate-lab faces 2\n"
    if not data.startswith(magic):
        raise Trouble(f"{path} is of another form than this program knows: bring `faces` and gate-lab/src/cache.rs together")
    dim, count = struct.unpack_from("<II", data, len(magic) + 32)
    at, found = len(magic) + 40, {}
    for _ in range(count):
        length = struct.unpack_from("<I", data, at)[0]
        name = data[at + 4 : at + 4 + length].decode()
        at += 4 + length + 16
        if data[at] != 0:
            raise Trouble(f"no face was found on {name}")
        # x y w h, score, five landmarks, seven of the quality, length, vector
        numbers = struct.unpack_from(f"<{4 + 1 + 10 + 7 + 1 + dim}f", data, at + 1)
        at += 1 + 4 * len(numbers)
        found[Path(name).name] = (numbers[:4] + numbers[5:15], numbers[23:])
    return found


def encode(command, runtime, name):
    """Encodings of the sample people by one program."""
    folder = CACHE / name
    shutil.rmtree(folder, ignore_errors=True)
    people = folder / "people"
    for picture in ("obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png"):
        person = people / re.sub(r"\d?\..*", "", picture)
        person.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / picture, person)
    settings = folder / "gate.toml"
    settings.write_text(f'[vision]\nmodels = "{MODELS}"\nruntime = "{runtime}"\n')
    start = time.monotonic()
    call([*command, "--config", settings, "evaluate", "--people", people, "--out", folder], timeout=600)
    return faces(folder / "faces-sface.cache"), time.monotonic() - start


def check_encodings():
    check = Check("same encodings on arm64 and x86-64")
    lab = next((path for path in (ROOT / "target/release/gate-lab", ROOT / "target/x86_64-unknown-linux-gnu/release/gate-lab")
                if path.is_file()), None)
    check.expect(lab is not None, "this machine's own gate-lab is not built: make lab")
    here, here_s = encode([lab], MODELS / "cache/runtime/libonnxruntime.so", "x86-64")
    # The processor of the Pi 4; without a name, one with every extension that there is.
    emulator = ["qemu-aarch64-static", "-cpu", "cortex-a72", "-L", CACHE / "sysroot"]
    there, there_s = encode([*emulator, ARM64 / "release/gate-lab"], ARM64 / "runtime/libonnxruntime.so", "arm64")
    check.expect(here.keys() == there.keys() and here, f"not the same pictures: {sorted(here)}, {sorted(there)}")
    largest = max(abs(a - b) for name in here for a, b in zip(here[name][1], there[name][1], strict=True))
    moved_px = max(abs(a - b) for name in here for a, b in zip(here[name][0], there[name][0], strict=True))
    d2 = max(sum((a - b) ** 2 for a, b in zip(here[name][1], there[name][1])) for name in here)
    said = f"largest difference of a component {largest:.1e}, of d2 {d2:.1e}, of box and landmarks {moved_px:.1e} px"
    check.expect(largest <= ENCODING_WITHIN, f"{said}; {ENCODING_WITHIN} is allowed")
    check.holds(f"{len(here)} pictures, {said} (picture to encoding; {here_s:.1f} s here, {there_s:.1f} s emulated)")


def main():
    if platform.machine() not in ("x86_64", "amd64"):
        raise Trouble("this rig compares arm64 with x86-64 and runs on x86-64 only")
    need_programs()
    CACHE.mkdir(parents=True, exist_ok=True)
    fetch_packages(CACHE)
    with boot() as pi:
        check_board(pi)
        for active in ("low", "high"):
            check_pulse(pi, 500, active)
            check_pulse(pi, 2000, active)
            check_kill(pi, active)
        check_pulse(pi, 3_600_000, "high")
    check_encodings()
    print(f"rig-pi: all holds, {time.monotonic() - STARTED:.0f} s in all")


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"FAIL  {trouble}\nrig-pi: failed (what the Pi said, if it was up: target/rig-pi/console.log)")
    except subprocess.TimeoutExpired as late:
        sys.exit(f"FAIL  {late.cmd[0]} took more than {late.timeout} s")
    except KeyboardInterrupt:
        sys.exit("rig-pi: interrupted")
