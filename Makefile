# `make lab` to learn, `make test` to check: each needs Python 3.11 or newer and installs the rest into .venv.
#   PYTHON=python3.12   another Python to make .venv with
#   TORCH_INDEX=URL     take torch and torchvision from this index, such as PyTorch's own for CPUs
#   LAB_ARGS=...        handed to JupyterLab, such as --no-browser
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PIP := $(RUN) -m pip --disable-pip-version-check

.PHONY: lab test notebooks stamp lint results

# Learners run a copy, which updates of the course neither overwrite nor collide with.
lab: $(INSTALLED)
	@mkdir -p my-notebooks
	@for notebook in notebooks/*.ipynb; do \
	    copy="my-notebooks/$${notebook##*/}"; \
	    [ -e "$$copy" ] || cp "$$notebook" "$$copy" || exit 1; \
	done
	cd my-notebooks && ../$(RUN) -m jupyterlab $(LAB_ARGS)

test: $(INSTALLED)
	$(RUN) -m pytest --nbval --cov=stn_course --cov-report=term --cov-fail-under=90

notebooks: $(INSTALLED)
	$(RUN) tools/execute_notebooks.py

stamp: $(INSTALLED)
	$(RUN) tools/stamp.py

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
