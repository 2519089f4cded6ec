"""What an examination says: one line a test, in the order in which one looks, and what to mend first."""

import itertools
import textwrap
from dataclasses import dataclass, field

WIDTH = 100  # of what is printed
MANY = 3  # tests in a row that were not made, for one reason, share a line


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
        for why, group in itertools.groupby(enumerate(self.tests, start=1), lambda each: self.untested.get(each[1])):
            numbered = list(group)
            if why is not None and len(numbered) >= MANY:
                lines.append(_wrapped(f"{numbered[0][0]:>2}–{numbered[-1][0]:<22}○ ", f"not made: {why}"))
                continue
            for number, test in numbered:
                head = f"{number:>2} {test:<22}"
                if test not in found:
                    mark, words = ("○", why) if why is not None else ("✓", self.fine[test])
                    lines.append(_wrapped(f"{head}{mark} ", words))
                    continue
                finding = found[test]
                lines.append(_wrapped(f"{head}✗ ", finding.fault.upper()))
                for label in ("seen", "means", "mend"):
                    lines.append(_wrapped(f"{'':<27}{label + ':':<7}", getattr(finding, label)))
        return "\n".join([*lines, self._last_line()])

    def _last_line(self) -> str:
        if self.first:
            return f"Mend first: {self.first.fault}."
        if not self.untested:
            return "Nothing was found."
        return (
            f"Nothing was found by {len(self.fine)} of {len(self.tests)} tests; "
            f"{len(self.untested)} {'was' if len(self.untested) == 1 else 'were'} not made (○)."
        )

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(str(self))


def _wrapped(head: str, words: str) -> str:
    return textwrap.fill(words, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
