"""The API as an HTML page: made once from the OpenAPI document, without scripts or external files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

import msgspec

from chatkeep.core.model import Json

Document = dict[str, Json]

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;"
    "background:#fff}code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:#f4f6f8;padding:.75rem;"
    "overflow:auto;border-radius:6px}table{border-collapse:collapse;width:100%}td,th{text-align:left;"
    "vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #e3e7eb}h2{margin-top:2.5rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#16191d}pre{background:#20252b}"
    "td,th{border-color:#333a42}a{color:#7ab7ff}}small{opacity:.75}"
    "td:first-child{width:12rem}h2 code{font-size:1.15rem}"
)
_BOUNDS: Final = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "characters from",
    "maxLength": "characters to",
    "minItems": "items from",
    "maxItems": "items to",
    "default": "default",
}
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
DOCS_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; frame-ancestors 'none'"


def page(document: Document) -> bytes:
    """Return the HTML page for an OpenAPI document."""
    info = document["info"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    title = escape(info["title"])
    return "".join(
        (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} API</title>',
            '<meta name="viewport" content="width=device-width">',
            f"<style>{_STYLE}</style><h1>{title} {escape(info['version'])}</h1>",
            f"<p>{escape(info.get('summary', ''))} Send <code>Authorization: Bearer &lt;token&gt;</code>. ",
            'For programs: <a href="/openapi.json">/openapi.json</a>.</p>',
            *operations,
            "<h2>Shapes</h2>",
            *schemas,
            "</html>",
        )
    ).encode()


def _operation(method: str, path: str, operation: Document) -> str:
    responses = sorted(operation["responses"].items())
    answers = ((status, _told(response, _contents(response))) for status, response in responses if status < "4")
    errors = ((status, _told(response)) for status, response in responses if status >= "4")
    return "".join(
        (
            f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>",
            _table("Parameter", (_parameter(parameter) for parameter in operation.get("parameters", ()))),
            _table("Body", _contents(operation.get("requestBody", {}))),
            _table("Answer", answers),
            f"<details><summary>Errors</summary>{_table('Status', errors)}</details>",
            f"<details><summary>Example</summary>{''.join(_examples(operation))}</details>",
        )
    )


def _examples(operation: Document) -> Iterator[str]:
    """Yield the examples of an operation: its parameters, its body, and its answers."""
    parameters = [one for one in operation.get("parameters", ()) if "example" in one]
    yield _table("Parameter", ((one["name"], f"<code>{_shown(one['example'])}</code>") for one in parameters))
    for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
        for media_type, content in holder.get("content", {}).items():
            if "example" in content:
                yield f"<p>{escape(media_type)}</p><pre>{_shown(content['example'])}</pre>"


def _shown(example: Json) -> str:
    """Return a text as it is, and JSON indented."""
    text = example if isinstance(example, str) else msgspec.json.format(msgspec.json.encode(example)).decode()
    return escape(text)


def _parameter(parameter: Document) -> tuple[str, str]:
    needed = "required, " if parameter.get("required") else ""
    return parameter["name"], f"{_told(parameter)} <small>{needed}{_type(parameter['schema'])}</small>"


def _contents(holder: Document) -> Iterator[tuple[str, str]]:
    for media_type, content in holder.get("content", {}).items():
        yield media_type, _type(content.get("schema", {}))


def _told(holder: Document, contents: Iterable[tuple[str, str]] = ()) -> str:
    shapes = ", ".join(shape for _, shape in contents if shape)
    return f"{escape(holder.get('description', ''))} {shapes}".strip()


def _table(heading: str, rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td><code>{escape(name)}</code><td>{told}" for name, told in rows)
    return f"<table><tr><th>{heading}<th>{cells}</table>" if cells else ""


def _schema(name: str, schema: Document) -> str:
    """Return a schema as HTML: its fields in a table, or its type in a line."""
    needed = schema.get("required", ())
    fields = (
        (field, f"{_told(inner)} <small>{'required, ' * (field in needed)}{_type(inner)}</small>")
        for field, inner in schema.get("properties", {}).items()
    )
    told = _table("Field", fields) or f"<p>{_type(schema)}</p>"
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>{told}'


def _type(schema: Document) -> str:
    """Return the type and bounds of a schema in words; a reference becomes a link."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_type, choices)))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        kind = " | ".join(f"<code>{escape(str(value))}</code>" for value in values)
    elif schema.get("type") == "array":
        kind = f"list of {_type(schema.get('items') or {})}"
    else:
        kind = escape(str(schema.get("format") or schema.get("type") or "any JSON"))
    bounds = (f"{word} {escape(str(schema[name]))}" for name, word in _BOUNDS.items() if name in schema)
    return ", ".join((kind, *bounds))
