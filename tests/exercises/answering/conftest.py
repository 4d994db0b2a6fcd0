"""Sessions of both levels of isolation, with limits that a test can wait for."""

import pytest

from course_lib.exercises.answering import AnswerSession, Isolation, SessionLimits, choose

BASIC = Isolation("basic", lacking="a test asks for it")


def strong() -> Isolation:
    isolation = choose()
    if isolation.level != "strong":
        pytest.skip(f"no strong isolation on this machine: {isolation.lacking}")
    return isolation


@pytest.fixture(params=["strong", "basic"])
def isolation(request) -> Isolation:
    """Each level in turn; the strong one only where it works."""
    return strong() if request.param == "strong" else BASIC


@pytest.fixture
def strong_isolation() -> Isolation:
    return strong()


@pytest.fixture
def basic_isolation() -> Isolation:
    return BASIC


@pytest.fixture
def begin():
    """Begins a session that ends with the test."""
    sessions = []

    def begin_session(*sources: str, isolation=BASIC, files=None, **limits) -> AnswerSession:
        session = AnswerSession(sources, limits=SessionLimits(**limits), isolation=isolation, files=files)
        sessions.append(session)
        return session.__enter__()

    yield begin_session
    for session in sessions:
        session.close()
