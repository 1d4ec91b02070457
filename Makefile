# Every target sets itself up; the machine needs Python 3.11 or newer, git and make.
# PYTHON=... chooses an interpreter; by default the first of these that is new enough.
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test lint bench clean

demo: $(INSTALLED)
	@$(BIN)/cryocorr demo

test: lint
	$(BIN)/pytest --numprocesses 2

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

# The build tools are installed first and used without isolation: so their versions too are those
# of constraints.txt.
$(INSTALLED): pyproject.toml constraints.txt
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$$python; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "cryocorr-tui needs Python 3.11 or newer, and found none as $(PYTHONS); install it, or name it as in: make demo PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	  echo "Setting up $(VENV) with $$found" >&2; \
	  if ! problem=$$($$found -m venv --clear $(VENV) 2>&1); then \
	    echo "$$found cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv): $$problem" >&2; \
	    exit 1; \
	  fi; \
	fi
	@echo "Installing the versions of constraints.txt (a few minutes the first time)" >&2
	@$(PIP) pip
	@$(PIP) --group dev
	@$(PIP) --no-build-isolation --editable .
	@touch $@
