"""How long are Alpaca's rows, in tokens? Written once to `alpaca_lengths.json`, so that no benchmark needs the rows.

    COURSE_DATA_DIR=... python -m benchmarks.alpaca_lengths

LLaMA's tokenizer is not here, so its tokens are estimated from the text: a word is one token for each six letters
begun; a digit, a sign and a line's end are one each. That gives 3.9 characters a token on these rows, about what
LLaMA's has on English prose. Only the numbers are kept: the prompt's tokens, template included, and the response's,
end token included.
"""

import json
import re
from pathlib import Path

from course_lib.data.alpaca_format import alpaca_prompt
from course_lib.data.mirror import locate

FILE = Path(__file__).parent / "alpaca_lengths.json"
ROWS = "alpaca/alpaca_en_demo.json"
PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]|\n|_")
LETTERS_IN_A_TOKEN = 6


def estimated_tokens(text: str) -> int:
    """About how many tokens LLaMA's tokenizer makes of an English text."""
    return sum(-(-len(piece) // LETTERS_IN_A_TOKEN) if piece[0].isalpha() else 1 for piece in PIECE.findall(text))


def read_lengths() -> list[tuple[int, int]]:
    """Tokens of each row's prompt and response, as the file has them."""
    return [(prompt, response) for prompt, response in json.loads(FILE.read_text(encoding="utf-8"))["lengths"]]


def main() -> None:
    rows = json.loads(locate(ROWS).read_text(encoding="utf-8"))
    lengths = []
    for row in rows:
        prompt = estimated_tokens(alpaca_prompt(row["instruction"], row["input"])) + 1  # LLaMA's begin token
        lengths.append((prompt, estimated_tokens(row["output"]) + 1))
    about = {
        "what": "estimated LLaMA tokens of [prompt, response] of Alpaca rows",
        "made_by": "python -m benchmarks.alpaca_lengths",
        "from": f"{ROWS}, {len(rows)} rows (github.com/hiyouga/LLaMA-Factory at ff6d4d12)",
        "mean_tokens_of_a_row": round(sum(map(sum, lengths)) / len(lengths), 1),
    }
    text = json.dumps({**about, "lengths": lengths}, separators=(",", ":")).replace(',"', ',\n"')
    FILE.write_text(text + "\n", encoding="utf-8")
    print(about)


if __name__ == "__main__":
    main()
