"""Who offers what, where: regions, industries, kinds of funding and issuing organisations."""

# ruff: noqa: E501 - a Hangul letter counts as two columns; wrapped records read worse than wide ones

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REGIONS: Final = {
    "11": ("서울특별시", "02"),
    "26": ("부산광역시", "051"),
    "27": ("대구광역시", "053"),
    "28": ("인천광역시", "032"),
    "29": ("광주광역시", "062"),
    "30": ("대전광역시", "042"),
    "31": ("울산광역시", "052"),
    "36": ("세종특별자치시", "044"),
    "41": ("경기도", "031"),
    "43": ("충청북도", "043"),
    "44": ("충청남도", "041"),
    "46": ("전라남도", "061"),
    "47": ("경상북도", "054"),
    "48": ("경상남도", "055"),
    "50": ("제주특별자치도", "064"),
    "51": ("강원특별자치도", "033"),
    "52": ("전북특별자치도", "063"),
}
"""Code of the administrative district -> name, telephone area code."""

CAPITAL_AREA: Final = ("11", "28", "41")

INDUSTRIES: Final = {
    "A": "농업, 임업 및 어업",
    "B": "광업",
    "C": "제조업",
    "D": "전기, 가스, 증기 및 공기조절 공급업",
    "E": "수도, 하수 및 폐기물 처리, 원료 재생업",
    "F": "건설업",
    "G": "도매 및 소매업",
    "H": "운수 및 창고업",
    "I": "숙박 및 음식점업",
    "J": "정보통신업",
    "K": "금융 및 보험업",
    "L": "부동산업",
    "M": "전문, 과학 및 기술 서비스업",
    "N": "사업시설 관리, 사업 지원 및 임대 서비스업",
    "O": "공공행정, 국방 및 사회보장 행정",
    "P": "교육 서비스업",
    "Q": "보건업 및 사회복지 서비스업",
    "R": "예술, 스포츠 및 여가 관련 서비스업",
    "S": "협회 및 단체, 수리 및 기타 개인 서비스업",
    "T": "가구 내 고용활동",
    "U": "국제 및 외국기관",
}
"""Section letter of the Korean standard classification (KSIC) -> name."""


@dataclass(frozen=True, slots=True)
class Funding:
    """A kind of funding.

    Amounts are in won per company; `rates` is yearly percent, empty where the kind has none.
    """

    products: tuple[str, ...]
    benefit: str
    details: tuple[str, ...]
    limit: str
    amounts: tuple[int, ...]
    rate: str = ""
    rates: tuple[str, ...] = ()


MILLION: Final = 1_000_000
BILLION: Final = 1_000 * MILLION

