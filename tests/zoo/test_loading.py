"""One call for a model of the course, a folder, the mirror, the Hugging Face cache and the hub."""

import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
import transformers
from transformers import PreTrainedTokenizerFast

from course_lib import zoo
from course_lib.data.byte_pairs import BERT_TOKENS, save_byte_pairs, train_byte_pairs
from course_lib.data.mirror import sha256_of
from course_lib.models.bert import MaskedLanguageModel
from course_lib.models.checkpoint_files import UnsuitableCheckpoint
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.zoo import hub, loading
from course_lib.zoo.cards import LOADED_FILES, ZooError
from course_lib.zoo.hub import PINNED

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _nothing_elsewhere(tmp_path, monkeypatch, checkpoints):
    """No mirror, an empty Hugging Face cache, an empty folder to stand in."""
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def cached(tmp_path, write_model):
    """Puts a tiny model into the Hugging Face cache as huggingface_hub lays it out: blobs, and links to them."""

    def put(repository, revision, kind="gpt", files=LOADED_FILES):
        model = write_model(tmp_path / "source", kind, with_card=False)
        home = tmp_path / "cache" / f"models--{repository.replace('/', '--')}"
        snapshot = home / "snapshots" / revision
        for folder in (snapshot, home / "blobs", home / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        (home / "refs" / "main").write_text(revision)
        for name in files:
            blob = home / "blobs" / sha256_of(tmp_path / "source" / name)
            shutil.copy(tmp_path / "source" / name, blob)
            (snapshot / name).symlink_to(blob)
        return model

    return put


def same_half_weights(model, original):
    return all(
        torch.equal(tensor, original.state_dict()[name].half().float()) for name, tensor in model.state_dict().items()
    )


def test_a_model_of_the_course_comes_with_its_tokenizer(checkpoints, write_model):
    original = write_model(checkpoints / "tiny-gpt")
    model, tokenizer = zoo.load("tiny-gpt")
    assert isinstance(model, GPT)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    assert same_half_weights(model, original)
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == 0
    assert tokenizer.model_max_length == 16
    tokens = torch.tensor([tokenizer("Return a list")["input_ids"]])
    assert model(tokens).logits.shape == (*tokens.shape, 320)


def test_a_masked_one_too(checkpoints, write_model):
    original = write_model(checkpoints / "tiny-bert", "bert")
    model, tokenizer = zoo.load("tiny-bert")
    assert isinstance(model, MaskedLanguageModel)
    assert same_half_weights(model, original)
    tokens = tokenizer("Return a [MASK]")["input_ids"]
    assert tokens[0] == tokenizer.cls_token_id
    assert tokens[-2:] == [tokenizer.mask_token_id, tokenizer.sep_token_id]
    assert model(torch.tensor([tokens])).shape == (1, len(tokens), 320)


def test_loading_leaves_the_random_numbers_alone(checkpoints, write_model):
    write_model(checkpoints / "tiny-gpt")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    zoo.load("tiny-gpt")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", ["gpt", "bert"])
def test_a_folder_that_transformers_wrote_is_loaded(tmp_path, write_model, kind):
    write_model(tmp_path / "source", kind, with_card=False)
    theirs = {"gpt": transformers.GPT2LMHeadModel, "bert": transformers.BertForMaskedLM}[kind]
    written = theirs.from_pretrained(tmp_path / "source", dtype=torch.float32).eval()
    written.save_pretrained(tmp_path / "theirs")
    _, tokenizer = zoo.load(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "theirs")
    model, again = zoo.load(str(tmp_path / "theirs"))
    tokens = torch.tensor([again("Return a list")["input_ids"]])
    assert again("Return a list")["input_ids"] == tokenizer("Return a list")["input_ids"]
    with torch.no_grad():
        logits = model(tokens).logits if isinstance(model, GPT) else model(tokens)
        torch.testing.assert_close(logits, written(tokens).logits, rtol=1e-5, atol=1e-5)


def test_a_folder_may_be_named_from_here_and_the_courses_own_models_come_first(checkpoints, write_model):
    here = write_model(Path("tiny-gpt"), with_card=False)
    assert same_half_weights(zoo.load("tiny-gpt")[0], here)
    assert same_half_weights(zoo.load("./tiny-gpt")[0], here)
    write_model(checkpoints / "tiny-gpt", "bert")
    assert isinstance(zoo.load("tiny-gpt")[0], MaskedLanguageModel)
    assert isinstance(zoo.load(Path("tiny-gpt"))[0], GPT)


def test_a_model_in_the_mirror_is_checked_against_its_sums(tmp_path, monkeypatch, write_model):
    folder = tmp_path / "mirror" / "models" / "gpt2"
    original = write_model(folder, with_card=False)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "mirror"))
    assert same_half_weights(zoo.load("gpt2")[0], original)
    sums = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in LOADED_FILES)
    (folder / "SHA256SUMS").write_text(sums)
    assert same_half_weights(zoo.load("gpt2")[0], original)
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(ValueError, match="is damaged or another version"):
        zoo.load("gpt2")


