"""The recipe of notebook 09: both schemes, several processes, crashes, and the field's own files."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import transformers
from datasets import Dataset, DatasetDict

from course_lib import zoo
from course_lib.data import atlas
from course_lib.data.byte_pairs import train_byte_pairs
from course_lib.data.question_format import MARKS, T5_TOKENS, t5_tokenizer
from course_lib.models.long_t5 import LongT5, LongT5Config
from course_lib.models.long_t5_files import load_long_t5, save_long_t5
from course_lib.recipes.longt5_cqa import judged, main, parser, stages_of, steps_of, teach_marks
from course_lib.training.answering import Means

TINY = LongT5Config(500, 16, 1, 1, 2, 8, 24, block=32, tied=True, scaled_output=True, context_size=256)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A tiny reader, as the zoo has them."""
    folder = tmp_path_factory.mktemp("tiny")
    rows = atlas.conversations(60, 1, 1)["train"]
    tokenizer = t5_tokenizer(train_byte_pairs([*rows["context"], *rows["question"]], 500, T5_TOKENS), 256)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_long_t5(LongT5(TINY), folder)
    tokenizer.save_pretrained(folder)
    return folder


def options(model_folder, out, *more):
    few = ("--train", 24, "--validation", 5, "--epochs", 1, "--own-epochs", 0.05, "--evaluations", 2)
    return [str(each) for each in ("--model", model_folder, "--out", out, *few, "--batch-size", 4, *more)]


def in_a_process(arguments, processes=1, wait=True):
    launcher = ["-m", "course_lib.recipes.longt5_cqa"]
    if processes > 1:
        # --multi_gpu starts so many processes, on whatever there is; with --cpu, Accelerate would start a single one.
        count = ["--num_processes", str(processes), "--num_machines", "1", "--main_process_port", "0"]
        settings = ["--mixed_precision", "no", "--dynamo_backend", "no"]
        launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", *count, *settings, *launcher]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    command = [sys.executable, *launcher, *arguments]
    started = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    if not wait:
        return started
    printed, _ = started.communicate(timeout=250)
    assert started.returncode == 0, printed
    return printed


def results_in(out):
    return json.loads((out / "results.json").read_text())


def a_set(name, count=3):
    row = {"id": name, "context": f"{name}.", "question": "What?", "answers": ["it"], "history": [], "kind": "full"}
    return DatasetDict({split: Dataset.from_list([row] * count) for split in ("train", "validation")})


def test_the_schemes_are_tryolabs_two():
    sets = [a_set("single", 3), a_set("talk", 5), a_set("own", 2)]
    sequential = stages_of("sequential", *sets)
    assert [(stage.name, len(stage.train)) for stage in sequential] == [("single", 3), ("talk", 5), ("own", 2)]
    combined = stages_of("combined", *sets)
    assert [(stage.name, len(stage.train)) for stage in combined] == [("mixed", 8), ("own", 2)]
    assert set(combined[0].train["id"]) == {"single", "talk"}
    with pytest.raises(ValueError, match="sequential, combined"):
        stages_of("mixed", *sets)


def test_unknown_is_no_answer_where_a_set_has_none_and_an_answer_where_it_is_one():
    assert judged(["unknown", "Euro"], [[], ["Euro"]]) == {"f1": 100, "exact": 100}
    assert judged(["unknown", "Euro"], [["unknown"], ["the Yen"]]) == {"f1": 50, "exact": 50}
    assert judged(["Euro", "Euro"], [[], ["Euro"]])["f1"] == 50


def test_steps_count_every_row_of_an_epoch_and_share_them_among_processes(monkeypatch):
    assert steps_of(100, 3, Means(batch_size=8)) == 38
    assert steps_of(100, 3, Means(batch_size=4, accumulation=2)) == 38
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert steps_of(100, 3, Means(batch_size=2)) == 38
    assert steps_of(1, 0.01, Means()) == 1


def test_a_tokenizer_of_the_hub_learns_the_marks():
    plain = t5_tokenizer(train_byte_pairs(["What is it?"], 400, T5_TOKENS))
    content = json.loads(plain.backend_tokenizer.to_str())
    without = [token for token in T5_TOKENS if token not in MARKS]
    bare = train_byte_pairs(["What is it?"], 400, without)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>", eos_token="</s>")
    size = len(tokenizer)
    assert content["added_tokens"]
    model = LongT5(LongT5Config(size + 20, 16, 1, 1, 2, 8, 24, block=32))
    with torch.no_grad():
        model.output.weight[:] = torch.arange(size + 20.0)[:, None]
    assert teach_marks(model, tokenizer) == len(MARKS)
    numbers = tokenizer.convert_tokens_to_ids(list(MARKS))
    others = [number for number in range(size + 20) if number not in numbers]
    expected = sum(others) / len(others)
    assert torch.allclose(model.output.weight[numbers], torch.tensor(expected), rtol=1e-4)
    assert teach_marks(model, tokenizer) == 0
    bare = train_byte_pairs(["What is it?"], 400, without)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="<pad>", eos_token="</s>")
    with pytest.raises(ValueError, match="rows to spare"):
        teach_marks(LongT5(LongT5Config(size, 16, 1, 1, 2, 8, 24, block=32)), tokenizer)


