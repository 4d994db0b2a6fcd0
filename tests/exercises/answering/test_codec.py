"""Only data travels, all of it arrives, and no bytes do harm."""

import enum
import json
import math
import random

import numpy
import pytest
import torch

from course_lib.exercises.answering.codec import (
    DTYPES,
    HEADER,
    MAGIC,
    CodecError,
    Decoding,
    Encoding,
    decode,
    encode,
    lengths,
)
from course_lib.exercises.answering.opaque import Opaque


def travelled(value, decoding=None, encoding=None, **options):
    message = encode(value, encoding, **options)
    skeleton, tensors = lengths(message[: HEADER.size])
    body = message[HEADER.size :]
    assert len(body) == skeleton + tensors
    return decode(body[:skeleton], body[skeleton:], decoding)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -7, 2**80, 1.5, -0.0, math.inf, -math.inf),
        *("", "weights é ∑ 🙂", b"", b"\x00\xff", [], (), {}),
        *([1, [2.0, (None, "x")]], {"a": [1], 3: {"b": ()}}, [[], ()], {"l": ["t", "x"]}),
    ],
)
def test_plain_values_arrive_as_they_were(value):
    arrived = travelled(value)
    assert arrived == value
    assert repr(arrived) == repr(value)


def test_nan_arrives():
    assert math.isnan(travelled([math.nan])[0])


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_tensors_of_every_kind_arrive(dtype):
    tensor = torch.tensor([[0, 1, 2], [1, 0, 3]]).to(getattr(torch, dtype))
    arrived = travelled(tensor)
    assert arrived.dtype == tensor.dtype
    assert arrived.shape == tensor.shape
    assert torch.equal(arrived.to(torch.complex128), tensor.to(torch.complex128))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(2.5),
        torch.empty(0, 3),
        torch.empty(2, 0, dtype=torch.bool),
        torch.arange(12).reshape(3, 4).T,
        torch.arange(12)[::5],
        torch.ones(1, 1).expand(3, 4),
        torch.tensor([1 + 2j]).conj(),
        torch.tensor([math.nan, math.inf]),
    ],
    ids=["0-d", "empty", "empty bool", "transposed", "strided", "expanded", "conjugate", "not finite"],
)
def test_tensors_of_every_layout_arrive(tensor):
    assert torch.allclose(travelled(tensor), tensor, equal_nan=True)
    assert travelled(tensor).shape == tensor.shape


def test_what_arrives_is_a_copy_and_several_tensors_keep_their_places():
    first, second = torch.arange(3), torch.rand(2, 2)
    arrived = travelled([first, {"x": second}, first])
    arrived[0][0] = 9
    assert first[0] == 0
    assert torch.equal(arrived[1]["x"], second)
    assert torch.equal(arrived[2], first)


def test_a_gradient_is_asked_for_again_only_where_the_reader_wants_it():
    weight = torch.ones(2, requires_grad=True)
    assert travelled(weight, Decoding(keep_grad=True)).requires_grad
    assert not travelled(weight * 2).requires_grad


def test_numpy_becomes_tensors_and_numbers():
    arrived = travelled([numpy.arange(4.0).reshape(2, 2), numpy.float64(1.5), numpy.int8(3), numpy.bool_(True)])
    assert torch.equal(arrived[0], torch.arange(4.0, dtype=torch.float64).reshape(2, 2))
    assert arrived[1:] == [1.5, 3, True]
    assert torch.equal(travelled(numpy.arange(3, dtype=">i4")[::-1]), torch.tensor([2, 1, 0], dtype=torch.int32))


def test_members_of_enumerations_travel_as_what_they_are_underneath():
    class Colour(enum.StrEnum):
        RED = "red"

    assert travelled([Colour.RED, enum.IntEnum("Size", ["ONE"]).ONE]) == ["red", 1]


def test_all_else_is_named_but_stays_behind():
    class DataFrame:
        def __repr__(self):
            return "a table"

    class Silent:
        def __repr__(self):
            raise ValueError("no")

    table, silent, text, keyed, sparse = travelled(
        [DataFrame(), Silent(), numpy.array(["a"]), {(1, 2): 3}, torch.eye(2).to_sparse()]
    )
    assert type(table).__name__ == "DataFrame"
    assert repr(table) == "a table"
    assert "ValueError" in repr(silent)
    assert [type(value).__name__ for value in (text, keyed, sparse)] == ["ndarray", "dict", "Tensor"]
    assert all(isinstance(value, Opaque) for value in (table, silent, text, keyed, sparse))
    assert not isinstance(sparse, torch.Tensor)
    assert type(travelled(table)).__name__ == "DataFrame"


