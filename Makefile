# make run | play | test | test-fast | lab; each sets up .venv first, once.
.PHONY: run play test test-fast test-browser test-gpu lint lab lock clean help
BIN := .venv/bin
NBVAL := --nbval-current-env --nbval-sanitize-with tests/notebooks/nbval_sanitize.cfg --nbval-cell-timeout 240 \
	-n 2 --dist loadfile
# A page that did not come up on a machine that was busy is asked once more; what fails twice has failed.
BROWSER_TESTS := $(BIN)/pytest tests/browser || $(BIN)/pytest tests/browser --last-failed --last-failed-no-failures none

help:
	@echo "make run        run the whole series (cpu profile), then open runs/latest/report.html"
	@echo "make play       the playground in a browser"
	@echo "make lab        JupyterLab on the notebooks"
	@echo "make test       every check: lint, types, unit tests, each notebook and solution compared with its outputs,"
	@echo "                the widgets in Chromium"
	@echo "make test-browser  the widgets in Chromium, with real kernels"
	@echo "make test-fast  the quick ones, in under three minutes"
	@echo "make clean      remove the environment and the caches (runs/ stays)"

.venv/ready: requirements.lock pyproject.toml scripts/make_environment.sh
	@sh scripts/make_environment.sh

run: .venv/ready
	@$(BIN)/course run all --profile cpu

play: .venv/ready
	@$(BIN)/course play

lab: .venv/ready
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: lint
	$(BIN)/pytest -m "not slow and not browser" -n 2 --dist loadfile

test: lint
	$(BIN)/pytest -m "not browser" -n 2 --dist loadfile
	$(BIN)/pytest notebooks exercises/*/solutions $(NBVAL) --nbval
	$(BROWSER_TESTS)

# The widgets in Chromium, on Voilà and JupyterLab with real kernels; skipped where there is no Chromium.
test-browser: .venv/ready
	$(BROWSER_TESTS)

# On a GPU box: every notebook runs and its claims are judged, but printed numbers are not compared.
test-gpu: .venv/ready
	$(BIN)/pytest notebooks exercises/*/solutions $(NBVAL) --nbval-lax

lock: .venv/ready
	sh scripts/lock.sh

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
