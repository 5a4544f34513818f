"""Where the quality bench reads its traffic."""

from pathlib import Path

import pytest

from ringfence.apps.bench import quality
from ringfence.base.errors import OperatorError


@pytest.mark.parametrize("made", [True, False], ids=["empty", "missing"])
def test_a_folder_without_traffic_is_one_sentence(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "traffic"
    if made:
        (folder / "calls").mkdir(parents=True)
    with pytest.raises(OperatorError, match="holds no traffic; write some with `ringfence simulate calls --out"):
        quality.run(quality.OPTIONS | {"folder": str(folder)})
