"""How does text become tokens without a word that is unknown? Byte-level byte-pair encoding (notebooks 04 and 05).

Every byte is a token, so any text can be written; frequent neighbours are merged to longer tokens until the vocabulary
is full. Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"; Radford et al.
2019 (GPT-2), which begins with bytes. Trained by Hugging Face's tokenizers.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
PAD, UNKNOWN, CLASSIFY, SEPARATE, MASK = BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BYTES = 256
FILE_NAME = "tokenizer.json"


def train_byte_pairs(
    texts: Iterable[str], vocabulary_size: int = 4096, special_tokens: Sequence[str] = (END_OF_TEXT,)
) -> Tokenizer:
    """Train byte-pair merges on texts. The special tokens get the first numbers, then come the 256 bytes.

    The same texts give the same tokenizer. Few texts can have fewer pairs than `vocabulary_size` asks for: then the
    vocabulary is smaller. Raises ValueError for a size that leaves no room for bytes and special tokens, a special
    token that is empty or there twice, and when there is no text.
    """
    smallest = BYTES + len(special_tokens)
    if vocabulary_size < smallest:
        raise ValueError(
            f"vocabulary_size is {vocabulary_size}; {BYTES} bytes and {len(special_tokens)} special tokens need at "
            f"least {smallest}."
        )
    if "" in special_tokens or len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"special_tokens is {tuple(special_tokens)}; expected distinct texts, none empty.")
    tokenizer = Tokenizer(models.BPE())
    # GPT-2's pattern cuts at spaces, between letters, digits and signs, so that no token spans two words.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    count = 0

    def counted() -> Iterable[str]:
        nonlocal count
        for text in texts:
            count += bool(text)
            yield text

    tokenizer.train_from_iterator(counted(), trainer)
    if not count:
        raise ValueError("There is no text to train on; give at least one that is not empty.")
    return tokenizer


def gpt_tokenizer(tokenizer: Tokenizer, context_size: int | None = None) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer for GPT: `<|endoftext|>` ends a text, begins one, and pads. Nothing is added to a text.

    Raises ValueError if the tokenizer has no such token.
    """
    _need_tokens(tokenizer, (END_OF_TEXT,))
    return PreTrainedTokenizerFast(
        tokenizer_object=_copy(tokenizer),
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        **_limit(context_size),
    )


def bert_tokenizer(tokenizer: Tokenizer, context_size: int | None = None) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer for BERT: a text becomes `[CLS] text [SEP]`, two become `[CLS] first [SEP] second [SEP]`.

    Token types are 0 for the first text and its marks, 1 for the second. Raises ValueError if the tokenizer lacks one
    of `BERT_TOKENS`.
    """
    _need_tokens(tokenizer, BERT_TOKENS)
    tokenizer = _copy(tokenizer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLASSIFY} $A {SEPARATE}",
        pair=f"{CLASSIFY} $A {SEPARATE} $B:1 {SEPARATE}:1",
        special_tokens=[(mark, tokenizer.token_to_id(mark)) for mark in (CLASSIFY, SEPARATE)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLASSIFY,
        sep_token=SEPARATE,
        mask_token=MASK,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **_limit(context_size),
    )


def save_byte_pairs(tokenizer: Tokenizer, folder: Path) -> Path:
    """Write `tokenizer.json` into a folder, which is made if need be, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAME
    tokenizer.save(str(path))
    return path


def load_byte_pairs(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`, or that of a folder. Raises FileNotFoundError, or ValueError for a damaged file."""
    file = path / FILE_NAME if path.is_dir() else path
    text = file.read_text(encoding="utf-8", errors="replace")  # a damaged file is named below
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises nothing more precise
        raise ValueError(f"{file} is no tokenizer, or damaged ({error}); save it anew.") from error


def bytes_per_token(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """How many bytes of UTF-8 a token stands for on average, special tokens apart."""
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False))
    if not tokens:
        raise ValueError("There is no text to measure on; give at least one that is not empty.")
    return sum(len(text.encode()) for text in texts) / tokens


def _copy(tokenizer: Tokenizer) -> Tokenizer:
    return Tokenizer.from_str(tokenizer.to_str())


def _limit(context_size: int | None) -> dict[str, int]:
    return {} if context_size is None else {"model_max_length": context_size}


def _need_tokens(tokenizer: Tokenizer, tokens: Sequence[str]) -> None:
    missing = [token for token in tokens if tokenizer.token_to_id(token) is None]
    if missing:
        raise ValueError(f"The tokenizer has no {', '.join(missing)}; train it with special_tokens={tuple(tokens)}.")
