"""The maintainer's commands: build the notebooks of the exercises, try the seeded faults."""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
