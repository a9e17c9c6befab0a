#!/usr/bin/env python3
"""Beside others: the same pictures and vectors, one thread, in turn, in one run. OpenCV, dlib, faiss, usearch, numpy.

    make bench-peers                              or, after `make build`:
    python3 benches/peers/run.py                  everything, about 10 minutes
    python3 benches/peers/run.py --quick          a try in less than a minute; its figures are worth nothing
    python3 benches/peers/run.py --draw           the table and the picture again, from the figures of the last run

Figures: target/bench/peers.json. Picture: docs/peers.svg. A quick try's are target/bench/quick.json and .svg.
Needs python3-pip. The peers come into target/tools, pinned by hash in requirements.txt; dlib's weights into models.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("Python %d.%d is too old: this needs Python 3.11 or newer" % sys.version_info[:2])

import argparse
import json
import os

from machine import ROOT, SITE, Trouble, environment, fetch_weights, install


def arguments():
    about, rest = __doc__.split("\n\n", 1)
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, epilog=rest, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="a try of all parts, little of each")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    return parser.parse_args()


def measured(file, quick):
    """Measures, and keeps the figures."""
    install()
    fetch_weights()
    if os.environ.get("PYTHONPATH") != str(SITE):
        # The libraries read at their start how many threads they may use.
        os.execve(sys.executable, [sys.executable, *sys.argv], environment())
    import measure

    told = measure.everything(quick)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(told, indent=1) + "\n")
    os.replace(part, file)
    return told


def main():
    options = arguments()
    name = "quick" if options.quick else "peers"
    file = ROOT / f"target/bench/{name}.json"
    picture = ROOT / ("target/bench/quick.svg" if options.quick else "docs/peers.svg")
    if options.draw:
        if not file.is_file():
            raise Trouble(f"{file.relative_to(ROOT)} is missing: run this without --draw first")
        told = json.loads(file.read_text())
    else:
        told = measured(file, options.quick)
    import picture as drawing
    import table

    table.show(told)
    picture.write_text(drawing.draw(told))
    print(f"\nfigures: {file.relative_to(ROOT)}   picture: {picture.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"bench-peers: {trouble}")
    except KeyboardInterrupt:
        sys.exit("\nbench-peers: interrupted; nothing of it is left")
