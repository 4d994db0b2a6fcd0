"""The playground in a browser: `course play`."""

import signal
import subprocess
import tempfile
import time
import webbrowser
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Any

import typer

NAME = "15_playground"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(play)


def play(
    port: Annotated[int | None, typer.Option(help="Of 127.0.0.1. Default: 8866, or a free one.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME|PATH", help="A model as zoo.load takes it. Default: the notebook's.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    notebook_folder: Annotated[
        Path | None, typer.Option("--notebooks", metavar="FOLDER", help="Where the series is. Default: notebooks/.")
    ] = None,
) -> None:
    """Open the playground as an app: attention explorer, temperature laboratory, alignment stepper.

    It is served to this machine alone, to whoever has its address. Ctrl-C ends it.
    """
    from course_lib.batch import app as served
    from course_lib.batch.errors import UsageError
    from course_lib.cli import arguments

    notebook = arguments.notebook_folder(notebook_folder) / f"{NAME}.ipynb"
    if not notebook.is_file():
        raise UsageError(f"there is no {notebook}; give the folder of the series by --notebooks")
    number = served.usable_port(port)
    served.voila_command(notebook, number)  # says so at once if Voilà is missing
    values = {} if model is None else {"model": _known_model(model)}
    signal.signal(signal.SIGTERM, _like_ctrl_c)
    with tempfile.TemporaryDirectory(prefix="course-play-") as folder:
        copy = served.app_notebook(notebook, Path(folder), values)
        key = token_urlsafe(16)
        environment = served.app_environment(JUPYTER_TOKEN=key)
        command = served.voila_command(copy, number, token=True)
        log = Path(folder) / "server.log"
        try:
            with served.serving(command, number, log, environment) as server:
                _show(f"http://{served.HOST}:{number}/?token={key}", browser)
                _wait_for(server, log)
        except KeyboardInterrupt:
            typer.echo("\nThe playground has ended.")


def _known_model(given: str) -> str:
    """The name, or the whole path of the folder. Raises ZooError, with all ways to get a model, if it is unknown."""
    typer.echo("Looking for the model …", err=True)
    from course_lib.zoo.loading import locate

    found = locate(given)
    return str(found.resolve()) if Path(given).expanduser().is_dir() else given


def _show(address: str, browser: bool) -> None:
    typer.echo(f"The playground is at {address}")
    typer.echo("The first page takes a while: models are loaded, and a small one is trained. Ctrl-C ends it.")
    if browser and not webbrowser.open(address):
        typer.echo("No browser could be opened; open the address in one on this machine.", err=True)


def _wait_for(server: "subprocess.Popen[bytes]", log: Path) -> None:
    from course_lib.batch.app import ServerFailed, last_lines

    while server.poll() is None:
        time.sleep(0.2)
    raise ServerFailed(f"the server ended by itself:\n{last_lines(log)}")


def _like_ctrl_c(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
