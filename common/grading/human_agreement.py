"""How well clinicians agree with each other on the House-Brackmann scale, from the literature."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HumanAgreement:
    """One published number: which score of ours it stands beside, its value and its source."""

    score: str
    what: str
    value: float
    source: str


HUMAN_AGREEMENT = (
    HumanAgreement(
        score="accuracy",
        what="exact agreement",
        value=0.50,
        source="28 doctors, 8 patients: Kanerva et al. 2006, doi 10.1016/j.otohns.2006.05.748",
    ),
    HumanAgreement(
        score="plain_kappa",
        what="kappa without weights",
        value=0.54,
        source="14 readers, 11 patients: Reitzen et al. 2009, PubMed 19201280",
    ),
)
