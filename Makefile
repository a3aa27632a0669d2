# run: the site. test, lint: the checks. ci: what CI runs. long: what takes too long for each change (SEED, SOAK).
# bench: what the telemetry costs (BENCH holds its arguments).
# screenshots: take the pictures of the README again, in docs/img.
# lock: pin anew what setup.cfg declares. clean: drop .venv and caches, never the instance.
.PHONY: run test test-units test-units-bare test-services-bare test-units-more test-servers test-more-servers test-browser ci \
	long long-shuffled long-late long-kills long-soak long-faults lint bench screenshots lock clean

NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p $(NEW_ENOUGH) 2>/dev/null && echo $$p && break; done)
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet install
COMPILE = --quiet --universal --generate-hashes --no-header --python-version 3.11
PYTEST = .venv/bin/python -m pytest --durations=15 $(NOTED)
BENCH ?=
SEED ?= $(shell date +%s)
SOAK ?= 10
NOTES = .venv/notes
# Tests start hundreds of processes, and each starts a third sooner where compiled modules may be kept.
unexport PYTHONDONTWRITEBYTECODE

run: .venv/run.stamp
	@exec .venv/bin/flask church run

# The tests of units compute, and those of servers and browsers wait: side by side they take little longer than one, if
# those that wait go first.
# A row that fails does not cut the others off. What each says comes in one piece, when it has ended.
# The last lines say what all rows left in NOTES: packages that are missing, and tests that passed only alone.
ROWS = @rm -rf $(NOTES); \
	$(MAKE) --no-print-directory --jobs=7 --keep-going --output-sync=target NOTED=--notes=$(NOTES) $(1); failed=$$?; \
	.venv/bin/python -m tests.support.notes $(NOTES) && exit $$failed

test: .venv/dev.stamp
	$(call ROWS,test-browser test-servers test-units test-more-servers)

# Lint, and all tests. Units that use no other program run with none on PATH, the others in a row of their own. A server or
# browser test that fails runs once more, alone.
ci: .venv/dev.stamp
	$(call ROWS,RUN_AGAIN=--run-again lint test-browser test-servers test-units-bare test-services-bare test-more-servers test-units-more)

test-units: .venv/dev.stamp
	nice -n 5 $(PYTEST) tests/unit

test-units-bare: .venv/dev.stamp
	nice -n 5 .ci/bare $(PYTEST) -p no:cacheprovider -m 'not needs' tests/unit/[!s]*

test-services-bare: .venv/dev.stamp
	nice -n 5 .ci/bare $(PYTEST) -p no:cacheprovider -m 'not needs' tests/unit/s*

test-units-more: .venv/dev.stamp
	nice -n 5 $(PYTEST) -p no:cacheprovider -m needs tests/unit

test-servers: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider $(RUN_AGAIN) tests/integration/test_[a-l]*.py

test-more-servers: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider $(RUN_AGAIN) tests/integration/test_[!a-l]*.py

test-browser: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider $(RUN_AGAIN) tests/browser

# One by one, because each is measured or wants the machine for itself; one that fails does not cut the others off.
long: .venv/dev.stamp
	@$(MAKE) --no-print-directory --keep-going long-shuffled long-late long-kills long-soak long-faults

long-shuffled: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider --shuffle $(SEED) tests/unit

long-late: .venv/dev.stamp
	.venv/bin/python -m tests.support.late 15 -p no:cacheprovider tests/unit

long-kills: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider --kills 50 tests/integration/test_observe.py -k killed

long-soak: .venv/dev.stamp
	.venv/bin/python -m ops.bench --minutes $(SOAK)

long-faults: .venv/dev.stamp
	.venv/bin/python -m ops.faults

lint: .venv/dev.stamp
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/mypy && .venv/bin/lint-imports
	.venv/bin/python ops/lint.py

bench: .venv/dev.stamp
	.venv/bin/python -m ops.bench $(BENCH)

screenshots: .venv/dev.stamp
	.venv/bin/python -m ops.screenshots

# Each stamp is newer than its sources, so a changed lock is installed before anything runs. requirements-build.lock pins
# setuptools, which installs the project itself: Python 3.12 and later put none into a new .venv, and the site needs none.
.venv/run.stamp: requirements.lock requirements-build.lock setup.cfg
	@$(or $(PYTHON),false) $(NEW_ENOUGH) || { \
		echo 'This needs Python 3.11 or newer: install it, or name it with make PYTHON=...' >&2; exit 1; }
	@echo 'Installing what requirements.lock pins into .venv (once, about a minute)'
	@.venv/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(PIP) --require-hashes -r requirements.lock -r requirements-build.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/run.stamp
	@echo 'Installing the tools of tests and lint into .venv'
	@$(PIP) --no-compile --require-hashes -r requirements-dev.lock
	@touch $@

lock: .venv/run.stamp
	$(PIP) uv
	.venv/bin/uv pip compile $(COMPILE) -o requirements.lock setup.cfg
	echo setuptools | .venv/bin/uv pip compile $(COMPILE) -o requirements-build.lock -
	.venv/bin/uv pip compile $(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock setup.cfg

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
