"""How do values travel between a process that is trusted and one that is not? As data: JSON and raw tensors.

A message is a header (a magic word and two lengths), a skeleton in JSON, and the bytes of its tensors one after the
other. In the skeleton None, bool, int, float and str stand for themselves and all else is a list that begins with a
tag. Nothing in a message can name code, so decoding runs none; malformed bytes raise CodecError and nothing else.
"""

import json
import math
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.exercises.answering.opaque import Opaque, opaque

MAGIC = b"CAns"
HEADER = struct.Struct("<4sII")  # magic, bytes of skeleton, bytes of tensors
MESSAGE_LIMIT = 64 * 2**20
# A skeleton's objects take some twenty times its bytes in memory; tensors take theirs.
SKELETON_LIMIT = 8 * 2**20
DEPTH_LIMIT = 60
INTEGER_BITS = 4096

LIST, TUPLE, DICT, TENSOR, BYTES, OPAQUE, CALLBACK, FUNCTION = "l", "t", "d", "x", "b", "o", "c", "f"
DTYPES = frozenset(
    {"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32"}
    | {"float64", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"}
)


class CodecError(ValueError):
    """Bytes that are no message, or a value too large or too deep to be one."""


@dataclass
class Encoding:
    """How one side writes the callables that it meets in a message's values.

    callback: gives a number under which the other side can call it back. function: gives the name of one of the other
    side's own functions, or None. Without them a callable becomes an Opaque.
    """

    callback: Callable[[Any], int] | None = None
    function: Callable[[Any], str | None] | None = None
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


@dataclass
class Decoding:
    """How one side reads the callables that the other wrote. Without these, they are a CodecError.

    keep_grad: whether tensors that required a gradient do so again.
    """

    callback: Callable[[int], Any] | None = None
    function: Callable[[str], Any] | None = None
    keep_grad: bool = False


def encode(value: Any, encoding: Encoding | None = None, limit: int = MESSAGE_LIMIT) -> bytes:
    """A message that holds `value`. Raises CodecError if it is larger than `limit` bytes or nested too deep."""
    encoding = encoding or Encoding()
    skeleton = json.dumps(_write(value, encoding, 0, limit), separators=(",", ":")).encode("ascii")
    if len(skeleton) > min(SKELETON_LIMIT, limit) or HEADER.size + len(skeleton) + encoding.size > limit:
        raise CodecError(f"larger than {limit / 2**20:.0f} MiB")
    return b"".join([HEADER.pack(MAGIC, len(skeleton), encoding.size), skeleton, *encoding.chunks])


def lengths(header: bytes, limit: int = MESSAGE_LIMIT) -> tuple[int, int]:
    """How many bytes of skeleton and of tensors follow a header. Raises CodecError."""
    magic, skeleton, tensors = HEADER.unpack(header)
    if magic != MAGIC:
        raise CodecError("it does not begin as a message does")
    if skeleton > SKELETON_LIMIT or HEADER.size + skeleton + tensors > limit:
        raise CodecError(f"it says to be larger than {limit / 2**20:.0f} MiB")
    return skeleton, tensors


def decode(skeleton: bytes, tensors: bytes, decoding: Decoding | None = None) -> Any:
    """The value of a message. Raises CodecError, whatever the bytes are."""
    try:
        return _read(json.loads(skeleton.decode("utf-8")), _Bytes(tensors), decoding or Decoding(), 0)
    except CodecError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RuntimeError, MemoryError) as error:
        raise CodecError(f"it cannot be read ({type(error).__name__})") from error


