"""The README's pictures can be made anew, and are small."""

from PIL import Image

from tests import pictures


def test_pictures_of_the_readme(tmp_path):
    paths = pictures.write(tmp_path / "new")
    assert {path.name for path in paths} == set(pictures.PICTURES)
    for path in paths:
        assert path.stat().st_size < 150_000
        with Image.open(path) as image:
            assert image.width == 1600
        assert (pictures.FOLDER / path.name).exists()
