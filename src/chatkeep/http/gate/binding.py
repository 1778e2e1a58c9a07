"""The parameters of a handler: declared by its signature, read from a request, described for OpenAPI.

A handler is a coroutine function. Each of its parameters is one of these:

    request: Request                                   the request itself
    limit: Annotated[int, InQuery(ge=1)] = 50          a value in the query; so is a parameter without a mark
    key: Annotated[str, InPath()]                      a part of the path; so is a parameter named in the path
    named: Annotated[str | None, InHeader("X-Key")]    the value of a header
    own: Annotated[Sessions, Computed(function)]       the result of a function with such parameters itself

Values are text, whole numbers, `true` or `false`, one of several texts, or lists of texts. A default makes a
parameter optional. Everything is worked out once, when the application is made: a request costs one look-up for
each of its parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import Parameter as Declared
from inspect import signature
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.datastructures import Headers
from starlette.requests import Request

from chatkeep.core.model import Json
from chatkeep.errors import InvalidError

_Place = Literal["query", "path", "header"]
_NAME_CHARS_MAX: Final = 64  # characters of an unknown parameter's name in the error
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_MISSING: Final = object()
_ANY_NAME: Final = ".*"
_QUERIES_KEPT: Final = 128  # of each route
_QUERY_CHARS_KEPT: Final = 1024  # characters of a query and the parts of its path: at most 10 MB for all routes


class InQuery(Struct, frozen=True, kw_only=True):
    """A value in the query. `ge` and `le` bound a number, the lengths a text, or `max_length` a list.

    An alias such as `meta.*` stands for all names that begin with `meta.`: the value has pairs of rest and text.
    """

    alias: str = ""
    ge: int | None = None
    le: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    description: str = ""
    schema: Mapping[str, Json] = {}
    """More rules for the description, checked by the handler."""


class InPath(Struct, frozen=True, kw_only=True):
    """A part of the path."""

    description: str = ""
    schema: Mapping[str, Json] = {}


class InHeader(Struct, frozen=True):
    """The value of a header, by its name."""

    alias: str
    description: str = ""


class Computed(Struct, frozen=True):
    """The result of a function of other parameters; it is no coroutine, and must not wait."""

    function: Callable[..., Any]


class Given(Struct, frozen=True):
    """A parameter that a client gives: its name, place and reader, and its description for OpenAPI."""

    name: str
    place: _Place
    read: Callable[[list[str]], Any]
    default: Any
    schema: dict[str, Json]
    description: str

    @property
    def described(self) -> dict[str, Json]:
        """The description as an OpenAPI parameter."""
        told: dict[str, Json] = {
            "name": self.name.replace(_ANY_NAME, ".NAME"),
            "in": self.place,
            "required": self.default is _MISSING,
        }
        return {**told, "schema": self.schema, **({"description": self.description} if self.description else {})}


class Binding:
    """The compiled signature of a handler or of a function it needs."""

    def __init__(self, function: Callable[..., Any], in_path: Sequence[str] = ()) -> None:
        """Read the signature; `in_path` names the parts of the path."""
        hints = get_type_hints(function, include_extras=True)
        self._requests: list[str] = []
        self._computed: list[tuple[str, Callable[..., Any], Binding]] = []
        self._given: list[tuple[str, Given]] = []
        for name, declared in signature(function).parameters.items():
            kind, mark = _marked(hints[name])
            if kind is Request:
                self._requests.append(name)
            elif isinstance(mark, Computed):
                self._computed.append((name, mark.function, Binding(mark.function, in_path)))
            else:
                self._given.append((name, _given(declared, kind, mark or _default_mark(name, in_path))))

    @property
    def repeats(self) -> bool:
        """Whether the same query and path give the same values, but for those made of the request alone."""
        if any(given.place == "header" for _, given in self._given):
            return False
        return all(inner.is_of_query or inner.is_of_request for _, _, inner in self._computed)

    @property
    def is_of_query(self) -> bool:
        """Whether all values come from the query and the path."""
        return self.repeats and not self._requests and all(inner.is_of_query for _, _, inner in self._computed)

    @property
    def is_of_request(self) -> bool:
        """Whether the only values are the request itself."""
        return not self._given and not self._computed

    def of_request(self, request: Request) -> dict[str, Any]:
        """Return the values made of the request alone."""
        values: dict[str, Any] = dict.fromkeys(self._requests, request)
        for name, function, inner in self._computed:
            if inner.is_of_request:
                values[name] = function(**inner.of_request(request))
        return values

    @property
    def parameters(self) -> Iterator[Given]:
        """All parameters for a client to give, those of needed functions too."""
        for _, _, inner in self._computed:
            yield from inner.parameters
        for _, given in self._given:
            yield given

    def values(self, request: Request, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return the values for a call of the function.

        Raises:
            InvalidError: naming every parameter that breaks a rule.
        """
        flaws: list[tuple[str, str]] = []
        values = self.read(request, query, flaws)
        if flaws:
            raise InvalidError(*flaws[0], others=flaws[1:])
        return values

    def read(self, request: Request, query: Mapping[str, list[str]], flaws: list[tuple[str, str]]) -> dict[str, Any]:
        """Return the values for a call of the function; add each broken rule to `flaws`, with its parameter."""
        values: dict[str, Any] = dict.fromkeys(self._requests, request)
        for name, function, inner in self._computed:
            found = inner.read(request, query, flaws)
            values[name] = None if flaws else function(**found)
        for name, given in self._given:
            texts = _texts(given, request, query)
            if texts is None:
                values[name] = given.default
                if given.default is _MISSING:
                    flaws.append((given.name, "is missing"))
                continue
            try:
                values[name] = given.read(texts)
            except ValueError as error:
                flaws.append((given.name, f"{error}"))
        return values


