"""What an examination says: one line a test, in the order in which one looks, and what to mend first."""

import textwrap
from dataclasses import dataclass, field

WIDTH = 100  # of what is printed


@dataclass(frozen=True)
class Finding:
    """A test has found something: the fault by name, what was seen in numbers, what it means, what to mend.

    `test` is the name of the test that found it, one of `TESTS`.

    Built in: 11, "Can one line ask all of it?".
    """

    fault: str
    seen: str
    means: str
    mend: str
    test: str = ""


class CannotTellError(Exception):
    """A test cannot be made on this model and this batch; the message says why, and what it would need."""


@dataclass
class Examination:
    """What `examine` has found: printed, it is the ordered list.

    `findings` come in the order of the tests; each may be the cause of those after it, so mend the first and look
    again. `fine` says what the other tests saw, and `untested` why a test was not made, both by its name.

    Built in: 11, "Can one line ask all of it?".
    """

    tests: tuple[str, ...]
    findings: list[Finding] = field(default_factory=list)
    fine: dict[str, str] = field(default_factory=dict)
    untested: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> Finding | None:
        """The finding to mend first; None if there is none."""
        return self.findings[0] if self.findings else None

    def __str__(self) -> str:
        found = {finding.test: finding for finding in self.findings}
        lines = []
        for number, test in enumerate(self.tests, start=1):
            head = f"{number:>2} {test:<22}"
            if test not in found:
                mark, words = ("✓", self.fine[test]) if test in self.fine else ("○", self.untested[test])
                lines.append(_wrapped(f"{head}{mark} ", words))
                continue
            finding = found[test]
            lines.append(_wrapped(f"{head}✗ ", finding.fault.upper()))
            for label in ("seen", "means", "mend"):
                lines.append(_wrapped(f"{'':<27}{label + ':':<7}", getattr(finding, label)))
        lines.append(f"Mend first: {self.first.fault}." if self.first else "Nothing was found.")
        return "\n".join(lines)

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(str(self))


def _wrapped(head: str, words: str) -> str:
    return textwrap.fill(words, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
