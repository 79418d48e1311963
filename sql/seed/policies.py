"""Generates policies: the sample first, then varied ones; row `n` is the same however many follow."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final

from sql.seed.announcement import Programme, content, title
from sql.seed.catalog import CAPITAL_AREA, FUNDING_TYPES, NATIONAL, REGIONAL, REGIONS, Funding, Organization
from sql.seed.oddities import make_odd
from sql.seed.phrases import THEMES

Row = dict[str, Any]

ORGANIZATIONS: Final = (*NATIONAL, *REGIONAL)
STATUSES: Final = {"active": 90, "archived": 4, "rejected": 3, "pending_validation": 3}
"""Status -> percent of the rows."""
FIRST_DAY: Final = date(2024, 11, 1)

SAMPLE: Final[Row] = {
    "policy_id": "POL-2025-001",
    "title": "청년 창업 특례 보증",
    "content": (
        "담보력이 부족한 청년 창업기업의 운전자금과 시설자금 조달을 돕기 위하여 신용보증서를 발급합니다. "
        "지원대상은 대표자가 만 39세 이하인 창업 후 7년 이내 기업입니다. "
        "보증한도: 기업당 1,000만원 ~ 5억원, 대출금리: 연 2.50%. "
        "신청은 기술보증기금 누리집 또는 가까운 영업점에서 받습니다."
    ),
    "issuing_organization": "기술보증기금",
    "target_regions": ["11", "26", "27"],
    "target_industries": ["J", "M", "N"],
    "funding_type": "guarantee",
    "funding_amount_min": 10_000_000,
    "funding_amount_max": 500_000_000,
    "interest_rate": Decimal("2.50"),
    "application_start_date": date(2025, 1, 1),
    "application_end_date": date(2025, 12, 31),
    "original_url": "https://kibo.example.org/notices/POL-2025-001",
    "source_system": "kibo",
    "source_record_id": "kibo-000001",
    "raw_data": {"record": "kibo-000001", "contact": {"name": "김○○", "extension": "1004"}},
    "status": "active",
    "is_active": True,
    "quality_score": 0.95,
}
"""The policy that documents and examples speak of."""


def generate(count: int = 400, *, seed: int = 1) -> list[Row]:
    """`count` rows with every column but those that the database sets; equal arguments, equal rows."""
    # not for secrets: the rows must be the same everywhere
    others = (_row(number, Random(f"{seed}:{number}")) for number in range(2, count + 1))  # noqa: S311
    return [dict(SAMPLE), *others][:count]


def _row(number: int, rng: Random) -> Row:
    programme = _programme(number, rng)
    status = rng.choices([*STATUSES], [*STATUSES.values()])[0]
    row: Row = {
        "policy_id": f"POL-2025-{number:03d}",
        "title": title(programme, rng),
        "content": content(programme, rng),
        "issuing_organization": programme.organization.name,
        "target_regions": programme.regions,
        "target_industries": programme.industries,
        "funding_type": programme.funding_type,
        "funding_amount_min": programme.amount_min,
        "funding_amount_max": programme.amount_max,
        "interest_rate": programme.rate,
        "application_start_date": programme.start,
        "application_end_date": programme.end,
        "original_url": programme.url,
        "source_system": programme.organization.source,
        "status": status,
        "is_active": _is_active(status, rng),
        "quality_score": _quality(status, rng),
        **_record(number, programme.organization, rng),
    }
    make_odd(row, number)
    return row


def _programme(number: int, rng: Random) -> Programme:
    organization = rng.choice(ORGANIZATIONS)
    offered = [
        theme
        for theme in THEMES
        if (theme.name in organization.focus if organization.focus else not theme.special)
    ]
    theme = rng.choice(offered)
    funding_type = rng.choice(organization.funding) if rng.random() > 0.05 else None
    funding = FUNDING_TYPES.get(funding_type or "")
    least, most = _amounts(funding, rng)
    start, end = _period(rng)
    url = f"https://{organization.source}.example.org/notices/POL-2025-{number:03d}"
    return Programme(
        number=number,
        organization=organization,
        theme=theme,
        funding_type=funding_type,
        product=rng.choice(funding.products) if funding else "맞춤형 지원",
        regions=_regions(organization, rng),
        industries=list(theme.industries) if rng.random() > 0.1 else [],
        amount_min=least,
        amount_max=most,
        rate=Decimal(rng.choice(funding.rates)) if funding and funding.rates and rng.random() > 0.1 else None,
        start=start,
        end=end,
        url=url if rng.random() > 0.15 else None,
    )


def _regions(organization: Organization, rng: Random) -> list[str]:
    """A regional organisation has its own; a national one all, those outside the capital, a few, or none."""
    if organization.region:
        return [organization.region]
    kind = rng.random()
    if kind < 0.5:
        return [*REGIONS]
    if kind < 0.7:
        return [code for code in REGIONS if code not in CAPITAL_AREA]
    return sorted(rng.sample([*REGIONS], rng.randint(2, 5))) if kind < 0.93 else []


def _amounts(funding: Funding | None, rng: Random) -> tuple[int | None, int | None]:
    """Lower and upper limit in won; either, both or none may be unknown, and they may be equal."""
    if funding is None:
        return None, None
    least, most = sorted(rng.choices(funding.amounts, k=2))
    kind = rng.random()
    if kind < 0.08:
        return None, None
    if kind < 0.35:
        return None, most
    return (least, most) if kind < 0.93 else (least, None)


def _period(rng: Random) -> tuple[date | None, date | None]:
    start = FIRST_DAY + timedelta(days=rng.randrange(600))
    end = start + timedelta(days=rng.choice((0, 14, 21, 30, 45, 60, 90, 180, 365)))
    kind = rng.random()
    if kind < 0.08:
        return None, None
    return (start if kind > 0.14 else None), (end if kind < 0.85 else None)


def _is_active(status: str, rng: Random) -> bool:
    if status == "active":
        return rng.random() > 0.03
    return status == "pending_validation"


def _quality(status: str, rng: Random) -> float:
    """Validation rejects below 0.7; what waits for it has no score yet."""
    if status == "pending_validation":
        return 0.0
    return round(rng.uniform(0.2, 0.69) if status == "rejected" else rng.uniform(0.7, 1), 3)


def _record(number: int, organization: Organization, rng: Random) -> Row:
    """The source's own record with a contact in it, which must not leave the database; some came by hand."""
    if rng.random() < 0.1:
        return {"source_record_id": None, "raw_data": None}
    record = f"{organization.source}-{number:06d}"
    contact = {"name": rng.choice("김이박최정강조윤장임") + "○○", "extension": str(rng.randint(1000, 9999))}
    return {"source_record_id": record, "raw_data": {"record": record, "contact": contact}}
