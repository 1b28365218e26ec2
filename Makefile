# make help lists the targets. Variables: PYTHON VENV DEPLOY_VENV LABEL_VENV FEDERATED_VENV OUT DATA HOSTS SECRET SIZE EPOCHS PATIENTS N ARGS.
PYTHON   ?= python3.11
VENV     ?= .venv
OUT      ?= run
DATA     ?=
HOSTS    ?=
SECRET   ?=
SIZE     ?=
EPOCHS   ?=
PATIENTS ?=
N        ?= 20
ARGS     ?=
LABEL_VENV ?= .venv-label
FEDERATED_VENV ?= .venv-federated
DEPLOY_VENV ?= .venv-deploy

BIN     := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := transforms networks scripts

# Folders of sources: a new one needs a new editable install (a new file does not).
FOLDERS := $(sort $(dir $(shell find $(SOURCES) -name '*.py' -not -path '*/__pycache__/*')))
SETUP   := constraints.txt pyproject.toml setup.py

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST))

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or later is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

# One stamp a set of packages, named after the folders it was made for.
STAMP := $(shell printf '%s' '$(FOLDERS)' | cksum | cut -d' ' -f1)
$(VENV)/.user-$(STAMP): $(SETUP) | $(BIN)/python
	@echo 'Installing fesf and its pinned requirements into $(VENV) (a minute or two) ...'
	@start=$$(date +%s); $(INSTALL) -e '.[all]' && echo $$(( $$(date +%s) - start )) > $(VENV)/install-seconds
	@touch $@

$(VENV)/.dev-$(STAMP): $(SETUP) | $(BIN)/python
	@echo 'Installing fesf, its pinned requirements and the test tools into $(VENV) (a minute or two) ...'
	@$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.user-$(STAMP)

train: $(VENV)/.user-$(STAMP)  ## demo cohort (or DATA=cohort.csv HOSTS=dir [SECRET=file]) to classifier and report in OUT=run
	$(BIN)/python -m fesf.scripts.pipeline --out '$(OUT)' \
	  $(if $(DATA),--cohort '$(DATA)') $(if $(HOSTS),--hosts '$(HOSTS)') $(if $(SECRET),--secret-file '$(SECRET)') \
	  $(if $(SIZE),--image-size $(SIZE)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(PATIENTS),--patients $(PATIENTS)) \
	  --install-seconds "$$(cat $(VENV)/install-seconds 2>/dev/null || echo 0)" $(ARGS)

# Two workers of one thread each: two processes of two threads each are 4 to 10 times slower on two cores.
test: $(VENV)/.dev-$(STAMP)  ## the whole suite, with the coverage gate (95 %, branches included)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term $(ARGS)