FUNDING_TYPES: Final = {
    "grant": Funding(
        products=("사업화 지원사업", "육성사업", "기술개발 지원사업", "패키지 지원사업"),
        benefit="사업화에 필요한 자금을 정부지원금으로 지급하며, 총사업비의 30% 이상은 기업이 현금과 현물로 부담",
        details=(
            "지원기간: 협약일부터 12개월 이내이며, 중간평가를 거쳐 최대 6개월 연장 가능",
            "부가가치세와 관세 환급금, 업무와 관계없는 경비는 지원금으로 쓸 수 없음",
            "지원금은 협약 체결 후 70%, 중간평가 후 30%로 나누어 지급",
        ),
        limit="정부지원금",
        amounts=tuple(n * MILLION for n in (10, 20, 30, 50, 70, 100, 150, 200, 300, 500)),
    ),
    "guarantee": Funding(
        products=("특례보증", "협약보증", "우대보증", "안심보증"),
        benefit="금융회사 대출에 대한 신용보증서를 발급하고, 보증비율은 85%에서 최대 100%까지 우대",
        details=(
            "보증기간: 1년 이내를 원칙으로 하며, 최장 5년까지 연장 가능",
            "협약은행 대출금리에서 연 0.5%포인트 추가 인하",
            "같은 기업에 대한 기존 보증 잔액을 포함하여 한도를 산정",
        ),
        limit="보증한도",
        amounts=tuple(n * MILLION for n in (10, 30, 50, 100, 200, 300, 500, 1_000, 3_000, 7_000, 10_000)),
        rate="보증료율",
        rates=("0.50", "0.70", "0.80", "1.00", "1.20", "1.50"),
    ),
    "loan": Funding(
        products=("정책자금 융자", "시설자금 융자", "운전자금 융자", "경영안정자금", "긴급 저리융자"),
        benefit="시설자금과 운전자금을 장기 저리로 융자하며, 시설자금은 3년 거치 5년, 운전자금은 2년 거치 3년 분할상환",
        details=(
            "대출방식: 직접대출 또는 시중은행을 통한 대리대출",
            "상환방식: 거치기간 뒤 매월 또는 3개월마다 원금균등분할상환, 중도상환수수료 없음",
            "이미 받은 대출금의 상환이나 부동산 투기 목적에는 쓸 수 없음",
        ),
        limit="융자한도",
        amounts=tuple(
            n * MILLION for n in (10, 30, 50, 70, 100, 300, 500, 1_000, 2_000, 6_000, 10_000, 30_000, 50_000)
        ),
        rate="대출금리",
        rates=("0.00", "1.50", "1.75", "2.00", "2.25", "2.50", "2.90", "3.15", "3.40", "4.05"),
    ),
    "investment": Funding(
        products=("모험투자", "성장펀드", "직접투자 프로그램", "초기기업 투자"),
        benefit="보통주, 상환전환우선주 또는 조건부지분인수계약 방식으로 투자하고, 투자 후 경영 자문을 제공",
        details=(
            "투자기간: 5년 이내이며, 기업공개 또는 지분 매각 시 회수",
            "투자 유치액의 2배까지 민간 투자기관과 공동 투자 가능",
            "투자 결정 후 기업가치 평가와 법률 실사를 거쳐 계약 체결",
        ),
        limit="투자한도",
        amounts=tuple(n * MILLION for n in (50, 100, 200, 500, 1_000, 3_000, 5_000, 10_000, 20_000, 50_000)),
    ),
    "subsidy": Funding(
        products=("비용 보조사업", "인건비 보조사업", "임차료 지원", "인증비용 지원"),
        benefit="기업이 먼저 지출한 비용의 50%에서 80%를 증빙 확인 후 보조",
        details=(
            "지급시기: 분기마다 신청을 받아 다음 달 말일까지 지급",
            "한 기업이 연 2회까지 신청할 수 있으며, 누적 한도를 넘을 수 없음",
            "대표자의 배우자와 직계존비속에게 지급한 비용은 제외",
        ),
        limit="보조한도",
        amounts=tuple(n * 100_000 for n in (5, 10, 20, 30, 50, 80, 100, 200, 300)),
    ),
    "tax_credit": Funding(
        products=("세액공제", "세제지원", "세액감면"),
        benefit="해당 과세연도의 소득세 또는 법인세에서 투자액의 3%에서 25%를 공제하고, 공제받지 못한 금액은 10년간 이월",
        details=(
            "적용시기: 2025년 12월 31일이 속하는 과세연도까지",
            "최저한세와 농어촌특별세가 적용될 수 있으므로 세무 전문가와 상담 권장",
            "공제받은 자산을 2년 안에 처분하면 공제세액과 이자상당액을 추가 납부",
        ),
        limit="공제한도",
        amounts=tuple(n * MILLION for n in (5, 10, 50, 100, 300, 500)),
    ),
    "voucher": Funding(
        products=("바우처", "바우처 지원사업", "이용권 지원"),
        benefit="등록된 수행기관의 서비스를 골라 쓸 수 있는 바우처를 지급하며, 자부담금 납부 후 즉시 사용 가능",
        details=(
            "바우처는 발급일부터 8개월 이내에 사용하여야 하며, 남은 금액은 소멸",
            "자부담률: 매출액에 따라 10%에서 30%",
            "수행기관과 특수관계에 있는 기업은 해당 기관의 서비스를 이용할 수 없음",
        ),
        limit="바우처 한도",
        amounts=tuple(n * MILLION for n in (1, 2, 4, 10, 15, 20, 30, 50)),
    ),
}
"""All values of `funding_type`, and what each pays; a row without one says so in no word of its text."""


@dataclass(frozen=True, slots=True)
class Organization:
    """Who issues programmes. Without `region` it works nationwide; without `focus` on all general themes."""

    name: str
    source: str
    funding: tuple[str, ...]
    region: str | None = None
    focus: tuple[str, ...] = ()


def _regional(region: str, *names: str) -> list[Organization]:
    def funding(name: str) -> tuple[str, ...]:
        if name.endswith("신용보증재단"):
            return ("guarantee", "loan")
        return (
            ("grant", "voucher", "subsidy")
            if name.endswith("테크노파크")
            else ("grant", "loan", "subsidy", "voucher")
        )

    return [Organization(name, "regional-portal", funding(name), region) for name in names]


_TECH: Final = (
    "인공지능 전환",
    "바이오헬스 연구개발",
    "소재·부품·장비 국산화",
    "반도체 설계",
    "미래차 부품 전환",
)

