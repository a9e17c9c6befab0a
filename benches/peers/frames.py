"""Frames as a gate's camera sees them, made of the sample pictures: people cut out softly, set before a plain wall."""

import cv2
import numpy as np
from machine import ROOT, Trouble

CACHE = ROOT / "models/cache"
PEOPLE = ("obama2.jpg", "biden.jpg", "astronaut.png", "obama.jpg", "obama3.jpg", "biden.jpg")
SIZE = (640, 480)
FPS = 15
# Frames before somebody comes, of the walk up, and after they went.
WALK_UP = (20, 60, 45)
# Of a clip in which people just stand there: empty, then with them. As often as it is shown, they come anew.
STANDING = (12, 24)
NOISE = 1.0  # standard deviation, of 255


def detector(size):
    return cv2.FaceDetectorYN.create(str(CACHE / "face_detection_yunet_2023mar.onnx"), "", size, 0.7, 0.3)


class Person:
    """Head and shoulders of the largest face of a picture."""

    def __init__(self, name):
        picture = cv2.imread(str(CACHE / "samples" / name))
        if picture is None:
            raise Trouble(f"the sample picture {name} is missing: make setup")
        shrink = min(1.0, 640 / max(picture.shape[:2]))
        self.picture = cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        height, width = self.picture.shape[:2]
        _, faces = detector((width, height)).detect(self.picture)
        x, y, self.face_px, tall = max(faces, key=lambda face: face[2])[:4]
        self.x, self.y = x + self.face_px / 2, y + tall / 2
        mask = np.zeros((height, width), np.float32)
        centre, axes = (round(self.x), round(self.y)), (round(self.face_px * 0.78), round(tall * 0.95))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 1.0, -1)
        self.mask = cv2.GaussianBlur(mask, (0, 0), self.face_px * 0.05)

    def stand(self, frame, x, y, face_px):
        """Paints them into the frame with the face's centre at (x, y), so wide."""
        scale = face_px / self.face_px
        place = np.float32([[scale, 0, x - scale * self.x], [0, scale, y - scale * self.y]])
        size = (frame.shape[1], frame.shape[0])
        soft = cv2.warpAffine(self.mask, place, size)[..., None]
        frame += soft * (cv2.warpAffine(self.picture, place, size).astype(np.float32) - frame)


def wall(size):
    """A plain wall with a floor."""
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    shade = np.where(down < 0.83, 186 - 38 * down, 154 - 43 * down) - 46 * np.abs(across - 0.5)
    return np.stack([shade + 8, shade + 3, shade], axis=-1).astype(np.float32)


def camera(view, random):
    """What the camera makes of it: noise."""
    noise = random.standard_normal(view.shape, np.float32) * NOISE
    return np.clip(view + noise + 0.5, 0, 255).astype(np.uint8)


def walk_up():
    """Nobody; somebody walks up and stands; nobody."""
    person, random = Person(PEOPLE[0]), np.random.default_rng(1)
    before, there, after = WALK_UP
    for step in [None] * before + list(range(there)) + [None] * after:
        view = wall(SIZE)
        if step is not None:
            way = min(step / (there * 0.66), 1.0)
            face_px = 44 + 86 * way * way * (3 - 2 * way)
            sway = np.sin(step * 0.35) * 0.03 * face_px
            person.stand(view, SIZE[0] / 2 + sway, SIZE[1] * 0.4 + sway * 0.4, face_px)
        yield camera(view, random)


def standing(count, size, face_part):
    """Nobody, then so many people side by side, in up to two rows; faces so wide, as a part of the frame's width."""
    crowd, random = [Person(name) for name in PEOPLE[:count]], np.random.default_rng(2)
    columns, rows = (count, 1) if count <= 2 else ((count + 1) // 2, 2)
    empty, there = STANDING
    for step in [None] * empty + list(range(there)):
        view = wall(size)
        for place, person in enumerate(crowd if step is not None else ()):
            # The first stands nearest.
            face_px = face_part * size[0] * (1.0 if place == 0 else 0.85)
            sway = np.sin(step * 0.35 + place) * 0.03 * face_px
            x, y = (place % columns + 0.5) / columns * size[0] + sway, (place // columns + 0.5) / rows * size[1] * 0.9
            person.stand(view, x, y, face_px)
        yield camera(view, random)


def save(frames, folder):
    """Writes the frames where ours reads them, and returns them for the others."""
    folder.mkdir(parents=True)
    frames = list(frames)
    for number, frame in enumerate(frames):
        if not cv2.imwrite(str(folder / f"{number:06}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise Trouble(f"{folder} cannot be written (is the disk full?)")
    return frames
