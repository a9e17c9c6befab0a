# Thin: each target calls cargo or a script. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup build lab demo attack test lint advisories sbom bench bench-peers bench-start bench-check bench-baseline check deb rig rig-pi clean
FETCH = python3 scripts/fetch.py
INSTALL = CARGO_PROFILE_DEV_DEBUG=0 cargo install --locked --debug --root target/tools
DENY = target/tools/bin/cargo-deny
DENY_VERSION = 0.20.2
DEB = target/tools/bin/cargo-deb
DEB_VERSION = 3.8.0
# Named, since root searches no working folder for models.
CONFIG = $(firstword $(wildcard /etc/face-gate/gate.toml) config/gate.toml)

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 24

setup: ## fetch what git does not hold (FROM=DIR: from a folder, without a network)
	@$(FETCH) $(if $(FROM),--from "$(FROM)")

build: setup ## the gate's programs, optimised, in target/release
	cargo build --release -p gate-daemon -p enroll-tool

lab: setup ## gate-lab, the engineer's and officer's tool, optimised, in target/release
	cargo build --release -p gate-lab

demo: build ## set-up and the main job: people walk up, the gate opens or stays shut; report in target/demo
	cargo run --release -p gate-daemon -- --config config/gate.toml demo

attack: $(if $(GATE_PROGRAMS),setup,build) ## try to get in: the adversary's search, then swaps of photos and faces over the real programs; 3 minutes
	GATE_ATTACK_WHOLE=1 cargo test --release -p gate-core --test adversary -- --nocapture
	cargo test --workspace --test swaps -- --nocapture

test: $(if $(GATE_PROGRAMS),setup,build) ## everything a change must pass, but for lint and rig (GATE_PROGRAMS=DIR: try those)
	cargo test --workspace

lint: setup $(DENY) ## format, clippy, licences and bans of dependencies, systemd units
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(DENY) --log-level error check licenses bans sources
	scripts/advisories.sh
	scripts/verify-units.sh

advisories: $(DENY) ## known vulnerabilities of dependencies, by a clone of RustSec's database (DB=DIR), without a network
	scripts/advisories.sh $(DB)

sbom: ## what the programs are made of, CycloneDX JSON, in target/sbom-ARCH.cdx.json (ARCH=amd64 or arm64)
	@mkdir -p target
	scripts/sbom.py $(ARCH) >target/sbom-$(or $(ARCH),$(shell dpkg --print-architecture)).cdx.json

bench: build ## how long each stage takes on this machine, in the whole gate and crate by crate
	cargo run --release -p gate-daemon -- --config config/gate.toml bench
	cargo bench -p gate-core -p gate-vision -p gate-store -p gate-stats --bench '*'

bench-peers: build ## beside OpenCV, dlib, faiss, usearch and numpy, 10 minutes: table and docs/peers.svg (QUICK=1: a try)
	python3 benches/peers/run.py $(if $(QUICK),--quick)

bench-start: build ## start, memory and idling of the whole gate among 1,000 to 100,000 people, 2 minutes
	python3 benches/start.py

bench-check: ## fails when a kernel takes over 5 % more instructions than before; needs valgrind, no quiet machine
	python3 benches/counts/check.py

bench-baseline: ## what the kernels take now is what bench-check compares with from now on
	python3 benches/counts/check.py --write

check: build ## the doctor: config, runtime, models, store, camera, relay (CONFIG=FILE)
	cargo run --release -p gate-daemon -- check --config "$(CONFIG)"

deb: setup $(DEB) ## the Debian package, in target/debian (ARCH=amd64 or arm64; without it for this machine)
	scripts/package.sh $(ARCH)

rig: $(if $(GATE_PROGRAMS),setup,deb) ## the package on a real kernel with a virtual camera and GPIO, systemd, power cuts (TESTS="NAME ..")
	cargo build --workspace --bin gate-rig
	target/debug/gate-rig $(TESTS)

rig-pi: lab ## nightly: the arm64 gate on an emulated Pi, its pin seen from outside; 4 minutes after a cross build of 15
	scripts/build-for.sh arm64
	python3 tests/rig/pi/rig_pi.py

clean: ## drop what was built; what set-up fetched stays (rm -r models/cache drops it too)
	cargo clean

# Unoptimised and without debug information: they work for seconds, and are made in a third of the time.
$(DENY):
	$(INSTALL) cargo-deny@$(DENY_VERSION)

$(DEB):
	$(INSTALL) cargo-deb@$(DEB_VERSION)
