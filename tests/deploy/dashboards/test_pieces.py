"""The pieces of PromQL that dashboards are made of, on series whose answer is known, computed by Prometheus itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.k8s.dashboards.queries import or_none, quantile, rate, rates, ratio, share_by, share_of
from tests.deploy.dashboards.promql import filled_in
from tests.deploy.promtool import promtool

# Values a minute: 60 more are one a second. `idle` rests.
SERIES = {
    'c_total{model="short", outcome="ok"}': "0+180x20",
    'c_total{model="short", outcome="failed"}': "0+60x20",
    'c_total{model="long", outcome="ok"}': "0+60x20",
    'c_total{model="idle", outcome="ok"}': "5x20",
    'c_total{model="", outcome="refused"}': "0+60x20",
    'hits_total{model="short"}': "0+30x20",
    'hits_total{model="idle"}': "5x20",
    'looks_total{model="short"}': "0+60x20",
    'looks_total{model="idle"}': "9x20",
    'h_bucket{model="short", le="1"}': "0x20",
    'h_bucket{model="short", le="2"}': "0+60x20",
    'h_bucket{model="short", le="+Inf"}': "0+60x20",
    'h_bucket{model="idle", le="1"}': "5x20",
    'h_bucket{model="idle", le="2"}': "5x20",
    'h_bucket{model="idle", le="+Inf"}': "5x20",
}
EVERY = ""
FAILED = 'outcome="failed"'

CASES = {
    # The lower bound of the only bucket with anything in it is 1, not 0; where nothing came there is no quantile.
    "quantile": (quantile(0.5, "h", "model", EVERY), {'{model="short"}': 1.5}),
    "nobody has a name": (
        rates("model", "c_total", EVERY),
        {'{model="short"}': 4, '{model="long"}': 1, '{model="idle"}': 0, '{model="no model chosen"}': 1},
    ),
    "shares": (
        share_by("outcome", "c_total", EVERY),
        {'{outcome="ok"}': 4 / 6, '{outcome="failed"}': 1 / 6, '{outcome="refused"}': 1 / 6},
    ),
    "share of a part": (share_of(FAILED, "c_total", where=EVERY), {"{}": 1 / 6}),
    "share of a part by model": (
        share_of(FAILED, "c_total", "model", 'model=~".+"'),
        {'{model="short"}': 0.25, '{model="long"}': 0},
    ),
    "share of what never came": (share_of('outcome="other"', "c_total", where=EVERY), {"{}": 0}),
    "share of all": (share_of(FAILED, "c_total", where=FAILED), {"{}": 1}),
    "share of nothing": (share_of(FAILED, "none_total", where=EVERY), {}),
    "ratio": (ratio("hits_total", "looks_total", "model", EVERY), {'{model="short"}': 0.5}),
    "something, so no none": (
        or_none(rates("outcome", "c_total", FAILED), "outcome", rate("looks_total", EVERY)),
        {'{outcome="failed"}': 1},
    ),
    "none": (
        or_none(rates("outcome", "none_total", EVERY), "outcome", rate("looks_total", EVERY)),
        {'{outcome="none"}': 0},
    ),
    "not even none": (or_none(rates("outcome", "none_total", EVERY), "outcome", rate("nor_total", EVERY)), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_piece(case: str, tmp_path: Path) -> None:
    query, expected = CASES[case]
    expression = f"round({filled_in(query, {'__rate_interval': '4m'})}, 0.0001)"
    samples = [{"labels": labels, "value": round(value, 4)} for labels, value in expected.items()]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in SERIES.items()],
        "promql_expr_test": [{"expr": expression, "eval_time": "10m", "exp_samples": samples}],
    }
    file = tmp_path / "unit.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", file)
