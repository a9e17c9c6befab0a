"""One frame's work, by ours, by OpenCV and by dlib. Each is called for a round and gives milliseconds."""

import itertools
import json
import statistics
import subprocess
import time

import cv2
import dlib
from frames import CACHE, FPS, detector
from machine import ROOT, Trouble

WARM_UP = 10


def timed(work, frames, count, warm_up=WARM_UP):
    """Milliseconds of `count` frames, shown again and again, after a few that are not counted."""
    times = []
    for number, frame in enumerate(itertools.islice(itertools.cycle(frames), warm_up + count)):
        began = time.perf_counter()
        work(frame)
        if number >= warm_up:
            times.append((time.perf_counter() - began) * 1e3)
    return times


class OpenCV:
    """FaceDetectorYN, alignCrop, FaceRecognizerSF: with the weights that ours uses."""

    def __init__(self, size, shrink_to=None):
        self.shrink = min(1.0, shrink_to / max(size)) if shrink_to else 1.0
        self.detector = detector((round(size[0] * self.shrink), round(size[1] * self.shrink)))
        self.recogniser = cv2.FaceRecognizerSF.create(str(CACHE / "face_recognition_sface_2021dec.onnx"), "")

    def detect(self, frame):
        seen = frame
        if self.shrink < 1:
            seen = cv2.resize(frame, None, fx=self.shrink, fy=self.shrink, interpolation=cv2.INTER_AREA)
        _, faces = self.detector.detect(seen)
        if faces is None:
            return []
        faces[:, :14] /= self.shrink
        return sorted(faces, key=lambda face: -face[2])

    def nearest(self, frame):
        """Detects, aligns and encodes the largest face."""
        for face in self.detect(frame)[:1]:
            self.recogniser.feature(self.recogniser.alignCrop(frame, face))

    def everyone(self, frame):
        """The same with every face."""
        for face in self.detect(frame):
            self.recogniser.feature(self.recogniser.alignCrop(frame, face))


class Dlib:
    """HOG detector, five landmarks, ResNet."""

    def __init__(self):
        self.detector = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(str(CACHE / "peers/shape_predictor_5_face_landmarks.dat"))
        self.encoder = dlib.face_recognition_model_v1(str(CACHE / "peers/dlib_face_recognition_resnet_model_v1.dat"))

    def nearest(self, rgb):
        faces = sorted(self.detector(rgb, 0), key=lambda face: -face.width())
        for face in faces[:1]:
            self.encoder.compute_face_descriptor(rgb, self.landmarks(rgb, face))
        return len(faces)


class Gate:
    """`gate-daemon bench` over a folder of frames."""

    def __init__(self, daemon, folder, detect_max_px, encoder="sface"):
        self.daemon, self.folder = daemon, folder
        self.config = folder.parent / f"{folder.name}-{encoder}.toml"
        # The largest face is taken, as by the others.
        self.config.write_text(
            f"[camera]\nfps = {FPS}\n[vision]\nmodels = {json.dumps(str(ROOT / 'models'))}\n"
            f'encoder = "{encoder}"\nthreads = 1\ndetect_max_px = {detect_max_px}\n[policy]\nseveral_faces = "nearest"\n'
        )

        # Each encoder in the form that it has at a gate: optimised for this machine.
        done = subprocess.run([daemon, "setup", "--config", self.config], capture_output=True, text=True)
        if done.returncode != 0:
            raise Trouble(f"gate-daemon setup failed: {done.stderr.strip()}")

    def run(self, count, *options):
        command = [self.daemon, "bench", "--config", self.config, "--json", "--frames", str(count)]
        done = subprocess.run([*command, "--replay", self.folder, *options], capture_output=True, text=True)
        if "unexpected argument" in done.stderr:
            raise Trouble(f"this gate-daemon has no `bench {options[0]}`: it is too old, `make build`")
        if done.returncode != 0:
            raise Trouble(f"gate-daemon bench failed: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def only_encodes(self, count):
        """Detect + align + encode, as the others do: all its stages' figures."""
        return self.run(count, "--equal-work")

    def equal_work(self, count):
        """The median of that."""
        return self.only_encodes(count)["stages"]["frame"]["p50_ms"]

    def all_checks(self, count):
        """The whole gate: all its stages' figures."""
        return self.run(count)


def median(work, frames, count):
    """A round of others' work as one figure."""
    return lambda: statistics.median(timed(work, frames, count))
