"""Which requests to the kernel does submitted code have no use for, and does the sandbox refuse?

Memory that no process has mapped is on nobody's account, so the calls that make such memory (memfd, System V) would
get around the limit; the others reach for keys, tracing and parts of the kernel that hold most of its holes. bubblewrap
takes the list as a small program that the kernel runs for each call (seccomp).
"""

import contextlib
import errno
import os
import platform
import struct
from collections.abc import Iterator

# linux/audit.h; the numbers are those of asm/unistd_64.h and asm-generic/unistd.h.
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
REFUSED = {
    "x86_64": {
        "shmget": 29,
        "semget": 64,
        "msgget": 68,
        "ptrace": 101,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "open_by_handle_at": 304,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "memfd_create": 319,
        "bpf": 321,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "fsopen": 430,
        "memfd_secret": 447,
    },
    "aarch64": {
        "unshare": 97,
        "ptrace": 117,
        "msgget": 186,
        "semget": 190,
        "shmget": 194,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "perf_event_open": 241,
        "open_by_handle_at": 265,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "memfd_create": 279,
        "bpf": 280,
        "userfaultfd": 282,
        "io_uring_setup": 425,
        "fsopen": 430,
        "memfd_secret": 447,
    },
}
# linux/bpf_common.h and linux/seccomp.h
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
NUMBER_AT, ARCHITECTURE_AT = 0, 4
OTHER_ABI = 0x40000000  # x32's numbers for the same calls


def program(machine: str) -> bytes:
    """The filter for a machine such as "x86_64", as the kernel reads it; empty for one whose numbers are not known."""
    if machine not in ARCHITECTURES:
        return b""
    numbers = sorted(REFUSED[machine].values())

    def step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", operation, if_true, if_false, value)

    last = len(numbers)  # how many steps from the first comparison to the refusal
    steps = [
        step(LOAD, ARCHITECTURE_AT),
        step(JUMP_IF_EQUAL, ARCHITECTURES[machine], 0, last + 3),
        step(LOAD, NUMBER_AT),
        step(JUMP_IF_AT_LEAST, OTHER_ABI, last + 1),
        *(step(JUMP_IF_EQUAL, number, last - at) for at, number in enumerate(numbers)),
        step(RETURN, ALLOW),
        step(RETURN, FAIL | errno.EPERM),
    ]
    return b"".join(steps)


@contextlib.contextmanager
def descriptor() -> Iterator[int | None]:
    """An open pipe from which bwrap can read this machine's filter, or None where there is none."""
    instructions = program(platform.machine())
    if not instructions:
        yield None
        return
    reader, writer = os.pipe()
    try:
        os.write(writer, instructions)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)
