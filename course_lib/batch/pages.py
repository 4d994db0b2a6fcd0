"""How are executed notebooks turned into pages without holding up the jobs?"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path


class PageMaker:
    """One thread that makes HTML pages, one after another."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pages")
        self._pages: dict[Future[None], str] = {}
        # nbconvert takes a second to import: better while the first notebook runs than after the last.
        self._threads.submit(_writer)

    def __enter__(self) -> "PageMaker":
        return self

    def __exit__(self, *exception: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def make(self, key: str, notebook: Path, page: Path) -> None:
        """Ask for `page` to be made of `notebook`."""
        self._pages[self._threads.submit(_make, notebook, page)] = key

    def finished(self, wait_for_all: bool = False) -> list[tuple[str, BaseException | None]]:
        """The keys of the pages made since the last call, each with the error that prevented it, if any."""
        if wait_for_all:
            wait(self._pages)
        done = [future for future in self._pages if future.done()]
        return [(self._pages.pop(future), future.exception()) for future in done]


def _writer() -> Callable[[Path, Path], None]:
    from course_lib.batch.html import write_page

    return write_page


def _make(notebook: Path, page: Path) -> None:
    _writer()(notebook, page)