lint: $(VENV)/.dev-$(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build/types/fesf
	@for part in $(SOURCES); do ln -sfn ../../../$$part build/types/fesf/$$part; done
	MYPYPATH=build/types $(BIN)/mypy -p fesf.transforms -p fesf.networks -p fesf.scripts

bench: $(VENV)/.dev-$(STAMP)  ## speed of hiding, of the workflows and of DICOM on one thread: docs/bench*.json, docs/bench.png
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench_pipeline
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench_store
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench_dicom
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench_dicom --mask-text
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench_scale
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.bench_export

reproduce: $(VENV)/.user-$(STAMP)  ## the table on real images: docs/results.md (needs the shared data)
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.reproduce --metadata bundle/configs/metadata.json $(ARGS)

kill: $(VENV)/.dev-$(STAMP)  ## kill -9 hide N=20 times at random moments, resume, compare the store byte for byte
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bundle.kill_hide --kills $(N) $(ARGS)

canaries: $(VENV)/.user-$(STAMP)  ## send a made-up export through every stage and search what leaves: docs/canaries.md
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.canaries --out docs $(ARGS)

soak: $(VENV)/.dev-$(STAMP)  ## N=20000 broken files, tables and documents to all that reads them: docs/soak.json (it resumes)
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.soak --number $(if $(filter command% environ%,$(origin N)),$(N),20000) \
	  --out docs/soak.json $(ARGS)

package: $(VENV)/.user-$(STAMP)  ## the analyst's and the hospital's bundle of OUT=run as zip files in dist/
	$(BIN)/python -m fesf.scripts.package_bundle --run '$(OUT)' $(ARGS)

bundles: $(VENV)/.user-$(STAMP)  ## pack both bundles and run them where fesf is not installed: docs/bundles.json
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.check_bundles --out docs $(ARGS)

docs: $(VENV)/.dev-$(STAMP)  ## the API as pages in build/api, from the docstrings
	$(BIN)/python -m fesf.scripts.api_pages $(ARGS)

mlflow: $(VENV)/.user-$(STAMP)  ## a tracking server on the loopback: log, serve, repeat, and nothing of the hospital: docs/mlflow.json
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.check_mlflow --out docs $(ARGS)

# MONAI Label's requirements and ours do not fit (numpy, pydicom): an environment of its own, fesf without requirements.
$(LABEL_VENV)/.label-$(STAMP): $(SETUP)
	$(PYTHON) -m venv $(LABEL_VENV)
	@echo 'Installing MONAI Label into $(LABEL_VENV) (some 15 minutes) ...'
	@$(LABEL_VENV)/bin/python -m pip install --quiet --disable-pip-version-check monailabel==0.8.5 monai==1.6.1 \
	  torch==2.13.0 pytorch-ignite==0.5.5 'pydicom<3' 'pynetdicom<3' 'dicomweb-client[gcp]<0.60' 'scipy<1.18' \
	  fire nibabel pillow scikit-learn matplotlib tqdm einops
	@$(LABEL_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(LABEL_VENV)/bin/python -m fesf.scripts.label.torchvision_schemas
	@touch $@

label: $(VENV)/.user-$(STAMP) $(LABEL_VENV)/.label-$(STAMP)  ## a MONAI Label server on surrogates: predict, rank, label, train, refuse: docs/label.json
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.check_label --out docs --python $(LABEL_VENV)/bin/python $(ARGS)

# An environment of its own: NVFLARE's requirements are not ours. monai-nvflare asks for an older NVFLARE and works with this.
$(FEDERATED_VENV)/.federated-$(STAMP): $(SETUP)
	$(PYTHON) -m venv $(FEDERATED_VENV)
	@echo 'Installing fesf and NVFLARE into $(FEDERATED_VENV) (a minute or two) ...'
	@$(FEDERATED_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[hospital]' \
	  nvflare==2.9.0 torch==2.13.0
	@$(FEDERATED_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps monai-nvflare==0.4.0
	@touch $@

federated: $(FEDERATED_VENV)/.federated-$(STAMP)  ## two hospitals, FedAvg in one process and by NVFLARE's simulator: docs/federated.json
	OMP_NUM_THREADS=1 $(FEDERATED_VENV)/bin/python -m fesf.scripts.check_federated --out docs $(ARGS)

# An environment of its own. The SDK's Triton client wants older grpcio and protobuf; where the SDK is, importing MONAI
# loads Holoscan, which needs CUDA's runtime library: its wheel has it, runtime.py says where.
$(DEPLOY_VENV)/.deploy-$(STAMP): $(SETUP)
	$(PYTHON) -m venv $(DEPLOY_VENV)
	@echo 'Installing fesf and the MONAI Deploy App SDK into $(DEPLOY_VENV) (some five minutes, 3 GB) ...'
	@grep -vE '^(grpcio|protobuf)==' constraints.txt > $(DEPLOY_VENV)/constraints.txt
	@$(DEPLOY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c $(DEPLOY_VENV)/constraints.txt \
	  -e '.[gateway,report]' monai-deploy-app-sdk==4.0.0 torch==2.13.0
	@$(DEPLOY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps nvidia-cuda-runtime==13.0.96
	@touch $@

deploy: $(DEPLOY_VENV)/.deploy-$(STAMP)  ## the MONAI Deploy app on DICOM surrogates, beside the SDK's own operators: docs/deploy.json
	LD_LIBRARY_PATH="$$($(DEPLOY_VENV)/bin/python -m fesf.scripts.deploy.runtime)" OMP_NUM_THREADS=1 \
	  $(DEPLOY_VENV)/bin/python -m fesf.scripts.check_deploy --out docs $(ARGS)

gateway: $(VENV)/.user-$(STAMP)  ## Orthanc, gateway and a stand-in analyst: reports, kills, an outage, and no leak: docs/gateway.json
	OMP_NUM_THREADS=1 $(BIN)/python -m fesf.scripts.check_gateway --out docs $(ARGS)

integration: $(VENV)/.user-$(STAMP)  ## every integration in turn, each in its own environment; what is missing is skipped by name
	$(BIN)/python -m fesf.scripts.integration $(ARGS)

clean:  ## remove what make made, except the run folders
	rm -rf $(VENV) $(DEPLOY_VENV) $(LABEL_VENV) $(FEDERATED_VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
