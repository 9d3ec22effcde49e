# `make demo` and `make test` are all that a new checkout needs; both make the virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint format bench bench-gpu docs cards clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("hf-toedit needs Python 3.10 or newer; say make PYTHON=python3.12, for one") if sys.version_info < (3, 10) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## edit the bundled sample with the embedded prior, three generations
	@rm -rf demo-run
	@$(BIN)/hf-toedit edit sample -o demo-run --generations 3

test: $(STAMP)  ## all tests; HF_TOEDIT_EXAMPLES=50000 makes the property tests long
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## speed against the floor and others, then growth; SPEED="--rounds 3", ARGS=--large for 10 GB and 10,000 shards
	$(BIN)/python benchmarks/bench.py $(SPEED)
	$(BIN)/python benchmarks/scaling.py $(ARGS)

bench-gpu: $(STAMP)  ## speed on a GPU against its matrix rate; ARGS='--size small' for a quick run
	$(BIN)/python benchmarks/gpu.py $(ARGS)

docs: $(STAMP)  ## write the help of every command into the README
	HF_TOEDIT_WRITE_README=1 $(BIN)/python -m pytest tests/test_readme.py

cards: $(STAMP)  ## write the cards in cards/ anew
	HF_TOEDIT_WRITE_CARDS=1 $(BIN)/python -m pytest tests/cards/test_golden.py

clean:
	rm -rf $(VENV) demo-run build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
