"""The tables of claims: what is said to hold is what the seeds show."""

import pytest

from benchmarks.claims import CLAIMS, SCORES, SLOTS, VARIANTS, page, spread, verdict, with_settings

Rows = dict[str, list[dict[str, float]]]


def found(values: dict[str, list[float]]) -> Rows:
    """The same value under every score, for each seed of each variant."""
    columns = (*SCORES, *SLOTS)
    return {name: [dict.fromkeys(columns, one) for one in row] for name, row in values.items()}


@pytest.mark.parametrize(
    ("better", "worse", "said"),
    [
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.3], "holds, every seed"),
        ([0.5, 0.6, 0.7], [0.1, 0.2, 0.6], "on the mean only"),
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], "does not hold"),
        ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7], "does not hold"),
    ],
)
def test_a_claim_holds_only_as_far_as_the_seeds_agree(
    better: list[float], worse: list[float], said: str
) -> None:
    claim = CLAIMS[0]
    assert said in verdict(claim, found({claim.better: better, claim.worse: worse}))


def test_the_page_has_every_variant_and_every_claim_with_mean_and_spread() -> None:
    text = page(found({one.name: [0.25, 0.5, 0.75] for one in VARIANTS}))
    assert text.count("0.500 ± 0.250") == len(VARIANTS) * 6 + 2 * len(CLAIMS)
    assert all(f"| {claim.text} |" in text for claim in CLAIMS)
    assert spread([1.0, 1.0, 4.0]) == "2.000 ± 1.732"


def test_claims_name_variants_that_are_trained() -> None:
    names = {one.name for one in VARIANTS}
    assert {side for claim in CLAIMS for side in (claim.better, claim.worse)} <= names


def test_a_variant_changes_its_own_settings_and_no_others() -> None:
    plain = {"model": {"a": 1}, "options": {"b": 2}}
    assert with_settings(plain, {"model.a": 3}) == {"model": {"a": 3}, "options": {"b": 2}}
    assert plain == {"model": {"a": 1}, "options": {"b": 2}}
