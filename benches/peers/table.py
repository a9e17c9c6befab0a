"""The figures as a table for a terminal."""

import statistics

from machine import BUSY


def ms(figure):
    value = figure["median_ms"]
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def ratio(ours, theirs):
    return f"{ours['median_ms'] / theirs['median_ms']:.2f}"


def added(whole, part):
    return f"{100 * (whole['median_ms'] / part['median_ms'] - 1):.1f} %"


def show_rows(title, rows):
    print(f"\n{title}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [text.rjust(width) for text, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())


def show_machine(told):
    machine = told["machine"]
    print(f"{machine['cpu']}, {machine['arch']}, {machine['cores']} cores, {machine['memory_gb']} GB")
    print(" ".join(machine["flags"]))
    print(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))
    dlib = "with AVX" if machine["dlib_avx"] else "without AVX"
    print(f"one thread each; medians of {told['rounds']} rounds in turn; dlib is built {dlib}")
    if machine["load_before"] > BUSY:
        print(f"the machine was not idle (load {machine['load_before']}): the figures are noisy")
    if told["quick"]:
        print("a quick try: the figures are worth nothing")


def show(told):
    """Everything, in milliseconds; a ratio below 1 means that ours is faster."""
    show_machine(told)
    frame, visit = told["frame"], told["visit"]
    rows = [("", "ms", "of OpenCV", "of dlib")]
    for name, label in (("ours", "ours"), ("ours_int8", "ours, 8 bits"), ("opencv", "OpenCV"), ("dlib", "dlib")):
        rows.append((label, ms(frame[name]), ratio(frame[name], frame["opencv"]), ratio(frame[name], frame["dlib"])))
    show_rows("one face in 640x480: detect + align + encode", rows)
    networks = (("32 bits", "ours", "ours_networks"), ("8 bits", "ours_int8", "ours_int8_networks"))
    beside = (f"{ms(frame[bare])} ms in {bits}, ours adds {added(frame[ours], frame[bare])}" for bits, ours, bare in networks)
    print(f"  of it ONNX Runtime takes for the networks: {'; '.join(beside)}")
    rows = [("", "whole gate", "OpenCV", "ratio")]
    for label, ours, theirs in (
        ("mean of all frames", "gate_per_frame", "opencv_per_frame"),
        ("mean of all frames, 8 bits", "int8_per_frame", "opencv_per_frame"),
        ("a frame in which somebody is encoded", "gate_compared_frame", "opencv_encoded_frame"),
        ("a frame in which somebody is encoded, 8 bits", "int8_compared_frame", "opencv_encoded_frame"),
    ):
        rows.append((label, ms(visit[ours]), ms(visit[theirs]), ratio(visit[ours], visit[theirs])))
    show_rows(f"somebody walks up and goes, ms per frame; {visit['frames']} frames of 640x480", rows)
    encoded, opened = statistics.median(visit["frames_compared"]), sum(map(bool, visit["opened"]))
    print(f"  OpenCV encodes in {visit['frames_with_face']} frames, the gate in {encoded:.0f}", end="; ")
    print(f"it opened in {opened} of {len(visit['opened'])} rounds")
    names = ("numpy", "faiss", "usearch")
    rows = [("people x numbers", "ours", *names, "reading once", *(f"ours / {name}" for name in names))]
    for row in told["search"]:
        cells = [ms(row[name]) for name in ("ours", *names, "read")]
        ratios = [ratio(row["ours"], row[name]) for name in names]
        rows.append((f"{row['people']:,} x {row['dim']}", *cells, *ratios))
    show_rows("1:N search, the nearest two, ms; all found the same nearest person", rows)
    columns = {"ours": "ours", "opencv": "OpenCV", "gate": "whole gate", "opencv_everyone": "OpenCV, all encoded"}
    growth(told["faces"], "faces in 640x480, the largest encoded, ms", lambda row: f"{row['faces']}", columns)
    columns = {
        "ours": "ours",
        "opencv": "OpenCV",
        "ours_640": "ours, shrunk to 640",
        "opencv_640": "OpenCV, shrunk to 640",
    }
    growth(told["resolution"], "size of the frame, ms", lambda row: f"{row['width_px']}x{row['height_px']}", columns)


def growth(rows, title, label, columns):
    cells = [("", *columns.values(), "ours / OpenCV")]
    cells += [(label(row), *(ms(row[name]) for name in columns), ratio(row["ours"], row["opencv"])) for row in rows]
    show_rows(title, cells)
