# The commands of this project. `make demo` needs only Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= all

# The programs of an environment hold the path of its folder. So the environment says for which folder
# it was made, and one that was moved is made again. A link to another environment is left alone.
MOVED := $(shell test ! -L $(VENV) && test -s $(READY) && test "$$(cat $(READY))" != "$(CURDIR)" && echo moved)
AGAIN := The folder was moved or copied. Its environment is made again.

.PHONY: env demo test lint format docs schema configuration measures errors lock results bench

env: $(READY)
ifneq ($(MOVED),)
.PHONY: $(READY)
endif

# A package is installed only if its hash is in the lock file.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Try make PYTHON=python3.12 $(MAKECMDGOALS)." >&2; exit 1; }
	$(if $(MOVED),@echo "$(AGAIN)")
	$(PYTHON) -m venv $(if $(MOVED),--clear) $(VENV)
	@$(BIN)/python scripts/install.py --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "$(CURDIR)" > $@

demo: env
	@PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --cores $(CORES)
	@echo "The report is results/demo/report.html"

test: env
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" snakemake --lint

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

# The documents as a site, docs/_build/html/index.html; a warning, such as a broken link, is an error.
docs: env
	$(BIN)/sphinx-build -W --keep-going --quiet docs docs/_build/html
	@echo "The site is docs/_build/html/index.html"

# The schema with which editors check workflow_config.yaml.
schema: env
	$(BIN)/python -m skeletons.config.json_schema workflow_config.schema.json

# The page of all keys.
configuration: env
	$(BIN)/python -m skeletons.config.page docs/configuration.md

# The tables in docs/measures.md, from the declarations of the measures.
measures: env
	$(BIN)/python -m skeletons.measures.catalogue docs/measures.md

# The page docs/errors.md, from the mistakes in the tests.
errors: env
	$(BIN)/python tests/test_errors.py docs/errors.md

# The lock file: versions and hashes for every platform, without addresses. Needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --extra dev --extra timm pyproject.toml --output-file requirements.lock
	sed -i "s/sha256:[0-9a-f]*/sha256:$$(sha256sum requirements.lock | cut -c1-64)/" envs/*.yaml

# The pages of docs/results, from the runs that scripts/publish.py copied there.
results: env
	$(BIN)/python scripts/summarize.py docs/results

# The tables of docs/performance.md that take half an hour in total on two idle cores. The page names
# the commands of the others.
BENCHMARKS := throughput allocator start chain threads memory grid
bench: env
	@for name in $(BENCHMARKS); do \
	    echo "== $$name"; \
	    PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/$$name.py --write docs/performance.md || exit 1; \
	done
	PATH="$(CURDIR)/$(BIN):$$PATH" python benchmarks/noop.py --repeats 3 --write docs/reliability.md