NATIONAL: Final = (
    Organization("중소벤처기업부", "bizinfo", ("grant", "voucher", "subsidy")),
    Organization("소상공인시장진흥공단", "semas", ("loan", "subsidy", "voucher"), focus=("소상공인 경영안정", "전통시장 활성화", "재도전 창업", "청년 창업")),
    Organization("신용보증기금", "kodit", ("guarantee", "investment")),
    Organization("기술보증기금", "kibo", ("guarantee", "investment"), focus=("청년 창업", "지식재산 활용", "탄소중립 설비 전환", *_TECH)),
    Organization("중소벤처기업진흥공단", "kosmes", ("loan", "voucher")),
    Organization("창업진흥원", "k-startup", ("grant", "voucher"), focus=("청년 창업", "재도전 창업", "여성기업 성장", "인공지능 전환", "에듀테크 실증")),
    Organization("한국벤처투자", "k-startup", ("investment",), focus=("청년 창업", "재도전 창업", "콘텐츠 제작", *_TECH)),
    Organization("한국산업은행", "bizinfo", ("loan", "investment"), focus=("탄소중립 설비 전환", *_TECH)),
    Organization("중소기업기술정보진흥원", "smtech", ("grant",), focus=("스마트공장 구축", "뿌리산업 고도화", *_TECH)),
    Organization("대한무역투자진흥공사", "bizinfo", ("voucher", "grant"), focus=("수출 초보기업 육성",)),
    Organization("한국무역보험공사", "bizinfo", ("guarantee",), focus=("수출 초보기업 육성",)),
    Organization("정보통신산업진흥원", "bizinfo", ("grant", "voucher"), focus=("인공지능 전환", "물류 디지털화", "에듀테크 실증")),
    Organization("한국콘텐츠진흥원", "bizinfo", ("grant", "subsidy"), focus=("콘텐츠 제작",)),
    Organization("한국관광공사", "bizinfo", ("grant", "voucher"), focus=("관광사업체 회복",)),
    Organization("농림축산식품부", "bizinfo", ("loan", "subsidy", "grant"), focus=("농식품 가공", "스마트팜 확산")),
    Organization("한국농업기술진흥원", "bizinfo", ("grant", "voucher"), focus=("농식품 가공", "스마트팜 확산")),
    Organization("해양수산부", "bizinfo", ("loan", "subsidy", "grant"), focus=("수산물 유통 개선", "조선기자재 고도화")),
    Organization("한국에너지공단", "bizinfo", ("loan", "subsidy"), focus=("탄소중립 설비 전환",)),
    Organization("한국환경산업기술원", "bizinfo", ("loan", "grant"), focus=("탄소중립 설비 전환", "친환경 포장재 개발")),
    Organization("한국산업안전보건공단", "bizinfo", ("subsidy", "loan"), focus=("건설현장 안전관리", "뿌리산업 고도화")),
    Organization("고용노동부", "bizinfo", ("subsidy", "tax_credit"), focus=("고용유지", "사회적경제기업 육성")),
    Organization("국세청", "bizinfo", ("tax_credit",), focus=("고용유지", "가업승계", "탄소중립 설비 전환", *_TECH)),
    Organization("기획재정부", "bizinfo", ("tax_credit",), focus=("가업승계", "지식재산 활용", *_TECH)),
    Organization("한국사회적기업진흥원", "bizinfo", ("grant", "subsidy"), focus=("사회적경제기업 육성", "돌봄서비스 혁신")),
    Organization("여성기업종합지원센터", "bizinfo", ("grant", "voucher"), focus=("여성기업 성장",)),
    Organization("장애인기업종합지원센터", "bizinfo", ("grant", "subsidy"), focus=("장애인기업 판로",)),
    Organization("한국발명진흥회", "bizinfo", ("voucher", "subsidy"), focus=("지식재산 활용",)),
)  # fmt: skip

REGIONAL: Final = (
    *_regional("11", "서울특별시", "서울경제진흥원", "서울신용보증재단"),
    *_regional("26", "부산경제진흥원", "부산신용보증재단"),
    *_regional("27", "대구테크노파크", "대구신용보증재단"),
    *_regional("28", "인천테크노파크", "인천신용보증재단"),
    *_regional("29", "광주테크노파크", "광주신용보증재단"),
    *_regional("30", "대전테크노파크", "대전일자리경제진흥원"),
    *_regional("31", "울산경제일자리진흥원", "울산신용보증재단"),
    *_regional("36", "세종테크노파크", "세종특별자치시"),
    *_regional("41", "경기도경제과학진흥원", "경기신용보증재단"),
    *_regional("43", "충청북도기업진흥원", "충북신용보증재단"),
    *_regional("44", "충남경제진흥원", "충남신용보증재단"),
    *_regional("46", "전남테크노파크", "전라남도"),
    *_regional("47", "경상북도경제진흥원", "경북신용보증재단"),
    *_regional("48", "경남테크노파크", "경남신용보증재단"),
    *_regional("50", "제주경제통상진흥원", "제주신용보증재단"),
    *_regional("51", "강원테크노파크", "강원신용보증재단"),
    *_regional("52", "전북특별자치도경제통상진흥원", "전북신용보증재단"),
)
