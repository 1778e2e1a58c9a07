"""Redaction: secrets are masked in every form they come in, and plain words stay."""

from __future__ import annotations

import json

import pytest

from chatkeep.core.model import Message, Session
from chatkeep.core.text.redaction import Redaction
from chatkeep.exporters.redacting import redacted_session
from chatkeep.testing import at, draft, session

CANARY = "c4n4ry" + "Zq8Xv2Lk9Rt5Wm3Pd7Hs1Bn6"
HEX = "0123456789abcdef" * 2

FORMS = {
    "OpenAI's key": f"use sk-proj-{CANARY} please",
    "Anthropic's key": f"sk-ant-api03-{CANARY}",
    "GitHub's token": f"ghp_{CANARY}abcdef",
    "GitLab's token": f"glpat-{CANARY}",
    "Slack's token": f"xoxb-123456789012-{CANARY}",
    "Google's key": f"AIza{CANARY}abcde",
    "Stripe's key": f"sk_live_{CANARY}",
    "npm's token": f"//registry/:_authToken=npm_{CANARY}abcdef",
    "Hugging Face's token": f"hf_{CANARY}abcdef",
    "a JSON web token": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{CANARY}",
    "a bot's token": f"https://api.telegram.org/bot123456789:AA{CANARY}abc/getMe",
    "a header": f"curl -H 'Authorization: Bearer {CANARY}' x",
    "basic authentication": f"Authorization: Basic {CANARY}==",
    "a header of its own": f"X-Api-Key: {CANARY}",
    "a password in an address": f"postgres://ada:{CANARY}@db.example.org:5432/app",
    "an option of curl": f"curl -u ada:{CANARY} https://example.org",
    "a setting": f"export DB_PASSWORD={CANARY}",
    "a quoted setting": f"password = '{CANARY} with a blank'",
    "JSON": json.dumps({"client_secret": CANARY}),
    "JSON in JSON": json.dumps({"arguments": json.dumps({"apiKey": CANARY})}),
    "YAML": f"db:\n  passwd: {CANARY}\n",
    "XML": f"<password>{CANARY}</password>",
    "a query": f"https://example.org/?access_token={CANARY}&x=1",
    "an option": f"mysql --password={CANARY} --user root",
    "an option with a blank": f"login --token {CANARY}",
    "plain words": f"My password is {CANARY}, thanks",
    "a cookie": f"Cookie: session={CANARY}; theme=dark",
    "a private key": f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{CANARY}\n-----END RSA PRIVATE KEY-----",
    "a private key in JSON": json.dumps({"k": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"}),
    "a private key cut off": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}",
    "a call in Python": f'client = Client(api_key="{CANARY}")',
    "Azure's string": f"AccountName=a;AccountKey={CANARY}{CANARY}==;EndpointSuffix=x",
}


@pytest.mark.parametrize("form", FORMS)
def test_mask_a_secret(form: str) -> None:
    """A secret is masked in this form, its kind is told and counted, and the words around it stay."""
    redaction = Redaction()
    masked = redaction.text(f"before {FORMS[form]} after" if form != "a private key cut off" else FORMS[form])
    assert CANARY not in masked
    assert "[redacted: " in masked
    assert 1 <= sum(redaction.counts.values())
    assert form == "a private key cut off" or masked.startswith("before ")
    assert form in {"a private key cut off", "a cookie"} or masked.endswith(" after")


@pytest.mark.parametrize(
    "text",
    [
        "The token limit is 100000, and max_tokens: 4096.",
        'password = os.environ["PASSWORD"]',
        "api_key=${API_KEY}",
        "export TOKEN=<your-token>",
        "Set `secret: string` in the schema; password: required",
        "What is a key-value store? The secret of cooking is patience.",
        "git commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
        "see https://example.org/a:b/c and mail ada@example.org",
        "tokens = tokenizer(text)",
        "key: value pairs, primary key = id",
        "The password is incorrect.",
        '{"total_tokens": 31, "token_type": "bearer"}',
    ],
)
def test_leave_plain_words(text: str) -> None:
    """Words about secrets, placeholders, code and numbers are no secrets."""
    redaction = Redaction()
    assert text == redaction.text(text)
    assert {} == redaction.counts


def test_mask_a_whole_session() -> None:
    """Title, words, parts, calls, results, metadata and unknown fields lose their secrets; keys and ids stay."""
    secret = f"sk-proj-{CANARY}"
    call = {"id": "c", "type": "function", "function": {"name": "run", "arguments": json.dumps({"cmd": secret})}}
    whole = session(
        "telegram:1",
        [
            draft(f"It is {secret}", id="m1"),
            draft([{"type": "text", "text": secret}], id="m2"),
            draft(None, role="assistant", tool_calls=[call], metadata={"reasoning": {"text": secret}}, id="m3"),
            draft(secret, role="tool", tool_call_id="c", id="m4"),
        ],
        title=secret,
        metadata={"password": CANARY, secret: [secret]},
        tags=(secret,),
        extra={"x": {"y": secret}},
    )
    unknown = Message(seq=5, role="user", content="", sent_at=at(5), id="m5", name="x", extra={"z": secret})
    whole = Session(header=whole.header, messages=(*whole.messages, unknown), extra=whole.extra)
    redaction = Redaction()
    masked = redacted_session(whole, redaction)
    assert CANARY not in repr(masked)
    assert ["m1", "m2", "m3", "m4", "m5"] == [message.id for message in masked.messages]
    assert {"cmd": "[redacted: api key]"} == json.loads(masked.messages[2].tool_calls[0]["function"]["arguments"])  # type: ignore[index]
    assert {"api key": 11, "password": 1} == redaction.counts
    assert masked == redacted_session(masked, Redaction())


def test_look_at_long_texts_once() -> None:
    """A text of a megabyte that tries to be slow is read in one go."""
    for piece in ("password", "://a:", "-----BEGIN PRIVATE KEY-----", "token = '", "eyJ", "Bearer ", "--secret ", HEX):
        Redaction().text(piece * (200_000 // len(piece)))
