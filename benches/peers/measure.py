"""What is measured: ours beside the others, in turn, round by round, so that a slow moment hits all alike."""

import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import dlib
import faiss
import faces
import frames
import search
from machine import ROOT, Trouble, describe

DAEMON = ROOT / "target/release/gate-daemon"
ONE_FACE = 130 / 640  # of the frame's width: where people stop
CROWD_FACE = 80 / 640  # six of them side by side
DETECT_MAX_PX = 640  # what the gate is set up with
ENCODERS = ("sface", "sface-int8")  # the same weights, in 32 bits and in 8


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    frames: int
    probes_again: int
    searches: tuple
    faces: tuple
    sizes: tuple


FULL = Effort(
    rounds=5,
    frames=40,
    probes_again=6,
    searches=((1_000, 128), (10_000, 128), (100_000, 128), (1_000_000, 128), (100_000, 512)),
    faces=(1, 2, 4, 6),
    sizes=((320, 240), (640, 480), (1280, 720), (1920, 1080)),
)
QUICK = Effort(
    rounds=1,
    frames=10,
    probes_again=2,
    searches=((1_000, 128), (10_000, 128), (100_000, 128)),
    faces=(1, 4),
    sizes=((320, 240), (1280, 720)),
)


class Progress:
    """One line that is written over in a terminal, plain lines elsewhere."""

    def __init__(self, total):
        self.total, self.number, self.live = total, 0, sys.stderr.isatty()

    def begin(self, title):
        self.number += 1
        self.head = f"[{self.number}/{self.total}] {title}"
        if not self.live:
            print(self.head, file=sys.stderr, flush=True)

    def at(self, text):
        if self.live:
            print(f"\r\x1b[K{self.head}: {text}", end="", file=sys.stderr, flush=True)

    def end(self):
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def in_turn(progress, rounds, sides):
    """What each side tells of each round."""
    told = {name: [] for name in sides}
    for number in range(rounds):
        for name, side in sides.items():
            progress.at(f"round {number + 1} of {rounds}, {name}")
            told[name].append(side())
    return told


def figure(rounds_ms):
    return {"median_ms": round(statistics.median(rounds_ms), 5), "rounds_ms": [round(ms, 5) for ms in rounds_ms]}


def stage(reports, name, key="p50_ms"):
    """One figure of the gate's stages, round by round; of any frame that shows a face where none was compared."""
    stages = [report["stages"] for report in reports]
    return figure([(found.get(name) or found["occupied"])[key] for found in stages])


def frame(effort, progress, folder):
    """Detect, align and encode one face, and nothing else; ours with both encoders."""
    progress.begin("a frame, equal work")
    shown = frames.save(frames.standing(1, frames.SIZE, ONE_FACE), folder / "frame")[frames.STANDING[0] :]
    colours = [cv2.cvtColor(view, cv2.COLOR_BGR2RGB) for view in shown]
    gate, int8 = (faces.Gate(DAEMON, folder / "frame", DETECT_MAX_PX, encoder) for encoder in ENCODERS)
    opencv, dlibs = faces.OpenCV(frames.SIZE), faces.Dlib()
    if not all(opencv.detect(view) for view in shown) or not all(dlibs.nearest(view) for view in colours):
        raise Trouble("a peer finds no face in a frame that shows one: the comparison would be unfair")
    told = in_turn(
        progress,
        effort.rounds,
        {
            "ours": lambda: gate.only_encodes(effort.frames),
            "ours_int8": lambda: int8.only_encodes(effort.frames),
            "opencv": faces.median(opencv.nearest, shown, effort.frames),
            "dlib": faces.median(dlibs.nearest, colours, effort.frames),
        },
    )
    ours, ours_int8 = told.pop("ours"), told.pop("ours_int8")
    return {
        "ours": stage(ours, "frame"),
        "ours_networks": stage(ours, "networks"),
        "ours_int8": stage(ours_int8, "frame"),
        "ours_int8_networks": stage(ours_int8, "networks"),
        **{name: figure(rounds_ms) for name, rounds_ms in told.items()},
    }


def visit(effort, progress, folder):
    """Somebody walks up and is let in: the whole gate, with both encoders, beside OpenCV, which detects and encodes in every frame."""
    progress.begin("a visit, all checks")
    shown = frames.save(frames.walk_up(), folder / "visit")
    gate, int8 = (faces.Gate(DAEMON, folder / "visit", DETECT_MAX_PX, encoder) for encoder in ENCODERS)
    opencv, count = faces.OpenCV(frames.SIZE), len(shown)
    with_face = [bool(opencv.detect(view)) for view in shown]
    told = in_turn(
        progress,
        effort.rounds,
        {
            "gate": lambda: gate.all_checks(count),
            "int8": lambda: int8.all_checks(count),
            "opencv": lambda: faces.timed(opencv.nearest, shown, count, warm_up=0),
        },
    )
    encoded = [[ms for ms, face in zip(times, with_face) if face] for times in told["opencv"]]
    return {
        "frames": len(shown),
        "gate_per_frame": stage(told["gate"], "frame", "mean_ms"),
        "gate_compared_frame": stage(told["gate"], "compared"),
        "int8_per_frame": stage(told["int8"], "frame", "mean_ms"),
        "int8_compared_frame": stage(told["int8"], "compared"),
        "opencv_per_frame": figure([statistics.mean(times) for times in told["opencv"]]),
        "opencv_encoded_frame": figure([statistics.median(times) for times in encoded]),
        "frames_with_face": sum(with_face),
        "frames_compared": [report["stages"].get("encode", {"count": 0})["count"] for report in told["gate"]],
        "opened": [report["to_relay_from"].get("exposure", {"count": 0})["count"] for report in told["gate"]],
    }


