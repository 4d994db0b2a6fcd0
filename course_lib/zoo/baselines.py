"""What stands beside a language model's bits per byte? Counting, and two compressors, on the same texts."""

from datasets import Dataset, DatasetDict  # noqa: F401 - DatasetDict's hints name Dataset as if it stood here

from course_lib.evaluation.compression import ByteNGrams, gzip_bits_per_byte, xz_bits_per_byte


def compression_baselines(corpus: DatasetDict, split: str) -> dict[str, float]:
    """Bits per byte on a split: of counting in the train split, of compressors, and of one that knows it by heart."""
    read, asked = list(corpus["train"]["text"]), list(corpus[split]["text"])
    return {
        "byte_5_gram_bits_per_byte": ByteNGrams(read, 5).bits_per_byte(asked),
        "xz_bits_per_byte": xz_bits_per_byte(asked),
        "gzip_bits_per_byte": gzip_bits_per_byte(asked),
        "primed_xz_bits_per_byte": xz_bits_per_byte(asked, primed_with=read),
    }


def none_beside(corpus: DatasetDict, split: str) -> dict[str, float]:
    """For models whose measure brings its own baselines."""
    return {}
