"""One request to a webhook: signed, bounded, and to no private address."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import time

import pytest

from chatkeep.core.life.hooks import HookRequest, Webhook
from chatkeep.webhooks.posting import Posted, is_of_internet, post
from tests.webhooks.receiving import SECRET, receiving

REQUEST = HookRequest(id="msg_1", event="test", body='{"type":"test"}')


def _hook(url: str, **given: object) -> Webhook:
    settings = {
        "name": "a",
        "url": url,
        "secret_variable": "S",
        "secret": SECRET,
        "allow_private": True,
        "timeout_s": 0.3,
    }
    return Webhook(**{**settings, **given})  # type: ignore[arg-type]


def test_sign_as_the_standard_says() -> None:
    """The signature covers id, time and body, as the example of Standard Webhooks has it."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    request = HookRequest(id="msg_p5jXN8AQM9LWM0D4loKWxJek", event="test", body='{"test": 2432232314}')
    headers = request.headers(secret, 1614265330)
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == headers["webhook-signature"]
    assert ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330") == (headers["webhook-id"], headers["webhook-timestamp"])
    assert hmac.digest(secret, b"x", hashlib.sha256)


@pytest.mark.parametrize(
    "answer, expected",
    [
        (200, Posted(200)),
        (500, Posted(500, "status 500")),
        (302, Posted(302, "status 302: redirects are not followed")),
        ("hang", Posted(0, "no answer in time")),
        ("drip", Posted(0, "no answer in time")),
    ],
)
def test_post(answer: int | str, expected: Posted) -> None:
    """A request ends within its time, whatever the other side does, and follows nothing."""
    with receiving() as receiver:
        receiver.answers = [answer]
        assert expected == post(_hook(receiver.url), REQUEST, 1)
        assert 1 == receiver.tries


def test_end_with_a_late_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request ends in time also if the time is over by when the connection is there."""
    connect = socket.create_connection

    def late(address: tuple[str, int], timeout: float) -> socket.socket:
        time.sleep(0.2)
        return connect(address, timeout=timeout)

    with receiving() as receiver:
        receiver.answers = ["drip"]
        monkeypatch.setattr(socket, "create_connection", late)
        began = time.monotonic()
        assert Posted(0, "no answer in time") == post(_hook(receiver.url, timeout_s=0.1), REQUEST, 1)
        assert time.monotonic() - began < 2


def test_post_to_a_host_of_any_script() -> None:
    """The name of a host may have letters of any script."""
    with receiving() as receiver:
        hook = _hook(receiver.url.replace("127.0.0.1", "東京.example"))
        assert Posted(200) == post(hook, REQUEST, 1, lambda *_: ["127.0.0.1"])


def test_post_to_nobody() -> None:
    """A closed port and an unknown name are failures with a reason."""
    with receiving() as receiver:
        url = receiver.url
    assert Posted(0, "no connection, or no answer") == post(_hook(url), REQUEST, 1)

    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError

    assert Posted(0, "the name of the host has no address") == post(_hook(url), REQUEST, 1, unknown)


def test_post_to_the_checked_address() -> None:
    """The name is resolved once, and a private address is refused unless allowed; none is even connected to."""
    asked = []

    def changing(_host: str, _port: int) -> list[str]:
        asked.append(1)
        return ["127.0.0.1"] if len(asked) > 1 else ["192.0.2.1", "10.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0"]

    with receiving() as receiver:
        hook = _hook(receiver.url.replace("127.0.0.1", "a.example"), allow_private=False)
        reason = "the address is private: set allow_private to send there"
        assert Posted(0, reason) == post(hook, REQUEST, 1, changing)
        assert ([1], 0) == (asked, receiver.tries)
        assert Posted(200) == post(_hook(hook.url), REQUEST, 1, lambda *_: ["127.0.0.1"])


@pytest.mark.parametrize(
    "address, expected",
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        *(
            (one, False)
            for one in (
                *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1"),
                *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1"),
                *("::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1"),
                *("fec0::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::a00:1"),
            )
        ),
    ],
)
def test_tell_public_addresses(address: str, *, expected: bool) -> None:
    """No address of this machine, a private network or a cloud's metadata is public, in IPv6 clothes neither."""
    assert expected is is_of_internet(address)
