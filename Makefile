# Every target sets up the virtual environment .venv as far as it needs it; nothing else is needed but Python 3.11+ and make.
# Python compiles what is loaded when it is first loaded, so pip does not compile everything beforehand.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-kafka test test-long lint bench bench-kafka clean

.venv/ready: pyproject.toml constraints.txt
	@echo "Setting up .venv (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(INSTALL) --editable .
	@touch .venv/ready

.venv/ready-dev: .venv/ready
	@echo "Adding to .venv what tests and checks need (once)"
	@$(INSTALL) --editable '.[dev]'
	@touch .venv/ready-dev

demo: .venv/ready
	@$(BIN)/yrd demo

# Starts a broker on this machine for as long as it takes: Java 17 and Maven, KAFKA_HOME, or YRD_TEST_BOOTSTRAP.
demo-kafka: .venv/ready-dev
	@$(BIN)/python -W ignore -m tests.support.broker -- $(BIN)/yrd demo --log kafka --home var/demo-kafka

# Rules, properties, one broker, one PostgreSQL. What takes long, and only says the same of more cases, is in test-long.
test: .venv/ready-dev
	@$(PYTEST) -m "not long"

test-long: .venv/ready-dev
	@$(PYTEST) -m long

lint: .venv/ready-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/yrd schemas check

bench: .venv/ready-dev
	@$(BIN)/python -m benchmarks

bench-kafka: .venv/ready-dev
	@$(BIN)/python -W ignore -m benchmarks.over_kafka

clean:
	rm -rf .venv var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
