"""errno of the crashing thread, in words."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postmortem.model import Report


def sentence(report: Report) -> str:
    """ " errno of the thread is 2, ENOENT: No such file or directory."; empty where it is 0 or not known."""
    error = report.native.errno
    if not error:
        return ""
    return f" errno of the thread is {error}, {errno.errorcode.get(error, 'an unknown one')}: {os.strerror(error)}."
