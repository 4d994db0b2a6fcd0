"""A bounded part of what is printed is kept, its beginning and its end."""

import os

import pytest

from course_lib.exercises.answering.output import HEAD, TAIL, Kept, Output, wait_for_output


@pytest.mark.parametrize("size", [0, 1, HEAD, HEAD + 1, HEAD + TAIL])
@pytest.mark.parametrize("piece", [997, 65536])
def test_what_fits_is_kept_whole(size, piece):
    data = bytes(97 + number % 26 for number in range(size))
    kept = Kept()
    for start in range(0, size, piece):
        kept.add(data[start : start + piece])
    assert kept.text == data.decode()
    assert kept.dropped == 0


@pytest.mark.parametrize("piece", [997, 65536, 10**6])
def test_the_beginning_and_the_end_are_kept_of_more(piece):
    data = bytes(97 + number % 26 for number in range(300_000))
    kept = Kept()
    for start in range(0, len(data), piece):
        kept.add(data[start : start + piece])
    assert kept.size == len(data)
    assert kept.dropped == len(data) - HEAD - TAIL
    assert kept.text.startswith(data[:HEAD].decode())
    assert kept.text.endswith(data[-TAIL:].decode())
    assert f"{kept.dropped:,} bytes left out" in kept.text


def test_a_pipe_is_drained_without_waiting_and_closed_at_its_end():
    reader, writer = os.pipe()
    output = Output(reader)
    output.drain()
    os.write(writer, b"first")
    assert output.begin_anew().text == "first"
    os.write(writer, "ein Wort: é".encode()[:-1])
    os.close(writer)
    assert wait_for_output([output], 1)
    output.drain()
    assert output.kept.text == "ein Wort: �"
    assert not output.is_open
    assert not wait_for_output([output], 1)
    output.close()
