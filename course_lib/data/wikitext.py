"""How good is a language model on the field's own text? WikiText-2, articles of Wikipedia (notebooks 04, 08).

Source: Merity et al. 2017, "Pointer Sentinel Mixture Models". CC BY-SA 3.0; the project carries no part of it.
"""

import itertools
import re
from collections.abc import Iterable

from datasets import Dataset, DatasetDict, DatasetInfo, Features, Value

from course_lib.data import mirror

# github.com/pytorch/examples at 77f55b912142e11fcfdf5b530231fb9c52f181e8, word_language_model/data/wikitext-2
FILES = {
    "validation": ("valid.txt", "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"),
    "test": ("test.txt", "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"),
}
FEATURES = Features({"text": Value("string"), "origin": Value("string")})
TITLE = re.compile(r"^ = [^=\n].*[^=\n] = $", re.MULTILINE)  # " = Title = "; a section has more signs


def load_wikitext2() -> DatasetDict:
    """Load the validation and test splits, one article a row, from the mirror's folder `wikitext2`.

    Columns: `text` (the articles one behind the other are the file, to the byte) and `origin` (an article's title).
    The mirror holds no training split: it is too large a file for it.

    Raises FileNotFoundError without the mirror, ValueError for a damaged file.
    """
    info = DatasetInfo(description="WikiText-2, from the mirror", features=FEATURES)
    splits = {}
    for split, (name, sha256) in FILES.items():
        articles = articles_of(mirror.locate(f"wikitext2/{name}", sha256).read_bytes().decode())
        columns = {"text": articles, "origin": [title_of(article) for article in articles]}
        splits[split] = Dataset.from_dict(columns, features=FEATURES, info=info)
    return DatasetDict(splits)


def articles_of(text: str) -> list[str]:
    """The articles, cut before each title; what stands before the first title belongs to the first article."""
    titles = [match.start() for match in TITLE.finditer(text)]
    return [text[first:end] for first, end in itertools.pairwise([0, *titles[1:], len(text)])]


def title_of(article: str) -> str:
    """An article's title, without its signs; "" if it has none."""
    found = TITLE.search(article)
    return found.group().strip(" =") if found else ""


def count_words(texts: Iterable[str]) -> int:
    """The corpus' own words, by which a word's perplexity is reckoned whatever a model's tokens are.

    Words stand between spaces; the end of each line is a word too.
    """
    return sum(len(text.split()) + text.count("\n") for text in texts)
