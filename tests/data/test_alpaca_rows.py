import json

import pyarrow
import pyarrow.parquet
import pytest

from course_lib.data import alpaca_rows
from course_lib.data.alpaca_format import Exchange
from course_lib.data.alpaca_rows import UnreadableFile, read_alpaca, rows_of

ROWS = [
    {"instruction": 'Say é, [or] "{"', "input": "", "output": "é"},
    {"instruction": "Count", "input": "a, b", "output": "two"},
    {"instruction": "No input", "output": "fine"},
]
WANTED = [Exchange(row["instruction"], row.get("input", ""), row["output"]) for row in ROWS]


def written(folder, ending, rows, **options):
    path = folder / f"rows{ending}"
    if ending == ".json":
        path.write_text(json.dumps(rows, ensure_ascii=False, **options), encoding="utf-8")
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        columns = {key: [row.get(key) for row in rows] for key in ("instruction", "input", "output")}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".parquet"])
@pytest.mark.parametrize("at_once", [1, 7, 1 << 16])
def test_every_format_gives_the_same_rows_however_it_is_read(tmp_path, monkeypatch, ending, at_once):
    monkeypatch.setattr(alpaca_rows, "CHARACTERS_AT_ONCE", at_once)
    found = read_alpaca(written(tmp_path, ending, ROWS))
    assert [each.exchanges[0] for each in found.conversations] == WANTED
    assert found.numbers == [1, 2, 3]
    assert found.faults == []


def test_an_indented_file_with_a_byte_order_mark_is_read(tmp_path):
    path = written(tmp_path, ".json", ROWS, indent=4)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_alpaca(path).conversations) == 3


def test_faults_are_said_by_row_and_other_rows_are_read(tmp_path):
    rows = [
        ROWS[0],
        {"input": "x"},
        {"instruction": " ", "input": "", "output": "a"},
        "a text",
        {"instruction": "Say", "input": 3, "output": "a"},
        {"instruction": "Say ### Response:", "output": "a"},
        {"instruction": "Say", "output": "  "},
        ROWS[1],
    ]
    found = read_alpaca(written(tmp_path, ".json", rows))
    assert found.numbers == [1, 8]
    assert [fault.row for fault in found.faults] == [2, 3, 4, 5, 6, 7]
    for fault, message in zip(
        found.faults,
        (
            "has no instruction and no output; its keys are input",
            "the instruction is empty",
            "is 'a text'; expected an object",
            "has 3 as input; expected a text",
            "contains '### Response:'",
            "has an empty response",
        ),
        strict=True,
    ):
        assert message in fault.what


def test_a_broken_line_of_jsonl_costs_that_line_alone(tmp_path):
    path = written(tmp_path, ".jsonl", ROWS)
    path.write_bytes(path.read_bytes() + b'{"instruction": \n\n"\xff\xfe"\n')
    found = read_alpaca(path)
    assert len(found.conversations) == 3
    assert [fault.row for fault in found.faults] == [4, 6]
    assert "is no JSON" in found.faults[0].what
    assert "is not UTF-8" in found.faults[1].what


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"instruction": "a", "output": "b"}, {"instr', "after row 1 comes .*cut off or damaged"),
        (b'{"instruction": "a"}', r"begins with '\{'; expected '\['"),
        (b"", "after row 0 comes ''"),
        (b'[{"instruction": "\xe9\xff", "output": "b"}]', "is not UTF-8"),
        (b"[nonsense]", "after row 0 comes"),
    ],
)
def test_files_that_cannot_be_read_on_are_refused(tmp_path, content, message):
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=message):
        read_alpaca(path)


def test_an_empty_list_has_no_rows(tmp_path):
    assert read_alpaca(written(tmp_path, ".json", [])).conversations == []


def test_damaged_parquet_and_other_endings_are_refused(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UnreadableFile, match="no whole parquet file"):
        read_alpaca(tmp_path / "rows.parquet")
    with pytest.raises(UnreadableFile, match=r"ends in '.csv'; expected .json, .jsonl, .parquet"):
        read_alpaca(tmp_path / "rows.csv")
    with pytest.raises(FileNotFoundError):
        read_alpaca(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        read_alpaca(tmp_path / "none.parquet")


def test_rows_come_before_the_file_is_read_to_its_end(tmp_path):
    """So a large file streams: its damaged end is only met after the first row."""
    path = tmp_path / "rows.json"
    path.write_text("[" + (json.dumps(ROWS[1]) + ",") * 3_000 + "{broken", encoding="utf-8")
    rows = rows_of(path)
    assert next(rows)[1] == ROWS[1]
    with pytest.raises(UnreadableFile, match="after row 3000"):
        list(rows)
