"""How wide must a context be? A training of seconds that an exercise's learner plans, and its grader repeats.

The lesson's model learns lists of one to three languages ("polnisch , suaheli und kroatisch") from German to English.
Three items already need a context of some width, and one training takes about two seconds on one core, so that a
recorded result can be held against a new run.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from course_lib.batch.files import write_atomically
from course_lib.data import cldr
from course_lib.data.batching import translation_loader
from course_lib.data.table_cache import cache_folder
from course_lib.data.vocabulary import Vocabulary
from course_lib.evaluation.translation import exact_match
from course_lib.exercises.checking import one_thread
from course_lib.generation.translate import translate
from course_lib.models.seq2seq import EncoderDecoder, fixed_context_model
from course_lib.training.loop import train
from course_lib.training.schedule import warmup_then_linear
from course_lib.training.translation import next_word_loss

LARGEST_CONTEXT = 512
SETTINGS: dict[str, Any] = {
    "version": 1,  # raise it whenever the same arguments give other results
    "languages": 24,
    "train_sentences": 3_000,
    "embedding_size": 64,
    "hidden_size": 96,
    "batch_size": 64,
    "learning_rate": 1e-2,
    "steps": 200,
}
# How many sentences each result counts. Three different primes: a share of one of them is a share of no other, and
# hardly any number that somebody made up is a share of any.
SENTENCES = {"exact_match_2": 43, "exact_match_3": 389, "exact_match_3_train": 307}

Result = dict[str, int | float]
_results: dict[tuple[int, int], Result] = {}


def context_experiment(context_size: int, seed: int = 0) -> Result:
    """Train the lesson's encoder-decoder with a context of `context_size` numbers; seconds, with a progress bar.

    Returns exact match, from 0 to 1, as "exact_match_2" and "exact_match_3" on unseen sentences of two and three items,
    and "exact_match_3_train" on sentences of three items that the model was trained on; besides "context_size" and
    "seed", of the initial weights and the order of the batches.

    Results are kept in memory and in the user's cache folder (or in the one that COURSE_CACHE_DIR names), so that the
    same experiment is made once. Same arguments, same machine: same result.
    Raises ValueError for a context outside 1 to 512 and a seed below 0; TypeError for what is no whole number.
    """
    for name, value in (("context_size", context_size), ("seed", seed)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number, got {value!r}")
    if not 1 <= context_size <= LARGEST_CONTEXT:
        raise ValueError(f"context_size must be from 1 to {LARGEST_CONTEXT}, got {context_size}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    result = _results.get((context_size, seed)) or _read(context_size, seed)
    if result is None:
        result = _measured(context_size, seed)
        _write(result)
    _results[context_size, seed] = result
    return dict(result)


def is_share(value: float, of: str) -> bool:
    """Whether `value` can be the exact match called `of`: a whole number of sentences, divided by all of them."""
    sentences = value * SENTENCES[of]
    return bool(0 <= value <= 1 and abs(sentences - round(sentences)) < 1e-6 * SENTENCES[of])  # numpy has its own


@cache
def _data() -> tuple[Dataset, Vocabulary, Vocabulary, dict[str, Dataset]]:
    """The training sentences, both vocabularies, and the sentences to measure on by the name of their result."""
    kinds: dict[str, Any] = {"kinds": ("languages",), "languages": SETTINGS["languages"]}
    sentences = SETTINGS["train_sentences"]
    corpus = cldr.parallel_corpus(item_counts=(1, 2, 3), train=sentences, validation=0, test=0, **kinds)["train"]
    measured_on = {
        name: cldr.sentences_by_item_count(item_counts=(items,), per_count=SENTENCES[name], **kinds)[items]
        for name, items in (("exact_match_2", 2), ("exact_match_3", 3))
    }
    rows_of_three = {
        source: row
        for row, (source, items) in enumerate(zip(corpus["source"][:], corpus["item_count"][:], strict=True))
        if items == 3
    }
    trained_on = list(rows_of_three.values())[: SENTENCES["exact_match_3_train"]]
    measured_on["exact_match_3_train"] = corpus.select(trained_on)
    return corpus, Vocabulary.build(corpus["source"]), Vocabulary.build(corpus["target"]), measured_on


def _measured(context_size: int, seed: int) -> Result:
    corpus, source_vocabulary, target_vocabulary, measured_on = _data()
    with one_thread():  # so small a network is fastest so, and its sums do not depend on how many there are
        model = _trained(context_size, seed, corpus, source_vocabulary, target_vocabulary)
        shares = {
            name: exact_match(
                translate(model, rows["source"][:], source_vocabulary, target_vocabulary), rows["target"][:]
            )
            for name, rows in measured_on.items()
        }
    return {"context_size": context_size, "seed": seed, **shares}


def _trained(
    context_size: int, seed: int, corpus: Dataset, source_vocabulary: Vocabulary, target_vocabulary: Vocabulary
) -> EncoderDecoder:
    with torch.random.fork_rng(devices=[]):  # what the learner draws afterwards does not depend on this
        torch.manual_seed(seed)
        model = fixed_context_model(
            len(source_vocabulary),
            len(target_vocabulary),
            context_size=context_size,
            embedding_size=SETTINGS["embedding_size"],
            hidden_size=SETTINGS["hidden_size"],
        )
    steps = SETTINGS["steps"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=SETTINGS["learning_rate"])
    training = train(
        model,
        translation_loader(corpus, source_vocabulary, target_vocabulary, SETTINGS["batch_size"], seed=seed),
        next_word_loss,  # type: ignore[arg-type]  # it asks for this model, the loop for any
        steps=steps,
        optimizer=optimizer,
        schedule=warmup_then_linear(optimizer, warmup_steps=steps // 15, steps=steps),
        seed=seed,
        description=f"context of {context_size}",
    )
    if training.steps_done < steps:
        raise KeyboardInterrupt  # half a training is no result
    return model


def cache_file(context_size: int, seed: int) -> Path:
    """Where the result of an experiment is kept; other settings, data or versions of torch have another file."""
    depends_on = [SETTINGS, SENTENCES, cldr.version(), torch.__version__]
    digest = sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:12]
    return cache_folder() / "experiments" / f"context_{context_size}_seed_{seed}_{digest}.json"


def _read(context_size: int, seed: int) -> Result | None:
    """The kept result, or None if there is none, or none that can be right."""
    try:
        kept = json.loads(cache_file(context_size, seed).read_text(encoding="utf-8"))
        return kept if _plausible(kept, context_size, seed) else None
    except (OSError, ValueError, TypeError):
        return None


def _plausible(kept: Any, context_size: int, seed: int) -> bool:
    if not isinstance(kept, Mapping) or set(kept) != {"context_size", "seed", *SENTENCES}:
        return False
    same = kept["context_size"] == context_size and kept["seed"] == seed
    return same and all(is_share(kept[name], name) for name in SENTENCES)


def _write(result: Result) -> None:
    """Keep a result, if the folder can be written. Submitted code that is being graded keeps nothing for later."""
    if os.environ.get("COURSE_ANSWERING") == "1":
        return
    file = cache_file(int(result["context_size"]), int(result["seed"]))
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(result) + "\n", durable=False)
