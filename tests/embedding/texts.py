"""Texts as policies have them, in mixed languages and lengths, and texts that break tokenizers."""

from __future__ import annotations

import random
import unicodedata

KOREAN = (
    "예비창업자를 위한 사업화 자금을 지원한다.",
    "청년 창업기업의 초기 운영비와 시제품 제작비를 최대 1억원까지 보조한다.",
    "신청은 온라인으로 접수하며 서류 심사와 발표 평가를 거쳐 선정한다.",
    "소상공인 경영안정자금은 연 2.5% 고정금리로 5년간 융자한다.",
    "수도권 외 지역에 본사를 둔 중소기업은 가점을 받을 수 있다.",
    "농업인과 귀농인을 대상으로 스마트팜 설비 도입 비용의 절반을 지원한다.",
    "연구개발 과제는 산학연 협력을 전제로 하며 특허 출원 비용을 포함한다.",
    "지원금액: 10000000원 ~ 50000000원\n금리: 2.5%",
)
ENGLISH = (
    "Loans for small manufacturers that replace imported parts.",
    "Applications are reviewed twice a year by an independent committee.",
    "The programme covers up to 70 percent of the cost of a prototype.",
    "Start-ups younger than seven years may apply, whichever region they work in.",
)
HOSTILE = (
    "",
    " ",
    "\n\t\r\n",
    ".",
    "가",
    "ㄱㄴㄷ ㅏㅑㅓ",
    "🙂",
    "👩‍👩‍👧‍👦🇰🇷 창업 🚀🚀 지원 💰",
    "𠮷野家 𝒜𝓁𝓁 ﷺ",
    "\u0000\u0001 제어 문자 \u200b\ufeff",
    "a" * 10_000,
    "정책" * 5_000,
    "낱말 " * 3_400,
    "창업 지원 policy 2026 " * 500,
    "<html><body>표 | 칸 | 값</body></html>",
    "[CLS] [SEP] [MASK] [PAD]",
    "ÀÉÎõü ñ ß Œ",
    "http://example.org/a?b=%EA%B0%80&c=1",
)


def mixed_texts(count: int, seed: int = 29) -> list[str]:
    """`count` policies of 1 to 16 sentences, most of them Korean; short ones are the most frequent."""
    chance = random.Random(seed)  # noqa: S311
    return [_policy(chance, number) for number in range(count)]


def _policy(chance: random.Random, number: int) -> str:
    pool = chance.choices((KOREAN, KOREAN + ENGLISH, ENGLISH), (7, 2, 1))[0]
    sentences = chance.choices(pool, k=min(16, 1 + int(chance.expovariate(0.25))))
    return f"{number + 1}차 " + " ".join(sentences)


def hard_texts() -> list[str]:
    """Empty, blank, huge, emoji, control characters, and Hangul in its decomposed form."""
    return [*HOSTILE, *(unicodedata.normalize("NFD", text) for text in KOREAN)]