class KeptQueries:
    """The values for a handler, read once for each of the last queries: most requests repeat another.

    Values of the request alone, such as the sessions within the caller's reach, are made for every request.
    """

    def __init__(self, binding: Binding, *, is_free: bool) -> None:
        """Take the parameters; with `is_free` the query has others too, and none of it is kept: it may have a key."""
        self._binding = binding
        self._is_free = is_free
        self._known = [given.name for given in binding.parameters if given.place == "query"]
        self._is_kept = binding.repeats and not is_free
        self._kept: dict[tuple[str | bytes, ...], dict[str, Any]] = {}

    def values(self, request: Request, *, is_checked: bool) -> dict[str, Any]:
        """Return the values for a call; with `is_checked`, all parameters of the query have to be known.

        Raises:
            InvalidError: as `check_known` and `Binding.values` say.
        """
        asked = (request.scope["query_string"], *request.path_params.values())
        kept = self._kept.get(asked)
        if kept is not None:
            return {**kept, **self._binding.of_request(request)}
        query = query_of(request)
        if is_checked and not self._is_free:
            check_known(query, self._known)
        values = self._binding.values(request, query)
        if self._is_kept and sum(map(len, asked)) <= _QUERY_CHARS_KEPT:
            of_request = self._binding.of_request(request)
            if len(self._kept) >= _QUERIES_KEPT:
                self._kept.clear()
            self._kept[asked] = {name: value for name, value in values.items() if name not in of_request}
        return values


def query_of(request: Request) -> dict[str, list[str]]:
    """Return the values of a query by their names, in order."""
    encoded = request.scope["query_string"]
    found: dict[str, list[str]] = {}
    if encoded:
        for name, value in parse_qsl(encoded.decode("latin-1"), keep_blank_values=True):
            found.setdefault(name, []).append(value)
    return found


def check_known(query: Mapping[str, list[str]], known: Sequence[str]) -> None:
    """Check that a handler knows all parameters of a query: a misspelt filter must not select everything.

    Raises:
        InvalidError: naming an unknown parameter.
    """
    for name in query:
        begin, dot, _ = name.partition(".")
        if name not in known and not (dot and f"{begin}{_ANY_NAME}" in known):
            told = f"is no parameter here; there are: {', '.join(known) or 'none'}"
            raise InvalidError(name[:_NAME_CHARS_MAX], told)


def _texts(given: Given, request: Request, query: Mapping[str, list[str]]) -> list[str] | None:
    if given.place == "query" and given.name.endswith(_ANY_NAME):
        begin = given.name[:-1]
        named = [(name[len(begin) :], text) for name in query if name.startswith(begin) for text in query[name]]
        return [f"{name}\0{text}" for name, text in named] or None
    if given.place == "query":
        return query.get(given.name)
    if given.place == "path":
        return [request.path_params[given.name]]
    found = Headers(scope=request.scope).get(given.name)
    return None if found is None else [found]


def _marked(hint: Any) -> tuple[Any, Any]:  # noqa: ANN401 - a type, and its mark
    """Return the type and the mark of an annotation."""
    if get_origin(hint) is not Annotated:
        return hint, None
    kind, *marks = get_args(hint)
    return kind, next((mark for mark in marks if isinstance(mark, InQuery | InPath | InHeader | Computed)), None)


