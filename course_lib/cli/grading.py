"""The instructor's command: grade a class."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
