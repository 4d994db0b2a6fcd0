"""Can this processor multiply 8-bit numbers four at a time? Else int8 saves memory, but hardly any time (notebook 10).

x86 has such instructions as AVX512-VNNI and AVX-VNNI, ARM as the dot product (asimddp). Without them the runtime adds
pairs in 16 bits, which is slower and can overflow, unless the weights were kept to 7 bits (reduce_range).
"""

import platform
from pathlib import Path

FLAGS = {"avx512_vnni", "avx_vnni", "asimddp"}
CPU_INFO = Path("/proc/cpuinfo")


def has_int8_products() -> bool | None:
    """None where it cannot be told."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    except OSError:
        return True if platform.machine() == "arm64" else None  # all of Apple's have them
    flags = [line.partition(":")[2].split() for line in lines if line.startswith(("flags", "features"))]
    return bool(FLAGS.intersection(flags[0])) if flags else None


def slow_with_int8() -> str | None:
    """What to say before int8 runs on this processor; None if it has what int8 needs, or if that is not known."""
    if has_int8_products() is not False:
        return None
    return (
        f"this processor ({platform.machine()}) has no VNNI, with which int8 is fast: the answers come, but more "
        "slowly than they could, perhaps than in fp32. If they are worse as well, quantize with reduce_range=True"
    )
