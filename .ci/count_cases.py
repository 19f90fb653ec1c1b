"""Fail when fewer parity or media cases ran than are on record, while their data is there."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

SUITES = ("parity", "media")


def count(report: Path) -> tuple[Counter[str], Counter[str]]:
    """How many cases of each suite ran and passed, and how many were skipped."""
    passed, skipped = Counter[str](), Counter[str]()
    for case in ElementTree.parse(report).iter("testcase"):
        suites = {p.get("value") for p in case.iter("property") if p.get("name") == "suite"}
        for suite in suites & set(SUITES):
            if case.find("skipped") is not None:
                skipped[str(suite)] += 1
            elif case.find("failure") is None and case.find("error") is None:
                passed[str(suite)] += 1
    return passed, skipped


def main(report: str, record: str, shared: str) -> int:
    """Compare what ran with the record; 0 when enough ran or the data is not on this machine."""
    passed, skipped = count(Path(report))
    if not Path(shared).is_dir():
        print(f"no {shared}: {sum(skipped.values())} parity and media cases were skipped")
        return 0
    wanted = dict(line.split() for line in Path(record).read_text(encoding="utf-8").splitlines())
    faults = [f"{skipped[suite]} {suite} cases were skipped" for suite in SUITES if skipped[suite]]
    faults += [
        f"{passed[suite]} {suite} cases passed, {number} are on record"
        for suite, number in wanted.items()
        if passed[suite] < int(number)
    ]
    print("; ".join(faults) or f"recorded cases: {dict(passed)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
