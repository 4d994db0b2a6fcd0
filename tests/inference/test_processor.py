"""What a processor can do with 8-bit numbers is read from its flags, and said only where it cannot."""

import pytest

from course_lib.inference import processor

WITH = "processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\nbugs\t: none\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n"


@pytest.mark.parametrize(("text", "has"), [(WITH, True), (ARM, True), (WITHOUT, False), ("", None)])
def test_it_is_read_from_the_flags(tmp_path, monkeypatch, text, has):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert processor.has_int8_products() is has
    said = processor.slow_with_int8()
    assert (said is None) == (has is not False)
    assert said is None or "reduce_range=True" in said


@pytest.mark.parametrize(("machine", "has"), [("arm64", True), ("x86_64", None)])
def test_without_flags_only_apple_is_known(tmp_path, monkeypatch, machine, has):
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "nowhere")
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    assert processor.has_int8_products() is has