def _write(value: Any, encoding: Encoding, depth: int, limit: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    kind = type(value)
    if kind is float or kind is str:
        return value
    if kind is int:
        return value if value.bit_length() <= INTEGER_BITS else _as_opaque(value)
    if depth >= DEPTH_LIMIT:
        raise CodecError(f"nested deeper than {DEPTH_LIMIT} levels")
    if isinstance(value, (list, tuple)):
        tag = TUPLE if isinstance(value, tuple) else LIST
        return [tag, *(_write(item, encoding, depth + 1, limit) for item in value)]
    if isinstance(value, dict):
        if not all(type(key) in (str, int) for key in value):
            return _as_opaque(value)
        return [DICT, *([key, _write(item, encoding, depth + 1, limit)] for key, item in value.items())]
    if kind is bytes:
        return [BYTES, _append(value, encoding, limit)]
    if (tensor := _as_tensor(value)) is not None:
        return _write_tensor(tensor, encoding, limit)
    return _write_other(value, encoding)


def _write_other(value: Any, encoding: Encoding) -> Any:
    if _is_of("numpy", "generic", value):
        value = value.item()
    if isinstance(value, bool):
        return value
    # Subclasses, such as members of an enumeration, travel as what they are underneath.
    if isinstance(value, int) and value.bit_length() <= INTEGER_BITS:
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if callable(value) and not isinstance(value, type):
        if encoding.function is not None and (name := encoding.function(value)) is not None:
            return [FUNCTION, name]
        if encoding.callback is not None:
            return [CALLBACK, encoding.callback(value)]
    return _as_opaque(value)


def _as_opaque(value: Any) -> list[str]:
    if isinstance(value, Opaque):
        return [OPAQUE, value.type_name, value.text]
    try:
        text = repr(value)[:200]
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return [OPAQUE, str(type(value).__name__), text]


def _is_of(module: str, name: str, value: Any) -> bool:
    """Whether `value` is of that class, without importing a module that nobody has imported."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def _as_tensor(value: Any) -> Any:
    """`value` as a dense tensor in main memory, or None if it is not one of numbers."""
    if _is_of("numpy", "ndarray", value):
        import torch

        if value.dtype.kind not in "biufc":
            return None
        try:
            return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))
        except TypeError:  # a kind of number that torch has not, such as float128
            return None
    if not _is_of("torch", "Tensor", value):
        return None
    import torch

    plain = value.layout == torch.strided and not value.is_quantized and value.device.type != "meta"
    return value if plain and str(value.dtype).removeprefix("torch.") in DTYPES else None


def _append(data: bytes, encoding: Encoding, limit: int) -> int:
    if encoding.size + len(data) > limit:
        raise CodecError(f"larger than {limit / 2**20:.0f} MiB")
    encoding.chunks.append(data)
    encoding.size += len(data)
    return len(data)


def _write_tensor(tensor: Any, encoding: Encoding, limit: int) -> list[Any]:
    import torch

    if encoding.size + tensor.numel() * tensor.element_size() > limit:  # before its bytes are copied
        raise CodecError(f"larger than {limit / 2**20:.0f} MiB")
    dense = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    _append(dense.reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b"", encoding, limit)
    return [TENSOR, str(tensor.dtype).removeprefix("torch."), list(tensor.shape), bool(tensor.requires_grad)]


class _Bytes:
    """The bytes behind a skeleton, each taken once, so that a small message cannot stand for a large value."""

    def __init__(self, data: bytes) -> None:
        self.left = memoryview(data)

    def take(self, size: Any) -> bytearray:
        if type(size) is not int or not 0 <= size <= len(self.left):
            raise CodecError("it speaks of bytes that are not there")
        taken, self.left = self.left[:size], self.left[size:]
        return bytearray(taken)


def _read(node: Any, tensors: _Bytes, decoding: Decoding, depth: int) -> Any:
    if isinstance(node, str):
        return readable(node)
    if not isinstance(node, list):
        if isinstance(node, dict):
            raise CodecError("it holds an object, which no message does")
        return node
    if depth > DEPTH_LIMIT:
        raise CodecError(f"nested deeper than {DEPTH_LIMIT} levels")
    tag, *rest = node
    if tag in (LIST, TUPLE):
        items = [_read(item, tensors, decoding, depth + 1) for item in rest]
        return items if tag == LIST else tuple(items)
    if tag == DICT:
        return {_key(key): _read(item, tensors, decoding, depth + 1) for key, item in rest}
    if tag == TENSOR:
        return _read_tensor(rest, tensors, decoding)
    if tag == BYTES:
        (size,) = rest
        return bytes(tensors.take(size))
    if tag == OPAQUE:
        type_name, text = rest
        return opaque(readable(type_name), readable(text))
    return _read_callable(tag, rest, decoding)


def _key(key: Any) -> str | int:
    if type(key) is str:
        return readable(key)
    if type(key) is int:
        return key
    raise CodecError("a key is neither text nor a whole number")


def _read_callable(tag: Any, rest: Sequence[Any], decoding: Decoding) -> Any:
    (named,) = rest
    if tag == CALLBACK and decoding.callback is not None and type(named) is int:
        return decoding.callback(named)
    if tag == FUNCTION and decoding.function is not None and type(named) is str:
        return decoding.function(named)
    raise CodecError("it holds something that is no data")


def _read_tensor(rest: Sequence[Any], tensors: _Bytes, decoding: Decoding) -> Any:
    import torch

    name, shape, requires_grad = rest
    if name not in DTYPES or not hasattr(torch, name) or not isinstance(shape, list) or len(shape) > 64:
        raise CodecError("it holds a tensor of no known kind")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise CodecError("it holds a tensor of no possible shape")
    dtype = getattr(torch, name)
    size = math.prod(shape) * dtype.itemsize
    if not size:
        tensor = torch.empty(shape, dtype=dtype)
    else:
        data = torch.frombuffer(tensors.take(size), dtype=torch.uint8)
        # A bool is a byte of 0 or 1; other bytes would make one that is neither true nor false.
        tensor = (data != 0 if dtype == torch.bool else data.view(dtype)).reshape(shape)
    if requires_grad is True and decoding.keep_grad and (dtype.is_floating_point or dtype.is_complex):
        tensor.requires_grad_()
    return tensor


def readable(text: Any) -> str:
    """`text` without halves of characters, which could not be written to a file. Raises CodecError for no text."""
    if not isinstance(text, str):
        raise CodecError("there is no text where text belongs")
    return text.encode("utf-8", "replace").decode("utf-8")