@pytest.mark.parametrize("name", ["distilgpt2", "gpt2", "bert-base-uncased"])
def test_a_pinned_model_is_found_in_the_cache_under_both_its_names(cached, name):
    kind = "bert" if name.startswith("bert") else "gpt"
    original = cached(PINNED[name].repository, PINNED[name].revision, kind)
    assert same_half_weights(zoo.load(name)[0], original)
    assert same_half_weights(zoo.load(PINNED[name].repository)[0], original)


def test_a_cache_of_the_days_of_short_names_is_used_too(cached):
    original = cached("gpt2", PINNED["gpt2"].revision)
    assert same_half_weights(zoo.load("gpt2")[0], original)


def test_another_commit_in_the_cache_is_not_taken(cached):
    cached("openai-community/gpt2", COMMIT)
    with pytest.raises(ZooError, match="'gpt2' at revision 607a30d783df is not on this machine"):
        zoo.load("gpt2")
    assert isinstance(zoo.load("gpt2", revision=COMMIT)[0], GPT)


def test_a_cache_that_lacks_a_file_is_not_taken(cached):
    cached("someone/tiny", COMMIT, files=("config.json", "model.safetensors"))
    with pytest.raises(ZooError, match="is not on this machine"):
        zoo.load("someone/tiny", revision=COMMIT)


def test_other_models_need_a_commit(cached):
    cached("someone/tiny", COMMIT)
    with pytest.raises(ZooError, match="needs revision=…, the 40 digits of a commit"):
        zoo.load("someone/tiny")
    for moving in ("main", "v1.0", COMMIT[:12], COMMIT.upper()):
        with pytest.raises(ZooError, match="is no commit: give its 40 hexadecimal digits"):
            zoo.load("someone/tiny", revision=moving)
    assert isinstance(zoo.load("someone/tiny", revision=COMMIT)[0], GPT)


@pytest.mark.parametrize("name", ["gpt2", "pydoc-gtp", "someone/tiny"])
def test_what_is_nowhere_is_told_all_the_ways_to_get_it(checkpoints, write_model, name):
    write_model(checkpoints / "tiny-gpt")
    with pytest.raises(ZooError) as caught:
        zoo.load(name, revision=COMMIT if "/" in name else None)
    text = str(caught.value)
    for way in ("tiny-gpt", "a folder with config.json", "COURSE_DATA_DIR/models", "HF_HOME", "online=True", "random"):
        assert way in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "told"),
    [("./nowhere", "is no folder"), ("/nowhere/at/all", "is no folder"), ("a b", "is no name of a model")],
)
def test_a_path_that_leads_nowhere_is_no_name(name, told):
    with pytest.raises(ZooError, match=told):
        zoo.load(name)
    with pytest.raises(ZooError):
        zoo.load(name, online=True)


def test_a_folder_without_a_model_says_what_belongs_there(tmp_path):
    with pytest.raises(ZooError, match=r"has no config\.json; expected a folder with config\.json, model\.safetensors"):
        zoo.load(tmp_path)


def test_pickles_are_never_read(tmp_path, write_model):
    write_model(tmp_path / "old", with_card=False)
    (tmp_path / "old" / "model.safetensors").rename(tmp_path / "old" / "pytorch_model.bin")
    with pytest.raises(UnsuitableCheckpoint, match="only safetensors files are read, never pickles"):
        zoo.load(tmp_path / "old")


def test_a_model_of_another_kind_or_with_code_is_refused(tmp_path, write_model):
    folder = tmp_path / "other"
    write_model(folder, with_card=False)
    config = json.loads((folder / "config.json").read_text())
    (folder / "evil.py").write_text("raise SystemExit('ran the code of a model')")
    changed = config | {"model_type": "evil", "auto_map": {"AutoModelForCausalLM": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(changed))
    with pytest.raises(UnsuitableCheckpoint, match="holds a 'evil' model; the zoo loads 'gpt2', 'bert'"):
        zoo.load(folder)
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}))
    assert isinstance(zoo.load(folder)[0], GPT)


def test_a_tokenizer_that_is_missing_or_too_large_is_refused(tmp_path, write_model, corpus):
    folder = tmp_path / "other"
    write_model(folder, with_card=False)
    save_byte_pairs(train_byte_pairs(corpus["train"]["text"], 330), folder)
    with pytest.raises(UnsuitableCheckpoint, match="knows 330 tokens, but the model 320"):
        zoo.load(folder)
    save_byte_pairs(train_byte_pairs(corpus["train"]["text"], 320, BERT_TOKENS), folder)
    with pytest.raises(ValueError, match=r"has no <\|endoftext\|>"):
        zoo.load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UnsuitableCheckpoint, match=r"tokenizer\.json is missing"):
        zoo.load(folder)


def test_devices(checkpoints, write_model):
    write_model(checkpoints / "tiny-gpt")
    model, _ = zoo.load("tiny-gpt", device=torch.device("meta"))
    assert next(model.parameters()).device.type == "meta"
    for wrong in ("warp drive", "cuda:99"):
        with pytest.raises(ZooError, match=r"cannot be used here .*; leave it out for the CPU"):
            zoo.load("tiny-gpt", device=wrong)


