# make run | test | test-fast | lab; each sets up .venv first, once.
.PHONY: run test test-fast lint lab lock clean help
BIN := .venv/bin

help:
	@echo "make run        run the whole series (cpu profile), then open runs/latest/report.html"
	@echo "make lab        JupyterLab on the notebooks"
	@echo "make test       every check: lint, types, unit tests, each notebook compared with its stored outputs"
	@echo "make test-fast  the quick ones, in under three minutes"
	@echo "make clean      remove the environment and the caches (runs/ stays)"

.venv/ready: requirements.lock pyproject.toml scripts/make_environment.sh
	@sh scripts/make_environment.sh

run: .venv/ready
	@$(BIN)/course run all --profile cpu

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-fast: lint
	$(BIN)/pytest -m "not slow"

test: lint
	$(BIN)/pytest
	$(BIN)/pytest notebooks --nbval

lock: .venv/ready
	sh scripts/lock.sh

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
