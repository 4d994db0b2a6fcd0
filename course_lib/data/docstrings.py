"""Where does Python keep its documentation? Docstrings read from source files and from compiled modules.

Source files are parsed, never imported: reading a package's documentation must not run the package. Functions and
classes written in C have no source, so their docstrings are taken from the imported module, for a fixed list of
modules whose import does nothing else.
"""

import ast
import builtins
import contextlib
import gc
import importlib
import importlib.util
import inspect
import os
import pydoc
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST_SIGNATURE = 300  # characters; a longer one is shown as (...), as pydoc shows one that it can't find out
LARGEST_SOURCE = 5_000_000  # bytes; what is larger is a table of data, not a program
FOLDERS_LEFT_OUT = {
    "__pycache__", "test", "tests", "idlelib", "lib2to3", "turtledemo", "pydoc_data", "site-packages",
    "_vendor", "vendor", "_vendored", "vendored", "third_party", "_bundled",
}  # fmt: skip
METHOD_KINDS = (
    types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType,
)  # fmt: skip
COMPILED_KINDS = (*METHOD_KINDS, types.GetSetDescriptorType, types.MemberDescriptorType)
HEAP_TYPE = 1 << 9  # CPython's flag Py_TPFLAGS_HEAPTYPE: made while running, as every class of a source file is


@dataclass(frozen=True)
class Docstring:
    """A docstring as written, with the line that pydoc would put above it."""

    name: str  # qualified: pathlib.Path.exists
    heading: str  # pathlib.Path.exists(self)
    text: str
    module: str  # pathlib


def source_files(package: str) -> list[tuple[str, Path]]:
    """The modules of an installed package (or a single-file module) and their files, sorted by module name.

    Raises ModuleNotFoundError when no source of the package is installed. Tests and vendored copies are left out.
    """
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # a module without a spec, such as __main__
        found = None
    if found is None:
        raise ModuleNotFoundError(f"{package} is not installed.", name=package)
    if found.submodule_search_locations is None:
        return [(package, Path(found.origin))] if found.origin and found.origin.endswith(".py") else []
    return sorted(pair for folder in found.submodule_search_locations for pair in _modules_below(Path(folder), package))


def standard_library_files() -> list[tuple[str, Path]]:
    """The standard library's modules and their files, sorted by module name."""
    return sorted(_modules_below(Path(os.__file__).parent, ""))


def _modules_below(folder: Path, package: str) -> Iterator[tuple[str, Path]]:
    for here, folders, files in os.walk(folder):
        # A folder whose name is no identifier, such as lib-dynload, holds no module.
        folders[:] = [name for name in folders if name not in FOLDERS_LEFT_OUT and name.isidentifier()]
        parts = [package, *Path(here).relative_to(folder).parts]
        for file in files:
            stem = file.removesuffix(".py")
            if stem == file or not stem.isidentifier() or stem.startswith("test_") or stem == "conftest":
                continue
            names = parts if stem == "__init__" else [*parts, stem]
            module = ".".join(name for name in names if name)
            if module:
                yield module, Path(here, file)


def read_docstrings(file: Path, module: str) -> list[Docstring]:
    """The public docstrings of a source file, in its order; none where the file can't be read or parsed."""
    try:
        if file.stat().st_size > LARGEST_SOURCE:
            return []
        source = file.read_bytes()
    except OSError:
        return []
    return parse_docstrings(source, module)


def parse_docstrings(source: bytes, module: str) -> list[Docstring]:
    """The public docstrings in a module's source, in its order; none where it is not valid Python.

    The encoding is the one that the source declares, as for Python itself. Private names (`_x`) are left out, as
    pydoc leaves them out; special methods (`__len__`) are kept.
    """
    if b'"""' not in source and b"'''" not in source:
        return []  # much faster than parsing it: such files are mostly tables
    try:
        with warnings.catch_warnings(), _no_garbage_collection():
            warnings.simplefilter("ignore")  # about other people's escape sequences
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # null bytes, another encoding, endless nesting
        return []
    found: list[Docstring] = []
    text = ast.get_docstring(tree, clean=False)
    if text:
        found.append(Docstring(module, f"module {module}", text, module))
    found.extend(_docstrings_in(tree.body, module, module))
    return found


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A syntax tree is many new objects, none of them garbage: looking for some would more than double the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _docstrings_in(body: list[ast.stmt], prefix: str, module: str) -> Iterator[Docstring]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if not pydoc.visiblename(node.name):
                    continue
                name = f"{prefix}.{node.name}"
                text = ast.get_docstring(node, clean=False)
                if text:
                    yield Docstring(name, _heading(node, name), text, module)
                if isinstance(node, ast.ClassDef):
                    yield from _docstrings_in(node.body, name, module)
            case ast.If():
                yield from _docstrings_in(node.body, prefix, module)
                yield from _docstrings_in(node.orelse, prefix, module)
            case ast.Try():
                yield from _docstrings_in(node.body, prefix, module)
                for handler in node.handlers:
                    yield from _docstrings_in(handler.body, prefix, module)
            case ast.With():
                yield from _docstrings_in(node.body, prefix, module)


