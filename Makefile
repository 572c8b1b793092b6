# `make` runs the study, `make help` lists the targets.

PYTHON ?= python3
CORES ?= all
# GPUs of this machine that jobs may use at the same time.
GPUS ?= 1
# PRESET: laptop, paper; without it the one that config/config.yaml names.
PRESET ?=

VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/installed
RULES := Snakefile rules/*.smk

# Tests take one thread per process; the rules set their own from the config.
test test-slurm: export OMP_NUM_THREADS = 1

.PHONY: run venv test test-slurm lint schema clean help
.DEFAULT_GOAL := run

run: venv  ## run the study of config/config.yaml (PRESET=paper for another scale, CORES=4 for fewer cores)
	$(RUN) snakemake --cores $(CORES) --resources gpu=$(GPUS) --rerun-incomplete \
	    $(if $(PRESET),--config preset=$(PRESET))

venv: $(INSTALLED)  ## make .venv with the exact versions of requirements.txt

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { \
	    echo "TRAMA needs Python 3.11 or 3.12, and '$(PYTHON)' is not one of them:" \
	        "name one with 'make PYTHON=python3.12'." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --disable-pip-version-check --requirement requirements.txt
	$(RUN) pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

test: lint  ## check everything: lint, unit tests, and the whole chain once on the smallest scale
	$(RUN) pytest

test-slurm: venv  ## run the smallest scale on a real SLURM, started on this machine for it; as root
	$(RUN) pytest tests/slurm

lint: venv  ## check format, style, types and the workflow
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check $(RULES)
	$(RUN) mypy
	$(RUN) snakemake --lint

schema: venv  ## write config/README.md, the schema of the config and the data card anew
	$(RUN) trama.config.document
	$(RUN) trama.data.schemas workflow/schemas/data_card.md

clean:  ## remove .venv and caches; results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache workflow/trama.egg-info

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12
