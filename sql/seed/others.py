"""The seeded users and business rules."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from sql.seed.catalog import CAPITAL_AREA, REGIONS

Row = dict[str, Any]


def users() -> list[Row]:
    """One user of each access level; what is to be encrypted is an object yet."""
    people = (
        ("1", "admin@company.com", "김서연", "Management", 3, "1979-03-14"),
        ("2", "engineer@company.com", "이준호", "Engineering", 2, "1988-11-02"),
        ("3", "intern@company.com", "박지민", "Engineering", 1, "2001-07-25"),
    )
    return [
        {
            "id": UUID(f"00000000-0000-4000-8000-{digit:0>12}"),
            "email": email,
            "name": name,
            "department": department,
            "access_level": level,
            "is_active": True,
            "personal_info": {"birth_date": birth_date},
            "contact_info": {
                "messenger": f"@{email.partition('@')[0]}",
                "office_phone": f"02-555-010{digit}",
            },
        }
        for digit, email, name, department, level, birth_date in people
    ]


def business_rules() -> list[Row]:
    """Rules of eligibility, priority and exclusion; an empty list of regions or industries means all."""
    outside_capital = [code for code in REGIONS if code not in CAPITAL_AREA]
    year = {"valid_from": date(2025, 1, 1), "valid_to": date(2025, 12, 31)}
    always: Row = {"valid_from": None, "valid_to": None}
    return [
        _rule(1, "비수도권 소재 기업 우대", "priority", {"bonus_points": 3}, 10, outside_capital, [], year),
        _rule(2, "청년 대표자 연령 제한", "eligibility", {"max_representative_age": 39}, 20, [], [], always),
        _rule(3, "제조업 상시근로자 수 상한", "eligibility", {"max_employees": 300}, 30, [], ["C"], always),
        _rule(4, "유흥·사행 업종 제외", "exclusion", {"ksic": ["56211", "91249"]}, 5, [], ["I", "R"], always),
        _rule(5, "수도권 정보기술 기업 한도 축소", "limit", {"ratio": 0.8}, 40, [*CAPITAL_AREA], ["J"], year),
        _rule(
            6, "2024년 재해지역 특별 우대", "priority", {"bonus_points": 5}, 1, ["47", "48"], [],
            {"valid_from": date(2024, 7, 1), "valid_to": date(2024, 12, 31)}, is_active=False,
        ),
    ]  # fmt: skip


def _rule(
    number: int,
    name: str,
    category: str,
    definition: Row,
    priority: int,
    regions: list[str],
    industries: list[str],
    validity: Row,
    *,
    is_active: bool = True,
) -> Row:
    return {
        "rule_id": f"RULE-{number:03d}",
        "name": name,
        "category": category,
        "definition": definition,
        "priority": priority,
        "applies_to_regions": regions,
        "applies_to_industries": industries,
        "is_active": is_active,
        **validity,
    }
