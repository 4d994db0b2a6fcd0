"""Runs many notebooks as files: plan, execute, record, report, compare."""
