# run: the site. test, lint: what CI runs. bench: what the telemetry costs (BENCH holds its arguments).
# screenshots: take the pictures of the README again, in docs/img.
# lock: pin anew what setup.cfg declares. clean: drop .venv and caches, never the instance.
.PHONY: run test test-units test-servers test-more-servers test-browser lint bench screenshots lock clean

NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p $(NEW_ENOUGH) 2>/dev/null && echo $$p && break; done)
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet install
COMPILE = --quiet --universal --generate-hashes --no-header --python-version 3.11
PYTEST = .venv/bin/python -m pytest --durations=15
BENCH ?=

run: .venv/run.stamp
	@exec .venv/bin/flask church run

# The tests of units compute, and those of servers and browsers wait: side by side they take little longer than one.
# A row that fails does not cut the others off. What each says comes in one piece, when it has ended.
test: .venv/dev.stamp
	@$(MAKE) --no-print-directory --jobs=4 --keep-going --output-sync=target \
		test-browser test-servers test-units test-more-servers

test-units: .venv/dev.stamp
	$(PYTEST) tests/unit

test-servers: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider tests/integration/test_[a-k]*.py

test-more-servers: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider tests/integration/test_[!a-k]*.py

test-browser: .venv/dev.stamp
	$(PYTEST) -p no:cacheprovider tests/browser

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
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

lock: .venv/run.stamp
	$(PIP) uv
	.venv/bin/uv pip compile $(COMPILE) -o requirements.lock setup.cfg
	echo setuptools | .venv/bin/uv pip compile $(COMPILE) -o requirements-build.lock -
	.venv/bin/uv pip compile $(COMPILE) --extra dev -c requirements.lock -o requirements-dev.lock setup.cfg

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
