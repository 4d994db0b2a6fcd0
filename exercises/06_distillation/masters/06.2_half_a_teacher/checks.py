"""What a student's weights must be: the right names, behind each the right tensor of the teacher's, and a copy of it.

Every tensor of a teacher here is another one, so that for each of the student's it can be told where it came from.
"""

import re

import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import answer_to, copy_of, described, expect_function, smallest_first

BLOCK = re.compile(r"encoder\.layer\.(0|[1-9]\d*)\.(.+)")
TYPES, POOLER = "embeddings.token_type_embeddings.", "pooler."
OUTSIDE = {
    "embeddings.word_embeddings.weight": (5, 2),
    "embeddings.position_embeddings.weight": (4, 2),
    f"{TYPES}weight": (2, 2),
    "embeddings.LayerNorm.weight": (2,),
    "embeddings.LayerNorm.bias": (2,),
    f"{POOLER}dense.weight": (2, 2),
    f"{POOLER}dense.bias": (2,),
}
HEAD = {"cls.predictions.transform.dense.weight": (2, 2), "cls.predictions.bias": (5,)}
PARTS = {
    **{f"attention.self.{name}.weight": (2, 2) for name in ("query", "key", "value")},
    **{f"attention.self.{name}.bias": (2,) for name in ("query", "key", "value")},
    "attention.output.dense.weight": (2, 2),
    "attention.output.dense.bias": (2,),
    "attention.output.LayerNorm.weight": (2,),
    "attention.output.LayerNorm.bias": (2,),
    "intermediate.dense.weight": (3, 2),
    "intermediate.dense.bias": (3,),
    "output.dense.weight": (2, 3),
    "output.dense.bias": (2,),
    "output.LayerNorm.weight": (2,),
    "output.LayerNorm.bias": (2,),
}


def example(blocks, layers, *, seed, order=list, head=False):
    """A teacher of so many blocks with its names in this order, and a choice among them. A file has them `sorted`."""
    generator = torch.Generator().manual_seed(seed)
    shapes = OUTSIDE | {f"encoder.layer.{block}.{part}": PARTS[part] for block in range(blocks) for part in PARTS}
    shapes |= HEAD if head else {}
    weights = {name: torch.randn(shapes[name], generator=generator) for name in order(list(shapes))}
    return {"teacher_weights": weights, "layers": layers}


def examples():
    """From two blocks of three to teachers of twelve, of whose numbers some begin with another one's digit."""
    return [
        example(3, (0, 2), seed=1),
        example(3, (2, 0), seed=2),
        example(4, (1, 3), seed=3, head=True),
        example(12, (0, 2, 4, 7, 9, 11), seed=4, order=sorted),
        example(12, (0, 1, 6), seed=5),
        example(12, (1, 6), seed=6, order=reversed),
    ]


def sources(teacher_weights, layers):
    """Each of the student's names, and the teacher's name for the same tensor."""
    names = {name: name for name in teacher_weights if not name.startswith((TYPES, POOLER)) and not BLOCK.match(name)}
    for place, layer in enumerate(layers):
        names |= {f"encoder.layer.{place}.{part}": f"encoder.layer.{layer}.{part}" for part in PARTS}
    return names


def _number(name):
    """The number of the block that a name belongs to; None outside of the blocks, and for a number such as 00."""
    found = BLOCK.fullmatch(name)
    return int(found[1]) if found else None


def _key(tensor):
    return tensor.dtype, tuple(tensor.shape), tuple(tensor.flatten().tolist())


def _origins(teacher_weights, output):
    """For each name in the output the teacher's name for that very tensor, or None if the teacher has no such one."""
    known = {_key(tensor): name for name, tensor in teacher_weights.items()}
    return {name: known.get(_key(tensor)) for name, tensor in output.items()}


def _expect_weights(output, given, failed):
    is_dict = isinstance(output, dict) and all(isinstance(name, str) for name in output)
    if not is_dict or not all(isinstance(tensor, torch.Tensor) for tensor in output.values()):
        found = f"expected a dict from names to tensors, got {described(output)}"
        raise PropertyFailed(failed, found, _short(given), output, "no_weights")


def _short(given):
    """The teacher's names are known, and its numbers are drawn: what matters is how many blocks it has."""
    numbers = {_number(name) for name in given["teacher_weights"]} - {None}
    return {"the teacher's blocks": len(numbers), "layers": given["layers"]}


def _is_mistaken_for(number, layer):
    """Whether block `layer`'s number is how another one's begins, as 1 is for 10 and 11."""
    return number != layer and str(number).startswith(str(layer))


def _are_neighbours(pairs, layers):
    """Whether each student's block has the one before, or each the one behind, the teacher's that it should have."""
    inside = [(number, origin) for number, origin in pairs if number < len(layers)]
    return bool(inside) and any(all(origin == layers[n] + by for n, origin in inside) for by in (-1, 1))


