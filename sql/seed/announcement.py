"""Composes titles and texts from the facts of a programme, so that they agree with its columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from random import Random

from sql.seed.catalog import CAPITAL_AREA, FUNDING_TYPES, INDUSTRIES, REGIONS, Organization
from sql.seed.phrases import ALWAYS, FIXED, INTRODUCTION, LEFT_OUT, ONE_LINERS, PARAGRAPHS, SECTIONS, Theme

MAX_LENGTH = 4_000
"""Characters of the longest text."""

Facts = dict[str, str]


@dataclass(frozen=True, slots=True)
class Programme:
    """What a row says about a programme; amounts in won, rate in percent a year."""

    number: int
    organization: Organization
    theme: Theme
    funding_type: str | None
    product: str
    regions: list[str]
    industries: list[str]
    amount_min: int | None
    amount_max: int | None
    rate: Decimal | None
    start: date | None
    end: date | None
    url: str | None


def won(amount: int) -> str:
    """A positive multiple of 10,000 won as Koreans write it: 350,000,000 is 3억 5,000만원."""
    hundred_millions, rest = divmod(amount // 10_000, 10_000)
    parts = [f"{hundred_millions:,}억"] if hundred_millions else []
    parts += [f"{rest:,}만"] if rest else []
    return " ".join(parts) + "원"


def day(value: date) -> str:
    """The date as announcements write it."""
    return f"{value.year}년 {value.month}월 {value.day}일"


def with_object_particle(noun: str) -> str:
    """The noun with 을 behind a final consonant, with 를 behind a vowel."""
    return noun + ("을" if (ord(noun[-1]) - ord("가")) % 28 else "를")


def title(programme: Programme, rng: Random) -> str:
    """A title such as sources publish it; at most about 100 characters."""
    by_law = programme.funding_type == "tax_credit"
    prefixes = ("", "", "2025년 ", "2025년도 ", "[재공고] ", "(추가모집) ")
    suffixes = ("", "", "", " 안내", " 시행 안내", " 공고", "(2차)", " 참여기업 모집 공고")
    prefix = rng.choice(prefixes[:4] if by_law else prefixes)
    if programme.organization.region and rng.random() < 0.5:
        prefix += REGIONS[programme.organization.region][0] + " "
    suffix = rng.choice(suffixes[:5] if by_law else suffixes)
    return f"{prefix}{programme.theme.name} {programme.product}{suffix}"


def content(programme: Programme, rng: Random) -> str:
    """A text of 20 to 4,000 characters; the notice number in it makes it unlike any other."""
    known = facts(programme, rng)
    notice = f"공고 제2025-{programme.number}호"
    shape = rng.random()
    if shape < 0.12:
        return f"{rng.choice(ONE_LINERS).format(**known)} {notice}"
    if shape < 0.35:
        lines = [PARAGRAPHS[0], *rng.sample(PARAGRAPHS[1:], rng.randint(1, 6))]
        return " ".join(_filled([*lines, f"({notice})"], known))
    longest = rng.randint(400, 1_800) if shape < 0.78 else rng.randint(1_800, MAX_LENGTH)
    opening = f"{programme.organization.name} {notice}\n\n{rng.choice(INTRODUCTION).format(**known)}"
    return _announcement(programme, opening, known, longest, rng)


def facts(programme: Programme, rng: Random) -> Facts:
    """Everything a sentence may ask for, by name."""
    limit, period = _limit(programme), _period(programme)
    funding = FUNDING_TYPES.get(programme.funding_type or "")
    area = REGIONS[programme.organization.region][1] if programme.organization.region else "02"
    details = funding.details if funding else ("", "", "")
    return {
        "org": programme.organization.name,
        "theme": programme.theme.name,
        "audience": programme.theme.audience,
        "purpose": programme.theme.purpose,
        "product": programme.product,
        "product_object": with_object_particle(programme.product),
        "region": _regions(programme.regions),
        "industries": _industries(programme.industries),
        "benefit": funding.benefit if funding else "기업의 수요를 조사하여 필요한 항목을 맞춤형으로 지원",
        **{f"detail_{place}": line for place, line in enumerate(details, start=1)},
        "limit_short": limit,
        "limit_line": f"{funding.limit if funding else '지원한도'}: {limit}",
        "rate_line": f"{funding.rate}: 연 {programme.rate}%"
        if funding and programme.rate is not None
        else "",
        "period_short": period,
        "period_line": f"신청기간: {period}",
        "phone": f"({area}) 000-{rng.randint(1000, 9999)}",
        "email": f"help{programme.number}@example.org",
        "url_line": f"누리집: {programme.url}" if programme.url else "",
    }


def _announcement(programme: Programme, opening: str, known: Facts, longest: int, rng: Random) -> str:
    """Numbered sections of as many lines each as `longest` characters hold, one line at least."""
    marker = rng.choice(("- ", "○ ", "· ", "▶ "))
    sections = {name: _lines(name, known, rng) for name in _headings(programme, longest, rng)}
    text = ""
    for depth in range(1, 12):
        longer = "\n\n".join([opening, *_sections(sections, depth, marker)])
        if text and len(longer) > longest:
            break
        text = longer
    return text


def _headings(programme: Programme, longest: int, rng: Random) -> list[str]:
    """Sections in their usual order: five or six below 1,000 characters, all of them above 2,400."""
    share = min(1.0, max(0.2, longest / 2_400))
    left_out = LEFT_OUT.get(programme.funding_type or "", ())
    return [name for name in SECTIONS if name in ALWAYS or (name not in left_out and rng.random() < share)]


def _lines(heading: str, known: Facts, rng: Random) -> list[str]:
    """The section's fixed lines, then about four of five others in any order."""
    lines = SECTIONS[heading]
    fixed = FIXED.get(heading, 1)
    others = rng.sample(lines[fixed:], round((len(lines) - fixed) * rng.uniform(0.6, 1)))
    return _filled([*lines[:fixed], *others], known)


