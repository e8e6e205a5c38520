"""A ratio above 1 means that vidjax is faster, in rates and in times alike."""

import json

from vidjax.bench.report import Row, print_table, rates, times, write_rows


def test_rates_and_times_agree_on_who_is_faster():
    (rate,) = rates("step", "clips/s", [30.0], {"them": [20.0]})
    (time,) = times("scan", [0.002], {"them": [0.003]})
    assert rate == Row("step, against them", 30.0, 20.0, "clips/s", 1.5, (1.5, 1.5))
    assert time == Row("scan, against them", 2.0, 3.0, "ms", 1.5, (1.5, 1.5))


def test_the_fastest_rounds_make_the_ratio_and_the_rounds_its_spread():
    (rate,) = rates("step", "clips/s", [30.0, 24.0], {"them": [20.0, 30.0]})
    assert (rate.ours, rate.peer, rate.ratio, rate.spread) == (30.0, 30.0, 1.0, (0.8, 1.5))
    (time,) = times("predict", [2.0, 4.0], {"them": [3.0, 5.0]}, "s")
    assert (time.ours, time.peer, time.ratio, time.spread) == (2.0, 3.0, 1.5, (1.25, 1.5))


def test_without_a_peer_there_is_a_figure_and_no_ratio(capsys):
    (row,) = rates("step", "clips/s", [30.0, 20.0], {})
    assert (row.ours, row.peer, row.ratio, row.spread) == (30.0, None, None, None)
    print_table([row], "a machine", ["a note"])
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("a machine", "step", "30", "-", "a note"))


def test_the_file_has_the_six_keys_of_the_contract_and_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "rows.json"
    for ours in (1.0, 2.0):
        write_rows(rates("a", "clips/s", [ours], {"b": [1.0]}), str(path))
    assert json.loads(path.read_text()) == [
        {"name": "a, against b", "ours": 2.0, "peer": 1.0, "unit": "clips/s", "ratio": 2.0, "spread": [2.0, 2.0]}
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.json"]
