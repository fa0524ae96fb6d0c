"""A control method: what a client asks of the master, as a type. Imports nothing heavy: the command line uses it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import msgspec

from consumerd.wire.plain import plain_value


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A question to the master. Its fields are the parameters on the socket; one without a default has to be given.

    name: on the socket. result: the type of the answer; of a stream, of an item.
    is_act: it changes something, and is kept in the audit log. is_stream: it is answered by items, as they come.

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

    async def answer(self, master: Any, by: str) -> object:  # of the master, which nobody here may import
        """What the master does for it, and answers. by: the user who asks. ConsumerdError with one sentence."""
        raise NotImplementedError

    async def texts(self, master: Any, by: str) -> AsyncIterator[str]:  # as in `answer`
        """The answer as JSON: texts that are the result together or, of a stream, an item each."""
        yield json_text(await self.answer(master, by))

    def parameters(self) -> dict[str, object]:
        """As they travel; what is as by default is left out."""
        plain: dict[str, object] = msgspec.to_builtins(self)
        return plain


def json_text(value: object) -> str:
    """A result as JSON for the socket: ASCII on one line, bytes as `wire.plain` has them."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=str)
    return json.dumps(plain_value(plain), separators=(",", ":"))
