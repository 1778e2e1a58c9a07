"""Settings: from the command line, else the environment, else `chatkeep.toml` in the workspace, else the defaults.

The workspace itself comes from the command line or the environment, else from the platform: its folder for
application data. In the environment, commas separate the items of a list.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.blobs.blob_names import BLOB_BYTES_DEFAULT
from chatkeep.core.bounds import MESSAGE_BYTES_MAX, MODEL_CHARS_MAX, RATE_MAX
from chatkeep.core.life.hooks import Webhook, webhooks_in
from chatkeep.core.life.retention import RetentionRule, retention_rules
from chatkeep.disk.files import Durability
from chatkeep.errors import InvalidError
from chatkeep.store.address import FILES, StoreAddress, folder_address, store_address
from chatkeep.store.open import WriteRules, kind_of

FILE_NAME: Final = "chatkeep.toml"
WORKSPACE_VARIABLE: Final = "CHATKEEP_WORKSPACE"
STORE_VARIABLE: Final = "CHATKEEP_STORE"
BODY_MEMORY_MIN: Final = 64 << 20  # bytes
BODY_MEMORY_MAX: Final = 1 << 40  # bytes
TIMEOUT_MAX: Final = 3600  # seconds
ANSWER_TIMEOUT_MAX: Final = 86400  # seconds, a day
MODEL_RETRIES_MAX: Final = 10  # for one question
HISTORY_MAX: Final = 10_000_000  # tokens

# Neither name and password, nor a query: it would stand before the rest of the path
_MODEL_URL: Final = r"^(https?://([^\s@/?#:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s@?#]*)?)?\Z"
HostName = Annotated[str, Meta(pattern=r"^[^\s,/]+\Z")]
TRASH_DAYS_MAX: Final = 36_500  # days; a century
Rate = Annotated[int, Meta(ge=0, le=RATE_MAX)]


class UpstreamEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further model's server in `chatkeep.toml`: its kind, address, the variable with its key, and its models.

    The models are names with `*` and `?`; without any, it takes all of its kind.
    """

    name: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}\Z")]
    kind: Literal["openai", "anthropic", "gemini"]
    url: Annotated[str, Meta(pattern=_MODEL_URL, min_length=1)]
    key_variable: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")] | None = None
    models: tuple[str, ...] = ()
    key: str = ""
    """From the variable, never from the file."""

    def __repr__(self) -> str:
        """Show name and address without the key."""
        return f"UpstreamEntry(name={self.name!r}, url={self.url!r})"


