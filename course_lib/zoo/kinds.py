"""Which kinds of models does the zoo hold? For each name in config.json: how it is read, made anew and given text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedTokenizerFast

from course_lib.data.byte_pairs import BERT_TOKENS, END_OF_TEXT, bert_tokenizer, gpt_tokenizer
from course_lib.data.question_format import T5_TOKENS, t5_tokenizer
from course_lib.models import bert_files, distilbert_files, gpt_files, long_t5_files
from course_lib.models.bert import BERT, BERTConfig, MaskedLanguageModel
from course_lib.models.checkpoint_files import CONFIG_FILE, UnsuitableCheckpoint, read_json
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.long_t5 import LongT5, LongT5Config


@dataclass(frozen=True)
class Kind:
    """One architecture.

    config: its class of sizes, which has `vocabulary_size` and `context_size`. config_from(content, folder) reads that
    from config.json, config_of(model) asks a model for it. load(folder) reads a model, fresh(config) makes one anew.
    wrap(tokenizer, context_size) puts the special tokens round a text as this architecture wants them.
    """

    config: type
    config_from: Callable[[dict[str, Any], Path], Any]
    config_of: Callable[[Any], Any]
    load: Callable[[Path], nn.Module]
    fresh: Callable[[Any], nn.Module]
    wrap: Callable[[Tokenizer, int | None], PreTrainedTokenizerFast]
    special_tokens: tuple[str, ...]


# By the name that Hugging Face gives the architecture ("model_type").
KINDS = {
    "gpt2": Kind(
        GPTConfig,
        gpt_files.config_from,
        lambda model: model.config,
        gpt_files.load_gpt,
        GPT,
        gpt_tokenizer,
        (END_OF_TEXT,),
    ),
    "bert": Kind(
        BERTConfig,
        bert_files.config_from,
        lambda model: model.encoder.config,
        bert_files.load_masked_language_model,
        lambda config: MaskedLanguageModel(BERT(config)),
        bert_tokenizer,
        BERT_TOKENS,
    ),
    "distilbert": Kind(
        BERTConfig,  # with segments=0
        distilbert_files.config_from,
        lambda model: model.encoder.config,
        distilbert_files.load_distilbert,
        lambda config: MaskedLanguageModel(BERT(config)),
        bert_tokenizer,
        BERT_TOKENS,
    ),
    "longt5": Kind(
        LongT5Config,
        long_t5_files.config_from,
        lambda model: model.config,
        long_t5_files.load_long_t5,
        LongT5,
        t5_tokenizer,
        T5_TOKENS,
    ),
}


def kind_of_folder(folder: Path) -> Kind:
    """The kind of the model in a folder. Raises UnsuitableCheckpoint for an architecture that the zoo does not know."""
    found = read_json(folder / CONFIG_FILE).get("model_type")
    if found not in KINDS:
        raise UnsuitableCheckpoint(f"{folder} holds a {found!r} model; the zoo loads {', '.join(map(repr, KINDS))}")
    return KINDS[found]


def kind_of_config(config: Any) -> Kind:
    """The first kind with sizes of this class."""
    return next(kind for kind in KINDS.values() if isinstance(config, kind.config))
