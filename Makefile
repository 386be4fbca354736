# Every target sets up its own virtual environment in .venv when there is none; nothing else is needed but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: demo demo-kafka test test-long lint bench bench-kafka clean

.venv/ready: pyproject.toml constraints.txt
	@echo "Setting up .venv (once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with PYTHON=...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/ready

demo: .venv/ready
	@$(BIN)/yrd demo

# Starts a broker on this machine for as long as it takes: Java 17 and Maven, KAFKA_HOME, or YRD_TEST_BOOTSTRAP.
demo-kafka: .venv/ready
	@$(BIN)/python -W ignore -m tests.support.broker -- $(BIN)/yrd demo --log kafka --home var/demo-kafka

# Rules, properties, one broker, one PostgreSQL. What takes long, and only says the same of more cases, is in test-long.
test: .venv/ready
	@$(PYTEST) -m "not long"

test-long: .venv/ready
	@$(PYTEST) -m long

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/yrd schemas check

bench: .venv/ready
	@$(BIN)/python -m benchmarks

bench-kafka: .venv/ready
	@$(BIN)/python -W ignore -m benchmarks.over_kafka

clean:
	rm -rf .venv var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
