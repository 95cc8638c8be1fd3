# Weft's few commands; `make help` lists them. Each makes what it needs first, and a second call finds it made.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run demo test check fix test-slow test-gpu bench stress nodes docs screens web venv bench-gpu

# An active virtual environment is used as it is; otherwise .venv is made. (make cannot name a path with spaces.)
VENV := $(if $(filter 1,$(words $(VIRTUAL_ENV))),$(VIRTUAL_ENV),.venv)
BIN := $(VENV)/bin
PYTHON := $(BIN)/python

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: venv ## Open the editor (until it is built: the demo)
	@if [ -f web/dist/index.html ]; then "$(BIN)/weft" serve; else $(MAKE) --no-print-directory demo; fi

demo: venv ## Make a picture with the model that ships
	@"$(BIN)/weft" run workflows/text_to_image.json --out out
	@printf 'the picture: %s\n' "$$(ls -t out/*.png | head -n 1)"

test: check ## Check the code, then run the tests
	"$(PYTHON)" -m pytest -n 2

check: venv ## Lint, format, types, layers
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(PYTHON)" -m mypy
	"$(BIN)/lint-imports" --no-logo

fix: venv ## Mend what the linter and the formatter can
	"$(BIN)/ruff" check --fix .
	"$(BIN)/ruff" format .

test-slow: venv ## Run the tests that take long
	"$(PYTHON)" -m pytest -m "slow and not gpu"

test-gpu: venv ## Run the tests that need a CUDA device
	"$(PYTHON)" -m pytest -m gpu

bench: venv ## Measure
	"$(PYTHON)" -m bench

stress: venv ## Load and faults of the server, measured on the loopback (some minutes)
	"$(PYTHON)" -m tests.engine.server.stress

bench-gpu: venv ## Measure pictures at full size on a GPU
	"$(PYTHON)" -m bench.gpu

nodes: venv ## Write nodes/nodes.json anew
	"$(PYTHON)" -m engine.cli manifest

docs: nodes ## Write the pages that are made from the code anew
	"$(PYTHON)" docs/generate.py

screens: venv ## Take the pictures of docs/first-steps.md anew (needs chromium)
	"$(PYTHON)" -m pytest -q tests/browser/test_first_steps.py --update-golden

web: ## Build the editor into web/dist (needs Node)
	cd web && npm ci && npm run build

# The environment: made once, and again when what it is made from has changed. A torch of 2.11 or newer that is already
# there (in the environment, or in the Python it is made from) is never replaced.
torch = import importlib.metadata as m; \
	v = next((d.version for d in m.distributions(name="torch")), "0.0"); \
	print(v if tuple(map(int, v.split(".")[:2])) >= (2, 11) else "")

venv:
	@set -e; \
	made_from="$$(cksum pyproject.toml constraints.txt hatch_build.py) $$(pwd)"; \
	if [ -x "$(PYTHON)" ] && [ "$$made_from" = "$$(cat "$(VENV)/.weft" 2>/dev/null)" ]; then exit 0; fi; \
	new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if [ ! -x "$(PYTHON)" ]; then \
	  base=; \
	  for candidate in $(PY) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    if "$$candidate" -c "$$new_enough" >/dev/null 2>&1; then base=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$base" ]; then \
	    echo 'Weft needs Python 3.11 or newer and found none. Install one, or name it: make PY=/where/it/is/python3.12' >&2; \
	    exit 1; \
	  fi; \
	  echo "making $(VENV) with $$("$$base" --version) (once; a minute or so, longer where torch has to be downloaded)"; \
	  shared=; \
	  if [ -n "$$("$$base" -c '$(torch)')" ]; then shared=--system-site-packages; fi; \
	  if ! "$$base" -m venv $$shared "$(VENV)"; then \
	    rm -rf "$(VENV)"; \
	    echo 'Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv' >&2; \
	    exit 1; \
	  fi; \
	elif ! "$(PYTHON)" -c "$$new_enough"; then \
	  echo 'Weft needs Python 3.11 or newer; $(VENV) has '"$$("$(PYTHON)" --version)." >&2; \
	  exit 1; \
	fi; \
	kept="$$("$(PYTHON)" -c '$(torch)')"; \
	pins=constraints.txt; quiet=--quiet; \
	if [ -z "$$kept" ] && [ -t 1 ]; then quiet=; fi; \
	if [ -n "$$kept" ]; then \
	  pins="$(VENV)/constraints.txt"; \
	  { grep -v -E '^(torch|sympy|mpmath|setuptools)==' constraints.txt; echo "torch==$$kept"; } > "$$pins"; \
	fi; \
	"$(PYTHON)" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m ensurepip >/dev/null; \
	"$(PYTHON)" -m pip install $$quiet --disable-pip-version-check --constraint "$$pins" --editable '.[dev]'; \
	printf '%s' "$$made_from" > "$(VENV)/.weft"
