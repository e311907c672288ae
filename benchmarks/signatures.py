"""Signatures and likeness held against others' on the same crashes.

    python benchmarks/signatures.py reports TRIAGE_DIR --label REGEX
    python benchmarks/signatures.py casrep DIR [DIR ...]
    python benchmarks/signatures.py classic DIR

reports: the stored reports of a triage, whose paths tell the defect: what --label finds in them, which --labels, a
JSON object, may map to another name where several are one. Pairwise precision
and recall of our signature and bucket, of Socorro's siggen (PyPI) and of CASR's metric with its threshold.
casrep: folders of CASR's public reports (ispras/casr, casr/tests/casr_tests/casrep). Clusters that CASR's metric
gives after removal of equal traces, as casr-cluster counts them, and the clusters of our signature and likeness.
classic: a folder with Ubuntu, GNOME, Eclipse and NetBeans stack traces (Zenodo 5746044) as JSON files, one list of
reports a file, each with bug_id, dup_id and stacktrace or stack_arr. MAP and ROC-AUC beside those published for FaST.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

CASR_THRESHOLD = 0.3
PUBLISHED = {"ubuntu": (0.760, 0.780), "gnome": (0.780, 0.733), "eclipse": (0.757, 0.808), "netbeans": (0.706, 0.754)}
"""FaST's MAP and AUC (Rodrigues, Aloise and Fernandes, MSR 2022)."""


