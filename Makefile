# `make` runs the study, `make help` lists the targets.

PYTHON ?= python3
CORES ?= all
# Jobs that may use the GPU at the same time. All take the first one that CUDA_VISIBLE_DEVICES names.
GPUS ?= 1
# PRESET: laptop, paper, claims; without it the one that config/config.yaml names.
PRESET ?=
# What to estimate, without it all of the study.
TARGET ?=
# Files over config/config.yaml, as config/tuning.yaml.
CONFIGFILE ?=
# Groups of the benchmark, as learner or startup; without it all. LARGE=1 adds the sizes that take long.
ONLY ?=
LARGE ?=
# File of an archive, without it archives/<study>.tar; to restore and to compare, also a folder of docs/results.
ARCHIVE ?=
# File of a trained policy, and how to play it; see the options of the same names, as
# `python workflow/commands/replay.py --help` and `.../evaluate.py --help` show them.
MODEL ?=
TASK ?=
SEED ?=
OUTPUT ?=
EPISODES ?=
UNITS ?=
STARTS ?=
# Folder of SMACv2's sources, for its tests; and a Python with the packages of envs/smacv2.yaml.
SMACV2_SRC ?=
SMACV2_PYTHON ?= python3
SCENARIOS ?=

VENV := .venv
SMACV2_VENV := .venv-smacv2
SMACV2_PIP := $(SMACV2_VENV)/bin/python -m pip install --disable-pip-version-check
RUN := $(VENV)/bin/python -m
INSTALLED := $(VENV)/installed
RULES := Snakefile rules/*.smk
COMMANDS := $(VENV)/bin/python workflow/commands
POLICY = "$(or $(MODEL),$(error Name a trained policy, as MODEL=results/.../policy_last.pt))"
CHOSEN := $(if $(PRESET),--preset $(PRESET)) $(if $(CONFIGFILE),--configfile $(CONFIGFILE))

# Tests take one thread per process; the rules set their own from the config.
test test-report test-faults test-slurm test-smacv2: export OMP_NUM_THREADS = 1

.PHONY: run venv archive restore compare record estimate replay evaluate-model check-starcraft test test-report test-slurm test-faults test-smacv2 lint schema bench clean help
.DEFAULT_GOAL := run

run: venv  ## run the study of config/config.yaml (PRESET=paper for another scale, CORES=4 for fewer cores)
	$(RUN) snakemake --cores $(CORES) --resources gpu=$(GPUS) --rerun-incomplete \
	    $(if $(PRESET),--config preset=$(PRESET)) $(if $(CONFIGFILE),--configfile $(CONFIGFILE))

venv: $(INSTALLED)  ## make .venv with the exact versions of requirements.txt

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || { \
	    echo "TRAMA needs Python 3.11 or 3.12, and '$(PYTHON)' is not one of them:" \
	        "name one with 'make PYTHON=python3.12'." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) pip install --disable-pip-version-check --requirement requirements.txt
	$(RUN) pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

archive: venv  ## pack what the study's finished jobs made into archives/<study>.tar
	$(COMMANDS)/archive.py $(CHOSEN) $(if $(ARCHIVE),--archive $(ARCHIVE))

restore: venv  ## put it back, elsewhere or in a fresh clone (ARCHIVE=file, or docs/results/<study>)
	$(COMMANDS)/restore.py $(CHOSEN) $(if $(ARCHIVE),--archive $(ARCHIVE))

compare: venv  ## compare results that are here, as of a sample run anew, with those of an archive (ARCHIVE=as above)
	$(COMMANDS)/compare.py $(CHOSEN) $(if $(ARCHIVE),--archive $(ARCHIVE))

record: venv  ## keep a finished study's figures, tables and rows in docs/results, and write docs/RESULTS.md
	$(COMMANDS)/record.py $(CHOSEN)

estimate: venv  ## print the jobs that a run would start, and their hours and disk space (TARGET=experiments)
	$(COMMANDS)/estimate.py $(CHOSEN) $(if $(TARGET),--target "$(TARGET)")

replay: venv  ## draw an episode of a trained policy (MODEL=file; TASK='3s2z surrounded', SEED=, OUTPUT=file.gif)
	$(COMMANDS)/replay.py $(POLICY) $(if $(TASK),--task "$(TASK)") \
	    $(if $(SEED),--seed "$(SEED)") $(if $(OUTPUT),--output "$(OUTPUT)")

evaluate-model: venv  ## play a trained policy on tasks (MODEL=file; EPISODES=, UNITS='5s 5z', STARTS=reflected)
	$(COMMANDS)/evaluate.py $(POLICY) $(if $(EPISODES),--episodes "$(EPISODES)") \
	    $(if $(UNITS),--units $(UNITS)) $(if $(STARTS),--starts $(STARTS)) \
	    $(if $(SCENARIOS),--scenarios $(SCENARIOS))

check-starcraft:  ## check StarCraft II on this machine: versions, maps, env steps per second (SMACV2_PYTHON=python)
	$(SMACV2_PYTHON) workflow/commands/check_starcraft.py $(CHOSEN)

test: lint  ## check everything: lint, unit tests, and the whole chain once on the smallest scale
	$(RUN) pytest --numprocesses 2 --dist loadfile tests/unit
	$(RUN) pytest --numprocesses 2 --dist loadfile tests/workflow

test-report: venv  ## open the report in Chromium and typeset the tables; as root it installs what it needs
	$(RUN) pytest tests/report

test-faults: venv  ## kill jobs of a real run at random moments, and compare with one left alone
	$(RUN) pytest tests/faults

test-slurm: venv  ## run the smallest scale on a real SLURM, started on this machine for it; as root
	$(RUN) pytest tests/slurm

test-smacv2: $(SMACV2_VENV)/installed  ## try SMACv2's own package (SMACV2_SRC=folder) on a stand-in for StarCraft II
	@test -f "$(SMACV2_SRC)/setup.py" || { echo "Name a checkout of https://github.com/oxwhirl/smacv2:" \
	    "make test-smacv2 SMACV2_SRC=folder" >&2; exit 1; }
	rm -rf $(SMACV2_VENV)/source
	cp -r "$(SMACV2_SRC)" $(SMACV2_VENV)/source
	$(SMACV2_PIP) --quiet --no-deps --force-reinstall $(SMACV2_VENV)/source
	$(SMACV2_VENV)/bin/python -m pytest tests/smacv2
	$(SMACV2_VENV)/bin/python -m pytest tests/unit/test_conformance.py tests/unit/test_processes.py \
	    tests/unit/test_smacv2.py tests/unit/test_without_jax.py

$(SMACV2_VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv --clear $(SMACV2_VENV)
	$(SMACV2_VENV)/bin/python tests/smacv2/requirements.py $(SMACV2_VENV)
	$(SMACV2_PIP) --constraint $(SMACV2_VENV)/constraints.txt --requirement $(SMACV2_VENV)/requirements.txt
	@touch $@

lint: venv  ## check format, style, types and the workflow
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check $(RULES)
	$(RUN) mypy
	$(RUN) snakemake --lint

schema: venv  ## write config/README.md, the schema of the config and the data card anew
	$(RUN) trama.config.document
	$(RUN) trama.data.schemas workflow/schemas/data_card.md

bench: venv  ## measure speed and memory (ONLY=learner for one group, LARGE=1 for more sizes)
	$(RUN) benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(LARGE),--large)

clean:  ## remove .venv and caches; results stay
	rm -rf $(VENV) $(SMACV2_VENV) .mypy_cache .pytest_cache .ruff_cache workflow/trama.egg-info

help:  ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 17
