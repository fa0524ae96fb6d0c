"""What a page is made of: a path, what it shows, and its template. Each has a file in `dashboard/pages`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consumerd.cli.verb import Verb
from consumerd.dashboard.access.forms import LARGEST_FORM_BYTES
from consumerd.dashboard.access.sessions import Role
from consumerd.dashboard.memory import Memory
from consumerd.dashboard.watch import Seen
from consumerd.errors import ConsumerdError
from consumerd.wire.method import Method

Context = Mapping[str, Any]  # what a template is given
Ask = Callable[[Method], Any]  # of the method's own type
Keep = Callable[[Method, object], Any]  # likewise


class NotThereError(ConsumerdError):
    """What a page is asked to show is not there; the message says so."""


@dataclass(frozen=True)
class Visit:
    """A look at a page.

    parameters: of its path; query: what stands behind `?`.
    seen: what the master said last, which all browsers share; memory: what came before.
    answer: what the master answers beside, of a stream all items; who looks at a live page shares the answer with all
    others for a second. It blocks, and raises what `wire.control.call` raises.
    kept: the same, and the answer is kept while what it is of, which is named too, stays what it was.
    state_dir: the master's.
    """

    seen: Seen
    memory: Memory
    role: Role
    answer: Ask
    kept: Keep
    state_dir: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """One question, and its answer as a page.

    path: as Starlette has it, `/pools/{group}/{name}`.
    title: in the navigation and of the window. is_listed: whether the navigation has it.
    template: a file in `dashboard/templates`, which extends `frame.html`. What stands in
    `{% call live("id") %}…{% endcall %}` is sent again when it has changed; such elements are not within each other.
    is_live: whether it changes while somebody looks.
    show: what the template is given. It runs in a thread, and may ask the master. NotThereError where there is nothing
    to show.
    """

    path: str
    title: str
    template: str
    show: Callable[[Visit], Context]
    is_listed: bool = False
    is_live: bool = True


Form = Mapping[str, str]


@dataclass(frozen=True)
class Act:
    """Something that an operator may do: what a form to `/acts/NAME` asks of the master.

    do: by the fields of the form, and by asking the master; sentences on what was done. ConsumerdError.
    largest_bytes: of the form, as it is sent.
    """

    name: str
    do: Callable[[Form, Ask], Iterable[str]]
    largest_bytes: int = LARGEST_FORM_BYTES


def verb_act(name: str, verb_of: Callable[[Form], Verb]) -> Act:
    """Does one verb, made of the fields of the form, and says what the command line says of it."""

    def do(form: Form, ask: Ask) -> Iterable[str]:
        verb = verb_of(form)
        return verb.lines(ask(verb))

    return Act(name, do)
