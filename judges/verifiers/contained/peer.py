"""Calls between two processes that do not trust each other, over a pair of pipes.

Both sides are equal: each may call the objects that the other has exported. The checker exports the
functions that its tests pass to the answer, and the answer can only call them.
"""

import builtins
import json
import os
from typing import Any

from .codec import ProtocolError, decode, encode

LARGEST = 8 << 20
"""Most bytes of one message."""
MUTABLE = (list, dict, set, bytearray)
MOST_ARGUMENTS = 1000
ENDED = "the code ended before its tests did"


class Gone(BaseException):
    """The other process has ended or broken the protocol; no test can continue."""


class Reference:
    """Proxy of an object of the other process; it equals only itself.

    It has no arithmetic, no order and no `__bool__`: tests that compare it, not plain data, fail.
    """

    def __init__(self, peer: "Peer", number: int) -> None:
        self._peer, self._number = peer, number

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._peer.request("call", self._number, arguments, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._peer.request("get", self._number, (name,))

    def __getitem__(self, key: Any) -> Any:
        return self._peer.request("item", self._number, (key,))

    def __len__(self) -> int:
        return self._whole(self._peer.request("len", self._number))

    def __iter__(self) -> Any:
        return self._peer.request("iter", self._number)

    def _whole(self, number: Any) -> int:
        if type(number) is not int:
            raise TypeError("its length is no number")
        return number


class Stream(Reference):
    """Proxy of an iterator of the other process."""

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Any:
        return self._peer.request("next", self._number)


OPERATIONS: dict[str, Any] = {
    "call": lambda thing, *arguments, **named: thing(*arguments, **named),
    "get": getattr,
    "item": lambda thing, key: thing[key],
    "len": len,
    "iter": lambda thing: iter(thing),
    "next": next,
}


class Peer:
    """One end of the pair of pipes.

    Args:
        inward: Descriptor to read from.
        outward: Descriptor to write to.
        offers: The operations that the other side may request.
    """

    def __init__(self, inward: int, outward: int, offers: frozenset[str]) -> None:
        self.inward, self.outward, self.offers = inward, outward, offers
        self.kept: list[Any] = []
        self.theirs: dict[int, Reference] = {}

    def export(self, value: object) -> int:
        for number, known in enumerate(self.kept):
            if known is value:
                return number
        self.kept.append(value)
        return len(self.kept) - 1

    def stand_in(self, number: int, kind: str) -> Reference:
        made = Stream if kind == "iterator" else Reference
        return self.theirs.setdefault(number, made(self, number))

    def own(self, number: int) -> object:
        if not 0 <= number < len(self.kept):
            raise ProtocolError("nothing was exported under that number")
        return self.kept[number]

    def number_of(self, value: object) -> int | None:
        if isinstance(value, Reference) and value._peer is self:
            return value._number
        return None

    def request(
        self, operation: str, number: int, arguments: tuple[Any, ...] = (), named: Any = None
    ) -> Any:
        """Apply an operation to one of the other side's objects.

        Args:
            operation: A key of OPERATIONS.
            number: The other side's number of the object.
            arguments: Plain data is sent by value; if the call changes a list, dict, set or
                bytearray, it is changed here too.
            named: Keyword arguments.

        Returns:
            The operation's result: plain data, or a proxy.

        Raises:
            Gone: If the other side has ended or sent nonsense.
            BaseException: What the call raised, as the nearest built-in class.
        """
        values = [*arguments, *(named or {}).values()]
        sent = [encode(value, self) for value in values]
        self._send({"do": operation, "of": number, "with": sent, "named": list(named or {})})
        while True:
            reply = self._receive()
            if "do" in reply:
                self._serve(reply)
                continue
            try:
                return self._outcome(reply, values)
            except ProtocolError as error:
                raise Gone(str(error)) from None

    def _outcome(self, reply: dict[str, Any], values: list[Any]) -> Any:
        changed = reply.get("changed")
        for place, message in changed if isinstance(changed, list) else ():
            if type(place) is int and 0 <= place < len(values):
                _replace(values[place], decode(message, self))
        if "raised" in reply:
            raise _exception(reply["raised"])
        if "same" in reply and type(reply["same"]) is int and 0 <= reply["same"] < len(values):
            return values[reply["same"]]
        return decode(reply.get("value"), self)

    def serve(self) -> None:
        """Serve requests until the other side ends."""
        while True:
            self._serve(self._receive())

    def _serve(self, request: dict[str, Any]) -> None:
        answer: dict[str, Any] = {}
        values: list[Any] = []
        try:
            operation, number, names = request.get("do"), request.get("of"), request.get("named")
            if operation not in self.offers or type(number) is not int:
                raise ProtocolError("no such operation")
            if not isinstance(names, list) or not isinstance(request.get("with"), list):
                raise ProtocolError("no arguments")
            values = [decode(value, self) for value in request["with"][:MOST_ARGUMENTS]]
            plain = len(values) - len(names)
            named = dict(zip(names, values[plain:], strict=True))
            result = OPERATIONS[operation](self.own(number), *values[:plain], **named)
            same = [place for place, value in enumerate(values) if value is result]
            if same and isinstance(result, MUTABLE):
                answer["same"] = same[0]
            else:
                answer["value"] = encode(result, self)
        except Gone:
            raise
        except BaseException as error:  # SystemExit too: the tests decide what it means
            answer = {"raised": _describe(error)}
        answer["changed"] = [
            [place, encode(value, self)]
            for place, value in enumerate(values)
            if isinstance(value, MUTABLE)
        ]
        self._send(answer)

    def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message).encode()
        if len(text) > LARGEST:
            raise ValueError("a value is too large for the line between answer and tests")
        data = memoryview(len(text).to_bytes(4, "big") + text)
        try:
            while data:
                data = data[os.write(self.outward, data) :]
        except OSError:
            raise Gone(ENDED) from None

    def _receive(self) -> dict[str, Any]:
        size = int.from_bytes(self._read(4), "big")
        if size > LARGEST:
            raise Gone("a message is too large")
        try:
            message = json.loads(self._read(size))
        except (ValueError, RecursionError):
            raise Gone("a message cannot be read") from None
        if not isinstance(message, dict):
            raise Gone("a message cannot be read")
        return message

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.read(self.inward, size - len(data))
            if not part:
                raise Gone(ENDED)
            data += part
        return bytes(data)


def _replace(value: Any, new: Any) -> None:
    if type(value) is not type(new) or not isinstance(value, MUTABLE):
        raise ProtocolError("an argument has become something else")
    if isinstance(value, list | bytearray):
        value[:] = new
    else:
        value.clear()
        value.update(new)


def _describe(error: BaseException) -> list[Any]:
    """Return the names of an exception's classes, nearest first, and its message."""
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
    try:
        return [names, str(error)[:500]]
    except BaseException:  # an exception may have a __str__ of its own
        return [names, ""]


def _exception(raised: Any) -> BaseException:
    """Return an exception of the first built-in class among the names."""
    if not (isinstance(raised, list) and len(raised) == 2 and isinstance(raised[0], list)):
        raise ProtocolError("no exception")
    for name in raised[0][:20]:
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, BaseException):
            try:
                return kind(str(raised[1]))
            except TypeError:  # such as UnicodeDecodeError, which wants more
                continue
    raise ProtocolError("no exception")