def crowd(effort, progress, folder):
    """How it grows with the faces in view."""
    rows = []
    for count in effort.faces:
        progress.begin(f"{count} faces in view")
        name = f"faces-{count}"
        shown = frames.save(frames.standing(count, frames.SIZE, CROWD_FACE), folder / name)[frames.STANDING[0] :]
        gate, opencv = faces.Gate(DAEMON, folder / name, DETECT_MAX_PX), faces.OpenCV(frames.SIZE)
        found = statistics.median(len(opencv.detect(view)) for view in shown)
        if found != count:
            raise Trouble(f"OpenCV finds {found} faces where {count} are shown: the comparison would be unfair")
        told = in_turn(
            progress,
            effort.rounds,
            {
                "ours": lambda gate=gate: gate.equal_work(effort.frames),
                "gate": lambda gate=gate: gate.all_checks(2 * effort.frames),
                "opencv": faces.median(opencv.nearest, shown, effort.frames),
                "opencv_everyone": faces.median(opencv.everyone, shown, effort.frames),
            },
        )
        gate_ms = stage(told.pop("gate"), "compared")
        rows.append({"faces": count, "gate": gate_ms} | {name: figure(rounds_ms) for name, rounds_ms in told.items()})
    return rows


def resolution(effort, progress, folder):
    """How it grows with the frame. `_640`: shrunk to that before detection, as the gate is set up."""
    rows = []
    for size in effort.sizes:
        progress.begin(f"frames of {size[0]}x{size[1]}")
        name = f"size-{size[0]}"
        shown = frames.save(frames.standing(1, size, ONE_FACE), folder / name)[frames.STANDING[0] :]
        gate, opencv = faces.Gate(DAEMON, folder / name, max(size)), faces.OpenCV(size)
        sides = {
            "ours": lambda gate=gate: gate.equal_work(effort.frames),
            "opencv": faces.median(opencv.nearest, shown, effort.frames),
        }
        if max(size) > DETECT_MAX_PX:
            (folder / f"{name}-640").symlink_to(folder / name)
            gate, opencv = faces.Gate(DAEMON, folder / f"{name}-640", DETECT_MAX_PX), faces.OpenCV(size, DETECT_MAX_PX)
            sides["ours_640"] = lambda gate=gate: gate.equal_work(effort.frames)
            sides["opencv_640"] = faces.median(opencv.nearest, shown, effort.frames)
        told = {name: figure(rounds_ms) for name, rounds_ms in in_turn(progress, effort.rounds, sides).items()}
        told = {"ours_640": told["ours"], "opencv_640": told["opencv"]} | told
        rows.append({"width_px": size[0], "height_px": size[1]} | told)
    return rows


def searches(effort, progress, folder):
    """How it grows with the people."""
    progress.begin("building our search")
    ours, rows = search.build(), []
    for count, dim in effort.searches:
        progress.begin(f"search among {count:,} people, {dim} numbers each")
        progress.at("making up people")
        again = effort.probes_again * max(1, min(20, 100_000 // count))
        with search.Search(count, dim, folder, ours, again) as side:
            told = in_turn(progress, effort.rounds, side.sides())
            wrong = side.disagreements()
            if wrong:
                raise Trouble(
                    f"not the same nearest person as numpy's, among {count:,} x {dim}, for so many probes: {wrong}"
                )
            row = {"people": count, "dim": dim, "bytes": side.references.nbytes, "same_answers": search.PROBES}
            row |= {name: figure(rounds_ms) for name, rounds_ms in told.items()}
            rows.append(row | {"told_by_ours": side.told})
    return rows


def everything(quick):
    """All figures, as one value."""
    if not DAEMON.is_file():
        raise Trouble(f"{DAEMON.relative_to(ROOT)} is missing: make build")
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    effort = QUICK if quick else FULL
    told = {"quick": quick, "rounds": effort.rounds, "machine": describe()}
    told["machine"]["dlib_avx"] = bool(getattr(dlib, "USE_AVX_INSTRUCTIONS", False))
    progress = Progress(3 + len(effort.searches) + len(effort.faces) + len(effort.sizes))
    # Frames and vectors go into a folder that vanishes, whatever happens.
    scratch = ROOT / "target/bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="peers-", dir=scratch) as name:
        folder = Path(name)
        told["frame"] = frame(effort, progress, folder)
        told["visit"] = visit(effort, progress, folder)
        told["faces"] = crowd(effort, progress, folder)
        told["resolution"] = resolution(effort, progress, folder)
        told["search"] = searches(effort, progress, folder)
    progress.end()
    return told
