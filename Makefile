# Each target does everything from a fresh clone: it makes .venv, installs into it once, and runs.

PYTHON ?= python3
BIN = .venv/bin
INSTALLED = .venv/installed
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check

# An installation without the native kernels is an error.
export BPTT_NATIVE = 1

# The many processes of the tests share what Python compiles, also where the environment asks for the contrary.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test test-all lint faults docs wheel sanitize arm mac matrix gpu cuda-check

train: $(INSTALLED)
	$(BIN)/bptt train

PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal --durations=10

# Every behaviour once, and the ten slowest tests.
test: $(INSTALLED)
	$(PYTEST)

# With the tests marked slow: more cases of what `make test` tests.
test-all: $(INSTALLED)
	$(PYTEST) -m "slow or not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Hundreds of kills, full disks, power losses and damaged files: runs must continue to the same weights.
faults: $(INSTALLED)
	$(BIN)/python tests/faults/faults.py

docs: $(INSTALLED)
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build

# A wheel for Linux x86-64, in dist/. It has no OpenMP runtime: it uses the one that torch brings.
wheel: $(INSTALLED)
	rm -rf build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --exclude 'libgomp*' --wheel-dir dist build/wheel/*.whl

# The kernels without Python, here and for aarch64 under qemu, compared with torch.nn's float64 results.
# Debian: apt-get install g++-aarch64-linux-gnu qemu-user; without these, aarch64 is skipped.
arm: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -s -rs -m slow tests/kernels -k numbers

# The native module compiled and linked for macOS on Apple silicon, by zig; it is not run.
mac: $(INSTALLED)
	$(INSTALL) ziglang nanobind
	$(BIN)/pytest -rs -m slow tests/kernels -k macos

# The tests on the oldest and the newest supported Python, torch and numpy: prints a table.
# Other versions: .venv/bin/python .ci/matrix.py 3.12:2.13.0:newest
matrix: $(INSTALLED)
	$(INSTALL) uv
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/matrix.py

# Everything there is to measure on a GPU, in under eight minutes; its figures are written to benchmarks/results.
gpu: $(INSTALLED)
	$(BIN)/python benchmarks/gpu.py

# The source of the CUDA kernels on the CPU: every cell, dtype and variant, and planted faults, each of which is found;
# and compiled for GPUs, with a budget of registers and instructions.
cuda-check: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto -m "slow or not slow" tests/cuda_kernels

# The kernels' tests, and thousands of tensors changed between forward and backward pass, with address and
# undefined-behaviour sanitizers in the native code.
sanitize: $(INSTALLED)
	rm -f $(INSTALLED)
	$(INSTALL) --no-deps -e . -C cmake.define.BPTT_SANITIZE=ON
	export LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0; \
	  $(BIN)/pytest -p no:cacheprovider tests/walks && \
	  $(BIN)/python tests/fuzz_memory.py 2500
	$(INSTALL) --no-deps -e .
	touch $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt CMakeLists.txt $(wildcard src/bptt/native/*)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -c constraints.txt -e '.[dev]'
	touch $@
