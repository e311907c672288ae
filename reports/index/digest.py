"""A triage as Markdown, short enough for a chat message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.index import words
from reports.markdown import code, prose

if TYPE_CHECKING:
    from postmortem.model.triage import Bucket, Triage

BUCKETS = 10
LONGEST = 3800
"""Characters: what Slack, Teams and Mattermost all take in one message."""


def render(triage: Triage) -> str:
    """The digest: news first, then what costs most."""
    lines = [f"**{words.headline(triage.inputs, len(triage.buckets))}**. {words.counted(triage.inputs)}", ""]
    lines += [f"- **{prose(words.suspect(found), 300)}**" for found in triage.suspects]
    news = [bucket for bucket in triage.buckets if bucket.status in ("new", "regressed")]
    others = [bucket for bucket in triage.buckets if bucket.status not in ("new", "regressed")]
    left = 0
    for bucket in [*news[:BUCKETS], *others[:BUCKETS]]:
        line = _line(bucket)
        if sum(len(item) + 1 for item in lines) + len(line) > LONGEST:
            left += 1
            continue
        lines.append(line)
    left += max(len(news) - BUCKETS, 0) + max(len(others) - BUCKETS, 0)
    if left:
        lines.append(f"- … {left} more")
    return "\n".join(lines) + "\n"


def _line(bucket: Bucket) -> str:
    grown = f" (+{bucket.grew})" if bucket.grew and bucket.status != "new" else ""
    told = [words.excess(found) for found in bucket.over_represented[:1]]
    if bucket.periodicity is not None:
        told.append(words.period(bucket.periodicity))
    more = f" — {prose('; '.join(told), 300)}" if told else ""
    return f"- {bucket.count}×{grown} *{bucket.status}* {code(bucket.signature, 140)}{more}"
