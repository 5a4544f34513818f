# make run    sets everything up and runs the product
# make test   sets everything up, checks and tests it (what CI runs)
# Needs python3 (3.11 or newer), git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check lock soak bench peers docs

run: $(VENV)/.run-ready
	@$(BIN)/ringfence up $(ARGS)

# The kernels are compiled before the clock of any single test runs: it takes a minute on a busy machine, once.
test: $(VENV)/.dev-ready peers check
	@$(BIN)/python -c "from ringfence.detection.agent import warm_up; warm_up()"
	@PATH="$$PATH:/usr/sbin:/sbin" $(BIN)/pytest $(ARGS)

check: $(VENV)/.dev-ready
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

# What is too long for a gate of minutes.
soak: $(VENV)/.dev-ready peers
	@PATH="$$PATH:/usr/sbin:/sbin" $(BIN)/pytest -m soak --timeout 3600 $(ARGS)

# make bench NAME=kernel; without a name the quality of detection, which writes docs/quality.md (an hour on a small machine)
bench: $(VENV)/.run-ready
	@$(BIN)/ringfence bench $(or $(NAME),quality --table docs/quality.md) --json

# The Debian packages that tests talk to. Missing ones skip their tests by name.
peers:
	@tools/install_peers.sh

# The reference pages that are written from the code: settings, metrics, commands, permissions of routes.
docs: $(VENV)/.dev-ready
	@$(BIN)/python -m tools.docs

lock:
	@tools/lock.sh

# The second start must be quick: pip runs again only when a lock file has changed.
$(VENV)/.run-ready: requirements.lock tools/make_venv.sh
	@PYTHON=$(PYTHON) tools/make_venv.sh $(VENV) requirements.lock
	@touch $@

$(VENV)/.dev-ready: requirements-dev.lock tools/make_venv.sh
	@PYTHON=$(PYTHON) tools/make_venv.sh $(VENV) requirements-dev.lock
	@touch $@ $(VENV)/.run-ready