@pytest.mark.slow
def test_all_stages_run_and_their_model_is_loaded_by_both_libraries(model_folder, tmp_path, capsys):
    main(options(model_folder, tmp_path / "out", "--scheme", "sequential"))
    printed = capsys.readouterr().out
    assert "stage 3 of 3, own" in printed
    written = results_in(tmp_path / "out")
    assert list(written["stages"]) == ["single", "talk", "own"]
    assert written["stages"]["single"]["steps"] == 6
    assert len(written["stages"]["single"]["evaluations"]) == 2
    model, tokenizer = zoo.load(tmp_path / "out" / "model")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out" / "model").eval()
    tokens, before = torch.tensor([tokenizer.encode("Chad || <Q> What? <A>")]), torch.tensor([[0, 5]])
    torch.testing.assert_close(
        model(tokens, before), theirs(tokens, decoder_input_ids=before).logits, atol=1e-4, rtol=0
    )
    before_that = results_in(tmp_path / "out")
    main(options(model_folder, tmp_path / "out", "--scheme", "sequential"))  # complete: nothing is trained again
    assert results_in(tmp_path / "out") == before_that


@pytest.mark.slow
def test_two_processes_learn_as_one_does_with_batches_as_large(model_folder, tmp_path):
    more = ("--scheme", "combined", "--optimizer", "adafactor")
    in_a_process(options(model_folder, tmp_path / "two", *more), processes=2)
    in_a_process(options(model_folder, tmp_path / "one", *more, "--accumulation", 2))
    two, one = results_in(tmp_path / "two")["stages"], results_in(tmp_path / "one")["stages"]
    assert list(two) == list(one) == ["mixed", "own"]
    for name in two:
        assert two[name]["losses"] == pytest.approx(one[name]["losses"], abs=1e-4)
        for here, there in zip(two[name]["evaluations"], one[name]["evaluations"], strict=True):
            assert here == pytest.approx(there, abs=1e-6)


@pytest.mark.slow
def test_a_run_killed_in_the_middle_ends_with_the_same_weights(model_folder, tmp_path):
    more = ("--scheme", "combined", "--epochs", 4)
    in_a_process(options(model_folder, tmp_path / "whole", *more))
    killed = in_a_process(options(model_folder, tmp_path / "killed", *more), wait=False)
    limit = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("*/checkpoints/*-step-*")):  # one is there: whole, by its name
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed" / "results.json").exists()
    in_a_process(options(model_folder, tmp_path / "killed", *more))
    weights = [load_long_t5(tmp_path / run / "model").state_dict() for run in ("whole", "killed")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert results_in(tmp_path / "whole") == results_in(tmp_path / "killed")


@pytest.mark.slow
def test_the_fields_files_are_read(model_folder, tmp_path):
    paragraphs = [
        {"context": f"Ann {place} has a car.", "qas": [{"id": str(place), "question": "Who?", "answers": answers}]}
        for place, answers in enumerate([[{"text": "Ann"}], []] * 4)
    ]
    squad = {"data": [{"title": str(number), "paragraphs": [each]} for number, each in enumerate(paragraphs)]}
    turns = {"questions": ["Who?", "And what?"], "answers": {"input_text": ["Ann", "a car"]}}
    talk = [{"conversation_id": str(n), "context_id": "7", "story": "Ann has a car.", **turns} for n in range(6)]
    (tmp_path / "squad.json").write_text(json.dumps(squad))
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    files = ("--data", "files", "--squad", tmp_path / "squad.json", "--tryocoqa", tmp_path / "talk.json")
    main(options(model_folder, tmp_path / "out", *files, "--batch-size", 2))
    stages = results_in(tmp_path / "out")["stages"]
    assert [stage["questions"] for stage in stages.values()] == [6, 10, 10]


@pytest.mark.mirror
@pytest.mark.skipif("COURSE_DATA_DIR" not in os.environ, reason="needs the data mirror")
def test_the_mirrors_files_become_three_stages(model_folder, tmp_path):
    from course_lib.recipes.longt5_cqa import _files

    chosen = parser().parse_args(options(model_folder, tmp_path, "--data", "files"))
    stages = stages_of("sequential", *_files(chosen))
    assert all(len(stage.train) > 4 * len(stage.validation) > 0 for stage in stages)
    assert any(not answers for answers in stages[0].train["answers"])
    assert max(map(len, stages[1].train["history"])) > 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--model", "nowhere/none"), "nowhere/none"),
        (("--model", "pydoc-gpt"), "this recipe trains a LongT5"),
        (("--data", "files", "--squad", "missing.json"), "missing.json"),
        (("--batch-size", "0"), "at least 1"),
        (("--train", "2"), "do not fill one batch"),
    ],
)
def test_what_cannot_be_ends_with_one_line(model_folder, tmp_path, more, says):
    with pytest.raises(SystemExit) as stopped:
        main(options(model_folder, tmp_path, *more))
    assert str(stopped.value).startswith("longt5_cqa: ")
    assert says in str(stopped.value)


def test_help_tells_how_to_start_it(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    assert "accelerate launch" in capsys.readouterr().out