def _sections(sections: dict[str, list[str]], depth: int, marker: str) -> Iterator[str]:
    for number, (heading, lines) in enumerate(sections.items(), start=1):
        shown = lines[: depth + FIXED.get(heading, 1) - 1]
        yield "\n".join([f"{number}. {heading}", *(marker + line for line in shown)])


def _filled(lines: list[str] | tuple[str, ...], known: Facts) -> list[str]:
    filled = (line.format(**known) for line in lines)
    return [line for line in filled if line]


def _regions(codes: list[str]) -> str:
    if len(codes) in (0, len(REGIONS)):
        return "전국"
    if set(codes) == set(REGIONS) - set(CAPITAL_AREA):
        return "비수도권"
    return "·".join(REGIONS[code][0] for code in codes)


def _industries(letters: list[str]) -> str:
    if not letters or len(letters) > 6:
        return "전 업종(지원 제외 업종은 운영지침 참조)"
    return " / ".join(INDUSTRIES[letter] for letter in letters)


def _limit(programme: Programme) -> str:
    least, most = programme.amount_min, programme.amount_max
    if least is not None and most is not None:
        return f"기업당 {won(least)}" if least == most else f"기업당 {won(least)} ~ {won(most)}"
    if most is not None:
        return f"기업당 최대 {won(most)}"
    return f"기업당 {won(least)} 이상" if least is not None else "심사를 거쳐 기업별로 결정"


def _period(programme: Programme) -> str:
    start, end = programme.start, programme.end
    if start and end:
        return f"{day(start)} 하루" if start == end else f"{day(start)} ~ {day(end)}"
    if start:
        return f"{day(start)}부터 예산 소진 시까지"
    return f"공고일부터 {day(end)}까지" if end else "연중 수시 접수"
