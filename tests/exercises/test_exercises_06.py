"""The exercises of lesson 06, beyond what holds for all exercises: other right answers pass, other wrong ones fail."""

import copy
import functools
import math
import re
import warnings
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.data.masking import NOT_ASKED
from course_lib.exercises.answering import AnswerSession
from course_lib.exercises.catalogue import find_exercise, load_module
from course_lib.exercises.checking import run_checks
from course_lib.models.student import PUBLISHED_LAYERS, shallower
from course_lib.training.distillation_losses import ONE_GPU, cosine_loss, hidden_word_loss, soft_target_loss


@functools.cache
def exercise(id):
    return find_exercise(id)


@functools.cache
def checks_of(id):
    return load_module(exercise(id).master.with_name("checks.py"), f"checks_under_test_{id.replace('.', '_')}")


def first_failure(id, **answers):
    """(check, mistake) of the first check that fails; (None, None) if all pass."""
    failed = [result for result in run_checks(exercise(id), answers).results if not result.passed]
    return (failed[0].name, failed[0].mistake) if failed else (None, None)


def names_of_the_story(id):
    """What the solved notebook's cells define, without those that check."""
    import jupytext

    names = {}
    for cell in jupytext.read(exercise(id).master).cells:
        if cell.cell_type == "code" and "check(" not in cell.source:
            exec(cell.source.replace("from course_lib.exercises import check, hint, step", ""), names)
    return names


# 06.1 the softened divergence


def as_the_library(student_logits, teacher_logits, is_word, temperature):
    return soft_target_loss(student_logits[is_word], teacher_logits[is_word], temperature)


def place_by_place(student_logits, teacher_logits, is_word, temperature):
    """In plain numbers, a token at a time; a plain number comes out."""

    def softened(logits):
        powers = [math.exp(logit / temperature) for logit in logits.tolist()]
        return [power / sum(powers) for power in powers]

    costs = []
    for row, place in is_word.nonzero().tolist():
        pairs = zip(softened(teacher_logits[row, place]), softened(student_logits[row, place]), strict=True)
        costs.append(sum(p * math.log(p / q) for p, q in pairs))
    return temperature**2 * sum(costs) / len(costs)


def cross_entropy_less_entropy(student_logits, teacher_logits, is_word, temperature):
    """The divergence as what is over the teacher's own entropy."""
    taught = (teacher_logits / temperature).softmax(-1)
    crossed = F.cross_entropy((student_logits / temperature)[is_word], taught[is_word])
    entropy = torch.distributions.Categorical(taught[is_word]).entropy().mean()
    return (crossed - entropy) * temperature * temperature


def as_the_authors(student_logits, teacher_logits, is_word, temperature):
    """The mask spread over the vocabulary, and what it selects put into rows again."""
    mask = is_word.unsqueeze(-1).expand_as(student_logits)
    student, teacher = (
        logits.masked_select(mask).view(-1, logits.shape[-1]) for logits in (student_logits, teacher_logits)
    )
    loss = nn.KLDivLoss(reduction="batchmean")
    return loss(F.log_softmax(student / temperature, -1), F.softmax(teacher / temperature, -1)) * temperature**2


@pytest.mark.parametrize("soft_targets", [as_the_library, place_by_place, cross_entropy_less_entropy, as_the_authors])
def test_other_ways_to_write_the_softened_divergence_pass(soft_targets):
    checks = checks_of("06.1")
    assert first_failure("06.1", soft_targets=soft_targets) == (None, None)
    further = [checks.example([3, 5], 5, 7, 4.0, seed=11), checks.example([2], 4, 9, 0.5, seed=12)]
    for asked in (checks.equal_to_torch, checks.more_padding):
        asked(soft_targets, further)


def teacher_first(student_logits, teacher_logits, is_word, temperature):
    """Torch's function with its arguments in the order of the formula."""
    student, teacher = ((logits / temperature)[is_word] for logits in (student_logits, teacher_logits))
    return temperature**2 * F.kl_div(teacher.log_softmax(-1), student.softmax(-1), reduction="batchmean")


def torchs_default(student_logits, teacher_logits, is_word, temperature):
    """Without a reduction named, torch's mean goes over the vocabulary too."""
    student, teacher = ((logits / temperature)[is_word].log_softmax(-1) for logits in (student_logits, teacher_logits))
    with warnings.catch_warnings(action="ignore"):
        return temperature**2 * F.kl_div(student, teacher, log_target=True)