def test_a_callable_is_opaque_unless_the_writer_lends_it():
    assert isinstance(travelled(len), Opaque)
    lent = []
    encoding = Encoding(callback=lambda function: lent.append(function) or 0)
    assert travelled({"f": len}, Decoding(callback=lambda number: lent[number]), encoding) == {"f": len}
    with pytest.raises(CodecError, match="no data"):
        travelled(len, None, Encoding(callback=lambda function: 0))


def test_too_large_and_too_deep_is_an_error_of_the_writer():
    with pytest.raises(CodecError, match="larger than 1 MiB"):
        encode(torch.zeros(2**20), limit=2**20)
    with pytest.raises(CodecError, match="larger"):
        encode("x" * 9 * 2**20)
    nested: list = []
    for _ in range(1000):
        nested = [nested]
    with pytest.raises(CodecError, match="deeper"):
        encode(nested)
    loop: list = []
    loop.append(loop)
    with pytest.raises(CodecError, match="deeper"):
        encode(loop)


@pytest.mark.parametrize(
    "header",
    [
        b"garbage here",
        HEADER.pack(b"XXXX", 1, 1),
        HEADER.pack(MAGIC, 2**31, 0),
        HEADER.pack(MAGIC, 10, 2**32 - 1),
    ],
)
def test_a_header_that_lies_is_refused(header):
    with pytest.raises(CodecError):
        lengths(header)


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"{}",
    b"[]",
    b'["z", 1]',
    b'[["l"], 1]',
    b'["l", {"a": 1}]',
    b'["d", [1]]',
    b'["d", [[1], 2]]',
    b'["d", [null, 2]]',
    b'["o", 1, 2]',
    b'["o", "type"]',
    b'["c", 0]',
    b'["f", "system"]',
    b'["b", 99]',
    b'["b", -1]',
    b'["x", "float32", [99], false]',
    b'["x", "float32", [-1], false]',
    b'["x", "float32", [1.5], false]',
    b'["x", "float32", [true], false]',
    b'["x", "nn", [1], false]',
    b'["x", "float32", [0, 4611686018427387904, 4611686018427387904], false]',
    b'["x", "float32", "ab", false]',
    b'["x", "float32"]',
    b'["x", ["float32"], [1], false]',
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'["l",' * 100 + b"1" + b"]" * 100,
    b"9" * 100_000,
    b'["l"] extra',
]


@pytest.mark.parametrize("skeleton", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes_are_an_error_and_nothing_else(skeleton):
    with pytest.raises(CodecError):
        decode(skeleton, b"1234")


def test_random_damage_is_an_error_or_a_value_and_nothing_else():
    whole = encode({"a": [torch.arange(6.0), (1, "x")], 3: b"data"})
    skeleton, _ = lengths(whole[: HEADER.size])
    chance = random.Random(0)
    refused = 0
    for _ in range(2000):
        body = bytearray(whole[HEADER.size :])
        for _ in range(chance.randint(1, 4)):
            body[chance.randrange(skeleton)] = chance.randrange(256)
        try:
            decode(bytes(body[:skeleton]), bytes(body[skeleton:]))
        except CodecError:
            refused += 1
    assert refused > 1000


def test_a_small_message_cannot_stand_for_a_large_value():
    skeleton = json.dumps(["l", *[["x", "uint8", [4], False]] * 2]).encode()
    with pytest.raises(CodecError, match="not there"):
        decode(skeleton, b"1234")


def test_bools_are_bools_and_text_can_be_written():
    odd = decode(b'["x", "bool", [2], false]', b"\x02\x00")
    assert odd.tolist() == [True, False]
    assert odd.view(torch.uint8).tolist() == [1, 0]
    assert decode(rb'["l", "\ud800", ["o", "A\udfff", "\ud800"]]', b"")[0].encode("utf-8") == b"?"
    assert type(decode(rb'["o", "A\udfff\u0000", "r"]', b"")).__name__ == "A?"
