"""A control method: what a client asks of the master, as a type. Imports nothing heavy: the command line uses it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from consumerd.errors import WireError
from consumerd.wire.control import Connection, call
from consumerd.wire.json_text import to_json

ResultT = TypeVar("ResultT")
AnswerT_co = TypeVar("AnswerT_co", covariant=True)


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question to the master. Its fields are the parameters on the socket; one without a default has to be given.

    name: on the socket. result: the type of the answer; of a stream, of an item.
    is_act: it changes something, and is kept in the audit log. is_stream: it is answered by `items`, as they come.
    payloads: the parameters of which the audit log has only a digest.
    timeout_s: how long the answer may take; of a stream, each item.

        class Add(Method, frozen=True):
            name, result = "add", int
            numbers: list[int]

            async def answer(self, master: Master, by: str) -> int:
                return sum(self.numbers)
    """

    name: ClassVar[str]
    result: ClassVar[Any] = None  # a type, as msgspec takes it
    is_act: ClassVar[bool] = False
    is_stream: ClassVar[bool] = False
    payloads: ClassVar[tuple[str, ...]] = ()
    timeout_s: ClassVar[float] = 5.0

    async def answer(self, master: Any, by: str) -> object:  # of the master, which nobody here may import
        """What the master does for it, and answers. by: the user who asks. ConsumerdError with one sentence."""
        raise NotImplementedError

    def items(self, master: Any, by: str) -> AsyncGenerator[str]:  # as in `answer`
        """Of a stream: each item as JSON, instead of an answer."""
        raise NotImplementedError

    def parameters(self) -> dict[str, object]:
        """As they travel; what is as by default is left out."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


class Question(Protocol[AnswerT_co]):
    """A method that is no stream, by the type of its answer."""

    name: ClassVar[str]
    result: ClassVar[Any]
    timeout_s: ClassVar[float]

    def answer(self, master: Any, by: str) -> Coroutine[Any, Any, AnswerT_co]: ...
    def parameters(self) -> dict[str, object]: ...


def ask(socket_path: str | os.PathLike[str], question: Question[ResultT], *, via: str = "") -> ResultT:
    """What the master that listens there answers. via: in whose name. Raises what `call` raises, and WireError."""
    parameters, timeout_s = question.parameters(), question.timeout_s
    plain = call(socket_path, question.name, parameters, timeout_s=timeout_s, via=via)
    answer: ResultT = read_answer(plain, question.result, question.name)
    return answer


def follow(socket_path: str | os.PathLike[str], stream: Method, *, via: str = "") -> Iterator[Any]:
    """The items of a stream, as they come and for as long as they do. Otherwise as `ask`."""
    with Connection(socket_path) as master:
        yield from master.follow(stream.name, stream.parameters(), timeout_s=stream.timeout_s, via=via)


def parameter(description: str, metavar: str | None = None, read: Callable[[str], object] = str) -> msgspec.Meta:
    """What a field of a method means. On the command line: how its value is shown, and read from a text."""
    return msgspec.Meta(description=description, extra={"metavar": metavar, "read": read})


def result_text(value: object) -> str:
    """A result as JSON for the socket."""
    return to_json(msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=str))


def read_answer(answer: object, kind: type[ResultT], method: str) -> ResultT:
    """An answer as the type that it has. WireError where it has another: the master is of another version."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        sentence = f"the master's answer to {method} is not understood ({error}): it is of another version"
        raise WireError(sentence) from error
