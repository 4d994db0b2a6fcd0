"""The learner's commands: list, open, check, hint, reset, progress."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
