"""A folder is a whole export, or the error says which file is not, why, and what to do."""

import json

import onnx
import pytest
from onnx import TensorProto, helper

from course_lib.inference.export_manifest import (
    ExportError,
    Manifest,
    new_identity,
    read_manifest,
    stamp,
    verify,
)

TOKENS = {"start": 0, "end": 1, "pad": 0}


def write_graph(file, identity):
    place = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    node = helper.make_node("Identity", ["x"], ["y"], doc_string="drawn at /home/somebody/model.py, line 3")
    graph = helper.make_graph([node], "g", [place], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), file)
    stamp(file, identity)


@pytest.fixture
def export(tmp_path):
    identity = new_identity("toy")
    write_graph(tmp_path / "encoder.onnx", identity)
    (tmp_path / "tokenizer.json").write_text("{}")
    Manifest("toy", "long_t5", 53, 512, TOKENS, 18, identity, graphs={"encoder": "encoder.onnx"}).write(tmp_path)
    return tmp_path


def test_it_reads_what_it_wrote_and_finds_all_files_whole(export):
    manifest = read_manifest(export)
    verify(export, manifest)
    assert set(manifest.files) == {"encoder.onnx", "tokenizer.json"}
    assert manifest.tokens == TOKENS
    assert manifest.bytes == (export / "encoder.onnx").stat().st_size


def test_a_graph_does_not_tell_where_it_was_drawn(export):
    assert b"somebody" not in (export / "encoder.onnx").read_bytes()


def test_a_broken_off_export_is_none(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            ExportError, match=r"is no finished export: there is no manifest.json.*export the model again"
        ):
            read_manifest(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"format": 1}', '{"format": 1, "name": "toy", "colour": "red"}'])
def test_a_damaged_manifest_is_named(export, text):
    (export / "manifest.json").write_text(text)
    with pytest.raises(ExportError, match=r"manifest.json cannot be read .*export the model again"):
        read_manifest(export)


def test_a_manifest_of_another_format_is_named(export):
    content = json.loads((export / "manifest.json").read_text()) | {"format": 9}
    (export / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"manifest.json has format 9, and 1 is read"):
        read_manifest(export)


def test_a_missing_file_is_named(export):
    (export / "tokenizer.json").unlink()
    with pytest.raises(ExportError, match=r"tokenizer.json is missing"):
        verify(export, read_manifest(export))


def test_a_cut_off_file_is_named(export):
    content = (export / "encoder.onnx").read_bytes()
    (export / "encoder.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ExportError, match=r"encoder.onnx is damaged: it has \d+ bytes .*export the model again"):
        verify(export, read_manifest(export))


def test_a_graph_of_another_export_is_told_from_a_damaged_one(export):
    write_graph(export / "encoder.onnx", "another 1234")
    with pytest.raises(ExportError, match=r"encoder.onnx belongs to another export .*'another 1234', not 'toy "):
        verify(export, read_manifest(export))
