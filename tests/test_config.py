"""Settings come from where they should, in order, and a bad value is named."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import platformdirs
import pytest

from chatkeep.config import Settings, place_from, settings_from
from chatkeep.core.life.retention import RetentionRule
from chatkeep.errors import InvalidError


def test_settle_without_any_word(tmp_path: Path) -> None:
    """Nothing said: the platform's data folder and the defaults of the contract."""
    assert platformdirs.user_data_path("chatkeep") == settings_from({}, {}).workspace
    chosen = settings_from({"workspace": tmp_path, "port": None, "allow_hosts": []}, {})
    assert Settings(workspace=tmp_path) == chosen
    assert ("127.0.0.1", 8000, 60, 60, "full") == (
        chosen.host,
        chosen.port,
        chosen.rate_limit_ip,
        chosen.rate_limit_token,
        chosen.durability,
    )


def test_settle_by_rank(tmp_path: Path) -> None:
    """A flag wins over a variable, a variable over the file."""
    (tmp_path / "chatkeep.toml").write_text(
        'port = 1\nrate_limit_ip = 2\ndurability = "none"\nallow_hosts = ["a", "b"]\n'
    )
    environ = {
        "CHATKEEP_WORKSPACE": str(tmp_path),
        "CHATKEEP_PORT": "3",
        "CHATKEEP_RATE_LIMIT_IP": "4",
        "CHATKEEP_CORS_ORIGINS": "https://a.example, http://b:1",
        "CHATKEEP_HOST": "",
    }
    expected = Settings(
        workspace=tmp_path,
        port=5,
        rate_limit_ip=4,
        durability="none",
        allow_hosts=("a", "b"),
        cors_origins=("https://a.example", "http://b:1"),
    )
    assert expected == settings_from({"port": 5}, environ)


@pytest.mark.parametrize(
    "name,value",
    [
        ("PORT", "abc"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("HOST", "a b"),
        ("RATE_LIMIT_IP", "-1"),
        ("RATE_LIMIT_TOKEN", "1.5"),
        ("DURABILITY", "sometimes"),
        ("ALLOW_HOSTS", "http://a"),
        ("TRUSTED_PROXIES", "10.0.0.1/99"),
        ("CORS_ORIGINS", "*"),
        ("MODEL_URL", "localhost:11434"),
        ("MODEL_URL", "https://user:word@model.example/v1"),
        ("MODEL_URL", "https://model.example/v1?version=1"),
        ("MODEL_URL", "https://model.example:port/v1"),
        ("MODEL_URL", "https://[::1/v1"),
        ("MODEL_KEY", "sk-1 2"),
        ("MODEL", "m" * 257),
        ("MODEL_TIMEOUT", "0"),
        ("MODEL_TIMEOUT", "nan"),
        ("MODEL_RETRIES", "11"),
        ("MODEL_TITLES", "perhaps"),
        ("HISTORY_TOKENS", "0"),
        ("TRASH_DAYS", "-1"),
        ("TRASH_DAYS", "soon"),
    ],
)
def test_refuse_bad_variable(tmp_path: Path, name: str, value: str) -> None:
    """A bad value names its variable."""
    with pytest.raises(InvalidError, match=f"^CHATKEEP_{name}: must be"):
        settings_from({"workspace": tmp_path}, {f"CHATKEEP_{name}": value})


@pytest.mark.parametrize(
    "text,reason",
    [
        ("port = true", "toml: port: must be"),
        ('host = ["a"]', "toml: host: must be"),
        ("ports = 1", "toml: ports: is not a setting"),
        ("port =", "is not TOML"),
        ('workspace = "/x"', "is not a setting"),
        ('trusted_proxies = ["x"]', "toml: trusted_proxies: must be"),
        (r'host = "localhost\n"', "toml: host: must be"),
        (r'allow_hosts = ["localhost\n"]', "toml: allow_hosts: must be"),
        (r'cors_origins = ["https://a.example\n"]', "toml: cors_origins: must be"),
    ],
)
def test_refuse_bad_file(tmp_path: Path, text: str, reason: str) -> None:
    """A bad line of the workspace's file is named."""
    (tmp_path / "chatkeep.toml").write_text(text)
    with pytest.raises(InvalidError, match=reason):
        settings_from({"workspace": tmp_path}, {})


def test_refuse_a_file_that_is_none(tmp_path: Path) -> None:
    """A pipe in the place of the settings is not waited for."""
    os.mkfifo(tmp_path / "chatkeep.toml")
    with pytest.raises(InvalidError, match="not a regular file"):
        settings_from({"workspace": tmp_path}, {})


def test_refuse_bad_flag_and_workspace(tmp_path: Path) -> None:
    """A bad flag names itself, and a workspace must be a folder."""
    with pytest.raises(InvalidError, match=r"^--trusted-proxy: must be"):
        settings_from({"workspace": tmp_path, "trusted_proxies": ["x"]}, {})
    (tmp_path / "file").touch()
    for given, reason in (
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "file" / "x", "cannot be used: Not a directory"),
        ("x" * 5000, "cannot be used"),
        ("\udcff", "cannot be the name"),
        ("", "must not be empty"),
    ):
        with pytest.raises(InvalidError, match=f"^workspace: .*{reason}"):
            settings_from({"workspace": given}, {})
    assert platformdirs.user_data_path("chatkeep") == settings_from({}, {"CHATKEEP_WORKSPACE": ""}).workspace


