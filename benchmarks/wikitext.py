"""How well does a model that has read manuals predict Wikipedia? WikiText-2's perplexity, by strided reading.

Reads a split of the mirror's WikiText-2 (COURSE_DATA_DIR) with pydoc-gpt, each token once, with at least half a
context to look back at, and writes `results/wikitext.json`: the perplexity of a token, that of one of the corpus' own
words (the same nats over fewer things), and bits per byte beside gzip and xz. Without a mirror it says so.

    python -m benchmarks.wikitext
"""

import argparse
import math

import torch

from benchmarks.writing import write_result
from course_lib import zoo
from course_lib.data import mirror
from course_lib.data.byte_pairs import END_OF_TEXT
from course_lib.data.token_windows import token_stream
from course_lib.data.wikitext import count_words, load_wikitext2
from course_lib.evaluation.compression import bits_per_byte, count_bytes, gzip_bits_per_byte, xz_bits_per_byte
from course_lib.evaluation.language_model import stream_nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pydoc-gpt", help="a bundled model's name, or a folder")
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--articles", type=int, default=0, help="the first ones alone; 0: all")
    parser.add_argument("--strides", type=int, nargs="+", default=[256, 128, 64])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    try:
        mirror.mirror_folder()
    except FileNotFoundError as error:
        raise SystemExit(f"nothing measured: {error}") from None
    torch.set_num_threads(arguments.threads)
    texts = load_wikitext2()[arguments.split]["text"][: arguments.articles or None]
    model, tokenizer = zoo.load(arguments.model)
    # The articles are one text, cut nowhere: what ends one is the title of the next.
    stream = token_stream(tokenizer, ["".join(texts)], tokenizer.convert_tokens_to_ids(END_OF_TEXT))
    words, size = count_words(texts), count_bytes(texts)
    measured: dict[str, object] = {"articles": len(texts), "words": words, "tokens": len(stream)}
    for stride in arguments.strides:
        nats, scored = stream_nats(model, stream, stride=stride)
        measured[f"stride {stride}"] = {
            "token_perplexity": round(math.exp(nats / scored), 1),
            "word_perplexity": round(math.exp(nats / words), 1),
            "bits_per_byte": round(bits_per_byte(nats, size), 3),
        }
    measured["gzip, bits per byte"] = round(gzip_bits_per_byte(texts), 3)
    measured["xz, bits per byte"] = round(xz_bits_per_byte(texts), 3)
    write_result("wikitext", command="python -m benchmarks.wikitext", settings=vars(arguments), measured=measured)


if __name__ == "__main__":
    main()
