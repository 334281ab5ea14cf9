# Two commands do everything: `make demo` and `make test`. The rest is for people who change the system.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := $(VENV)/.ready-demo
# Names each package as it comes, and how far it is. What is never imported is never compiled: the rest is when it first is.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-compile
# Tests wait more than they count: four processes, a file at a time, those that take long first.
SPREAD := -n 4 --dist loadfile --no-loadscope-reorder
# Tests start a hundred processes, and the sandbox loads workflows anew: each would compile everything again if nothing were kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check check-deploy run-image bench long chaos requirements clean

demo: $(DEMO)
	@$(BIN)/consortium demo

test: $(READY)
	$(BIN)/python -m pytest $(SPREAD)

long: $(READY)
	$(BIN)/python -m pytest $(SPREAD) --long

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy activities audit bench cli domain eventstore open_model_consortium.py settings.py keeper.py signatures simulation tests transparency workflows worker.py
	MYPYPATH=deploy $(BIN)/mypy deploy/trial deploy/run-image
	$(BIN)/lint-imports
	$(BIN)/python docs/picture.py --check

check-deploy: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" deploy/check

# The image, built and run as compose.yaml says; `RUN_IMAGE=--fresh` makes its base anew. Beside a demonstration, as in .ci/run, it
# and chaos come second: the demonstration's clock does not wait.
run-image: $(READY)
	nice $(BIN)/python deploy/run-image $(RUN_IMAGE)

# Faults brought about in lanes, each with a control that must fail; `LANES="--lane power-loss"`, `LANES="--long --resume state/chaos"`.
chaos: $(READY)
	nice $(BIN)/python -m tests.chaos $(or $(LANES),--jobs 3)

bench: $(VENV)/.ready-bench
	$(BIN)/python -m bench

# What the demonstration needs, and no more.
$(DEMO): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say which by make PYTHON=…")'
	@# An environment that an interrupted run left half made is made anew.
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo "Python cannot make a virtual environment here; on Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }
	@echo "Installing what the demonstration needs into $(VENV): 100 packages, 600 MB. It takes one to five minutes, once."
	@$(INSTALL) --constraint constraints.txt --editable '.[demo]'
	@# The model of the demonstration: its weights are wanted, not the framework that it names as a dependency.
	@$(INSTALL) --no-deps 'silero-vad>=6.2,<7'
	@touch $@

# What the tests and checks need besides.
$(READY): $(DEMO)
	@echo "Installing what the tests and checks need into $(VENV): 70 packages more, 700 MB. It takes one to five minutes, once."
	@$(INSTALL) --constraint constraints.txt --editable '.[dev]'
	@touch $@

$(VENV)/.ready-bench: $(READY)
	@echo "Installing what the benchmarks compare with into $(VENV)."
	@$(INSTALL) --constraint constraints.txt --editable '.[bench,dev]'
	@touch $@

# Makes anew what is installed: every library with its version, and for the image with its hashes. Neither file names a place.
requirements: $(READY)
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-annotate --no-header --python-version 3.11 --all-extras \
	  --output-file constraints.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-annotate --no-header --python-version 3.11 --extra release \
	  --constraint constraints.txt --generate-hashes --output-file deploy/requirements.txt pyproject.toml
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	  $(BIN)/uv pip compile --quiet --universal --no-emit-index-url --no-annotate --no-header --python-version 3.11 \
	  --constraint constraints.txt --generate-hashes --output-file deploy/build-requirements.txt -

clean:
	rm -rf $(VENV) state
