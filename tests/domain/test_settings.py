"""Settings: what can't be used is refused in one line that names the variable."""

import pytest

from domain import settings
from domain.settings import ROOT, SettingsError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PHOTOFEED_WORKERS__NOTIFY", "many"),
        ("PHOTOFEED_WORKERS__NOTIFY", "-1"),
        ("PHOTOFEED_RUN_DIR", ""),
        ("PHOTOFEED_RUN_DIR", str(ROOT)),
        ("PHOTOFEED_PORT_OFFSET", "70000"),
        ("PHOTOFEED_WORKRS__NOTIFY", "1"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_name(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        settings.load()
    assert str(raised.value).startswith(f"{name}: ")
    assert "\n" not in str(raised.value)