def of_all_places(student_logits, teacher_logits, is_word, temperature):
    return as_the_library(student_logits, teacher_logits, torch.ones_like(is_word), temperature)


@pytest.mark.parametrize(
    ("soft_targets", "expected"),
    [
        (teacher_first, ("equals_torch", "reversed")),
        (torchs_default, ("equals_torch", "over_vocabulary")),
        (of_all_places, ("equals_torch", "padding")),
        (lambda *given: as_the_library(*given[:3], 1.0), ("equals_torch", "unsoftened")),
        (lambda *given: as_the_library(*given) * given[2].sum(), ("equals_torch", "summed")),
        (lambda *given: as_the_library(*given)[None], ("equals_torch", "not_one_number")),
        (lambda *given: as_the_library(*given) / 0 * 0, ("equals_torch", "nan")),
        (lambda *given: None, ("equals_torch", None)),
    ],
)
def test_other_wrong_divergences_fail(soft_targets, expected):
    assert first_failure("06.1", soft_targets=soft_targets) == expected


def test_the_place_of_the_text_costs_what_the_text_says():
    student, teacher = torch.tensor([[[1.0, 2.0, 0.0]]]), torch.tensor([[[3.0, 2.0, -1.0]]])
    assert f"{place_by_place(student, teacher, torch.tensor([[True]]), 2.0):.3f}" == "0.642"
    assert "from above: 0.642." in exercise("06.1").master.read_text(encoding="utf-8")


# 06.2 a student's weights


def block_by_block(teacher_weights, layers):
    """From the student's side: for each of its blocks, all that begins with the teacher's, its dot included."""
    student = OrderedDict()
    for place, layer in enumerate(layers):
        prefix = f"encoder.layer.{layer}."
        for name, tensor in teacher_weights.items():
            if name.startswith(prefix):
                student[f"encoder.layer.{place}." + name[len(prefix) :]] = copy.deepcopy(tensor)
    for name in set(teacher_weights):
        if "layer." not in name and "token_type" not in name and "pooler" not in name:
            student[name] = nn.Parameter(teacher_weights[name].clone())
    return student


def by_pattern(teacher_weights, layers):
    places = {str(layer): str(place) for place, layer in enumerate(layers)}
    student = {}
    for name, tensor in sorted(teacher_weights.items()):
        found = re.match(r"encoder\.layer\.(\d+)\b", name)
        if found and found[1] in places:
            student[re.sub(r"\d+", places[found[1]], name, count=1)] = torch.tensor(tensor.tolist())
        elif not found and not re.match(r"pooler|.*token_type", name):
            student[name] = tensor + 0
    return student


def what_is_left(teacher_weights, layers):
    """A copy of the whole, from which what does not belong there is taken."""
    student = copy.deepcopy(teacher_weights)
    for name in teacher_weights:
        match name.split("."):
            case ["pooler", *_] | ["embeddings", "token_type_embeddings", *_]:
                del student[name]
            case ["encoder", "layer", *_]:
                del student[name]
    for name, tensor in teacher_weights.items():
        words = name.split(".")
        if words[0] == "encoder" and int(words[2]) in layers:
            words[2] = str(layers.index(int(words[2])))
            student[".".join(words)] = tensor.detach().clone()
    return student


@pytest.mark.parametrize("student_weights", [block_by_block, by_pattern, what_is_left])
def test_other_ways_to_make_a_student_pass(student_weights):
    checks = checks_of("06.2")
    assert first_failure("06.2", student_weights=student_weights) == (None, None)
    further = [
        checks.example(1, (0,), seed=11),
        checks.example(6, (4, 1, 3), seed=14),
        checks.example(12, PUBLISHED_LAYERS[12, 9], seed=12, order=sorted),
        checks.example(24, (2, 12, 20), seed=13, order=reversed),
    ]
    for asked in (checks.names_are_right, checks.tensors_are_right, checks.teacher_is_left):
        asked(student_weights, further)


