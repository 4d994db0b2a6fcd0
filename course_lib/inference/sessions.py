"""How does a graph get to run? In a session of ONNX Runtime: graph level, threads, and faults that name their cure."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.inference.export_manifest import ExportError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

# What is done with a graph before it runs. basic: constants folded, dead ends cut off. extended: several nodes become
# one, such as a matrix product and its scale. all: also what depends on this machine's processor.
LEVELS = {"none": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED"} | {
    "all": "ORT_ENABLE_ALL"
}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def open_session(
    file: Path | str,
    *,
    threads: int | None = None,
    level: str = "all",
    device: str = "cpu",
    optimised: Path | None = None,
) -> "InferenceSession":
    """A session that runs the graph in a file.

    threads: that work on one node together; None: one for each core. level: one of `LEVELS`. device: "cpu" or "cuda".
    optimised: where to write the graph as it is after that level. Raises ExportError for settings that do not exist,
    and for a file that is missing, is no graph, or is one that this runtime does not know.
    """
    import onnxruntime

    if level not in LEVELS:
        raise ExportError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    if threads is not None and threads < 1:
        raise ExportError(f"threads must be at least 1, got {threads}; leave it out for one on each core")
    _refuse_missing(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # what goes wrong is raised; it need not be printed as well
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=[PROVIDERS[device]])
    except Exception as error:  # the runtime's errors have no parent of their own
        raise ExportError(_what_ails(Path(file), error)) from error


def nodes_at(file: Path | str, level: str) -> Counter[str]:
    """Which nodes, and how many of each, are left of a graph at an optimisation level."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        open_session(file, level=level, optimised=optimised)
        return Counter(node.op_type for node in onnx.load(optimised, load_external_data=False).graph.node)


def _refuse_missing(device: str, available: list[str]) -> None:
    if device not in PROVIDERS:
        raise ExportError(f"device must be one of {', '.join(PROVIDERS)}, got {device!r}")
    if PROVIDERS[device] not in available:
        raise ExportError(
            f"this onnxruntime cannot run on {device!r} (it has {', '.join(available)}); use device='cpu', or install "
            "onnxruntime-gpu in onnxruntime's place"
        )


def _what_ails(file: Path, error: Exception) -> str:
    """The reason why a file gives no session, found by reading it."""
    import onnx
    import onnxruntime

    version, said = onnxruntime.__version__, str(error).splitlines()[0]
    if not file.is_file():
        return f"{file} is missing; export the model again"
    try:
        graph = onnx.load(file, load_external_data=False)
    except Exception:  # whatever protobuf calls it
        graph = onnx.ModelProto()
    if not graph.graph.node:
        return f"{file} is no ONNX graph, or a damaged one ({file.stat().st_size:,} bytes); export the model again"
    opset = max((entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if "opset" in said.lower() or opset > onnx.defs.onnx_opset_version():
        return (
            f"{file} is written in opset {opset}, which onnxruntime {version} does not run; export the model again "
            f"with an older opset, or update onnxruntime ({said})"
        )
    return f"onnxruntime {version} cannot run {file}, written in opset {opset}; export the model again ({said})"
