#!/usr/bin/env python3
"""Beside OpenCV: one 640x480 frame, detect + align + encode, one thread, the same weights, the same picture.

    make build && python3 benches/peer_opencv.py

Needs the PyPI packages opencv-python-headless and numpy. Both sides are measured in turn, several rounds in one run,
so that a machine whose speed drifts is fair to both; the ratio is that of the medians. Ours is `gate-daemon bench`:
the whole frame, with quality, search among 1,000 people, and decision on top of what OpenCV does.
"""
import json
import pathlib
import statistics
import subprocess
import sys
import time

try:
    import cv2
except ImportError:
    sys.exit("OpenCV is missing: python3 -m pip install opencv-python-headless")

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / "models/cache"
ROUNDS, FRAMES, WARM_UP = 5, 100, 10
SIZE = (640, 480)


def portrait():
    """The same frame that `gate-daemon bench` makes: the widest upper part of the sample, 640x480."""
    picture = cv2.imread(str(CACHE / "samples/obama.jpg"))
    if picture is None:
        sys.exit("the sample picture is missing: make setup")
    height = picture.shape[1] * SIZE[1] // SIZE[0]
    return cv2.resize(picture[:height], SIZE, interpolation=cv2.INTER_AREA)


def opencv(frame, detector, recogniser):
    """Milliseconds of each frame."""
    times = []
    for i in range(WARM_UP + FRAMES):
        began = time.perf_counter()
        _, faces = detector.detect(frame)
        chip = recogniser.alignCrop(frame, faces[0])
        recogniser.feature(chip)
        if i >= WARM_UP:
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def ours(daemon):
    told = subprocess.run([daemon, "bench", "--json", "--frames", str(FRAMES)], check=True, capture_output=True, cwd=ROOT)
    bench = json.loads(told.stdout)
    assert bench["frames_encoded"] == FRAMES, "every frame must be encoded, or the comparison is unfair"
    return bench["stages"]["frame"]["p50_ms"]


def main():
    daemon = ROOT / "target/release/gate-daemon"
    if not daemon.exists():
        sys.exit("gate-daemon is missing: make build")
    cv2.setNumThreads(1)
    frame = portrait()
    detector = cv2.FaceDetectorYN.create(str(CACHE / "face_detection_yunet_2023mar.onnx"), "", SIZE, 0.7, 0.3)
    recogniser = cv2.FaceRecognizerSF.create(str(CACHE / "face_recognition_sface_2021dec.onnx"), "")
    theirs, mine = [], []
    for _ in range(ROUNDS):
        theirs.append(opencv(frame, detector, recogniser))
        mine.append(ours(daemon))
    print(f"{ROUNDS} rounds of {FRAMES} frames of {SIZE[0]}x{SIZE[1]}, one thread, median of each round in milliseconds")
    print(f"OpenCV {cv2.__version__}:   ", " ".join(f"{t:6.2f}" for t in theirs))
    print("gate-daemon:     ", " ".join(f"{t:6.2f}" for t in mine))
    ratio = statistics.median(mine) / statistics.median(theirs)
    print(f"ratio ours / OpenCV: {ratio:.2f}")


if __name__ == "__main__":
    main()
