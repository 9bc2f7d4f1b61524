# Everything that a clone can do. Each target sets up what it needs by itself; PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help demo test check format lint types imports envtest requirements clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 24

$(STAMP): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## two replicas on a sandbox API server, and a story told in the terminal
	$(BIN)/kopfbus demo

test: $(STAMP)  ## all tests; those on a real API server build it with Go the first time
	$(BIN)/python -m pytest

check: format lint types imports test  ## what CI runs

format: $(STAMP)  ## is everything formatted?
	$(BIN)/ruff format --check .

lint: $(STAMP)  ## ruff
	$(BIN)/ruff check .

types: $(STAMP)  ## mypy --strict
	$(BIN)/mypy

imports: $(STAMP)  ## do imports go one way?
	$(BIN)/lint-imports

envtest: $(STAMP)  ## find or build a real kube-apiserver and etcd, and print their folder
	@$(BIN)/python tools/envtest.py

requirements: $(STAMP)  ## pin what pyproject.toml asks for
	$(BIN)/python -m piptools compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header -o requirements.txt pyproject.toml
	$(BIN)/python -m piptools compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --extra dev -o requirements-dev.txt pyproject.toml

clean:  ## remove what make has made
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
