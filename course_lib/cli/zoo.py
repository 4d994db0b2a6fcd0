"""The trained models: list, card, verify; and the maintainer's train and build."""

from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.cli.faults import ALL_WELL, INTERRUPTED, SOMETHING_FAILED

Name = Annotated[str, typer.Argument(metavar="NAME", help="Such as pydoc-gpt.")]
WORK = Path("runs") / "zoo"
# The first of these that a card has stands in the list.
SHOWN_MEASURES = {
    "exact_answers": "{:.1%} exact",
    "f1_of_1_countries": "F1 {:.1f}",
    "masked_bits_per_byte": "{:.3f} bits a byte, hidden words",
    "bits_per_byte": "{:.3f} bits a byte",
}


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(name="list")(list_models)
    for command in (card, verify, train, build):
        app.command()(command)


def list_models() -> None:
    """Show the models: those that come with the course, and those that it can fetch from the hub."""
    from rich.text import Text

    from course_lib.cli.output import console, table_of
    from course_lib.zoo import cards, hub
    from course_lib.zoo.cards import DamagedCheckpoint

    table = table_of("Model", right=("Parameters", "MB", "How good", "Steps"), last=("What it is",))
    table.columns[0].no_wrap = True
    for name in cards.names():
        try:
            found = cards.card(name)
        except DamagedCheckpoint:
            table.add_row(name, "", "", "", "", Text("damaged; see: course zoo verify", style="bold red"))
            continue
        table.add_row(
            name,
            f"{found.sizes['parameters']:,}",
            f"{found.files['model.safetensors']['bytes'] / 1e6:.1f}",
            _how_good(found.measured),
            f"{found.training['steps']:,}",
            found.summary.partition(". ")[0].rstrip("."),
        )
    out = console()
    if cards.names():
        out.print(table)
    else:
        out.print("No trained model is here yet. Train one with: course zoo train pydoc-gpt")
    hub_models = ", ".join(f"{name} ({model.revision[:7]})" for name, model in hub.PINNED.items())
    out.print(f"From the hub, by zoo.load(NAME, online=True): {hub_models}", soft_wrap=True)


def _how_good(measured: dict[str, Any]) -> str:
    for name, shown in SHOWN_MEASURES.items():
        if name in measured:
            return shown.format(measured[name])
    return ""


def card(name: Name, folder: Annotated[bool, typer.Option("--folder", help="Only say where it is.")] = False) -> None:
    """Show what is known of a model: what it cannot do, how good it is, how it was trained."""
    from course_lib.zoo import cards

    typer.echo(cards.bundled_folder(name) if folder else cards.card(name).text(), nl=folder)


def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAMES…]", help="Default: all.")] = None,
) -> None:
    """Compare the models' files with their cards. Exit status 1 if one is missing, cut off or changed."""
    from course_lib.cli.faults import complain
    from course_lib.zoo import cards
    from course_lib.zoo.cards import README_FILE, DamagedCheckpoint

    well = True
    for name in names or cards.names():
        try:
            found = cards.verify(name)
        except DamagedCheckpoint as error:
            complain(str(error))
            well = False
            continue
        size = sum(file["bytes"] for file in found.files.values())
        typer.echo(f"✓ {name}: {len(found.files)} files, {size / 1e6:.1f} MB, as on its card")
        readme = cards.bundled_folder(name) / README_FILE
        if not readme.exists() or readme.read_text(encoding="utf-8") != found.text():
            complain(f"{readme} does not say what the card says; write it anew with: course zoo card {name} > {readme}")
            well = False
    if not names and not cards.names():
        typer.echo("No trained model is here yet.")
    raise typer.Exit(ALL_WELL if well else SOMETHING_FAILED)


def train(
    name: Name,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Checkpoints and the model. Default: runs/zoo/NAME.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Fewer for a trial. Default: the recipe's.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of the CPU. Default: torch's choice.")] = None,
    device: Annotated[str | None, typer.Option(metavar="cpu|cuda|…", help="Default: a GPU if there is one.")] = None,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Go on from the newest checkpoint.")] = True,
    bytes_per_origin: Annotated[
        int | None, typer.Option(metavar="N", help="Read only so much of each package, for a trial.")
    ] = None,
) -> None:
    """Train a model by its recipe, resumably: the same command goes on where the last one was stopped.

    Writes model.safetensors (fp16), config.json, tokenizer.json, card.json and README.md. Hours on a CPU, minutes on a
    GPU. Exit status 130 if it was stopped by Ctrl-C.
    """
    from course_lib.batch.errors import UsageError
    from course_lib.cli.output import near

    for option, value in (("--threads", threads), ("--steps", steps), ("--bytes-per-origin", bytes_per_origin)):
        if value is not None and value < 1:
            raise UsageError(f"{option} must be at least 1, got {value}")
    from course_lib.zoo.training import train_by_name

    folder = out or WORK / name
    made = train_by_name(
        name,
        folder,
        steps=steps,
        threads=threads,
        device=device,
        resume=resume,
        bytes_per_origin=bytes_per_origin,
        tell=lambda line: typer.echo(line, err=True),
    )
    if made is None:
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"{near(folder)}: {name} with card.json and README.md; put it into the course with:")
    typer.echo(f"course zoo build {name} --from {near(folder)}")


def build(
    name: Name,
    folder: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="Where it was trained. Default: runs/zoo/NAME.")
    ] = None,
) -> None:
    """Put a trained model, verified, among those that come with the course (for maintainers)."""
    from course_lib.cli.output import near
    from course_lib.zoo.bundling import bundle

    typer.echo(near(bundle(name, folder or WORK / name)))
