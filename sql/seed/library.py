"""The seeded documents, the taxonomy, and where the documents belong in it. Pure."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

Row = dict[str, Any]
Path = tuple[str, ...]

TREE: Final[dict[str, tuple[Path, ...]]] = {
    "1.0.0": (
        ("정책",),
        ("정책", "창업"),
        ("정책", "창업", "청년"),
        ("정책", "금융"),
        ("정책", "금융", "보증"),
        ("정책", "금융", "융자"),
        ("정책", "연구·개발"),
        ("사내 문서",),
        ("사내 문서", "인사"),
        ("사내 문서", "기술"),
        ("사내 문서", "경영"),
    ),
    "1.1.0": (
        ("사내 문서",),
        ("사내 문서", "기술"),
    ),
}
"""Paths by version of the tree: the technical documents have a newer node, the others are as they were."""
FILED: Final[dict[str, tuple[tuple[Path, float], ...]]] = {
    "Company Handbook": ((("사내 문서", "인사"), 0.98),),
    "Engineering Best Practices": ((("사내 문서", "기술"), 0.95), (("정책", "연구·개발"), 0.55)),
    "Confidential Strategy": ((("사내 문서", "경영"), 0.9),),
}
"""By title: paths, and how certain each is; somebody has to look at the one below 0.7."""


def documents() -> list[Row]:
    """One document of each access level."""
    made: tuple[tuple[str, str, str, int, str | None, Row], ...] = (
        (
            "Company Handbook",
            "근무 시간, 휴가, 복리후생과 보안 수칙을 안내합니다. 모든 직원이 읽습니다.",
            "PDF",
            1,
            None,
            {"page_count": 50, "version": "2024.1"},
        ),
        (
            "Engineering Best Practices",
            "# 코드 리뷰\n\n작게 나누어 올리고, 왜 바꾸는지 적습니다.\n\n# 배포\n\n되돌릴 수 있게 합니다.",
            "MARKDOWN",
            2,
            "Engineering",
            {"tags": ["engineering", "best-practices"]},
        ),
        (
            "Confidential Strategy",
            "내년도 사업 전략과 투자 계획입니다. 경영진만 읽습니다.",
            "DOCX",
            3,
            "Management",
            {"confidential": True},
        ),
    )
    return [
        {
            "id": UUID(f"00000000-0000-4000-8000-{number:0>12}"),
            "title": title,
            "content": content,
            "document_type": kind,
            "source": f"https://docs.example.org/{title.lower().replace(' ', '-')}",
            "access_level": level,
            "department": department,
            "metadata": metadata,
        }
        for number, (title, content, kind, level, department, metadata) in enumerate(made, 101)
    ]


def taxonomy_nodes() -> list[Row]:
    """The tree in its versions."""
    return [
        {"label": path[-1], "canonical_path": list(path), "version": version, "confidence": 1.0}
        for version, paths in TREE.items()
        for path in paths
    ]
