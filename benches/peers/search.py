"""The 1:N search: the two nearest rows of a matrix of unit vectors, by ours, numpy, faiss and usearch."""

import json
import statistics
import subprocess
import time

import faiss
import numpy as np
from machine import ROOT, Trouble
from usearch.index import Index

PROBES = 16
CHUNK_ROWS = 1 << 16
BUILD = ["cargo", "build", "--quiet", "--release", "-p", "gate-core", "--features", "simd", "--example", "peer_search"]


def build():
    """Builds ours, and returns where it is."""
    if subprocess.run(BUILD, cwd=ROOT).returncode != 0:
        raise Trouble(f"ours cannot be built: {' '.join(BUILD)}")
    told = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=ROOT, capture_output=True)
    return f"{json.loads(told.stdout)['target_directory']}/release/examples/peer_search"


def unit(rows):
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def vectors(rows, dim):
    """Made-up references; and probes, half of them of somebody among them, seen again: d² about 0.65."""
    random = np.random.RandomState(20)
    references = np.empty((rows, dim), np.float32)
    for start in range(0, rows, CHUNK_ROWS):
        chunk = references[start : start + CHUNK_ROWS]
        chunk[:] = random.standard_normal(chunk.shape)
        unit(chunk)
    probes = unit(random.standard_normal((PROBES, dim)).astype(np.float32))
    known = random.choice(rows, PROBES // 2, replace=False)
    probes[: PROBES // 2] = unit(references[known] + 1.1 * probes[: PROBES // 2])
    return references, probes


def timed(search, probes, repeats):
    """The median milliseconds of one search, and the nearest row for each probe."""
    answers, times = [], []
    for _ in range(repeats):
        answers = []
        for probe in probes:
            began = time.perf_counter()
            nearest = search(probe)
            times.append((time.perf_counter() - began) * 1e3)
            answers.append(int(nearest))
    return statistics.median(times), answers


class Search:
    """The same rows and probes for all."""

    def __init__(self, rows, dim, folder, ours, repeats):
        self.references, self.probes = vectors(rows, dim)
        self.files = [folder / "rows.f32", folder / "probes.f32"]
        self.command = [ours, self.files[0], str(dim), self.files[1], str(repeats)]
        for values, file in zip((self.references, self.probes), self.files):
            values.tofile(file)
        self.repeats, self.answers, self.told = repeats, {}, {}
        self.flat = faiss.IndexFlatIP(dim)
        self.flat.add(self.references)
        # An exact search does not use the graph, so the least of one is made. Its search without an index is slower.
        self.index = Index(ndim=dim, metric="ip", dtype="f32", connectivity=2, expansion_add=1)
        self.index.add(np.arange(rows), self.references, threads=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in self.files:
            file.unlink(missing_ok=True)

    def ours(self):
        done = subprocess.run(self.command, capture_output=True, text=True)
        if done.returncode != 0:
            raise Trouble(f"peer_search failed: {done.stderr.strip()}")
        self.told = json.loads(done.stdout)
        self.answers["ours"] = [answer["row"] for answer in self.told.pop("answers")]
        return self.told["p50_ms"]

    def peer(self, name, search):
        def run():
            took, self.answers[name] = timed(search, self.probes, self.repeats)
            return took

        return run

    def by_numpy(self, probe):
        products = self.references @ probe
        two = np.argpartition(products, -2)[-2:]
        return two[products[two].argmax()]

    def by_faiss(self, probe):
        return self.flat.search(probe[None], 2)[1][0, 0]

    def by_usearch(self, probe):
        return self.index.search(probe, 2, exact=True, threads=1).keys[0]

    def read(self):
        """How long this machine takes to read the rows once, on one thread, whatever is done with them."""
        flat = self.references.ravel()
        times = []
        for _ in range(max(self.repeats, 5)):
            began = time.perf_counter()
            np.dot(flat, flat)
            times.append((time.perf_counter() - began) * 1e3)
        return statistics.median(times)

    def sides(self):
        peers = {"numpy": self.by_numpy, "faiss": self.by_faiss, "usearch": self.by_usearch}
        return (
            {"ours": self.ours}
            | {name: self.peer(name, search) for name, search in peers.items()}
            | {"read": self.read}
        )

    def disagreements(self):
        """Who found another nearest row than numpy, for how many probes. Rows equally near to a float count as one."""
        found = {}
        for name, rows in self.answers.items():
            near = np.einsum("ij,ij->i", self.references[rows].astype(np.float64), self.probes)
            best = np.einsum("ij,ij->i", self.references[self.answers["numpy"]].astype(np.float64), self.probes)
            wrong = int((np.abs(near - best) > 1e-6).sum())
            if wrong:
                found[name] = wrong
        return found
