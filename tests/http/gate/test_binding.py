"""Parameters of handlers: read from a request as their signature declares, and described so."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from starlette.requests import Request

from chatkeep.errors import InvalidError
from chatkeep.http.gate.binding import Binding, Computed, InHeader, InPath, InQuery, KeptQueries, check_known, query_of


def _pair(low: int = 1, high: Annotated[int, InQuery(le=9)] = 9) -> tuple[int, int]:
    return low, high


async def handle(  # noqa: PLR0913 - one parameter of each kind
    request: Request,
    key: str,
    *,
    text: Annotated[str, InQuery(min_length=1, max_length=3, description="A text.")],
    limit: Annotated[int | None, InQuery(ge=1, le=50)] = None,
    exact: bool = False,
    sort: Literal["up", "down"] = "up",
    role: Literal["user"] | Literal["any"] | None = None,  # noqa: PYI030 - as two aliases joined make it
    tags: Annotated[tuple[str, ...], InQuery(alias="tag", max_length=2)] = (),
    name: Annotated[str | None, InHeader("X-Name")] = None,
    pair: Annotated[tuple[int, int], Computed(_pair)],
) -> dict[str, Any]:
    """Take a parameter of each kind."""
    return locals()


BOUND = Binding(handle, ("key",))


def asked(query: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Request:
    """Return a request with this query, for the key `a/b`."""
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": query.encode(),
            "headers": list(headers),
            "path_params": {"key": "a/b"},
        }
    )


def read(query: str, **headers: str) -> dict[str, Any]:
    """Return the values for the handler, without the request."""
    request = asked(query, tuple((name.encode(), value.encode()) for name, value in headers.items()))
    values = BOUND.values(request, query_of(request))
    assert request is values.pop("request")
    return values


def test_read_defaults() -> None:
    """What is not given has its default; the path gives its part."""
    assert {
        "key": "a/b",
        "text": "x",
        "limit": None,
        "exact": False,
        "sort": "up",
        "role": None,
        "tags": (),
        "name": None,
        "pair": (1, 9),
    } == read("text=x")


def test_read_values_of_every_kind() -> None:
    """Numbers, choices, booleans, lists and headers come in their types; of a repeated value the last counts."""
    given = read(
        "text=%C3%A9+&limit=3&limit=50&exact=True&sort=down&role=any&tag=a&tag=&low=-2&high=4", **{"x-name": "n"}
    )
    assert ("é ", 50, True, "down", "any") == tuple(given[name] for name in ("text", "limit", "exact", "sort", "role"))
    assert (("a", ""), "n", (-2, 4)) == (given["tags"], given["name"], given["pair"])


@pytest.mark.parametrize(
    "query,field,message",
    [
        ("", "text", "is missing"),
        ("text=", "text", "must not be empty"),
        ("text=abcd", "text", "must have at most 3 characters"),
        ("text=x&limit=0", "limit", "must be a whole number from 1 to 50"),
        ("text=x&limit=", "limit", "must be a whole number from 1 to 50"),
        ("text=x&limit=1.0", "limit", "must be a whole number from 1 to 50"),
        ("text=x&limit=１", "limit", "must be a whole number from 1 to 50"),
        ("text=x&limit=9999999999999999999999", "limit", "must be a whole number from 1 to 50"),
        ("text=x&low=a", "low", "must be a whole number"),
        ("text=x&exact=maybe", "exact", "must be true or false"),
        ("text=x&sort=UP", "sort", "must be one of up, down"),
        ("text=x&role=none", "role", "must be one of user, any"),
        ("text=x&tag=a&tag=b&tag=c", "tag", "may be given at most 2 times"),
    ],
)
def test_refuse_values_against_a_rule(query: str, field: str, message: str) -> None:
    """The error names the parameter as the client does, and the rule with the allowed values."""
    with pytest.raises(InvalidError) as raised:
        read(query)
    assert (field, message) == (raised.value.field, raised.value.reason)


def test_refuse_with_every_flaw() -> None:
    """One answer names all parameters that break a rule, those of needed functions too."""
    with pytest.raises(InvalidError) as raised:
        read("limit=0&high=10")
    told = ((raised.value.field, raised.value.reason), *raised.value.others)
    assert [
        ("high", "must be a whole number from 0 to 9"),
        ("limit", "must be a whole number from 1 to 50"),
        ("text", "is missing"),
    ] == sorted(told)
    assert all(f"{field}: {reason}" in f"{raised.value}" for field, reason in told)


def test_refuse_an_unknown_parameter() -> None:
    """It is named, and so are the known ones; a long name is cut."""
    check_known({"a": ["1"]}, ["a"])
    with pytest.raises(InvalidError, match=r"^b: is no parameter here; there are: a$"):
        check_known({"b": ["1"]}, ["a"])
    with pytest.raises(InvalidError, match=f"^{'b' * 64}: is no parameter here; there are: none$"):
        check_known({"b" * 1000: ["1"]}, [])


def test_describe_parameters() -> None:
    """The description has each parameter by the client's name, with its place, rules and default."""
    told = {given.name: given.described for given in BOUND.parameters}
    assert {"key", "text", "limit", "exact", "sort", "role", "tag", "X-Name", "low", "high"} == set(told)
    assert {
        "name": "text",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 3},
        "description": "A text.",
    } == told["text"]
    assert ("path", True) == (told["key"]["in"], told["key"]["required"])
    assert ("header", False) == (told["X-Name"]["in"], told["X-Name"]["required"])
    assert {"type": "integer", "minimum": 1, "maximum": 50} == told["limit"]["schema"]
    assert {"type": "string", "enum": ["up", "down"], "default": "up"} == told["sort"]["schema"]
    assert {"type": "array", "items": {"type": "string"}, "maxItems": 2, "default": []} == told["tag"]["schema"]


