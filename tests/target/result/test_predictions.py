from __future__ import annotations

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tunesmith.target.result.predictions import save

READ = {".csv": pyarrow.csv.read_csv, ".parquet": pyarrow.parquet.read_table}


@pytest.mark.parametrize("suffix", READ)
def test_a_table_is_written_as_its_name_ends(suffix, tmp_path):
    table = pa.table({"file": ["a", "b"], "p": [0.5, 1.0]})
    save(table, tmp_path / f"t{suffix}")
    assert READ[suffix](tmp_path / f"t{suffix}").equals(table)
    assert [path.name for path in tmp_path.iterdir()] == [f"t{suffix}"]  # and nothing of the way there is left
