# Two commands are all a newcomer needs: `make demo` and `make test`. Both build .venv first when it is missing or stale.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# uv reads none of pip's settings; a wheel folder that pip is told of is handed on.
PIP_WHEELS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
export UV_FIND_LINKS ?= $(or $(PIP_FIND_LINKS),$(PIP_WHEELS))
export UV_LINK_MODE ?= copy

.PHONY: help venv demo test soak table report notebooks lint types lock clean
help:   ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

venv: $(READY) ## .venv with the pinned versions of requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps -e .
	@touch $@

demo: $(READY) ## train on the built-in brick texture and find painted defects, in about a minute
	$(BIN)/python -m anomaly_diffusion demo $(ARGS)

test: lint types $(READY) ## lint, types and tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

soak: $(READY) ## what `make test` does a little of, for hours: every experiment, kill, launcher, notebook, edge value, spoilt file
	$(BIN)/python -m pytest -m soak $(ARGS)
	$(BIN)/python -m pytest tests/test_fuzz.py --inputs 100000

# Below $ANOMALY_DIFFUSION_DATA and _WEIGHTS. Finished runs are not repeated, others go on. RUNS is where they go.
RUNS ?= runs/table
JOBS ?= 2
table: $(READY) ## the main table of report/results.md from scratch (hours on two cores), then its report
	for part in pixel features wide; do OMP_NUM_THREADS=1 $(BIN)/python -m anomaly_diffusion sweep \
	    experiments/sweeps/table_$$part.yaml --jobs $(JOBS) --runs_dir $(RUNS) --wandb disabled $(ARGS) || exit 1; done
	$(BIN)/python -m anomaly_diffusion compare $(RUNS)/table_* --chart $(RUNS)/cost.png
	$(BIN)/python -m anomaly_diffusion report $(RUNS)/table_* --output $(RUNS)/report

# Runs are found by name: report/README.md. What is missing is listed with the command that makes it.
report: RUNS = report/pixels/records.tar.xz
report: OUTPUT = report/pixels
report: $(READY) ## report.pdf, slides.pdf and index.html of all runs below RUNS, or of those that were kept, into OUTPUT
	$(BIN)/python -m anomaly_diffusion paper $(RUNS) --output $(OUTPUT) $(ARGS)

notebooks: $(READY) ## write the outputs of notebooks/ anew
	$(BIN)/python tests/notebook_runner.py $(ARGS)

lint: $(READY) ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY) ## mypy over the package and the benchmarks
	$(BIN)/mypy

# The pin of torch is a choice, not the newest; its CUDA companions are left to the installer, so that one lock serves
# machines with and without a GPU.
TORCH ?= 2.13.0
lock: ## pin again: resolves pyproject.toml into requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	echo "torch==$(TORCH)" > $(VENV)/torch.constraint
	$(BIN)/uv pip compile --quiet --python $(BIN)/python --upgrade --extra dev --no-header --no-annotate \
	    --constraint $(VENV)/torch.constraint pyproject.toml > $(VENV)/resolved
	sed -E 's/\+cpu$$//' $(VENV)/resolved | grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock

clean: ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