def test_key_of_the_model_is_shown_nowhere(tmp_path: Path) -> None:
    """Not in an error, not where settings are printed, and no flag takes it."""
    chosen = settings_from(
        {"workspace": tmp_path}, {"CHATKEEP_MODEL_KEY": "sk-secret", "CHATKEEP_MODEL_TITLES": "true"}
    )
    assert ("sk-secret", True) == (chosen.model_key, chosen.model_titles)
    assert "sk-secret" not in repr(chosen)
    with pytest.raises(InvalidError) as refused:
        settings_from({"workspace": tmp_path}, {"CHATKEEP_MODEL_KEY": "sk-secret\n"})
    assert "sk-secret" not in str(refused.value)


def test_settle_the_store_by_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag wins over a variable, a variable over the file, where a relative folder begins at the workspace."""
    monkeypatch.chdir(tmp_path)
    box = tmp_path / "box"
    box.mkdir()
    assert (str(box), "") == ((default := settings_from({"workspace": box}, {})).place, default.store)
    (box / "chatkeep.toml").write_text('store = "files:inside"\nport = 1\n')
    environ = {"CHATKEEP_WORKSPACE": str(box)}
    assert str(box / "inside") == settings_from({}, environ).place == place_from(None, environ).place
    environ["CHATKEEP_STORE"] = "beside"
    assert str(tmp_path / "beside") == settings_from({}, environ).place == place_from(None, environ).place
    assert "memory:" == settings_from({"store": "memory:"}, environ).place


@pytest.mark.parametrize(
    "written,reason",
    [
        (
            "mysql://me:secret@db",
            "there is no store of the kind mysql: .there are files:FOLDER and memory: and postgresql:",
        ),
        ("", "names no folder"),
        ("{0}/file", "is not a folder"),
        ("files:{0}/file/x", "cannot be used"),
    ],
)
def test_refuse_a_bad_store(tmp_path: Path, written: str, reason: str) -> None:
    """A store that cannot be is named by the place of the setting, in every reader of settings."""
    (tmp_path / "file").touch()
    given = written.format(tmp_path)
    with pytest.raises(InvalidError, match=f"^--store: .*{reason}"):
        settings_from({"workspace": tmp_path, "store": given}, {})
    (tmp_path / "chatkeep.toml").write_text(f'store = "{given}"\n')
    with pytest.raises(InvalidError, match=f"^chatkeep.toml: store: .*{reason}"):
        settings_from({"workspace": tmp_path}, {})
    with pytest.raises(InvalidError, match=f"^chatkeep.toml: store: .*{reason}"):
        place_from(tmp_path, {})


def test_find_the_place_beside_bad_settings(tmp_path: Path) -> None:
    """A checkup finds the store whatever else is wrong with the settings, and takes no pipe for their file."""
    (tmp_path / "chatkeep.toml").write_text('ports = 1\nhost = ["x"]\nstore = "inside"\n')
    assert str(tmp_path / "inside") == place_from(tmp_path, {}).place
    (tmp_path / "chatkeep.toml").unlink()
    os.mkfifo(tmp_path / "chatkeep.toml")
    assert str(tmp_path) == place_from(tmp_path, {}).place


def test_read_webhooks(tmp_path: Path) -> None:
    """Webhooks are tables of the file, and their secrets come from the environment alone."""
    path, table = (
        tmp_path / "chatkeep.toml",
        '[[webhook]]\nname = "a"\nurl = "https://a.example/x"\nsecret_variable = "S"\n',
    )
    path.write_text(table)
    secret = base64.b64encode(bytes(32)).decode()
    (hook,) = settings_from({"workspace": tmp_path}, {"S": f"whsec_{secret}"}).webhook
    assert (bytes(32), "Webhook(name='a')") == (hook.secret, repr(hook))
    assert b"" == settings_from({"workspace": tmp_path}, {}).webhook[0].secret
    for bad in (secret, "whsec_", "whsec_AAAA", "whsec_!"):
        with pytest.raises(InvalidError, match="S: must be whsec_"):
            settings_from({"workspace": tmp_path}, {"S": bad})
    bad_tables = ('secret = "x"', 'events = ["said"]', "attempts = 0", 'urls = "x"')
    for more in (*bad_tables, table):
        path.write_text(f"{table}{more}\n")
        with pytest.raises(InvalidError, match=r"chatkeep\.toml: webhook"):
            settings_from({"workspace": tmp_path}, {})
    bad_urls = ("ftp://a.example", "https://user:word@a.example", "a.example", "https://a.example/#x y")
    bad_addresses = ("https://a.example:65536/x", "https://a.example:0/x", "https://[1:2]/x")
    for url in (*bad_urls, *bad_addresses):
        path.write_text(table.replace("https://a.example/x", url))
        with pytest.raises(InvalidError, match=r"chatkeep\.toml: webhook"):
            settings_from({"workspace": tmp_path}, {})
    for name in ("..", ".", ".a", "a/b"):  # a folder has this name
        path.write_text(table.replace('"a"', f'"{name}"'))
        with pytest.raises(InvalidError, match=r"chatkeep\.toml: webhook"):
            settings_from({"workspace": tmp_path}, {})


def test_read_retention_rules(tmp_path: Path) -> None:
    """Rules are tables of the file, and a bad one is named by its number and its field."""
    path = tmp_path / "chatkeep.toml"
    path.write_text('[[retention]]\ntag = "x"\nolder_than = "90d"\naction = "trash"\n')
    rules = settings_from({"workspace": tmp_path}, {}).retention
    assert (RetentionRule(tag="x", older_than="90d", action="trash"),) == rules
    path.write_text('[[retention]]\nolder_than = "90"\naction = "trash"\n')
    with pytest.raises(InvalidError, match=r"chatkeep\.toml: retention 1: older_than: must be a time such as 90d"):
        settings_from({"workspace": tmp_path}, {})