def test_a_teacher_of_the_checks_has_the_names_of_transformers_and_a_student_the_tensors_of_the_library():
    """All but the token types, which the library keeps where the teacher's class has them."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 2, "num_attention_heads": 1, "intermediate_size": 3}
    teacher = BertModel(BertConfig(vocab_size=5, num_hidden_layers=12, max_position_embeddings=4, **sizes))
    given = checks_of("06.2").example(12, (0, 1, 2), seed=1)["teacher_weights"]
    shapes = {name: tensor.shape for name, tensor in teacher.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in given.items()}

    layers = PUBLISHED_LAYERS[12, 6]
    cut = {
        name: tensor
        for name, tensor in shallower(teacher, layers=layers).state_dict().items()
        if "token_type" not in name and "pooler" not in name
    }
    student = block_by_block(teacher.state_dict(), layers)
    assert student.keys() == cut.keys()
    assert all(torch.equal(student[name], tensor) for name, tensor in cut.items())


def matched_by(matches, rename=lambda name, layer, place: f"encoder.layer.{place}.{name.split('.', 3)[3]}"):
    """A student whose blocks are those for which `matches(name, layer)`, under the names that `rename` makes."""

    def student_weights(teacher_weights, layers):
        student = dict(block_by_block(teacher_weights, ()))
        for name, tensor in teacher_weights.items():
            for place, layer in enumerate(layers):
                if name.startswith("encoder.") and matches(name, layer):
                    student[rename(name, layer, place)] = tensor.clone()
        return student

    return student_weights


def of_other_blocks(choose):
    """The right way with other blocks: choose(layers, how many the teacher has)."""

    def student_weights(teacher_weights, layers):
        depth = len({name.split(".")[2] for name in teacher_weights if name.startswith("encoder.layer.")})
        return block_by_block(teacher_weights, choose(layers, depth))

    return student_weights


def every_second(layers, depth):
    """The rule of thumb: two apart, as many as are asked for."""
    return tuple(2 * place % depth for place in range(len(layers)))


def with_changed(change):
    """A right student with one thing changed."""

    def student_weights(teacher_weights, layers):
        student = block_by_block(teacher_weights, layers)
        change(student)
        return student

    return student_weights


def swap_query_and_key(student):
    for name in [name for name in student if "query" in name]:
        other = name.replace("query", "key")
        student[name], student[other] = student[other], student[name]


def swap_norms(student):
    one, other = "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"
    student[one], student[other] = student[other], student[one]


def halve(student):
    for name in student:
        student[name] = student[name].detach() / 2


def without(word):
    def forget(student):
        for name in [name for name in student if word in name]:
            del student[name]

    return with_changed(forget)


def other_models_prefix(teacher_weights, layers):
    return {f"distilbert.{name}": tensor for name, tensor in block_by_block(teacher_weights, layers).items()}


def spoiling(teacher_weights, layers):
    student = block_by_block(teacher_weights, layers)
    teacher_weights["pooler.dense.bias"].zero_()
    return student


def by_view(teacher_weights, layers):
    """New tensors in the eyes of Python, and the same numbers underneath."""
    student = block_by_block(teacher_weights, layers)
    return student | {"embeddings.LayerNorm.bias": teacher_weights["embeddings.LayerNorm.bias"].view(-1)}


@pytest.mark.parametrize(
    ("student_weights", "expected"),
    [
        (matched_by(lambda name, layer: f"layer.{layer}" in name), ("tensors_of_the_teacher", "prefix")),
        (
            matched_by(
                lambda name, layer: re.match(rf"encoder\.layer\.{layer}", name),
                lambda name, layer, place: name.replace(f".{layer}", f".{place}", 1),
            ),
            ("names_of_a_student", "prefix"),
        ),
        (
            matched_by(lambda name, layer: f".{layer}." in name, lambda name, *_: name),
            ("names_of_a_student", "not_renumbered"),
        ),
        (of_other_blocks(lambda layers, depth: range(len(layers))), ("tensors_of_the_teacher", "first_blocks")),
        (of_other_blocks(lambda layers, depth: range(depth)), ("names_of_a_student", "all_blocks")),
        (of_other_blocks(lambda layers, depth: layers[::-1]), ("tensors_of_the_teacher", "order_lost")),
        (of_other_blocks(lambda layers, depth: [n - 1 for n in layers]), ("names_of_a_student", "neighbours")),
        (
            of_other_blocks(lambda layers, depth: [(n + 1) % depth for n in layers]),
            ("tensors_of_the_teacher", "other_blocks"),
        ),
        (of_other_blocks(every_second), ("tensors_of_the_teacher", "order_lost")),
        (with_changed(swap_query_and_key), ("tensors_of_the_teacher", "parts_mixed")),
        (with_changed(swap_norms), ("tensors_of_the_teacher", "parts_mixed")),
        (with_changed(halve), ("tensors_of_the_teacher", "changed")),
        (without("embeddings."), ("names_of_a_student", "embeddings_forgotten")),
        (without("position"), ("names_of_a_student", "embeddings_forgotten")),
        (without("cls."), ("names_of_a_student", "rest_forgotten")),
        (without("LayerNorm.bias"), ("names_of_a_student", "embeddings_forgotten")),
        (without("output.LayerNorm"), ("names_of_a_student", "parts_missing")),
        (other_models_prefix, ("names_of_a_student", "embeddings_forgotten")),
        (lambda teacher, layers: dict(teacher), ("names_of_a_student", "all_blocks")),
        (spoiling, ("teacher_stays", "teacher_changed")),
        (by_view, ("teacher_stays", "not_copied")),
        (lambda teacher, layers: {}, ("names_of_a_student", "embeddings_forgotten")),
        (lambda teacher, layers: None, ("names_of_a_student", "no_weights")),
        (lambda teacher, layers: list(teacher), ("names_of_a_student", "no_weights")),
        (lambda teacher, layers: dict.fromkeys(teacher, 0.0), ("names_of_a_student", "no_weights")),
    ],
)
def test_other_wrong_students_fail(student_weights, expected):
    assert first_failure("06.2", student_weights=student_weights) == expected


def test_the_published_choice_alone_would_not_show_a_name_matched_by_its_beginning():
    """So the checks ask for block 1 of twelve."""
    checks = checks_of("06.2")
    by_its_beginning = matched_by(lambda name, layer: name.startswith(f"encoder.layer.{layer}"))
    published = checks.example(12, PUBLISHED_LAYERS[12, 6], seed=1)
    checks.names_are_right(by_its_beginning, [published])
    checks.tensors_are_right(by_its_beginning, [published])
    assert first_failure("06.2", student_weights=by_its_beginning) == ("tensors_of_the_teacher", "prefix")


SHARING = """
def student_weights(teacher_weights, layers):
    student = {}
    for name, tensor in teacher_weights.items():
        words = name.split(".")
        if words[0] == "encoder":
            if int(words[2]) not in layers:
                continue
            words[2] = str(MATCH)
        if words[0] != "pooler" and words[1] != "token_type_embeddings":
            student[".".join(words)] = tensor
    return student
