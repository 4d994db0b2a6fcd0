"""Where is a browser that can be driven? The one that Debian, or the user, installed."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE_FOUND = f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt install chromium)"


def find_browser() -> str | None:
    """The path of the first that is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)
