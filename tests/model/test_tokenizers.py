"""Tokenizers: exact counts for OpenAI's models, and an estimate that is rather high for everybody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chatkeep.core.history.windows import estimate
from chatkeep.model.tokenizers import counter

CHINESE = "你好！我想预订明天晚上七点在王府井附近的一家餐厅，两个人，最好有素菜，人均消费不要超过一百五十元。"
JAPANESE = "東京駅の近くでおすすめのラーメン屋さんを教えてください。明日の夜に友達と行く予定です。"
KOREAN = "내일 저녁에 친구와 함께 갈 만한 서울역 근처의 맛집을 추천해 주세요."
CODE = "for (const key of Object.keys(map)) {\n    if (map[key] !== null) { out.push(`${key}=${map[key]}`); }\n}\n"
DATA = json.dumps([{"flight_number": "HAT083", "date": "2024-05-20", "price": 87.5, "seats": n} for n in range(20)])


@pytest.mark.parametrize(
    "model,text,tokens",
    [
        ("gpt-4o", "hello world", 2),
        ("gpt-4o", "你好，世界", 3),
        ("gpt-4", "你好，世界", 6),
        ("openai/gpt-5.1-mini", "你好，世界", 3),
        ("ft:gpt-3.5-turbo", "你好，世界", 6),
        ("gpt-oss:20b", "你好，世界", 3),
        ("o3-mini", "<|endoftext|>", 7),
    ],
)
def test_counts_of_openai_models(model: str, text: str, tokens: int) -> None:
    """The counts are those of OpenAI's own library, with special tokens taken as text."""
    assert tokens == counter(model)(text)


@pytest.mark.parametrize("model", ["llama3.1:8b", "claude-sonnet-4-5", "gpt-40", "o1llama", ""])
def test_other_models_are_estimated(model: str) -> None:
    """A name that is not known for certain gets the estimate."""
    assert counter(model) is estimate


def test_without_the_extra_everything_is_estimated(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the tokenizer counts by the estimate."""
    monkeypatch.setattr("chatkeep.model.tokenizers.find_spec", lambda _: None)
    assert counter("gpt-4o") is estimate


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
@pytest.mark.parametrize("text", [CHINESE, JAPANESE, KOREAN, CODE, DATA], ids=["zh", "ja", "ko", "code", "json"])
def test_the_estimate_is_rather_high(model: str, text: str) -> None:
    """In every script, in code and in data, the estimate is at most a tenth below the count, and never twice it."""
    assert 0.9 * counter(model)(text) <= estimate(text) <= 2 * counter(model)(text)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_the_estimate_of_real_sessions(model: str) -> None:
    """Over whole sessions with tool calls, the estimate is at most a half above the count, and never below."""
    count = counter(model)
    for line in (Path(__file__).parents[2] / "src/chatkeep/demo/sessions.jsonl").read_text("utf-8").splitlines():
        texts = [said["content"] or "" for said in json.loads(line)["messages"]]
        assert sum(map(count, texts)) <= sum(map(estimate, texts)) <= 1.5 * sum(map(count, texts))
