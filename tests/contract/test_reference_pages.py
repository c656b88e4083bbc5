"""The reference pages that come from the code are fresh, and say what the code says."""

from pathlib import Path

from docs.generate import FOLDER, pages

from fraudline.features.spec import load_spec


def test_no_generated_page_is_stale():
    for name, page in pages().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == page, f"{name} is stale: python -m docs.generate"


def test_every_feature_has_its_line():
    page = (FOLDER / "features.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in load_spec().names)


def test_no_page_names_a_path_of_a_machine():
    root = str(Path.cwd())
    assert not [name for name, page in pages().items() if root in page or str(Path.home()) in page]
