"""The page over HTTP: its files, and how a browser signs in and out."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from http.cookies import SimpleCookie
from importlib.resources import files

import httpx
import pytest

from chatkeep.access.page_sessions import SignInCode
from chatkeep.http.routes import page
from chatkeep.http.services import services_of
from tests.http.conftest import Server

WEIGHT_MAX = 250_000
FORMULAS_MAX = 400_000  # loaded when the first formula comes into sight, of the fonts only those it is set in
OURS = {"Sec-Fetch-Site": "same-origin"}
VENDOR = files("chatkeep.http") / "static" / "vendor"


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A client that keeps cookies and says what a browser says of our page."""
    with httpx.Client(base_url=server.url, headers=OURS) as client:
        yield client


def test_page_leads_to_its_files_and_nowhere_else(browser: httpx.Client) -> None:
    """What the page names is there, of the right type, to be kept for ever; and what its scripts import too."""
    front = browser.get("/")
    assert "text/html; charset=utf-8" == front.headers["content-type"]
    names = set(re.findall(r'(?:src|href)="(/page/[^"]+)"', front.text))
    assert len(names) > 4
    seen: set[str] = set()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        file = browser.get(name)
        assert (200, "public, max-age=31536000, immutable") == (file.status_code, file.headers["cache-control"]), name
        if name.endswith(".js"):
            assert file.headers["content-type"].startswith("text/javascript")
            names |= {
                str(httpx.URL(name).join(found))
                for found in re.findall(r'(?:from|import\(|new URL\()\s?"(\.\.?/[^"]+)"', file.text)
            }
    assert {name.rpartition("/")[2] for name in seen} > {"highlight.js", "katex.js", "style.css", "icon.svg"}


def test_page_policy_lets_only_its_own_files_in(browser: httpx.Client) -> None:
    """No inline script or style, no other host, no frame, and no text becomes HTML unchecked."""
    headers = browser.get("/").headers
    assert "same-origin" == headers["cross-origin-opener-policy"]
    policy = headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert ("'none'", "'self'", "'self'") == (rules["default-src"], rules["script-src"], rules["style-src"])
    assert ("'self'", "'self'", "'self' data:") == (rules["connect-src"], rules["font-src"], rules["img-src"])
    assert "'script'" == rules["require-trusted-types-for"]
    assert not re.search("unsafe|https?:|\\*", policy)


def test_page_is_light(browser: httpx.Client) -> None:
    """All files that the page loads, compressed, weigh at most 250 kB, without what sets formulas; they are sent so."""
    current = page.edition()
    sizes = {name: len(file.compressed) for name, file in current.files.items() if not name.endswith(".txt")}
    formulas = {name for name in sizes if name.startswith(("vendor/katex", "vendor/fonts/"))}
    assert sum(size for name, size in sizes.items() if name not in formulas) <= WEIGHT_MAX
    assert sum(sizes[name] for name in formulas) <= FORMULAS_MAX
    for accepted, coding in (
        ("gzip", "gzip"),
        ("br;q=1.0, GZIP; q=0.5", "gzip"),
        ("*", "gzip"),
        ("identity", None),
        ("gzip;q=0", None),
        ("*, gzip; q=0.000", None),
        ("", None),
        (";q=,;", None),
    ):
        headers = {"Accept-Encoding": accepted}
        answer = browser.get(f"/page/{current.name}/main.js", headers=headers)
        assert coding == answer.headers.get("content-encoding")
        assert current.files["main.js"].plain == answer.content
    assert all(file.plain == gzip.decompress(file.compressed) for file in current.files.values())


@pytest.mark.parametrize(
    "path", ["x/main.js", "{edition}/nope.js", "{edition}/../page.py", "{edition}/%2e%2e/page.py", "{edition}/"]
)
def test_page_has_no_other_files(path: str, server: Server, browser: httpx.Client) -> None:
    """Files of another edition, and those beside the page, are not there."""
    address = f"{server.url}/page/{path.format(edition=page.edition().name)}"
    assert 404 == browser.get(address).status_code or "page.py" in address


def test_vendored_files_are_those_of_their_packages() -> None:
    """Each file of others is the one whose digest is noted, and its licence is there."""
    lines = (VENDOR / "VERSIONS.txt").read_text("utf-8").splitlines()
    noted = {row[0]: row[-1] for row in (line.split("\t") for line in lines if line.count("\t") == 5)}
    del noted["file"]
    found = {
        f"{folder}{file.name}": hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in ("", "fonts/")
        for file in (VENDOR / folder).iterdir()
        if file.is_file() and not file.name.endswith(".txt")
    }
    assert found == noted
    licences = (VENDOR / "LICENSES.txt").read_text("utf-8")
    assert [] == [name for name in found if f"({name.partition('/')[0]}" not in licences]


