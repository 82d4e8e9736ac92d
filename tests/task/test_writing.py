from __future__ import annotations

import pytest

from tunesmith.errors import ConfigError
from tunesmith.task.writing import Writing


@pytest.mark.parametrize(("name", "value"), [("max_new_tokens", 0), ("num_beams", 0), ("samples", -1)])
def test_numbers_of_writing(name, value):
    with pytest.raises(ConfigError, match=rf"^Expected task.generate.{name} to be at least \d but got {value}"):
        Writing(**{name: value})