def test_refuse_a_signature_of_another_kind() -> None:
    """A handler with a parameter that cannot be read fails when the application is made, not when it is asked."""

    async def handle_complex(number: complex) -> None:
        """Take what no query has."""

    with pytest.raises(TypeError, match="complex"):
        Binding(handle_complex)


def test_describe_in_path_by_a_mark() -> None:
    """A part of the path may have a description."""

    async def handle_path(key: Annotated[str, InPath(description="The key.", schema={"maxLength": 9})]) -> None:
        """Take a part of the path."""

    (told,) = [given.described for given in Binding(handle_path, ("key",)).parameters]
    assert ("The key.", {"type": "string", "maxLength": 9}) == (told["description"], told["schema"])


def _named(request: Request) -> str:
    return str(request.url.path)


async def handle_list(*, limit: int = 5, pair: Annotated[tuple[int, int], Computed(_pair)] = (1, 9)) -> None:
    """Take parameters of the query alone."""


async def handle_own(key: str, *, path: Annotated[str, Computed(_named)], limit: int = 5) -> None:
    """Take a value of the request beside those of the query."""


def test_keep_the_values_of_a_query() -> None:
    """A repeated query gives the values that it gave before, and another one its own."""
    kept = KeptQueries(Binding(handle_list), is_free=False)
    for query in ("", "limit=7", "low=3&limit=7", "low=3", "", "limit=7"):
        request = asked(query)
        for _ in range(2):
            assert Binding(handle_list).values(request, query_of(request)) == kept.values(request, is_checked=True)


def test_keep_no_value_of_a_request() -> None:
    """What a function makes of the request is made anew for each, with the same query and path."""
    kept = KeptQueries(Binding(handle_own, ("key",)), is_free=False)
    for path in ("/one", "/two", "/one"):
        request = asked("limit=7")
        request.scope.update(path=path, server=("localhost", 80))
        assert {"key": "a/b", "path": path, "limit": 7} == kept.values(request, is_checked=True)


def test_keep_no_values_of_headers() -> None:
    """A parameter in a header is read from each request, and a bad query is refused each time."""
    kept = KeptQueries(BOUND, is_free=False)
    for name in ("x", "y"):
        request = asked("text=a", ((b"x-name", name.encode()),))
        assert name == kept.values(request, is_checked=True)["name"]
    for _ in range(2):
        with pytest.raises(InvalidError, match="b: is no parameter here"):
            kept.values(asked("text=a&b=1"), is_checked=True)