"""


@pytest.mark.parametrize(
    ("match", "here", "elsewhere"),
    [
        ("layers.index(int(words[2]))", [("teacher_stays", "not_copied")], []),
        (
            "layers.index(int(words[2])) + 1",
            [
                ("names_of_a_student", "from_one"),
                ("tensors_of_the_teacher", "from_one"),
                ("teacher_stays", "not_copied"),
            ],
            [("names_of_a_student", "from_one"), ("tensors_of_the_teacher", "from_one")],
        ),
    ],
)
def test_another_process_sees_names_and_tensors_but_not_whose_memory_they_are(match, here, elsewhere):
    code = SHARING.replace("MATCH", match)
    names = {}
    exec(code, names)
    with AnswerSession([code]) as session:
        reports = [run_checks(exercise("06.2"), answers).results for answers in (names, session.answers)]
    failed = [[(result.name, result.mistake) for result in report if not result.passed] for report in reports]
    assert failed == [here, elsewhere]


def test_the_toy_shows_where_the_students_blocks_came_from():
    names = names_of_the_story("06.2")
    student = names["student_weights"](names["teacher"], names["chosen"])
    shown = {name: tensor[0].item() for name, tensor in student.items() if name.endswith("query.weight")}
    assert shown == {
        f"encoder.layer.{place}.attention.self.query.weight": layer for place, layer in enumerate((0, 2, 4, 7, 9, 11))
    }
    assert names["chosen"] == PUBLISHED_LAYERS[12, 6]


# 06.3 the triple loss


def with_the_librarys_terms(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    places = labels != NOT_ASKED if restrict_to_hidden else is_word
    terms = (
        soft_target_loss(student[0][places], teacher[0][places], temperature),
        hidden_word_loss(student[0].flatten(0, 1), labels.flatten()),
        cosine_loss(student[1], teacher[1], is_word),
    )
    return torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()


def as_in_the_authors_distiller(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    """Masks spread over the last axis, rows made of what they select, torch's loss modules."""
    (s_logits, s_states), (t_logits, t_states) = student, teacher

    def rows(values, mask):
        return torch.masked_select(values, mask.unsqueeze(-1).expand_as(values)).view(-1, values.size(-1))

    mask = labels > -1 if restrict_to_hidden else is_word
    s_chosen, t_chosen = rows(s_logits, mask), rows(t_logits, mask)
    loss_ce = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(s_chosen / temperature, dim=-1), F.softmax(t_chosen / temperature, dim=-1)
    )
    loss = weights[0] * loss_ce * temperature**2
    loss += weights[1] * nn.CrossEntropyLoss(ignore_index=-100)(s_logits.view(-1, s_logits.size(-1)), labels.view(-1))
    s_words, t_words = rows(s_states, is_word), rows(t_states, is_word)
    target = s_words.new(s_words.size(0)).fill_(1)
    loss += weights[2] * nn.CosineEmbeddingLoss(reduction="mean")(s_words, t_words, target)
    return loss