# The published sizes: GPT-2's released weights, DistilGPT2's card, BERT-base's with the head that guesses words.
@pytest.mark.parametrize(
    ("name", "parameters"),
    [("gpt2", 124_439_808), ("distilgpt2", 81_912_576), ("google-bert/bert-base-uncased", 109_514_298)],
)
def test_random_weights_have_the_full_size_without_any_file(name, parameters):
    model, tokenizer = zoo.load(name, weights="random", device="meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert not model.training
    sizes = model.config if isinstance(model, GPT) else model.encoder.config
    numbers = tokenizer("Grüße, 你好", add_special_tokens=False)["input_ids"]
    assert len(numbers) == len("Grüße, 你好".encode())  # each byte is a token
    assert max(numbers) < sizes.vocabulary_size
    assert tokenizer.model_max_length == sizes.context_size


def test_random_weights_of_a_recipe_that_was_not_trained_yet():
    model, _ = zoo.load("pydoc-gpt", weights="random")
    assert isinstance(model, GPT)
    assert (model.config.vocabulary_size, model.config.context_size) == (4096, 256)
    assert isinstance(zoo.load("pydoc-bert", weights="random")[0], MaskedLanguageModel)


def test_random_weights_follow_the_seed_and_take_the_tokenizer_that_is_there(checkpoints, write_model):
    trained = write_model(checkpoints / "tiny-gpt")
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model, tokenizer = zoo.load("tiny-gpt", weights="random")
        drawn.append(model.embedding.weight)
        assert model.config == trained.config
        assert len(tokenizer) == 320
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_weights_are_bundled_or_random(checkpoints, write_model):
    write_model(checkpoints / "tiny-gpt")
    with pytest.raises(ZooError, match=r"weights must be 'bundled' .* or 'random', got 'pretrained'"):
        loading.load.__wrapped__("tiny-gpt", weights="pretrained")
    with pytest.raises(ZooError, match="there is no model 'nothing'"):
        zoo.load("nothing", weights="random")


@pytest.fixture
def fake_hub(tmp_path, monkeypatch, write_model):
    """A hub on this machine with one repository, someone/tiny; yields the paths that it was asked for."""
    folder = tmp_path / "on the hub"
    write_model(folder, with_card=False)
    for unwanted in ("pytorch_model.bin", "evil.py"):
        (folder / unwanted).write_bytes(b"not to be fetched")
    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            file = folder / self.path.rpartition("/")[2]
            if not self.path.startswith(f"/someone/tiny/resolve/{COMMIT}/"):
                self.answer(b"{}", status=404, **{"X-Error-Code": "RepoNotFound"})
            elif not file.is_file():
                self.answer(b"{}", status=404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            else:
                self.answer(file.read_bytes(), ETag=f'"{sha256_of(file)}"', **{"X-Repo-Commit": COMMIT})

        do_HEAD = do_GET  # noqa: N815

        def answer(self, content, status=200, **headers):
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    addresses = f"http://127.0.0.1:{server.server_port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", addresses)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield asked, folder
    server.shutdown()
    server.server_close()


def test_online_fetches_only_what_is_loaded_and_only_once(fake_hub, tmp_path):
    asked, _ = fake_hub
    with pytest.raises(ZooError, match="online=True"):
        zoo.load("someone/tiny", revision=COMMIT)
    assert asked == []
    model, tokenizer = zoo.load("someone/tiny", revision=COMMIT, online=True)
    assert isinstance(model, GPT)
    assert len(tokenizer) == 320
    assert not any("evil" in path or ".bin" in path for path in asked)
    fetched = tmp_path / "cache" / "models--someone--tiny" / "snapshots" / COMMIT
    assert {path.name for path in fetched.iterdir()} == set(LOADED_FILES)
    asked.clear()
    zoo.load("someone/tiny", revision=COMMIT)  # from the cache now
    zoo.load("someone/tiny", revision=COMMIT, online=True)
    assert asked == []


def test_what_the_hub_does_not_give_is_told_in_one_line(fake_hub):
    _, folder = fake_hub
    (folder / "model.safetensors").unlink()
    told = {
        "someone/tiny": r"has no model\.safetensors on the hub .*never pickles",
        "someone/else": r"someone/else at 0123456789ab is not given by the hub .*check name and revision",
    }
    for name, expected in told.items():
        with pytest.raises(ZooError, match=expected) as caught:
            zoo.load(name, revision=COMMIT, online=True)
        assert "\n" not in str(caught.value)


def test_a_hub_out_of_reach_is_told_with_the_remedies(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ZooError, match=r"cannot be fetched .*check the network and HF_HUB_OFFLINE, or copy") as caught:
        zoo.load("gpt2", online=True)
    assert "\n" not in str(caught.value)


def test_the_pinned_revisions_are_commits():
    for short, model in PINNED.items():
        assert hub.COMMIT.fullmatch(model.revision)
        assert model.repository.endswith(f"/{short}")
    assert set(loading.FULL_SIZES) == set(PINNED)
    assert loading.FULL_SIZES["gpt2"] == GPTConfig()
