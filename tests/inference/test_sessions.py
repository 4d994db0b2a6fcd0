"""A graph runs at each level with the same result; what is no graph that runs here is told apart."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from course_lib.inference.export_manifest import ExportError
from course_lib.inference.sessions import LEVELS, nodes_at, open_session

RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(size=(3, 4)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """Writes x W^T, times the sum of two numbers, with the transposition and the sum as nodes of their own."""

    def write(opset=18, domain="", name="graph.onnx"):
        numbers = [numpy_helper.from_array(np.float32(each), f"n{each}") for each in (1, 2)]
        nodes = [
            helper.make_node("Transpose", ["W"], ["Wt"], perm=[1, 0]),
            helper.make_node("Add", ["n1", "n2"], ["three"]),
            helper.make_node("MatMul", ["x", "Wt"], ["xW"]),
            helper.make_node("Mul", ["xW", "three"], ["y"]),
        ]
        if domain:
            nodes.append(helper.make_node("Unheard", ["y"], ["z"], domain=domain))
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
            [helper.make_tensor_value_info("z" if domain else "y", TensorProto.FLOAT, ["rows", 3])],
            [numpy_helper.from_array(WEIGHT, "W"), *numbers],
        )
        opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / name)
        return tmp_path / name

    return write


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_every_level_and_any_threads_give_the_same(write, level, threads):
    session = open_session(write(), level=level, threads=threads)
    x = RANDOM.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ WEIGHT.T * 3, rtol=1e-5)


def test_a_higher_level_leaves_fewer_nodes(write):
    file = write()
    assert nodes_at(file, "none").total() == 4
    assert nodes_at(file, "basic") == {"MatMul": 1, "Mul": 1}
    assert nodes_at(file, "extended") == {"FusedMatMul": 1}


def test_threads_are_taken(write):
    options = open_session(write(), threads=3).get_session_options()
    assert options.intra_op_num_threads == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"graph.onnx is missing; export the model again"):
        open_session(tmp_path / "graph.onnx")


@pytest.mark.parametrize("content", [b"", b"not a graph at all", None])
def test_a_damaged_file_is_named(write, content):
    file = write()
    file.write_bytes(file.read_bytes()[:-60] if content is None else content)
    with pytest.raises(ExportError, match=r"graph.onnx is no ONNX graph, or a damaged one \(\d+ bytes\); export"):
        open_session(file)


def test_an_opset_of_the_future_is_named_with_the_version_that_does_not_know_it(write):
    message = (
        f"is written in opset 99, which onnxruntime {onnxruntime.__version__} does not run; export the model again"
    )
    with pytest.raises(ExportError, match=f"{message} with an older opset, or update onnxruntime"):
        open_session(write(opset=99))


def test_nodes_of_another_library_are_named(write):
    with pytest.raises(ExportError, match=r"cannot run .*graph.onnx, written in opset 18; .*elsewhere"):
        open_session(write(domain="elsewhere"))


def test_settings_that_do_not_exist_are_refused(write):
    with pytest.raises(ExportError, match="level must be one of none, basic, extended, all, got 'O4'"):
        open_session(write(), level="O4")
    with pytest.raises(ExportError, match="threads must be at least 1, got 0"):
        open_session(write(), threads=0)
    with pytest.raises(ExportError, match="device must be one of cpu, cuda, got 'tpu'"):
        open_session(write(), device="tpu")


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="it can run there")
def test_a_device_that_this_runtime_lacks_is_said(write):
    with pytest.raises(ExportError, match=r"cannot run on 'cuda' .*use device='cpu', or install onnxruntime-gpu"):
        open_session(write(), device="cuda")
