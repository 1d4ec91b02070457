from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from running_app import until

from cryocorr_tui.core import reopening
from cryocorr_tui.core.choices import Choices
from cryocorr_tui.core.errors import SettingsError
from cryocorr_tui.core.events import Notice
from cryocorr_tui.core.grouping import group_classes
from cryocorr_tui.core.model import DisplacementSettings, MaskDiameter, MetricWeights, Settings
from cryocorr_tui.tui.app import CryocorrApp
from cryocorr_tui.tui.compared import Compared
from cryocorr_tui.tui.session import Session
from cryocorr_tui.tui.state import Saved, keymap, saved_session, session_file


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "classes ä.mrcs"
    path.write_bytes(b"")
    return path


def test_a_session_comes_back_as_it_was(stack: Path, tmp_path: Path) -> None:
    settings = Settings(
        weights=MetricWeights(1.0, 0.0, 0.0), mask_diameter=MaskDiameter(180, "angstrom"), box=64
    )
    session = Session(files=[stack], settings=settings, output=tmp_path / "out", folder=tmp_path)
    Saved.of(session, step="pairs", theme="textual-light").write(tmp_path / "kept.json")
    saved = saved_session(tmp_path / "kept.json")
    assert saved is not None
    again = Session()
    saved.restore(again)
    assert (again.files, again.output, again.folder) == ([stack], tmp_path / "out", tmp_path)
    assert again.settings == settings
    assert (saved.step, saved.theme, saved.run) == ("pairs", "textual-light", None)
    assert saved.in_words() == "1 file"


def test_pictures_and_settings_of_a_displacement_come_back(stack: Path, tmp_path: Path) -> None:
    files = tmp_path / "before.tif", tmp_path / "after.tif#3"
    mine = {None: DisplacementSettings(block_size=24), 96: DisplacementSettings(step=3)}
    session = Session(files=[stack], compared=Compared.of_files(*files))
    session.field_settings, session.field_mask = dict(mine), "1,1 9,9 1,9"
    Saved.of(session, step="displacement", theme="x").write(tmp_path / "kept.json")
    saved = saved_session(tmp_path / "kept.json")
    assert saved is not None
    again = Session()
    saved.restore(again)
    assert again.compared is not None
    assert again.compared.files == files
    assert {box: vars(how) for box, how in again.field_settings.items()} == {
        box: vars(how) for box, how in mine.items()
    }
    assert (again.field_mask, saved.pair) == ("1,1 9,9 1,9", ())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "files": []}'])
def test_a_file_that_is_no_session_of_this_version_is_no_session(text: str, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text(text)
    assert saved_session(tmp_path / "kept.json") is None


def test_a_session_whose_files_have_gone_is_not_offered(stack: Path, tmp_path: Path) -> None:
    Saved.of(Session(files=[stack]), step="files", theme="x").write(tmp_path / "kept.json")
    stack.unlink()
    assert saved_session(tmp_path / "kept.json") is None
    assert saved_session(None) is None


def test_of_files_some_of_which_have_gone_the_others_are_offered(
    stack: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone.mrcs"
    Saved.of(Session(files=[gone, stack]), step="files", theme="x").write(tmp_path / "kept.json")
    saved = saved_session(tmp_path / "kept.json")
    assert saved is not None
    assert saved.in_words() == "2 files, of which 1 can no longer be found"
    again = Session()
    saved.restore(again)
    assert again.files == [stack]


def test_every_folder_has_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first, again, other = (session_file(tmp_path / name) for name in ("a", "a", "b"))
    assert first == again != other


def test_decisions_come_back_with_the_cut() -> None:
    blend = np.full((4, 4), 0.2, dtype=np.float32)
    blend[:2, :2] = 0.9
    groups, elsewhere = group_classes(blend), group_classes(blend)
    choices = Choices(4, groups)
    choices.drop([1, 3])
    choices.assign([2], 7)
    choices.regroup(elsewhere)
    again = Choices(4, groups)
    again.take_over(choices.as_dict(), lambda height: elsewhere)
    assert again.dropped == {1, 3}
    assert dict(again.assigned) == {2: 7}
    assert again.groups is elsewhere


def test_decisions_about_other_classes_are_not_taken_over() -> None:
    choices = Choices(4, None)
    choices.drop([1])
    other = Choices(5, None)
    other.take_over(choices.as_dict(), lambda height: pytest.fail("nothing to cut"))
    assert not other.dropped


def test_keys_of_the_user_s_own_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keymap() == {}
    (tmp_path / "cryocorr").mkdir()
    config = tmp_path / "cryocorr" / "config.toml"
    config.write_text('[keys]\n"matrix.next" = "f5,n"\n')
    assert keymap() == {"matrix.next": "f5,n"}
    for text in ("[keys", "[keys]\na = 3\n", "keys = 1\n"):
        config.write_text(text)
        with pytest.raises(SettingsError, match=r"config\.toml"):
            keymap()


@pytest.mark.parametrize(
    ("told", "toasts"),
    [
        ([], []),
        (["One is doubtful."], ["One is doubtful."]),
        (["One is doubtful."] * 3, ["3 warnings, as before: Notes, by ctrl+p."]),
    ],
)
async def test_a_run_that_is_opened_again_hides_no_screen_with_what_it_warned_of(
    told: list[str], toasts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopening, "reopen", lambda _: (Notice(text) for text in told))
    app = CryocorrApp(Session())
    async with app.run_test() as pilot:
        app.open_run(tmp_path)
        await until(pilot, lambda: not app.busy)
        await pilot.pause()
        assert [toast.message for toast in app._notifications] == toasts
        assert app.session.notes == told
