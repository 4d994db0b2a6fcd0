"""How does a trusted process call functions that it does not trust?

    from course_lib.exercises.answering import AnswerSession

    with AnswerSession(["def double(x):\\n    return 2 * x"]) as session:
        session.answers["double"](21)

The learner's code runs in a process of its own (`worker`), as far from everything else as the machine allows
(`isolation`), within limits (`limits`). Only data travels between the two (`codec`). Importing this loads no torch.
"""

from course_lib.exercises.answering.isolation import Isolation, IsolationError, choose
from course_lib.exercises.answering.limits import SessionLimits
from course_lib.exercises.answering.opaque import Opaque
from course_lib.exercises.answering.session import AnswerSession, CellOutcome, RemoteFunction, end_all_sessions

__all__ = [
    "AnswerSession",
    "CellOutcome",
    "Isolation",
    "IsolationError",
    "Opaque",
    "RemoteFunction",
    "SessionLimits",
    "choose",
    "end_all_sessions",
]
