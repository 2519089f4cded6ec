# `make lab` to learn, `make test` to check: each needs Python 3.11 or newer and installs the rest into .venv.
#   PYTHON=python3.12   another Python to make .venv with
#   TORCH_INDEX=URL     take torch and torchvision from this index, or as pip does with `pypi`; otherwise they come from
#                       PyTorch's index for CPUs on a Linux without an NVIDIA GPU, where that can be reached
#   LAB_ARGS=...        handed to JupyterLab, such as --no-browser
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PIP := $(RUN) -m pip --disable-pip-version-check
LOWEST := .venv-lowest
RUN_LOWEST := $(LOWEST)/bin/python
SUITE := --nbval -m "not browser and not colab" -n auto --maxprocesses=4 --dist=loadfile

.PHONY: lab test test-browser test-colab test-lowest test-machines notebooks stamp html lint results

# Learners run a copy, which updates of the course neither overwrite nor collide with.
lab: $(INSTALLED)
	$(RUN) -m stn_course lab $(LAB_ARGS)

test: $(INSTALLED)
	$(RUN) -m pytest $(SUITE) --cov=stn_course --cov-report=term --cov-fail-under=90

# Every notebook and every explorer in JupyterLab, by keyboard and mouse; skipped, with the reason, without a Chromium.
test-browser: $(INSTALLED)
	$(RUN) -m pytest -m browser -rs tests/test_browser.py

# Each notebook alone in an empty folder, where everything but the course is installed already, and an older ipywidgets.
test-colab: $(INSTALLED)
	$(RUN) -m pytest -m colab -rs tests/test_colab.py

# With the lowest versions that pyproject.toml allows, which need a Python 3.11: PYTHON=python3.11
test-lowest: $(LOWEST)/.installed
	$(RUN_LOWEST) -m pytest $(SUITE)

# As on other machines: other instructions, other threads, other last bits. MACHINES="old last-bit" names some of them.
test-machines: $(INSTALLED)
	$(RUN) tools/machines.py $(MACHINES) -- $(SUITE)

notebooks: $(INSTALLED)
	$(RUN) tools/execute_notebooks.py

stamp: $(INSTALLED)
	$(RUN) tools/stamp.py

# Static pages, to read without a kernel and without a network.
html: $(INSTALLED)
	$(RUN) tools/render_html.py

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

results: $(INSTALLED)
	$(RUN) -m stn_course results --write
	$(RUN) tools/readme_animation.py

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "The course needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	    echo "Name another one, such as: make $(MAKECMDGOALS) PYTHON=python3.12"; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)
	TORCH_INDEX="$(TORCH_INDEX)" $(RUN) tools/install_torch.py
	$(PIP) install -e ".[lab,test]"
	@touch $@

$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv --clear $(LOWEST)
	$(RUN_LOWEST) tools/lowest.py > $(LOWEST)/lowest.txt
	TORCH_INDEX="$(TORCH_INDEX)" $(RUN_LOWEST) tools/install_torch.py --constraint $(LOWEST)/lowest.txt
	$(RUN_LOWEST) -m pip --disable-pip-version-check install --constraint $(LOWEST)/lowest.txt -e ".[lab,test]"
	@touch $@