def word_by_word(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    """In loops, with sums and counts; a plain number comes out."""
    sums, counts = [0.0, 0.0, 0.0], [0, 0, 0]

    def add(term, cost):
        sums[term] += cost.item()
        counts[term] += 1

    for row, place in is_word.nonzero().tolist():
        said, taught = (logits[row, place] / temperature for logits in (student[0], teacher[0]))
        asked = int(labels[row, place])
        if asked != NOT_ASKED or not restrict_to_hidden:
            odds = taught.softmax(0) / said.softmax(0)
            add(0, temperature**2 * (taught.softmax(0) * odds.log()).sum())
        if asked != NOT_ASKED:
            add(1, student[0][row, place].logsumexp(0) - student[0][row, place, asked])
        own, other = student[1][row, place], teacher[1][row, place]
        add(2, 1 - own @ other / (own.norm() * other.norm()))
    return sum(weight * total / count for weight, total, count in zip(weights, sums, counts, strict=True))


def with_masks(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    """No place is taken out: sums over all, what does not count times 0, divided by what counts."""
    asked = (labels != NOT_ASKED).double()
    words = is_word.double()
    places = asked if restrict_to_hidden else words

    def mean(values, mask):
        return (values * mask).sum() / mask.sum()

    said, taught = ((logits.double() / temperature).log_softmax(-1) for logits in (student[0], teacher[0]))
    divergence = F.kl_div(said, taught, log_target=True, reduction="none").sum(-1) * temperature**2
    guesses = F.cross_entropy(student[0].double().movedim(-1, 1), labels, reduction="none")
    angles = 1 - F.cosine_similarity(*(F.normalize(each[1].double(), dim=-1) for each in (student, teacher)), dim=-1)
    terms = mean(divergence, places), mean(guesses, asked), mean(angles, words)
    return torch.dot(torch.tensor(weights, dtype=torch.float64), torch.stack(terms))


@pytest.mark.parametrize(
    "triple_loss", [with_the_librarys_terms, as_in_the_authors_distiller, word_by_word, with_masks]
)
def test_other_ways_to_write_the_triple_loss_pass(triple_loss):
    checks = checks_of("06.3")
    assert first_failure("06.3", triple_loss=triple_loss) == (None, None)
    for weights in ((0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3), (0.33, 0.33, 0.33), (0.5, 4, 7)):
        for asked in (checks.as_torch, checks.more_padding):
            asked(triple_loss, checks.batches(seed=11, weights=weights))


def test_the_weights_of_the_checks_are_the_published_ones():
    assert (ONE_GPU.ce, ONE_GPU.mlm, ONE_GPU.cosine) == checks_of("06.3").PUBLISHED


def test_the_librarys_objective_gives_the_same_loss():
    """With models that say what they are told to: the whole of `Distillation`, not its terms alone."""
    from course_lib.data.masking import MaskedBatch
    from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
    from course_lib.training.distillation import Distillation, Objective
    from course_lib.training.reading import Reader

    torch.manual_seed(0)
    sizes = {"vocabulary_size": 11, "context_size": 6, "heads": 2, "embedding_size": 8, "inner_size": 12}
    teacher, student = (MaskedLanguageModel(BERT(BERTConfig(blocks=n, dropout=0.0, **sizes))) for n in (2, 1))
    is_word = torch.arange(6) < torch.tensor([[6], [4]])
    tokens = torch.randint(11, (2, 6))
    labels = torch.where(torch.tensor([[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]]) == 1, tokens, NOT_ASKED)
    batch = MaskedBatch(tokens, labels, is_word)
    said = []
    for model in (student, teacher):
        states = model.eval().encoder(tokens, is_word).states.detach()
        said.append((model.scores(states).detach(), states))
    for restricted in (False, True):
        objective = Objective(ONE_GPU, 3.0, restrict_ce_to_mask=restricted)
        theirs = Distillation(teacher, objective)(Reader(student), batch)[0].item()
        ours = with_masks(*said, labels, is_word, 3.0, (5.0, 2.0, 1.0), restricted).item()
        assert ours == pytest.approx(theirs, abs=1e-5)


def loss_with(term, compute, base=with_the_librarys_terms):
    """The right loss, in which one term (0, 1 or 2) is computed as compute(student, …, temperature, places)."""

    def triple_loss(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
        given = (student, teacher, labels, is_word, temperature)
        others = tuple(0.0 if place == term else weight for place, weight in enumerate(weights))
        places = labels != NOT_ASKED if restrict_to_hidden else is_word
        rest = base(*given, others, restrict_to_hidden)
        return rest + weights[term] * compute(*given, places)

    return triple_loss


def soft(student, teacher, temperature, places):
    return soft_target_loss(student[0][places], teacher[0][places], temperature)


def three_axes_at_once(student, teacher, labels, is_word, temperature, places):
    """batchmean divides by the first axis, which is the texts."""
    said, taught = ((logits / temperature).log_softmax(-1) for logits in (student[0], teacher[0]))
    said, taught = (part.masked_fill(~places[..., None], 0.0) for part in (said, taught))
    return temperature**2 * F.kl_div(said, taught, reduction="batchmean", log_target=True)


def over_the_words(student, teacher, labels, is_word, temperature, places):
    """What is not restricted counts 0, but counts."""
    return soft(student, teacher, temperature, places) * places.sum() / is_word.sum()


def one_word_for_all(student, teacher, labels, is_word, temperature, places):
    return F.cross_entropy(student[0].flatten(0, 1), torch.where(labels == NOT_ASKED, 0, labels).flatten())


def guessed_by_the_teacher(student, teacher, labels, is_word, temperature, places):
    return hidden_word_loss(teacher[0].flatten(0, 1), labels.flatten())


def zeroed(student, teacher, labels, is_word, temperature, places):
    return ((1 - F.cosine_similarity(student[1], teacher[1], dim=-1)) * is_word).mean()


def all_but_the_padding_zeroed(student, teacher, labels, is_word, temperature, places):
    """States of 0 have a cosine of 0, so that padding costs 1."""
    return (1 - F.cosine_similarity(*(each[1] * is_word[..., None] for each in (student, teacher)), dim=-1)).mean()


def minus_cosine(student, teacher, labels, is_word, temperature, places):
    """As good to learn from, and 1 below what is asked for."""
    return -F.cosine_similarity(student[1][is_word], teacher[1][is_word], dim=-1).mean()


def order(*places):
    """The right loss with its weights in another order."""
    return lambda *given: with_the_librarys_terms(*given[:5], tuple(given[5][place] for place in places), given[6])


@pytest.mark.parametrize(
    ("triple_loss", "expected"),
    [
        (loss_with(0, three_axes_at_once), ("divergence_over_words", "divergence_divided")),
        (loss_with(0, over_the_words), ("divergence_at_hidden_words", "divergence_divided")),
        (
            loss_with(0, lambda s, t, labels, words, by, places: soft(s, t, by, words)),
            ("divergence_at_hidden_words", "not_restricted"),
        ),
        (
            loss_with(0, lambda s, t, labels, words, by, places: soft(s, t, by, labels != NOT_ASKED)),
            ("divergence_over_words", "always_restricted"),
        ),
        (
            loss_with(0, lambda s, t, labels, words, by, places: soft(t, s, by, places)),
            ("divergence_over_words", "reversed"),
        ),
        (
            loss_with(0, lambda s, t, labels, words, by, places: soft(s, t, by, places) / by**2),
            ("divergence_over_words", "without_square"),
        ),
        (
            loss_with(0, lambda s, t, labels, words, by, places: soft(s, t, by, torch.ones_like(words))),
            ("divergence_over_words", "divergence_on_padding"),
        ),
        (
            loss_with(0, lambda s, t, labels, words, by, places: soft(s, t, 1.0, places)),
            ("divergence_over_words", "unsoftened"),
        ),
        (loss_with(1, one_word_for_all), ("guesses_of_hidden_words", "asks_everywhere")),
        (loss_with(1, guessed_by_the_teacher), ("guesses_of_hidden_words", None)),
        (
            loss_with(1, lambda s, t, labels, *_: F.cross_entropy(s[0].mT, labels, reduction="sum")),
            ("guesses_of_hidden_words", "guesses_divided"),
        ),
        (loss_with(2, zeroed), ("angles_at_words", "angles_divided")),
        (loss_with(2, all_but_the_padding_zeroed), ("angles_at_words", None)),
        (
            loss_with(2, lambda s, t, *_: cosine_loss(s[1], t[1])),
            ("angles_at_words", "angles_on_padding"),
        ),
        (
            loss_with(2, lambda s, t, labels, *_: cosine_loss(s[1], t[1], labels != NOT_ASKED)),
            ("angles_at_words", "angles_restricted"),
        ),
        (loss_with(2, minus_cosine), ("angles_at_words", "similarity")),
        (
            loss_with(2, lambda s, t, labels, words, *_: -cosine_loss(s[1], t[1], words)),
            ("angles_at_words", "similarity"),
        ),
        (order(2, 1, 0), ("divergence_over_words", "weights_mixed")),
        (order(1, 0, 2), ("divergence_over_words", "weights_mixed")),
        (order(0, 2, 1), ("guesses_of_hidden_words", "weights_mixed")),
        (
            lambda *given: with_the_librarys_terms(*given[:5], (5.0, 2.0, 1.0), given[6]),
            ("divergence_over_words", "weights_ignored"),
        ),
        (
            lambda *given: with_the_librarys_terms(*given) / sum(given[5]),
            ("weighted_sum", "weights_divided"),
        ),
        (lambda *given: with_the_librarys_terms(*given)[None], ("divergence_over_words", "not_one_number")),
        (lambda *given: with_the_librarys_terms(*given) * float("nan"), ("divergence_over_words", "nan")),
        (lambda *given: None, ("divergence_over_words", None)),
    ],
)
def test_other_wrong_triple_losses_fail(triple_loss, expected):
    assert first_failure("06.3", triple_loss=triple_loss) == expected


def test_the_triple_loss_is_asked_in_another_process_too():
    code = """
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div

def triple_loss(student, teacher, labels, is_word, temperature, weights, restrict_to_hidden):
    said, taught = (logits[is_word] / temperature for logits in (student[0], teacher[0]))
    first = temperature**2 * kl_div(said.log_softmax(-1), taught.softmax(-1), reduction="batchmean")
    second = cross_entropy(student[0].flatten(0, 1), labels.flatten())
    third = 1 - cosine_similarity(student[1], teacher[1], dim=-1)[is_word].mean()
    return weights[0] * first + weights[1] * second + weights[2] * third
"""
    with AnswerSession([code]) as session:
        results = run_checks(exercise("06.3"), session.answers).results
    assert [(result.name, result.mistake) for result in results if not result.passed] == [
        ("divergence_at_hidden_words", "not_restricted"),
        ("weighted_sum", "not_restricted"),
    ]


def test_the_colleagues_loss_praises_padding_and_the_right_one_does_not():
    """As the story says: smaller with more padding, and no difference where there should be one."""
    names = names_of_the_story("06.3")

    def losses(loss, restricted):
        return [
            loss(*names["made_up_batch"](padding), 2.0, (5.0, 2.0, 1.0), restricted).item() for padding in (0, 3, 12)
        ]

    for restricted in (False, True):
        first, second, third = losses(names["broken_loss"], restricted)
        assert first > second + 0.1 > third + 0.2
        right = losses(names["triple_loss"], restricted)
        assert right == pytest.approx([right[0]] * 3, abs=1e-5)
    assert losses(names["broken_loss"], True) == losses(names["broken_loss"], False)
    assert abs(losses(names["triple_loss"], True)[0] - losses(names["triple_loss"], False)[0]) > 0.1
    _, _, labels, is_word = names["made_up_batch"](12)
    assert ((labels != NOT_ASKED).sum(), is_word.sum()) == (2, 5)
    assert first_failure("06.3", triple_loss=names["broken_loss"]) == ("divergence_at_hidden_words", "not_restricted")