class Settings(Struct, frozen=True, kw_only=True):
    """The settings of a server. Rates: requests a minute, 0 for no limit. Port 0: any free one. Times: seconds.

    `store` is a URL; without it, the sessions are in the workspace.
    """

    workspace: Path
    store: str = ""
    host: HostName = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    rate_limit_ip: Rate = 60
    rate_limit_token: Rate = 60
    rate_limit_model: Rate = 600
    body_memory: Annotated[int, Meta(ge=BODY_MEMORY_MIN, le=BODY_MEMORY_MAX)] = 1 << 30
    durability: Durability = "full"
    attachment_bytes: Annotated[int, Meta(ge=1, le=MESSAGE_BYTES_MAX)] = BLOB_BYTES_DEFAULT
    search_process: bool = True
    trash_days: Annotated[int, Meta(ge=0, le=TRASH_DAYS_MAX)] = 0
    sync: bool = False
    allow_hosts: tuple[HostName, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    cors_origins: tuple[Annotated[str, Meta(pattern=r"^https?://[^\s/,]+\Z")], ...] = ()
    model_url: Annotated[str, Meta(pattern=_MODEL_URL)] = ""
    model_key: Annotated[str, Meta(pattern=r"^[!-~]*\Z")] = ""
    model: Annotated[str, Meta(max_length=MODEL_CHARS_MAX)] = ""
    model_timeout: Annotated[float, Meta(gt=0, le=TIMEOUT_MAX)] = 120.0
    model_answer_timeout: Annotated[float, Meta(gt=0, le=ANSWER_TIMEOUT_MAX)] = 3600.0
    model_retries: Annotated[int, Meta(ge=0, le=MODEL_RETRIES_MAX)] = 2
    model_titles: bool = False
    responses_state: bool = False
    conversations: Literal["own", "upstream"] = "own"
    system_prompt: str = ""
    history_tokens: Annotated[int, Meta(ge=1, le=HISTORY_MAX)] = 8000
    upstream: tuple[UpstreamEntry, ...] = ()
    retention: tuple[RetentionRule, ...] = ()
    webhook: tuple[Webhook, ...] = ()

    def __repr__(self) -> str:
        """Show the workspace without the key."""
        return f"Settings(workspace={self.workspace!r})"

    @property
    def address(self) -> StoreAddress:
        """The address of the store."""
        return store_address(self.store) if self.store else folder_address(self.workspace)

    @property
    def write_rules(self) -> WriteRules:
        """The rules for every write, by whatever process."""
        return WriteRules(self.durability, self.attachment_bytes)

    @property
    def place(self) -> str:
        """The store as people know it: its folder, else its scheme, as its URL may have a password in it."""
        address = self.address
        return address.rest if address.scheme == FILES else f"{address.scheme}:"


_RULES: Final = {
    "store": "must be a folder or a URL such as files:/srv/chatkeep",
    "host": "must be a host name or an address",
    "port": "must be a number from 0 to 65535",
    "rate_limit_ip": f"must be 0 (off) to {RATE_MAX} requests a minute",
    "rate_limit_token": f"must be 0 (off) to {RATE_MAX} requests a minute",
    "rate_limit_model": f"must be 0 (off) to {RATE_MAX} requests a minute",
    "body_memory": f"must be {BODY_MEMORY_MIN} to {BODY_MEMORY_MAX} bytes",
    "durability": "must be full, os or none",
    "attachment_bytes": f"must be 1 to {MESSAGE_BYTES_MAX} bytes (so many: none gets a file of its own)",
    "search_process": "must be true or false",
    "sync": "must be true or false",
    "trash_days": f"must be 0 (no trash) to {TRASH_DAYS_MAX} days",
    "allow_hosts": "must be host names without ports",
    "trusted_proxies": "must be addresses or networks such as 10.0.0.0/8",
    "cors_origins": "must be origins such as https://example.com",
    "model_url": "must be the address of an OpenAI-compatible server, such as http://127.0.0.1:11434/v1",
    "model_key": "must be printable ASCII without spaces",
    "model": f"must be the name of a model, of at most {MODEL_CHARS_MAX} characters",
    "model_timeout": f"must be more than 0 and at most {TIMEOUT_MAX} seconds",
    "model_answer_timeout": f"must be more than 0 and at most {ANSWER_TIMEOUT_MAX} seconds",
    "model_retries": f"must be 0 to {MODEL_RETRIES_MAX}",
    "model_titles": "must be true or false",
    "responses_state": "must be true or false",
    "conversations": "must be own or upstream",
    "system_prompt": "must be text",
    "history_tokens": f"must be 1 to {HISTORY_MAX} tokens",
}
# The lists, with the flag to add one item
_UPSTREAM: Final = "upstream"  # in the file alone: a table for each further server
_RETENTION: Final = "retention"  # in the file alone: a table for each rule
_WEBHOOK: Final = "webhook"  # in the file alone: a table for each address
_FLAGS: Final = {"allow_hosts": "--allow-host", "trusted_proxies": "--trusted-proxy", "cors_origins": "--cors-origin"}
_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def settings_from(flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Return the settings; a flag of None or an empty value counts as not given.

    Raises:
        InvalidError: naming the flag, the variable or the line of the file with a bad value.
    """
    workspace = workspace_from(flags.get("workspace"), environ)
    written = _file_values(workspace / FILE_NAME)
    chosen = {}
    for name in _RULES:
        variable = f"CHATKEEP_{name.upper()}"
        if flags.get(name) not in (None, [], ()):
            chosen[name] = _checked(name, flags[name], _FLAGS.get(name, "--" + name.replace("_", "-")))
        elif environ.get(variable):
            given = environ[variable]
            chosen[name] = _checked(name, _items(given) if name in _FLAGS else given, variable)
        elif name in written:
            chosen[name] = _checked(name, written[name], f"{FILE_NAME}: {name}", base=workspace)
    settings = msgspec.convert({"workspace": workspace, **chosen}, Settings)
    return msgspec.structs.replace(
        settings,
        upstream=_upstreams_in(written.get(_UPSTREAM, []), environ),
        retention=retention_rules(written.get(_RETENTION, []), f"{FILE_NAME}: {_RETENTION}"),
        webhook=webhooks_in(written.get(_WEBHOOK, []), environ, f"{FILE_NAME}: {_WEBHOOK}"),
    )


def place_from(flag: object, environ: Mapping[str, str]) -> Settings:
    """Return the settings of workspace and store alone: other settings may be wrong, or their file no file.

    Raises:
        InvalidError: when one of the two is wrong, or the file is not TOML.
    """
    workspace = workspace_from(flag, environ)
    if environ.get(STORE_VARIABLE):
        return Settings(workspace=workspace, store=_store_in(environ[STORE_VARIABLE], STORE_VARIABLE, None))
    path = workspace / FILE_NAME
    written = _toml(path) if os.path.isfile(path) else {}  # noqa: PTH113 - never raises
    if "store" not in written:
        return Settings(workspace=workspace)
    store = _checked("store", written["store"], f"{FILE_NAME}: store", workspace)
    return msgspec.convert({"workspace": workspace, "store": store}, Settings)


def workspace_from(flag: object, environ: Mapping[str, str]) -> Path:
    """Return the folder of the workspace; it need not exist.

    Raises:
        InvalidError: when the path is not a folder, or cannot be used.
    """
    given = environ.get(WORKSPACE_VARIABLE) if flag is None else flag
    if flag is not None and not str(flag):
        raise InvalidError("workspace", "must not be empty")
    try:
        path = Path(str(given)).expanduser().absolute() if given else _data_folder()
        str(path).encode()
        _check_folder(path, "workspace")
    except (ValueError, RuntimeError) as error:  # bytes beyond UTF-8, or an unknown home directory
        raise InvalidError("workspace", f"{given} cannot be the name of a folder") from error
    return path


def _data_folder() -> Path:
    import platformdirs  # noqa: PLC0415 - only where no workspace is named

    return platformdirs.user_data_path("chatkeep")


def _check_folder(path: Path, told_by: str) -> None:
    """Check that a path is a folder, or not there."""
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            raise InvalidError(told_by, f"{path} is not a folder")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InvalidError(told_by, f"{path} cannot be used: {error.strerror}") from error


def _file_values(path: Path) -> Mapping[str, object]:
    values = _toml(path)
    for name in values:
        if name not in (*_RULES, _UPSTREAM, _RETENTION, _WEBHOOK):
            raise InvalidError(f"{FILE_NAME}: {name}", f"is not a setting; there are {', '.join(_RULES)}")
    return values


def _upstreams_in(tables: object, environ: Mapping[str, str]) -> tuple[UpstreamEntry, ...]:
    """Return the further servers of the file, with their keys.

    Raises:
        InvalidError: naming the table with a bad value, or the variable without a key.
    """
    for number, table in enumerate(tables if isinstance(tables, list) else (), start=1):
        if isinstance(table, dict) and "key" in table:
            told_by = f"{FILE_NAME}: upstream {number}: key"
            raise InvalidError(told_by, "must not be in the file: name a variable of the environment in key_variable")
    try:
        entries = msgspec.convert(tables, tuple[UpstreamEntry, ...])
    except msgspec.ValidationError as error:
        raise InvalidError(f"{FILE_NAME}: upstream", f"{error}") from error
    names = [entry.name for entry in entries]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidError(f"{FILE_NAME}: upstream", f"has the name {twice} twice")
    return tuple(msgspec.structs.replace(entry, key=_key_of(entry, environ)) for entry in entries)


def _key_of(entry: UpstreamEntry, environ: Mapping[str, str]) -> str:
    if entry.key_variable is None:
        return ""
    key = environ.get(entry.key_variable, "")
    if not key:
        raise InvalidError(entry.key_variable, f"is not set: {FILE_NAME} names it for the key of upstream {entry.name}")
    return str(_checked("model_key", key, entry.key_variable))


def _toml(path: Path) -> Mapping[str, object]:
    try:
        if not path.exists():
            return {}
        if not path.is_file():  # reading a pipe would wait for ever
            raise InvalidError(FILE_NAME, "is not a regular file")
        import tomllib  # noqa: PLC0415 - only where there is a file

        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidError(FILE_NAME, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidError(FILE_NAME, f"is not TOML: {error}") from error


def _checked(name: str, value: object, told_by: str, base: Path | None = None) -> object:
    try:
        msgspec.json.encode(value)  # invalid bytes arrive as surrogates, and do not encode
        checked = msgspec.convert(value, _TYPES[name], strict=isinstance(value, bool))
        if name == "trusted_proxies":
            _check_networks(checked)
    except ValueError as error:
        raise InvalidError(told_by, _RULES[name]) from error
    return _store_in(str(checked), told_by, base) if name == "store" else checked


def _store_in(text: str, told_by: str, base: Path | None) -> str:
    """Return the URL of a store, after checking its kind and that its folder is none but a folder."""
    address = store_address(text, told_by, base=base)
    kind_of(address, told_by)
    if address.scheme == FILES:
        _check_folder(address.folder, told_by)
    return address.url


def _check_networks(texts: Iterable[str]) -> None:
    import ipaddress  # noqa: PLC0415 - only for servers

    for text in texts:
        ipaddress.ip_network(text)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]
