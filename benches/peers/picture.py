"""The figures as a picture: an SVG, four panels. Colours are Okabe and Ito's, which colour-blind people tell apart."""

import math

from machine import BUSY

WIDTH, HEIGHT = 1040, 840
INK, FAINT, PAPER = "#222222", "#dddddd", "#ffffff"
OURS, GATE, OPENCV, DLIB, FAISS, USEARCH, NUMPY, MEMORY = (
    "#0072b2",
    "#3f97d0",
    "#d55e00",
    "#cc79a7",
    "#009e73",
    "#cc79a7",
    "#b07800",
    "#777777",
)
LABEL_GAP = 15


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;")


def number(value):
    """3 digits at most: 0.0073, 1.66, 27.8, 512."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


class Drawing:
    def __init__(self):
        self.parts = []

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"{dash}/>'
        )

    def text(self, x, y, text, size=13, anchor="start", colour=INK, weight="normal", turn=0):
        turn = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}"{turn}>{escape(text)}</text>'
        )

    def path(self, points, colour, width, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')

    def dot(self, x, y, colour, radius):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def bar(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def svg(self):
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
            f'font-family="DejaVu Sans, Verdana, Helvetica, Arial, sans-serif">'
        )
        ground = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>'
        return "\n".join([head, ground, *self.parts, "</svg>\n"])


class Axis:
    """From values to places, linear or logarithmic."""

    def __init__(self, values, start, end, log):
        self.log, self.start, self.end = log, start, end
        low, high = (min(values), max(values)) if log else (0.0, max(values) * 1.08)
        if log:
            low, high = math.log10(low), math.log10(high)
            margin = 0.05 * (high - low or 1)
            low, high = low - margin, high + margin
            # So that there is a tick below the lowest value where the decades are few.
            decade = math.floor(low)
            low = (
                low
                if high - low > 2.5
                else max(decade + math.log10(step) for step in (1, 2, 5) if decade + math.log10(step) <= low)
            )
        self.low, self.span = low - (1e-9 if log else 0.0), high - low

    def at(self, value):
        part = ((math.log10(value) if self.log else value) - self.low) / self.span
        return self.start + part * (self.end - self.start)

    def ticks(self):
        """Round numbers within: decades, with 2 and 5 where there are few of them."""
        high = self.low + self.span
        if self.log:
            steps = (1,) if self.span > 2.5 else (1, 2, 5)
            decades = range(math.floor(self.low), math.ceil(high) + 1)
            found = [step * 10.0**decade for decade in decades for step in steps]
            return [value for value in found if self.low <= math.log10(value) <= high]
        step = 10 ** math.floor(math.log10(high / 4))
        step = next(step * times for times in (1, 2, 5, 10) if high / (step * times) <= 6)
        return [step * count for count in range(int(high / step) + 1)]


class Panel:
    """One diagram: x and y with units, lines with their names at their ends."""

    def __init__(self, drawing, place, title, axes, labels_px):
        self.drawing, (self.x, self.y, self.width, self.height) = drawing, place
        self.title, (self.x_label, self.y_label), self.labels_px = title, axes, labels_px

    def head(self):
        self.drawing.text(self.x, self.y, self.title, size=16, weight="bold")
        self.left, self.top = self.x + 62, self.y + 26
        self.right, self.bottom = self.x + self.width - self.labels_px, self.y + self.height - 54

    def frame(self, x_ticks, y):
        draw = self.drawing
        for value in y.ticks():
            draw.line(self.left, y.at(value), self.right, y.at(value), FAINT)
            draw.text(self.left - 8, y.at(value) + 4.5, f"{value:g}", anchor="end")
        for place, text in x_ticks:
            draw.line(place, self.bottom, place, self.bottom + 5)
            for row, part in enumerate(text.split("\n")):
                draw.text(place, self.bottom + 20 + 14 * row, part, size=12, anchor="middle")
        draw.line(self.left, self.bottom, self.right, self.bottom)
        draw.text((self.left + self.right) / 2, self.bottom + 54, self.x_label, anchor="middle")
        middle = (self.top + self.bottom) / 2
        draw.text(self.x + 10, middle, self.y_label, anchor="middle", turn=-90)

    def lines(self, xs, x_texts, series, log):
        """`series`: name, colour, values (None where there is none), and whether it is dashed."""
        self.head()
        values = [value for _, _, values, _ in series for value in values if value is not None]
        x, y = Axis(xs, self.left, self.right, log), Axis(values, self.bottom, self.top, log)
        self.frame([(x.at(value), text) for value, text in zip(xs, x_texts)], y)
        ends = []
        for name, colour, values, dashed in series:
            points = [(x.at(at), y.at(value)) for at, value in zip(xs, values) if value is not None]
            wide = 2.8 if colour in (OURS, GATE) else 1.8
            self.drawing.path(points, colour, wide, "5 4" if dashed else "")
            for point in points if not dashed or colour != MEMORY else ():
                self.drawing.dot(*point, colour, 3.6)
            last = next(value for value in reversed(values) if value is not None)
            ends.append((points[-1], f"{name}: {number(last)}", colour))
        self.name(ends)

    def name(self, ends):
        """Writes the names beside the ends, so that none covers another."""
        ends.sort(key=lambda end: end[0][1])
        places = [point[1] for point, _, _ in ends]
        for _ in range(200):  # pushes neighbours apart, evenly
            for i in range(len(places) - 1):
                overlap = LABEL_GAP - (places[i + 1] - places[i])
                if overlap > 0:
                    places[i], places[i + 1] = places[i] - overlap / 2, places[i + 1] + overlap / 2
        # The lowest stays above the axis.
        beyond = max(0.0, places[-1] - (self.bottom - 2))
        for (point, text, colour), place in zip(ends, places):
            place -= beyond
            if abs(place - point[1]) > 3:
                self.drawing.line(point[0] + 5, point[1], self.right + 10, place, colour, 0.8)
            self.drawing.text(
                self.right + 13, place + 4.5, text, colour=colour, weight="bold" if colour == OURS else "normal"
            )

    def bars(self, groups):
        """`groups`: a title, and rows of name, colour and value."""
        self.head()
        top = max(value for _, rows in groups for _, _, value in rows)
        left, place = self.x + 150, self.y + 18
        reach = self.x + self.width - left - 60
        for title, rows in groups:
            self.drawing.text(self.x, place + 16, title)
            place += 26
            for name, colour, value in rows:
                weight = "bold" if colour == OURS else "normal"
                self.drawing.text(left - 8, place + 13, name, anchor="end", weight=weight)
                self.drawing.bar(left, place, max(value / top * reach, 1), 17, colour)
                self.drawing.text(left + value / top * reach + 7, place + 13, number(value), weight=weight)
                place += 22
            place += 10
        self.drawing.text(left, place + 8, self.x_label)


def column(rows, name):
    return [row[name]["median_ms"] if name in row else None for row in rows]


def medians(figures, *rows):
    """Rows of name, colour and median, for bars."""
    return [(label, colour, figures[name]["median_ms"]) for label, colour, name in rows]


def frame_bars(told):
    """The bars of the first panel."""
    equal = (
        ("ours", OURS, "ours"),
        ("ours, 8 bits", GATE, "ours_int8"),
        ("OpenCV", OPENCV, "opencv"),
        ("dlib", DLIB, "dlib"),
    )
    mean = (
        ("ours, all checks", OURS, "gate_per_frame"),
        ("the same, 8 bits", GATE, "int8_per_frame"),
        ("OpenCV", OPENCV, "opencv_per_frame"),
    )
    encoded = (
        ("ours, all checks", OURS, "gate_compared_frame"),
        ("the same, 8 bits", GATE, "int8_compared_frame"),
        ("OpenCV", OPENCV, "opencv_encoded_frame"),
    )
    return [
        ("One face in 640x480: detect, align, encode", medians(told["frame"], *equal)),
        ("Somebody walks up and goes: mean of all frames", medians(told["visit"], *mean)),
        ("The same: a frame in which they are encoded", medians(told["visit"], *encoded)),
    ]


def series(rows, *lines):
    """Name, colour, values and whether it is dashed, for lines."""
    return [(label, colour, column(rows, name), dashed) for label, colour, name, dashed in lines]


SEARCHES = (
    ("ours", OURS, "ours", False),
    ("faiss", FAISS, "faiss", False),
    ("usearch", USEARCH, "usearch", False),
    ("numpy", NUMPY, "numpy", False),
    ("reading once", MEMORY, "read", True),
)
CROWDS = (
    ("OpenCV, all", OPENCV, "opencv_everyone", True),
    ("OpenCV, nearest", OPENCV, "opencv", False),
    ("ours, nearest", OURS, "ours", False),
    ("ours, all checks", GATE, "gate", False),
)
SIZES = (
    ("OpenCV, full", OPENCV, "opencv", False),
    ("ours, full", OURS, "ours", False),
    ("OpenCV, to 640", OPENCV, "opencv_640", True),
    ("ours, to 640", OURS, "ours_640", True),
)


def heading(drawing, told):
    machine = told["machine"]
    widest = next((flag for flag in ("avx512f", "avx2", "sve", "asimd") if flag in machine["flags"]), "")
    about = f"{machine['cpu']} ({machine['arch']}, {widest}), one thread each, medians of {told['rounds']} rounds"
    if told["quick"]:
        about += "; A QUICK TRY, WORTH NOTHING"
    elif machine["load_before"] > BUSY:
        about += "; THE MACHINE WAS BUSY, THE FIGURES ARE NOISY"
    drawing.text(24, 34, "The gate beside OpenCV, dlib, faiss, usearch and numpy", size=20, weight="bold")
    drawing.text(24, 56, about, colour="#555555")


def draw(told):
    """The SVG."""
    drawing = Drawing()
    heading(drawing, told)
    left, right, upper, lower, size = 24, 548, 100, 484, (468, 340)
    Panel(drawing, (left, upper, *size), "A frame", ("milliseconds per frame", ""), 0).bars(frame_bars(told))

    rows = [row for row in told["search"] if row["dim"] == 128]
    people = [row["people"] for row in rows]
    axes = ("people, 128 numbers each", "ms per search, exact")
    panel = Panel(drawing, (right, upper, *size), "Search, as people are added", axes, 140)
    panel.lines(people, [f"{count:,}" for count in people], series(rows, *SEARCHES), log=True)

    rows = told["faces"]
    counts = [row["faces"] for row in rows]
    axes = ("faces in view, 640x480", "ms per frame with an encoding")
    panel = Panel(drawing, (left, lower, *size), "A frame, as faces are added", axes, 168)
    panel.lines(counts, [str(count) for count in counts], series(rows, *CROWDS), log=False)

    rows = told["resolution"]
    pixels = [row["width_px"] * row["height_px"] for row in rows]
    texts = [f"{row['width_px']}\nx{row['height_px']}" for row in rows]
    axes = ("size of the frame, one face", "ms: detect, align, encode")
    panel = Panel(drawing, (right, lower, *size), "A frame, as it gets larger", axes, 150)
    panel.lines(pixels, texts, series(rows, *SIZES), log=True)
    return drawing.svg()
