#!/usr/bin/env python3
"""Writes the software bill of materials of the programs for one target, CycloneDX 1.5 JSON, to standard output.

    scripts/sbom.py [amd64|arm64] > sbom.cdx.json      without a name for this machine

Each crate has its version, licence and sha256 as pinned in Cargo.lock; crates that only build others have the scope
"excluded". Each network has the sha256 of its weights as pinned on its card, ONNX Runtime that of models/assets.toml.
The same checkout gives the same bytes: time and serial number come from the commit and the content.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ["gate-daemon", "enroll-tool", "gate-lab"]
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/face-gate")


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(triple: str, edges: str) -> dict[tuple[str, str], str]:
    """The crates that the programs are built from, with their licences."""
    packages = [word for program in PROGRAMS for word in ("-p", program)]
    lines = run(
        *("cargo", "tree", "--locked", *packages, "--edges", edges, "--target", triple),
        *("--prefix", "none", "--no-dedupe", "--format", "{p}|{l}"),
    )
    found = {}
    for line in lines.splitlines():
        if match := re.match(r"(\S+) v(\S+)[^|]*\|(.*)", line):
            found[match[1], match[2]] = match[3]
    return found


def licence(expression: str) -> list[dict]:
    """Older manifests write `A/B` for `A OR B`."""
    return [{"expression": " ".join(expression.replace("/", " OR ").split())}] if expression else []


def crates(triple: str) -> tuple[list[dict], list[dict]]:
    """Components and who depends on whom."""
    linked, built = tree(triple, "normal"), tree(triple, "normal,build")
    with open(ROOT / "Cargo.lock", "rb") as file:
        locked = tomllib.load(file)["package"]
    used = [p for p in locked if (p["name"], p["version"]) in built]
    missing = set(built) - {(p["name"], p["version"]) for p in used}
    if missing:
        sys.exit(f"sbom: not in Cargo.lock: {sorted(missing)}")
    versions = {}
    for package in locked:
        versions.setdefault(package["name"], []).append(package["version"])
    components, dependencies = [], []
    for package in used:
        name, version = package["name"], package["version"]
        ref = f"pkg:cargo/{name}@{version}"
        component = {"type": "library", "bom-ref": ref, "name": name, "version": version}
        component["scope"] = "required" if (name, version) in linked else "excluded"
        if "checksum" in package:
            component["hashes"] = [{"alg": "SHA-256", "content": package["checksum"]}]
        component["licenses"] = licence(built[name, version])
        component["purl"] = ref
        components.append(component)

        needs = []
        for word in package.get("dependencies", []):
            other, _, wanted = word.partition(" ")
            wanted = wanted.split(" ")[0] or versions[other][0]
            if (other, wanted) in built:
                needs.append(f"pkg:cargo/{other}@{wanted}")
        dependencies.append({"ref": ref, "dependsOn": sorted(needs)})
    return components, dependencies


def networks() -> list[dict]:
    """What the package has of models: those that a card describes."""
    found = []
    for path in sorted((ROOT / "models").glob("*.toml")):
        with open(path, "rb") as file:
            card = tomllib.load(file)
        if "sha256" not in card:
            continue  # assets.toml is no card
        found.append(
            {
                "type": "machine-learning-model",
                "bom-ref": f"model:{card['name']}",
                "name": card["name"],
                "version": card["sha256"][:12],
                "description": f"{card['about']}. {card['origin']}",
                "scope": "required",
                "hashes": [{"alg": "SHA-256", "content": card["sha256"]}],
                "licenses": licence(card["licence"]),
            }
        )
    return found


def runtime(machine: str) -> list[dict]:
    """ONNX Runtime for this machine."""
    with open(ROOT / "models/assets.toml", "rb") as file:
        assets = tomllib.load(file)["asset"]
    return [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{asset['package']}@{asset['version']}",
            "name": asset["name"],
            "version": asset["version"],
            "description": asset["why"],
            "scope": "required",
            "hashes": [{"alg": "SHA-256", "content": asset["sha256"]}],
            "licenses": licence(asset["licence"]),
            "purl": f"pkg:pypi/{asset['package']}@{asset['version']}",
        }
        for asset in assets
        if asset["name"] == "onnxruntime" and asset.get("arch", machine) == machine
    ]


def main() -> None:
    this = next((name for name, machine in MACHINES.items() if machine == platform.machine()), "")
    arch = sys.argv[1] if len(sys.argv) > 1 else this
    if len(sys.argv) > 2 or arch not in MACHINES:
        sys.exit(f"use: scripts/sbom.py [{'|'.join(MACHINES)}]")
    triple = f"{MACHINES[arch]}-unknown-linux-gnu"
    with open(ROOT / "Cargo.toml", "rb") as file:
        version = tomllib.load(file)["workspace"]["package"]["version"]
    components, dependencies = crates(triple)
    others = runtime(MACHINES[arch]) + networks()
    gate = f"pkg:deb/face-gate@{version}"
    roots = [c["bom-ref"] for c in components if c["name"] in PROGRAMS] + [c["bom-ref"] for c in others]
    dependencies.append({"ref": gate, "dependsOn": sorted(roots)})
    components += others

    commit = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct").strip()
    when = datetime.fromtimestamp(int(commit), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = json.dumps([version, triple, components, dependencies], sort_keys=True)
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, content)}",
        "version": 1,
        "metadata": {
            "timestamp": when,
            "component": {
                "type": "application",
                "bom-ref": gate,
                "name": "face-gate",
                "version": version,
                "licenses": licence("MIT OR Apache-2.0"),
                "properties": [{"name": "face-gate:target", "value": triple}],
            },
        },
        "components": components,
        "dependencies": sorted(dependencies, key=lambda d: d["ref"]),
    }
    json.dump(bom, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
