"""Which faults are expected, and with which exit status does the command end?"""

import typer

ALL_WELL, SOMETHING_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


def status_of(error: Exception) -> int | None:
    """2 for what was asked wrongly, 1 for what went wrong outside this program, None for a bug."""
    from course_lib.batch.errors import UsageError
    from course_lib.batch.record import RunFileError
    from course_lib.exercises.catalogue import ExerciseError
    from course_lib.zoo.cards import DamagedCheckpoint, ZooError

    if isinstance(error, DamagedCheckpoint):
        return SOMETHING_FAILED
    if isinstance(error, UsageError | RunFileError | ExerciseError | ZooError):
        return BAD_USAGE
    if isinstance(error, BrokenPipeError):  # typer ends quietly by itself
        return None
    # Importing the modules of these three takes a second.
    if isinstance(error, OSError) or type(error).__name__ in ("RefreshFailed", "IsolationError", "TrainingBroke"):
        return SOMETHING_FAILED
    return None


def in_one_line(error: Exception) -> str:
    """What the error says, for the system's errors the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def complain(text: str) -> None:
    """One line on standard error."""
    typer.echo(f"course: {text}", err=True)