def test_sign_in_with_the_link(server: Server, browser: httpx.Client) -> None:
    """The code opens the page once; its cookie is for the server alone; signing out ends the session."""
    services_of(server.app).code = code = SignInCode()
    text = code.unspent
    answer = browser.post("/signin", json={"code": text})
    assert (200, {"status": "ok"}) == (answer.status_code, answer.json())
    (kept,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (f"chatkeep-{httpx.URL(server.url).port}", "/", "strict") == (
        kept.key,
        kept["path"],
        kept["samesite"].lower(),
    )
    assert kept["httponly"]
    assert not kept["secure"]
    assert 7 * 86400 - int(kept["max-age"]) in range(60)
    assert 200 == browser.get("/api/sessions").status_code
    assert 401 == httpx.post(f"{server.url}/signin", json={"code": text}, headers=OURS).status_code
    assert 200 == browser.delete("/signin").status_code
    assert 401 == browser.get("/api/sessions", headers={"Cookie": f"{kept.key}={kept.value}"}).status_code
    assert 200 == browser.delete("/signin").status_code


def test_sign_in_with_a_token(server: Server, browser: httpx.Client) -> None:
    """The page may do what the token may; signing out leaves the token as it was."""
    secret, token = server.tokens.create("mine", scopes=("read",))
    assert 200 == browser.post("/signin", json={"token": secret}).status_code
    assert 200 == browser.get("/api/sessions").status_code
    assert 403 == browser.delete("/api/v1/sessions/x").status_code
    assert 200 == browser.delete("/signin").status_code
    assert 401 == browser.get("/api/sessions").status_code
    assert token == server.tokens.find(secret)


def test_sign_in_over_tls_keeps_the_cookie_to_it(server: Server, browser: httpx.Client) -> None:
    """A page that came over TLS gets a cookie that plain HTTP never sees, and no neighbour can set."""
    origin = {"Origin": "https://chat.example"}
    answer = browser.post("/signin", json={"token": server.secret}, headers=origin)
    (kept,) = SimpleCookie(answer.headers["set-cookie"]).values()
    name = f"__Host-chatkeep-{httpx.URL(server.url).port}"
    assert (name, "/", "", True) == (kept.key, kept["path"], kept["domain"], kept["secure"])
    held = {"Cookie": f"{kept.key}={kept.value}", **OURS}
    assert 200 == httpx.get(f"{server.url}/api/sessions", headers=held).status_code
    gone = httpx.delete(f"{server.url}/signin", headers=held).headers["set-cookie"]
    assert f'{name}=""; HttpOnly; Max-Age=0; Path=/; SameSite=strict; Secure' == gone
    assert 401 == httpx.get(f"{server.url}/api/sessions", headers=held).status_code


def test_sign_in_gives_no_token(server: Server, browser: httpx.Client) -> None:
    """What is in the cookie is good nowhere else, not to sign in either, and the token not in the cookie."""
    answer = browser.post("/signin", json={"token": server.secret})
    (kept,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert server.secret not in str(answer.headers)
    with server.client(kept.value) as thief:
        assert 401 == thief.get("/api/sessions").status_code
        assert 401 == thief.get("/api/sessions", headers=OURS).status_code
    assert 401 == httpx.post(f"{server.url}/signin", json={"token": kept.value}, headers=OURS).status_code
    held = {"Cookie": f"{kept.key}={server.secret}", **OURS}
    assert 401 == httpx.get(f"{server.url}/api/sessions", headers=held).status_code


def test_sign_in_again_ends_the_session_before(server: Server, browser: httpx.Client) -> None:
    """A browser has one session, whatever was pasted into it."""
    browser.post("/signin", json={"token": server.secret})
    before = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    browser.post("/signin", json={"token": server.secret})
    assert 200 == browser.get("/api/sessions").status_code
    assert 401 == httpx.get(f"{server.url}/api/sessions", headers={"Cookie": before, **OURS}).status_code


def test_sign_in_ends_with_the_token_that_was_pasted(server: Server, browser: httpx.Client) -> None:
    """Revoking a token signs everybody out who came in with it."""
    secret, token = server.tokens.create("pasted", scopes=("read",))
    browser.post("/signin", json={"token": secret})
    assert 200 == browser.get("/api/sessions").status_code
    server.tokens.revoke(token.id)
    assert 401 == browser.get("/api/sessions").status_code


@pytest.mark.parametrize(
    "body,headers,status",
    [
        ({"token": "ck_wrong"}, OURS, 401),
        ({"code": "wrong"}, OURS, 401),
        ({}, OURS, 422),
        ({"code": "a", "token": "b"}, OURS, 422),
        ({"token": 1}, OURS, 422),
        ({"token": "x" * 257}, OURS, 422),
        ({"name": "x"}, OURS, 422),
        ({"token": "ck_wrong"}, {"Sec-Fetch-Site": "cross-site"}, 403),
        ({"token": "ck_wrong"}, {"Origin": "http://evil.example"}, 403),
        ({"token": "ck_wrong"}, {}, 403),
    ],
)
def test_sign_in_refused(server: Server, body: dict[str, object], headers: dict[str, str], status: int) -> None:
    """What is no token, no code, or comes from another page gets no cookie."""
    answer = httpx.post(f"{server.url}/signin", json=body, headers=headers)
    assert status == answer.status_code
    assert "set-cookie" not in answer.headers


def test_sign_out_from_another_page_is_refused(server: Server) -> None:
    """No other page signs anybody out."""
    assert 403 == httpx.delete(f"{server.url}/signin", headers={"Sec-Fetch-Site": "cross-site"}).status_code