def _default_mark(name: str, in_path: Sequence[str]) -> InQuery | InPath:
    return InPath() if name in in_path else InQuery()


def _given(declared: Declared, kind: Any, mark: InQuery | InPath | InHeader) -> Given:  # noqa: ANN401 - a type
    query = mark if isinstance(mark, InQuery) else InQuery()
    alias = mark.alias if isinstance(mark, InQuery | InHeader) else ""
    default = _MISSING if declared.default is Declared.empty else declared.default
    read, schema = _reader(kind, query)
    if isinstance(mark, InQuery | InPath):
        schema = {**schema, **mark.schema}
    if default is not _MISSING and default is not None and not alias.endswith(_ANY_NAME):
        schema = {**schema, "default": list(default) if isinstance(default, tuple) else default}
    place: _Place = "header" if isinstance(mark, InHeader) else "path" if isinstance(mark, InPath) else "query"
    return Given(alias or declared.name, place, read, default, schema, mark.description)


def _reader(kind: Any, bounds: InQuery) -> tuple[Callable[[list[str]], Any], dict[str, Json]]:  # noqa: ANN401 - a type
    """Return the function that reads the texts of a parameter, and the schema of its values."""
    choices = tuple(_choices(kind))
    if choices:
        return lambda texts: _chosen(texts[-1], choices), {"type": "string", "enum": list(choices)}
    inner = [one for one in get_args(kind) if one is not NoneType] if _is_union(kind) else [kind]
    if inner == [int]:
        rules = {"minimum": bounds.ge, "maximum": bounds.le}
        return lambda texts: _number(texts[-1], bounds), {"type": "integer", **_present(rules)}
    if inner == [bool]:
        return lambda texts: _boolean(texts[-1]), {"type": "boolean"}
    if inner == [str]:
        rules = {"minLength": bounds.min_length, "maxLength": bounds.max_length}
        return lambda texts: _text(texts[-1], bounds), {"type": "string", **_present(rules)}
    if bounds.alias.endswith(_ANY_NAME):
        return lambda texts: tuple(map(_pair, _list(texts, bounds))), {"type": "string"}
    if len(inner) == 1 and get_origin(inner[0]) in (list, tuple):
        rules = {"maxItems": bounds.max_length}
        return lambda texts: _list(texts, bounds), {"type": "array", "items": {"type": "string"}, **_present(rules)}
    raise TypeError(f"a parameter cannot be {kind!r}")


def _is_union(kind: Any) -> bool:  # noqa: ANN401 - a type
    return get_origin(kind) in (Union, UnionType)


def _choices(kind: Any) -> Iterator[str]:  # noqa: ANN401 - a type
    """Yield the texts of a literal type, or of a union of such."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif _is_union(kind):
        for one in get_args(kind):
            yield from _choices(one)


def _present(rules: Mapping[str, int | None]) -> dict[str, Json]:
    return {name: value for name, value in rules.items() if value is not None}


def _chosen(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise ValueError(f"must be one of {', '.join(choices)}")
    return text


def _number(text: str, bounds: InQuery) -> int:
    low, high = bounds.ge, bounds.le
    found = int(text) if _NUMBER.fullmatch(text) else None
    if found is None or (low is not None and found < low) or (high is not None and found > high):
        least = "" if low is None else f" of at least {low}"
        raise ValueError("must be a whole number" + (least if high is None else f" from {low or 0} to {high}"))
    return found


def _boolean(text: str) -> bool:
    found = _BOOLEANS.get(text.lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def _text(text: str, bounds: InQuery) -> str:
    if bounds.min_length is not None and len(text) < bounds.min_length:
        raise ValueError("must not be empty" if bounds.min_length == 1 else f"needs {bounds.min_length} characters")
    if bounds.max_length is not None and len(text) > bounds.max_length:
        raise ValueError(f"must have at most {bounds.max_length} characters")
    return text


def _pair(text: str) -> tuple[str, str]:
    """Return the rest of a name, and the value: a NUL stands between them, and no rule allows one in either."""
    name, _, value = text.partition("\0")
    return name, value


def _list(texts: list[str], bounds: InQuery) -> tuple[str, ...]:
    if bounds.max_length is not None and len(texts) > bounds.max_length:
        raise ValueError(f"may be given at most {bounds.max_length} times")
    return tuple(texts)