def pairs(labels: Sequence[Hashable], keys: Sequence[Hashable]) -> tuple[float, float]:
    """Pairwise precision and recall."""
    both = sum(n * (n - 1) // 2 for n in Counter(zip(labels, keys, strict=True)).values())
    together = sum(n * (n - 1) // 2 for n in Counter(keys).values())
    wanted = sum(n * (n - 1) // 2 for n in Counter(labels).values())
    return both / together if together else 1.0, both / wanted if wanted else 1.0


def casr_similarity(first: Sequence[str], second: Sequence[str]) -> float:
    """CASR's: an alignment whose matches weigh less with their depth and with the distance of their depths."""
    m, n = len(first), len(second)
    if not m or not n:
        return 1.0 if m == n else 0.0
    previous = [0.0] * (n + 1)
    for i in range(1, m + 1):
        row = [0.0] * (n + 1)
        for j in range(1, n + 1):
            match = math.exp(-(0.04 * min(i, j) + 0.13 * abs(i - j))) if first[i - 1] == second[j - 1] else 0.0
            row[j] = max(previous[j], row[j - 1], previous[j - 1] + match)
        previous = row
    return previous[n] / sum(math.exp(-0.04 * k) for k in range(1, min(m, n) + 1))


def complete_linkage(
    stacks: Sequence[Sequence[str]], similarity: Callable[[Any, Any], float], most: float
) -> list[int]:
    """Cluster of each stack: the two nearest are joined while no two members are further apart than `most`."""
    distance = {(a, b): 1 - similarity(stacks[a], stacks[b]) for a, b in itertools.combinations(range(len(stacks)), 2)}
    clusters = {index: [index] for index in range(len(stacks))}
    apart = dict(distance)
    while apart:
        (a, b), nearest = min(apart.items(), key=lambda item: (item[1], item[0]))
        if nearest > most:
            break
        clusters[a] += clusters.pop(b)
        for other in clusters:
            if other == a:
                continue
            near = (min(a, other), max(a, other))
            apart[near] = max(apart[near], apart[min(b, other), max(b, other)])
        apart = {key: value for key, value in apart.items() if b not in key}
    return [next(name for name, members in clusters.items() if index in members) for index in range(len(stacks))]


def by_casr(stacks: Sequence[Sequence[str]]) -> list[int]:
    """Clusters of CASR's metric; equal stacks are one from the beginning, as after its deduplication."""
    distinct = sorted({tuple(stack) for stack in stacks})
    found = dict(zip(distinct, complete_linkage(distinct, casr_similarity, CASR_THRESHOLD), strict=True))
    return [found[tuple(stack)] for stack in stacks]


# --- Stored reports ---------------------------------------------------------------------------------------


def reports(folder: Path, label: str, same: dict[str, str]) -> None:
    """Ours, siggen's and CASR's on the reports of a triage."""
    from siggen.generator import SignatureGenerator

    from postmortem.model import from_json
    from postmortem.model.triage import triage_from_json
    from postmortem.signature import frames as stack

    triage = triage_from_json((folder / "triage.json").read_bytes())
    generator = SignatureGenerator()
    labels, buckets, ours, socorro, stacks = [], [], [], [], []
    for bucket in triage.buckets:
        for member in bucket.members:
            match = re.search(label, member.path)
            if match is None or member.report is None:
                continue
            report = from_json((folder / member.report).read_bytes())
            crashing = next((thread for thread in report.threads if thread.crashed), None)
            frames = crashing.frames[:40] if crashing is not None else ()
            defect = match[1] if match.groups() else match[0]
            labels.append(same.get(defect, defect))
            buckets.append(bucket.id)
            ours.append(report.signature.id if report.signature is not None else "")
            crash = {
                "os": "Linux",
                "crashing_thread": 0,
                "threads": [
                    {
                        "frames": [
                            {
                                "function": frame.function,
                                "module": stack.file_name(frame.module or ""),
                                "module_offset": f"{frame.module_offset or 0:#x}",
                                "file": frame.file,
                                "line": frame.line,
                            }
                            for frame in frames
                        ]
                    }
                ],
            }
            socorro.append(generator.generate(crash).signature)
            stacks.append([frame.function or f"{frame.module}+{frame.module_offset}" for frame in frames])
    print(f"{len(labels)} crashes of {len(set(labels))} defects")
    found = {"postmortem, bucket": buckets, "postmortem, signature": ours, "siggen": socorro, "CASR": by_casr(stacks)}
    for name, keys in found.items():
        precision, recall = pairs(labels, keys)
        print(f"{name:24} {len(set(keys)):5} groups  precision {precision:.4f}  recall {recall:.4f}")


# --- CASR's reports ---------------------------------------------------------------------------------------

_FRAME = re.compile(r"#\d+\s+(?:0x[0-9a-f]+ in )?(.+?)(?: \((?=.*(?:=|\)))| at | from |\s+\(/|\s+/|$)")
_SANITIZER = re.compile(r"#\d+\s+0x[0-9a-f]+ in (.+?) (?:/|\(|<)")
_BELOW = ("LLVMFuzzerTestOneInput", "main", "__libc_start")


def casrep(folders: Iterable[Path]) -> None:
    """How many groups each makes of CASR's reports."""
    from postmortem.model import Frame
    from postmortem.signature import frames as stack
    from postmortem.triage import cluster

    for folder in folders:
        own, whole = [], []
        for path in sorted(folder.glob("*.casrep")):
            read = json.loads(path.read_text(encoding="utf-8"))
            names = [name for line in read["Stacktrace"] if (name := _function(line)) is not None]
            for index, name in enumerate(names):
                if name.startswith(_BELOW):
                    names = names[:index]
                    break
            frames = [Frame(pc=None, sp=None, function=name, module="/program") for name in names]
            kind = read.get("CrashSeverity", {}).get("ShortDescription", "")
            own.append((kind, stack.names(stack.telling(frames))))
            whole.append([stack.native_name(name) for name in names])
        distinct = sorted({tuple(names) for names in whole})
        ours = sorted({tuple(names) for _, names in own})
        frequencies = cluster.Frequencies(ours)
        near = complete_linkage(ours, partial(cluster.similarity, frequencies=frequencies), 1 - cluster.THRESHOLD)
        signatures = {(kind, *names[:2]) for kind, names in own}
        print(
            f"{folder.name}: {len(own)} reports, {len(distinct)} distinct stacks. CASR's metric:"
            f" {len(set(by_casr(distinct)))} clusters; postmortem: {len(signatures)} signatures,"
            f" {len({names[:1] for names in ours})} crashing functions, {len(set(near))} clusters by likeness"
        )


def _function(line: str) -> str | None:
    match = _SANITIZER.search(line) or _FRAME.search(line)
    return match[1] if match is not None and match[1] != "??" else None


# --- The classic sets -------------------------------------------------------------------------------------


def classic(folder: Path) -> None:
    """MAP over the known duplicates and AUC of the best likeness, in the order in which reports came."""
    from postmortem.triage import cluster

    for path in sorted(folder.glob("*.json")):
        stacks, groups = [], []
        for report in json.loads(path.read_text(encoding="utf-8")):
            names = _stack(report)
            if names:
                stacks.append(names)
                groups.append(report.get("dup_id") or report["bug_id"])
        frequencies = cluster.Frequencies(stacks)
        having: defaultdict[str, set[int]] = defaultdict(set)
        seen: set[Hashable] = set()
        precisions: list[float] = []
        scores: list[tuple[float, bool]] = []
        for index, names in enumerate(stacks):
            candidates = set().union(*(having[name] for name in set(names))) if index else set()
            best: dict[Hashable, float] = {}
            for other in candidates:
                score = cluster.similarity(names, stacks[other], frequencies)
                best[groups[other]] = max(best.get(groups[other], -1.0), score)
            order = sorted(best, key=lambda group: -best[group])
            if groups[index] in seen:
                precisions.append(1 / (order.index(groups[index]) + 1) if groups[index] in best else 0.0)
            scores.append((max(best.values(), default=-1.0), groups[index] in seen))
            seen.add(groups[index])
            for name in set(names):
                having[name].add(index)
        published = next((f"FaST {m:.3f} and {a:.3f}" for k, (m, a) in PUBLISHED.items() if k in path.name.lower()), "")
        mean = sum(precisions) / len(precisions) if precisions else 0.0
        print(f"{path.name}: {len(stacks)} reports, MAP {mean:.3f}, ROC-AUC {_auc(scores):.3f}  {published}")


def _stack(report: dict[str, Any]) -> list[str]:
    found = report.get("stacktrace") or report.get("stack_arr") or []
    while found and isinstance(found, list) and isinstance(found[0], list):
        found = found[0]
    if isinstance(found, dict):
        found = [found]
    frames = found[0].get("frames", found) if found and isinstance(found[0], dict) else found
    return [str(frame.get("function") or "?") if isinstance(frame, dict) else str(frame) for frame in frames][:100]


def _auc(scores: Sequence[tuple[float, bool]]) -> float:
    """The share of (duplicate, not one) pairs whose scores are in the right order; ties count half."""
    ordered = sorted(scores)
    positive = sum(label for _, label in ordered)
    if not 0 < positive < len(ordered):
        return math.nan
    ranks = 0.0
    for _, group in itertools.groupby(enumerate(ordered, 1), key=lambda item: item[1][0]):
        members = list(group)
        mean = sum(rank for rank, _ in members) / len(members)
        ranks += mean * sum(label for _, (_, label) in members)
    return (ranks - positive * (positive + 1) / 2) / (positive * (len(ordered) - positive))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Signatures held against others' on the same crashes.")
    commands = parser.add_subparsers(dest="command", required=True)
    stored = commands.add_parser("reports")
    stored.add_argument("folder", type=Path)
    stored.add_argument("--label", required=True)
    stored.add_argument("--labels", type=Path)
    commands.add_parser("casrep").add_argument("folders", type=Path, nargs="+")
    commands.add_parser("classic").add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.command == "reports":
        same = json.loads(options.labels.read_text(encoding="utf-8")) if options.labels is not None else {}
        reports(options.folder, options.label, same)
    elif options.command == "casrep":
        casrep(options.folders)
    else:
        classic(options.folder)


if __name__ == "__main__":
    main()
