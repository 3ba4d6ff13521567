# Two commands do all the set-up on a fresh machine: `make serve` and `make test`.

PYTHON ?= python3
# Where torch comes from. Empty: the index pip is set up with (on Linux, PyPI's build is for CUDA). For the much
# smaller CPU build give the index that PyTorch's install page names: make serve TORCH_INDEX_URL=...
TORCH_INDEX_URL ?=
ARGS ?=

PIP := .venv/bin/pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.PHONY: serve lab test lint format clean

serve: .venv/.server  ## start the service: embedded SQLite store, the model for words of any kind
	.venv/bin/armt serve $(ARGS)

lab: .venv/.lab  ## what `armt train` and `armt eval` need besides

test: .venv/.dev  ## lint, types, floors, then the whole suite
	./scripts/install-redis.sh
	$(MAKE) --no-print-directory lint
	.venv/bin/pytest $(ARGS)

lint: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

format: .venv/.dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean:
	rm -rf .venv dist

.venv/.torch: constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(INSTALL) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) torch
	touch $@

.venv/.server: .venv/.torch pyproject.toml
	$(INSTALL) --editable '.[server]'
	touch $@

.venv/.lab: .venv/.server
	$(INSTALL) --editable '.[lab]'
	touch $@

.venv/.dev: .venv/.server
	$(INSTALL) --editable '.[dev]'
	touch $@