def _why_names(given, output):
    """The mistake that explains the names that are too many or missing."""
    teacher, layers = given["teacher_weights"], given["layers"]
    wanted, origins = sources(**given), _origins(teacher, output)
    extra, missing = [n for n in output if n not in wanted], [n for n in wanted if n not in output]
    own = {_number(name) for name in output} - {None}
    pairs = {(_number(n), _number(o)) for n, o in origins.items() if o and _number(o) is not None}
    same = all(number == origin for number, origin in pairs)
    strays = [_number(origins[name]) for name in extra if origins[name] and _number(origins[name]) is not None]
    if own == {_number(name) for name in teacher} - {None} and same:
        return "all_blocks"
    if own == set(layers) and same:
        return "not_renumbered"
    if own == set(range(1, len(layers) + 1)):
        return "from_one"
    if any(s not in layers and any(_is_mistaken_for(s, layer) for layer in layers) for s in strays):
        return "prefix"
    if own and all(number is not None for number, _ in pairs) and _are_neighbours(pairs, layers):
        return "neighbours"
    for beginning, mistake in ((POOLER, "pooler_kept"), (TYPES, "types_kept")):
        if any(name.startswith(beginning) for name in extra):
            return mistake
    if any(name.startswith("embeddings.") for name in missing):
        return "embeddings_forgotten"
    if any(_number(name) is None for name in missing):
        return "rest_forgotten"
    return "parts_missing" if missing and own == set(range(len(layers))) else None


def _why_tensors(given, output):
    """The mistake that explains which tensors stand behind the right names."""
    layers, wanted = given["layers"], sources(**given)
    origins = _origins(given["teacher_weights"], output)
    if any(origin is None for origin in origins.values()):
        return "changed"
    pairs = {(_number(name), _number(origins[name])) for name in wanted if _number(name) is not None}
    if any(origin is None for _, origin in pairs):
        return "parts_mixed"
    if all(number == origin for number, origin in pairs):
        return "first_blocks"
    if any(_is_mistaken_for(origin, layers[number]) for number, origin in pairs):
        return "prefix"
    if _are_neighbours(pairs, layers):
        return "neighbours"
    if all(origin == layers[number] for number, origin in pairs):
        return "parts_mixed"
    return "order_lost" if {origin for _, origin in pairs} == set(layers) else "other_blocks"


# The public checks try each property on some teachers; the hidden tests on others.


def names_are_right(student_weights, examples):
    failed = "the names are those of a student"
    for given in smallest_first(examples):
        output = answer_to(student_weights, given)
        _expect_weights(output, given, failed)
        wanted = sources(**given)
        table = {name: "should not be there" for name in output if name not in wanted}
        table |= {name: "is missing" for name in wanted if name not in output}
        if table:
            name, what = next(iter(table.items()))
            found = f"`{name}` {what}" + (f", and {len(table) - 1} more are wrong" if len(table) > 1 else "")
            raise PropertyFailed(failed, found, _short(given), table, _why_names(given, output))


def tensors_are_right(student_weights, examples):
    """Names that should not be there are the other check's; one that is missing counts as wrong here, too."""
    failed = "behind each name stands the right tensor of the teacher's"
    for given in smallest_first(examples):
        output = answer_to(student_weights, given)
        _expect_weights(output, given, failed)
        wanted, origins = sources(**given), _origins(given["teacher_weights"], output)
        if missing := [name for name in wanted if name not in output]:
            found = f"`{missing[0]}` is missing"
            raise PropertyFailed(failed, found, _short(given), list(output), _why_names(given, output))
        if wrong := [name for name in wanted if origins[name] != wanted[name]]:
            is_what = f"the teacher's `{origins[wrong[0]]}`" if origins[wrong[0]] else "no tensor of the teacher's"
            found = f"`{wrong[0]}` is {is_what}, not its `{wanted[wrong[0]]}`"
            table = {name: f"is {origins[name] or 'nothing of the teacher'}" for name in wrong}
            raise PropertyFailed(failed, found, _short(given), table, _why_tensors(given, output))


def teacher_is_left(student_weights, examples):
    """Neither making the student nor training it changes the teacher.

    An answer in a process of its own is given copies and gives copies, so that the property always holds there.
    """
    failed = "the teacher stays as it was"
    for given in smallest_first(examples):
        expect_function(student_weights, given)
        its_own, outputs = {name: copy_of(value) for name, value in given.items()}, []

        def asked(*_, its_own=its_own, outputs=outputs):
            outputs.append(student_weights(*its_own.values()))  # `answer_to` hands on copies, so both are kept here
            return outputs[0]

        _expect_weights(answer_to(asked, given), given, failed)
        before, after = given["teacher_weights"], its_own["teacher_weights"]
        if differs := difference(before, after, 0.0, expected_is="before"):
            found = f"making the student changed it: {differs}"
            raise PropertyFailed(failed, found, _short(given), list(after), "teacher_changed")
        with torch.no_grad():
            for tensor in outputs[0].values():
                tensor.add_(1.0)  # a step of training
        if changed := [name for name in before if not torch.equal(before[name], after[name])]:
            found = f"1 was added to all of the student's tensors, and the teacher's `{changed[0]}` changed as well"
            table = {f"{changed[0]} before": before[changed[0]], f"{changed[0]} afterwards": after[changed[0]]}
            raise PropertyFailed(failed, found, _short(given), table, "not_copied")


def names_of_a_student(student_weights):
    """The names are those of a student: blocks from 0, all outside of them, no token types, no pooler."""
    names_are_right(student_weights, examples())


def tensors_of_the_teacher(student_weights):
    """Behind each name stands the right tensor of the teacher's."""
    tensors_are_right(student_weights, examples())


def teacher_stays(student_weights):
    """Neither making the student nor training it changes the teacher."""
    teacher_is_left(student_weights, examples()[:3])


CHECKS = [names_of_a_student, tensors_of_the_teacher, teacher_stays]
