"""How much GPU memory did a job take at its peak?"""

import threading

from course_lib.batch.hardware import vram_in_use


class VramSampler(threading.Thread):
    """Asks nvidia-smi once a second, in the background since it may be slow, and keeps the peak for each watched job.

    A job's own processes are counted where nvidia-smi knows them by the same numbers as we do. In a container it does
    not: then what its GPU holds above the level before the job counts, if `gpu` is the job's alone.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        super().__init__(daemon=True, name="vram")
        self._seconds = seconds
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._jobs: dict[str, tuple[str, bool, int, set[int]]] = {}
        self._peaks: dict[str, int] = {}
        self._per_gpu, _ = vram_in_use()

    def watch(self, key: str, gpu: str, *, alone: bool) -> None:
        """Begin to measure the job `key` on `gpu`."""
        with self._lock:
            self._jobs[key] = (gpu, alone, self._per_gpu.get(gpu, 0), set())
            self._peaks.pop(key, None)

    def processes(self, key: str, pids: set[int]) -> None:
        """Say which processes belong to the job at present."""
        with self._lock:
            if key in self._jobs:
                self._jobs[key][3].update(pids)

    def peak(self, key: str) -> int | None:
        """Stop measuring the job; its peak in bytes, or None where nothing could be measured."""
        with self._lock:
            self._jobs.pop(key, None)
            return self._peaks.pop(key, None)

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._look()

    def _look(self) -> None:
        per_gpu, per_process = vram_in_use()
        with self._lock:
            self._per_gpu = per_gpu
            for key, (gpu, alone, before, pids) in self._jobs.items():
                own = sum(size for pid, size in per_process.items() if pid in pids)
                if not own and alone and gpu in per_gpu:
                    own = max(0, per_gpu[gpu] - before)
                self._peaks[key] = max(self._peaks.get(key, 0), own)
