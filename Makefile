# `make lab` to learn, `make test` to check: each needs Python 3.11 or newer and installs the rest into .venv.
#   PYTHON=python3.12   another Python to make .venv with
#   TORCH_INDEX=URL     take torch and torchvision from this index, such as PyTorch's own for CPUs
#   LAB_ARGS=...        handed to JupyterLab, such as --no-browser
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PIP := $(RUN) -m pip --disable-pip-version-check
WIDGETS7 := .venv-ipywidgets7
RUN7 := $(WIDGETS7)/bin/python

.PHONY: lab test test-browser test-colab test-ipywidgets7 notebooks stamp html lint results

# Learners run a copy, which updates of the course neither overwrite nor collide with.
lab: $(INSTALLED)
	$(RUN) -m stn_course lab $(LAB_ARGS)

test: $(INSTALLED)
	$(RUN) -m pytest --nbval -m "not browser and not colab" -n auto --maxprocesses=4 --dist=loadfile \
	    --cov=stn_course --cov-report=term --cov-fail-under=90

# Every notebook and every explorer in JupyterLab, by keyboard and mouse; skipped, with the reason, without a Chromium.
test-browser: $(INSTALLED)
	$(RUN) -m pytest -m browser -rs tests/test_browser.py

# Each notebook alone in an empty folder, where everything but the course is installed already, and an older ipywidgets.
test-colab: $(INSTALLED)
	$(RUN) -m pytest -m colab -rs tests/test_colab.py

# The sliders once more with the ipywidgets that Colab carries.
test-ipywidgets7: $(WIDGETS7)/.installed
	$(RUN7) -c 'import ipywidgets; version = ipywidgets.__version__; assert version.startswith("7.7."), version'
	$(RUN7) -m pytest tests/test_widgets_*.py

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
	$(RUN) tools/readme_picture.py

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "The course needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	    echo "Name another one, such as: make $(MAKECMDGOALS) PYTHON=python3.12"; \
	    exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) install --index-url "$(TORCH_INDEX)" "torch>=2.6" torchvision)
	$(PIP) install -e ".[lab,test]"
	@touch $@

# All but ipywidgets is taken from .venv, whose folder the .pth file names: what stands before it in sys.path wins.
$(WIDGETS7)/.installed: $(INSTALLED)
	$(RUN) -m venv --clear $(WIDGETS7)
	$(RUN7) -m pip --disable-pip-version-check install --no-deps "ipywidgets==7.7.*" ipython_genutils
	@folder='import sysconfig; print(sysconfig.get_path("purelib"))'; \
	    echo "import site; site.addsitedir('$$($(RUN) -c "$$folder")')" > "$$($(RUN7) -c "$$folder")/of-venv.pth"
	@touch $@
