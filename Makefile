# Everything a developer needs; CI runs `make check`. Each target sets up what it needs, and no virtualenv has to be active.

BIN := .venv/bin
PYTHONS := $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11
TOO_OLD := consumerd needs Python 3.11 or newer with its venv module: install it, or name it with make PYTHON=/path/to/python
PYTEST := $(BIN)/python tests/run.py -ra
# Tests that run librdkafka's clients by the dozen in their own process: kept from those that only observe.
IN_PROCESS := tests/integration/test_kafka_source.py
# Tests that say how much of the time a worker is at work: they run alone.
ALONE := tests/integration/test_kills.py tests/integration/test_limits.py
# So many tests run beside each other, each with servers of its own: most of them wait more than they work.
BESIDE ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo check test unit integration servers lint types format docs bench bench-loop bench-observed bench-sql bench-waiting bench-batch bench-idle bench-restart bench-memory bench-concurrency bench-supervision bench-daemons bench-page chaos kills order schedules hosts limits recovery destinations drills healthy changes gop gop-lite top-picture screenshots clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/dev.stamp  ## make .venv, with all that development needs

demo: .venv/core.stamp  ## see the whole thing in a minute
	$(BIN)/consumerd demo

check: test lint types  ## all that CI checks

test: unit integration  ## run all tests

unit: setup  ## run the unit tests: a minute or so, no server
	$(PYTEST) -n 2 tests/unit examples/gop/tests

integration: setup servers  ## run the tests with real processes and servers
	$(PYTEST) -n 2 $(IN_PROCESS)
	$(PYTEST) $(ALONE)
	$(PYTEST) -n $(BESIDE) --dist loadgroup --no-loadscope-reorder tests/integration $(IN_PROCESS:%=--ignore=%) $(ALONE:%=--ignore=%)

servers: setup  ## get Kafka, MariaDB and PostgreSQL for the tests, as far as possible
	PYTHONPATH=tests $(BIN)/python -m servers.install

lint: setup  ## check style, formatting and the layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: setup  ## check the types
	$(BIN)/mypy

format: setup  ## format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: setup  ## write the documents' tables of keys, and the JSON Schemas, from the code
	$(BIN)/python docs/tables.py
	$(BIN)/python docs/control_schema.py

bench: setup servers  ## run all benchmarks; bench-loop, -observed, -sql, -waiting, -batch, -idle, -restart, -memory, -concurrency, -supervision, -daemons, -page run one
	PYTHONPATH=tests $(BIN)/python -m benchmarks

bench-loop bench-observed bench-sql bench-waiting bench-batch bench-idle bench-restart bench-memory bench-concurrency bench-supervision bench-daemons bench-page: bench-%: setup servers
	PYTHONPATH=tests $(BIN)/python -m benchmarks $*

order: setup  ## ten minutes of order by key on Kafka, with kills, rebalances, restarts and retries
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.key_order $(ORDER)

schedules: setup  ## five minutes of a schedule each second on three hosts, with kills of workers and masters
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.schedule_hosts $(SCHEDULES)

hosts: setup  ## a query on three hosts, five times: one is cut off from the parking store, one is frozen
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.query_hosts $(HOSTS)

kills: setup  ## ten minutes of kills, ten a second, on a claimed table of a server
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.kills $(KILLS)

chaos: setup  ## ten minutes of random faults on a pool; every repeat must have its fault
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.chaos $(CHAOS)

limits: setup  ## a minute of two limits over three workers that are killed; neither may be exceeded
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.limits $(LIMITS)

recovery: setup  ## the pace of a pool before and after its database server was in trouble
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.recovery $(RECOVERY)

destinations: setup  ## one of twenty game servers is down for a minute: nothing is burnt, and nobody else notices
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.destinations $(DESTINATIONS)

drills: setup servers  ## twenty drills: each is broken for real, found by the doctor, and ended by what it advises
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.drills $(DRILLS)

healthy: setup servers  ## an hour of five healthy loads; the doctor must find nothing
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.healthy $(HEALTHY)

changes: setup  ## 1,000 reloads and 200 rolling restarts under load; nothing may be repeated
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.changes

screenshots: setup  ## write the pictures of the page in the manual, of a launch day on SQLite: four minutes
	PYTHONPATH=tests:examples/gop $(BIN)/python -m integration.scenarios.pictures

gop: setup servers  ## five minutes of a launch day: the five daemons of examples/gop on Kafka and MariaDB, all killed as it goes
	PYTHONPATH=tests:examples/gop $(BIN)/python -m integration.scenarios.gop $(GOP)

top-picture: setup  ## a minute and a half: consumerd top over a small shop, as docs/plots/top.svg
	PYTHONPATH=tests $(BIN)/python -m integration.scenarios.top_picture docs/plots/top.svg

gop-lite: .venv/core.stamp  ## the five daemons of examples/gop on SQLite, with faults and kills, to their balance
	PYTHONPATH=examples/gop $(BIN)/python -m world.lite $(GOP)

clean:  ## remove all that these targets made
	rm -rf .venv .cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A name on the PATH may belong to a Python that is too old, lacks venv, or is only a version manager's stub: try each.
.venv/bin/python:
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "$$python -m venv .venv"; "$$python" -m venv .venv && exit 0; rm -rf .venv; exit 1; \
	  fi; \
	done; echo '$(TOO_OLD)' >&2; exit 1

.venv/core.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev.stamp: .venv/core.stamp
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[kafka,mysql,otel,postgres,schedule,top,web]' --group dev
	@touch $@
