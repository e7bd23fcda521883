# SPDX-License-Identifier: Apache-2.0
"""Writes rows.parquet and bytes.parquet beside this file, with pyarrow 26.0.1; regenerate only on purpose.
rows.parquet has each kind of column that data sets of the hub use, in two row groups; its rows are in parquet_test.cc."""
import datetime
import pathlib

import pyarrow
import pyarrow.parquet

folder = pathlib.Path(__file__).parent
table = pyarrow.table({
    "question": pyarrow.array(["How many?", "naïve \"quoted\"\n", None]),
    "id": pyarrow.array([1, -9007199254740993, None], pyarrow.int64()),
    "score": pyarrow.array([0.5, float("nan"), 1e-300], pyarrow.float64()),
    "label": pyarrow.array([True, False, None]),
    "choices": pyarrow.array([{"text": ["a", "b"], "label": ["A", "B"]}, {"text": [], "label": None}, None]),
    "category": pyarrow.array(["math", "math", "code"]).dictionary_encode(),
    "long": pyarrow.array(["x", "", "z"], pyarrow.large_string()),
    "day": pyarrow.array([datetime.date(2024, 2, 29)] * 3),
})
pyarrow.parquet.write_table(table, folder / "rows.parquet", row_group_size=2)
pyarrow.parquet.write_table(pyarrow.table({"image": [b"\xff\xd8"]}), folder / "bytes.parquet")
