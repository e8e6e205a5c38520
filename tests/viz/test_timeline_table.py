"""The CSV of timelines keeps the columns of a video apart from a model's targets."""

import csv
import io

from vidjax.viz.timeline import csv_table


def test_targets_named_like_columns_do_not_replace_them():
    values = [{"name": name, "value": value} for name, value in (("start", 7.5), ("video", -1.0), ("valence", 0.25))]
    answers = [{"video": "a.mp4", "segments": [{"start": 0.0, "end": 2.0, "values": values}]}]
    [row] = csv.DictReader(io.StringIO(csv_table(answers)))
    assert row == {
        "video": "a.mp4", "start": "0.0", "end": "2.0", "start (value)": "7.5", "video (value)": "-1.0",
        "valence": "0.25", "error": "",
    }  # fmt: skip
