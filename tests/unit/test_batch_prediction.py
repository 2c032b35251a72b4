from pathlib import Path

import pytest

from hgmnet.errors import ConfigError
from pipelines.prediction.batch import asked_for


@pytest.mark.parametrize(
    ("text", "said"),
    [("file\na.png\n", "expected a column `image`, got file"), ("image\na\na\n", "a more than")],
)
def test_a_table_that_can_not_be_meant(text: str, said: str, tmp_path: Path) -> None:
    table = tmp_path / "asked.csv"
    table.write_text(text)
    with pytest.raises(ConfigError, match=said):
        asked_for(table)
