"""What a ring's programs must do together: end, with the sum everywhere, and with little on the wire.

The programs of all ranks are carried out here, one instruction at a time. A send waits until the next rank takes it.
"""

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import answer_to, described

SIZES = [1, 2, 3, 4, 5]


def _program(ring_program, rank, world_size, failed):
    """The rank's program, as (what, chunk). Raises PropertyFailed for what is none."""
    example = {"rank": rank, "world_size": world_size}
    output = answer_to(ring_program, example)
    if not isinstance(output, list | tuple):
        raise PropertyFailed(
            failed, f"expected a list of pairs, got {described(output)}", example, output, "no_program"
        )
    for step in output:
        pair = isinstance(step, list | tuple) and len(step) == 2
        if not pair or step[0] not in ("send", "add", "store") or type(step[1]) is not int:
            found = f"expected a pair such as ('send', 0), got {described(step)}"
            raise PropertyFailed(failed, found, example, output, "no_such_step")
        if not 0 <= step[1] < world_size:
            found = f"there is no chunk {step[1]} among {world_size}"
            raise PropertyFailed(failed, found, example, output, "no_such_step")
    return [(what, chunk) for what, chunk in output]


def _programs(ring_program, world_size, failed):
    programs = [_program(ring_program, rank, world_size, failed) for rank in range(world_size)]
    if world_size == 1 and programs[0]:
        found = f"expected an empty list for a rank alone, got {len(programs[0])} instructions"
        raise PropertyFailed(failed, found, {"rank": 0, "world_size": 1}, programs[0], "alone")
    return programs


class _Run:
    """What comes of programs that are carried out together.

    A chunk is what it was made of: a count for each rank. `mistaken`: (receiver, chunk it takes, chunk that came) of
    the first message that was taken for another. `stuck`: the instruction at which each rank waits, if nothing moves.
    """

    def __init__(self, programs):
        self.size = len(programs)
        self.held = [[self._own(rank) for _ in range(self.size)] for rank in range(self.size)]
        self.mistaken = None
        self.steps = [0] * self.size
        moved = True
        while moved:
            moved = False
            for sender in range(self.size):
                receiver = (sender + 1) % self.size
                sends, takes = self._next(programs, sender), self._next(programs, receiver)
                if self.size > 1 and sends and takes and sends[0] == "send" and takes[0] != "send":
                    self._deliver(sender, receiver, sends[1], *takes)
                    moved = True
        self.stuck = {rank: self._next(programs, rank) for rank in range(self.size) if self._next(programs, rank)}

    def _own(self, rank):
        return [int(rank == other) for other in range(self.size)]

    def _next(self, programs, rank):
        return programs[rank][self.steps[rank]] if self.steps[rank] < len(programs[rank]) else None

    def _deliver(self, sender, receiver, sent, take, taken):
        if sent != taken and self.mistaken is None:
            self.mistaken = (receiver, taken, sent)
        before = self.held[receiver][taken] if take == "add" else [0] * self.size
        self.held[receiver][taken] = [a + b for a, b in zip(before, self.held[sender][sent], strict=True)]
        self.steps[sender] += 1
        self.steps[receiver] += 1


def _shown(programs):
    return {
        f"rank {rank}": " ".join(f"{what} {chunk}" for what, chunk in program) for rank, program in enumerate(programs)
    }


def programs_end(ring_program, sizes):
    failed = "nobody waits for ever"
    for size in sizes:
        programs = _programs(ring_program, size, failed)
        run = _Run(programs)
        if not run.stuck:
            continue
        if len(run.stuck) == size and all(what == "send" for what, _ in run.stuck.values()):
            found, mistake = f"all {size} ranks wait to send", "all_send_first"
        elif len(run.stuck) == size and all(what != "send" for what, _ in run.stuck.values()):
            found, mistake = f"all {size} ranks wait to receive", "all_receive_first"
        else:
            rank, (what, chunk) = next(iter(run.stuck.items()))
            found, mistake = f"with {size} ranks, rank {rank} waits at ({what!r}, {chunk}) for ever", "left_over"
        raise PropertyFailed(failed, found, {"world_size": size}, _shown(programs), mistake)


def sums_are_right(ring_program, sizes):
    failed = "every rank ends with every chunk's sum"
    for size in sizes:
        programs = _programs(ring_program, size, failed)
        run = _Run(programs)
        wrong = [(rank, chunk) for rank in range(size) for chunk in range(size) if run.held[rank][chunk] != [1] * size]
        if not wrong:
            continue
        rank, chunk = wrong[0]
        found = f"with {size} ranks, rank {rank}'s chunk {chunk} holds the ranks' numbers {run.held[rank][chunk]} times"
        raise PropertyFailed(failed, found, {"world_size": size}, _shown(programs), _why(programs, run))


def _why(programs, run):
    flat = [step for program in programs for step in program]
    adds = sum(what == "add" for what, _ in flat)
    needed = 2 * run.size * (run.size - 1)
    if run.mistaken:
        return "other_chunk"
    if sum(what == "send" for what, _ in flat) < needed:
        return "too_few_steps"
    if not adds:
        return "never_added"
    if adds == len(flat) / 2:
        return "added_twice"
    return "unfinished"


def sends_are_few(ring_program, sizes):
    failed = "each rank sends 2(N-1) chunks"
    for size in sizes:
        programs = _programs(ring_program, size, failed)
        sent = [sum(what == "send" for what, _ in program) for program in programs]
        if sent != [2 * (size - 1)] * size:
            found = f"with {size} ranks, they send {sent} chunks instead of {2 * (size - 1)} each"
            mistake = "whole_tensors" if max(sent) > 2 * (size - 1) else "too_few_steps"
            raise PropertyFailed(failed, found, {"world_size": size}, _shown(programs), mistake)


def nobody_waits_for_ever(ring_program):
    """Carried out together, all programs come to their end."""
    programs_end(ring_program, SIZES)


def all_have_the_sum(ring_program):
    """Then every rank has every chunk's sum."""
    sums_are_right(ring_program, SIZES)


def few_chunks_travel(ring_program):
    """Each rank sends 2(N-1) chunks, and no more."""
    sends_are_few(ring_program, SIZES)


CHECKS = [nobody_waits_for_ever, all_have_the_sum, few_chunks_travel]
