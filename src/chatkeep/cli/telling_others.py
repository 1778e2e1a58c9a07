"""Commands for webhooks: `webhooks list`, `webhooks test`, `webhooks dead`, `webhooks replay`."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, settings
from chatkeep.core.life.hooks import HookRequest, Webhook, check_secrets
from chatkeep.errors import ChatkeepError, NotFoundError
from chatkeep.sessions.message_ids import now_utc
from chatkeep.webhooks.letters import Letters
from chatkeep.webhooks.posting import post

hooks_app = typer.Typer(
    help="List webhooks, try them, and send again what nobody took.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
HookName = Annotated[str, typer.Argument(help="The name of the webhook, as in chatkeep.toml.", show_default=False)]


class HookRow(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook in a list: whether a server tells it now, and how many of its requests nobody took."""

    name: str
    events: tuple[str, ...]
    prefix: str
    served: bool
    dead: int


@hooks_app.command("list")
def list_hooks(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the webhooks of chatkeep.toml, without their addresses, and their dead letters."""
    known = settings(workspace)
    rows = [_row(hook, Letters(known.workspace, hook.name)) for hook in known.webhook]
    if as_json:
        screen.show_json({"webhooks": rows, "count": len(rows)})
        return
    for row in rows:
        told = "told now" if row.served else "waits for a server"
        screen.say(f"{row.name}: {told}, {screen.counted(row.dead, 'dead letter')}, {', '.join(row.events)}")
    if not rows:
        screen.complain("There are no webhooks: chatkeep.toml has no [[webhook]] table.")


@hooks_app.command("test")
def try_hook(name: HookName, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Send a webhook one request of the type `test`, and say how it ended."""
    hook, _ = _chosen(name, workspace)
    body = msgspec.json.encode({"type": "test", "timestamp": now_utc(), "data": {}}).decode()
    posted = post(hook, HookRequest(id=f"msg_{secrets.token_hex(16)}", event="test", body=body), int(time.time()))
    if as_json:
        screen.show_json({"status": posted.status, "taken": posted.is_taken, "reason": posted.reason})
    elif posted.is_taken:
        screen.say(f"{hook.name} took the request: status {posted.status}.")
    if not posted.is_taken:
        raise ChatkeepError(f"{hook.name} did not take the request: {posted.reason}.")


@hooks_app.command("dead")
def dead_letters(name: HookName, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """List the requests that a webhook did not take, oldest first."""
    _, letters = _chosen(name, workspace)
    found = [letter for _, letter in letters.dead()]
    if as_json:
        screen.show_json({"dead": found, "count": len(found)})
        return
    for letter in found:
        line = f"{letter.failed_at:%Y-%m-%d %H:%M:%S}  {letter.request.event}  {letter.request.id}  {letter.reason}"
        screen.say(screen.safe_text(line, one_line=True))
    if not found:
        screen.say("There are no dead letters.")


@hooks_app.command("replay")
def replay(name: HookName, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Send dead letters once more, oldest first, until one is not taken; those taken are gone."""
    hook, letters = _chosen(name, workspace)
    sent, reason = 0, ""
    for file, letter in letters.dead():
        posted = post(hook, letter.request, int(time.time()))
        if not posted.is_taken:
            reason = posted.reason
            break
        letters.forget(file)
        sent += 1
    left = len(letters.dead_names())
    if as_json:
        screen.show_json({"sent": sent, "left": left, "reason": reason})
    else:
        screen.say(f"Sent {screen.counted(sent, 'dead letter')}; {left} are left.")
    if reason:
        raise ChatkeepError(f"{hook.name} did not take the next one: {reason}.")


def _chosen(name: str, workspace: Path | None) -> tuple[Webhook, Letters]:
    known = settings(workspace)
    for hook in known.webhook:
        if hook.name == name:
            check_secrets([hook])
            return hook, Letters(known.workspace, hook.name)
    raise NotFoundError(f"chatkeep.toml has no [[webhook]] with the name '{name}'.")


def _row(hook: Webhook, letters: Letters) -> HookRow:
    return HookRow(
        name=hook.name,
        events=hook.events,
        prefix=hook.prefix,
        served=letters.is_owned(),
        dead=len(letters.dead_names()),
    )
