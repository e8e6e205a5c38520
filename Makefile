# make quickstart | test | test-full | lint | bench | dist   (Python 3.11+ and make are all that is needed)
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# glibc: large arrays in huge pages, which spares a CPU most page faults
HUGE_PAGES := GLIBC_TUNABLES=glibc.malloc.hugetlb=1

.PHONY: quickstart test test-full test-aot test-drills test-hub test-beam test-browser test-mteb test-onnx docs lint format audit bench dist clean

quickstart: $(VENV)/.installed  ## pre-train, fine-tune and evaluate on the built-in videos; ends with a table and a report
	$(HUGE_PAGES) $(BIN)/vidjax quickstart --workdir runs/quickstart

test: $(VENV)/.installed-test  ## the fast tests; about 17 minutes on 2 cores of an AMD EPYC
	$(BIN)/python -m pytest -m "not slow and not aot" -n 2 --dist worksteal

test-full: $(VENV)/.installed-test  ## the slow tests too: kills, smokes, notebooks, browser, newest Python, TPU compiles; hours on 2 cores
	XLA_FLAGS=--xla_backend_optimization_level=0 $(BIN)/python -m pytest -m "not aot" -n 2 --dist worksteal  # with the code generator that users have
	$(MAKE) test-aot
	$(MAKE) test-browser
	scripts/test_newest_python.sh

test-aot:  ## compiles for TPU topologies with libtpu (0.7 GB) in an environment of its own
	$(MAKE) .venv-aot/.installed-test VENV=.venv-aot
	.venv-aot/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[aot]'
	.venv-aot/bin/python -m pytest -m aot

test-drills: $(VENV)/.installed-test  ## kills, damaged files, full disks, fuzzing: what docs/reliability.md counts; about 40 minutes of CPU time, two drills at once
	$(BIN)/python -m pytest -o python_files='drill_*.py' tests/drills -n 2 --dist worksteal $(ARGS)

test-hub: $(VENV)/.installed-test  ## downloads public weights (14 GB; ARGS=--large for more) and compares their outputs
	$(BIN)/python tests/hub $(ARGS)

lint: $(VENV)/.installed-test  ## what CI checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check --python $(VENV) --python-version $$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') vidjax

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: $(VENV)/.installed-test  ## known advisories of what is installed, by pip-audit in an environment of its own
	$(MAKE) .venv-audit/bin/python VENV=.venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/python scripts/audit.py $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

bench: $(VENV)/.installed-test  ## all that `vidjax bench` measures, beside the other libraries that are installed; a table and JSON
	$(BIN)/vidjax bench --size=tiny --size=base --json=runs/bench.json

test-beam: $(VENV)/.installed-test  ## adds Apache Beam and Dask, and prepares records on Beam, here and on a cluster of two processes
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dask]'
	$(BIN)/python -m pytest tests/cli/test_prepare.py tests/cli/test_on_dask.py

test-browser: $(VENV)/.installed-test  ## adds gradio and Playwright, and opens the page of `vidjax demo` in the system's Chromium
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo]' playwright
	$(BIN)/python -m pytest tests/cli/test_demo.py tests/demo tests/browser

test-mteb: $(VENV)/.installed-test  ## adds mteb, and scores a model on a miniature task of its video benchmark
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mteb]'
	$(BIN)/python -m pytest tests/export/test_mteb.py

test-onnx:  ## writes ONNX files and runs them in ONNX Runtime, in an environment of its own
	$(MAKE) .venv-onnx/bin/python VENV=.venv-onnx
	.venv-onnx/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[onnx]' pytest
	.venv-onnx/bin/python -m pip install --quiet --constraint constraints.txt --no-deps jax2onnx
	.venv-onnx/bin/python -m pytest tests/export/test_onnx.py

docs: $(VENV)/bin/python  ## the documentation site, into site/; a warning or a dead link fails
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python scripts/site.py

dist: $(VENV)/bin/python  ## an sdist, and a wheel made from it, which holds the experiments too
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf runs build dist site .cache *.egg-info .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vidjax needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@ $(VENV)/.installed