def _heading(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases and len(bases) <= LONGEST_SIGNATURE else f"class {name}"
    if any(_is_property(decorator) for decorator in node.decorator_list):
        return name
    signature = f"({ast.unparse(node.args)})"
    if node.returns is not None:
        signature += f" -> {ast.unparse(node.returns)}"
    if len(signature) > LONGEST_SIGNATURE:
        signature = "(...)"
    return f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}{name}{signature}"


def _is_property(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Name | ast.Attribute) and ast.unparse(decorator).endswith("property")


def compiled_docstrings(module: str, shown_as: str | None = None) -> list[Docstring]:
    """Docstrings of what is written in C in an importable module, or in a class (`torch.Tensor`), sorted by name.

    `shown_as` replaces the module's name where it goes by another: os for posix, and "" for builtins. None are found
    where the module doesn't exist, as on another operating system.
    """
    owner = _import(module)
    if owner is None:
        return []
    prefix = module if shown_as is None else shown_as
    home = prefix or module
    if isinstance(owner, type):
        return list(_compiled_members(owner, prefix, home))
    found = []
    text = _own_docstring(owner)
    if text and _is_compiled_module(owner):
        found.append(Docstring(home, f"module {home}", text, home))
    for attribute, value in sorted(vars(owner).items()):
        if not pydoc.visiblename(attribute):
            continue
        name = f"{prefix}.{attribute}" if prefix else attribute
        if isinstance(value, type):
            # int under another name, as a module's own alias, is not documented again.
            if _is_compiled_class(value) and (value.__module__ != "builtins" or owner is builtins):
                text = _own_docstring(value)
                if text:
                    found.append(Docstring(name, f"class {name}{_signature(value)}", text, home))
                found.extend(_compiled_members(value, name, home))
        elif _is_compiled(value):
            found.extend(_compiled(value, name, home))
    return found


def _import(dotted: str) -> object | None:
    """The module, or the class inside one, that a dotted name means."""
    module, _, attribute = dotted.rpartition(".")
    try:
        return importlib.import_module(dotted)
    except ImportError:
        return getattr(_import(module), attribute, None) if module else None


def _compiled_members(owner: type, prefix: str, home: str) -> Iterator[Docstring]:
    members: dict[str, object] = {}
    for base in owner.__mro__:
        # Of what it inherits only what is documented nowhere else: torch.Tensor's methods stand in torch._C.TensorBase.
        if base is owner or any(part.startswith("_") for part in f"{base.__module__}.{base.__name__}".split(".")):
            for attribute, value in vars(base).items():
                members.setdefault(attribute, value)
    for attribute, value in sorted(members.items()):
        if pydoc.visiblename(attribute) and not isinstance(value, type) and _is_compiled(value):
            yield from _compiled(value, f"{prefix}.{attribute}", home)


def _compiled(value: object, name: str, home: str) -> Iterator[Docstring]:
    text = _own_docstring(value)
    if text:
        is_data = isinstance(value, types.GetSetDescriptorType | types.MemberDescriptorType)
        yield Docstring(name, name if is_data else f"{name}{_signature(value)}", text, home)


def _own_docstring(value: object) -> str | None:
    text = getattr(value, "__doc__", None)
    if not isinstance(text, str) or (not callable(value) and text == type(value).__doc__):
        return None  # a constant: int's docstring stands with int
    return text


def _is_compiled(value: object) -> bool:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if type(value).__name__ == "_ArrayFunctionDispatcher":  # numpy's wrapper round functions of C and of Python
        return not isinstance(getattr(value, "_implementation", None), types.FunctionType)
    return isinstance(value, COMPILED_KINDS) or type(value).__name__ in ("ufunc", "cython_function_or_method")


def _is_compiled_class(value: type) -> bool:
    """Whether it is written in C, so that no source file documents it."""
    if not value.__flags__ & HEAP_TYPE:
        return True
    members = vars(value).values()
    return any(
        isinstance(member, METHOD_KINDS) or type(member).__name__ == "cython_function_or_method" for member in members
    ) and not any(isinstance(member, types.FunctionType) for member in members)


def _is_compiled_module(module: object) -> bool:
    return not str(getattr(module, "__file__", None) or "").endswith(".py")


def _signature(value: object) -> str:
    """As pydoc shows it: (...) where C code tells none."""
    try:
        signature = str(inspect.signature(value))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return "(...)"
    return signature if len(signature) <= LONGEST_SIGNATURE else "(...)"
