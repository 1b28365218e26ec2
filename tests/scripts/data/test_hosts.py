"""The host pool: choice by seed, refusal of near duplicates and of bad hosts."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from fesf.scripts.data.cohort import CohortError
from fesf.scripts.data.hosts import HostPool, refuse_near_duplicate, thumbnails
from fesf.scripts.data.recipe import Recipe

RECIPE = Recipe("r", image_size=(24, 24))


def test_choice_depends_on_the_seed_alone(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(1) / "hosts"
    files = [folder / f"{i}.png" for i in range(3)]
    for seed in range(4):
        pool = HostPool(folder, Recipe("r", image_size=(24, 24), seed=seed))
        drawn = files[np.random.default_rng(seed).integers(3)]
        assert pool.host_sha256 == sha256(drawn.read_bytes()).hexdigest()
        np.testing.assert_allclose(pool.host[0].numpy(), np.asarray(Image.open(drawn)).T / 255, atol=1e-7)
    assert HostPool(folder, RECIPE, host="2.png").host_sha256 == sha256(files[2].read_bytes()).hexdigest()


def test_files_and_images_of_the_pool(make_cohort: Callable[..., Path]) -> None:
    folder = make_cohort(1) / "hosts"
    (folder / ".hidden.png").write_text("no image")
    pool = HostPool(folder, RECIPE, host="1.png")
    assert pool.files == [folder / f"{i}.png" for i in range(3)]
    assert pool.size == 3
    for path in pool.files:
        image = pool.read(path)
        assert type(image) is torch.Tensor
        np.testing.assert_allclose(image[0].numpy(), np.asarray(Image.open(path)).T / 255, atol=1e-7)
    assert torch.equal(pool.read(pool.files[1]), pool.host)
    (folder / "2.png").write_text("no image")
    with pytest.raises(ValueError, match=r"The host '2.png' cannot be read \(\w+\): hosts_dir may hold images only"):
        pool.read(folder / "2.png")


def test_thumbnails_give_the_correlation() -> None:
    first, second = torch.rand(1, 20, 20), torch.rand(1, 20, 20)
    expected = np.corrcoef(first.flatten(), second.flatten())[0, 1]
    one, other, flat = thumbnails(torch.stack([first, second, torch.ones(1, 20, 20)]))
    assert float(one @ other) == pytest.approx(expected, abs=1e-5)
    assert float(flat.abs().max()) == 0


@pytest.mark.parametrize("shape", [(64, 64), (33, 50), (20, 70), (40, 35, 9)])
def test_thumbnails_average_by_area(shape: tuple[int, ...]) -> None:
    image = torch.rand(1, *shape)
    small = interpolate(image[None], size=[min(32, size) for size in shape], mode="area").flatten().double().numpy()
    expected = (small - small.mean()) / np.linalg.norm(small - small.mean())
    np.testing.assert_allclose(thumbnails(image[None])[0].numpy(), expected, atol=1e-6)


def test_copies_of_a_host_are_refused(make_cohort: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_cohort(1)
    pool = HostPool(folder / "hosts", RECIPE)
    original = Image.open(folder / "hosts" / "1.png")
    original.save(tmp_path / "copy.jpg", quality=90)
    copies = [original, Image.open(tmp_path / "copy.jpg"), original.point(lambda v: int(255 * (v / 255) ** 0.9))]
    for copy in copies:
        image = torch.from_numpy(np.asarray(copy).T.copy()).float()[None] / 255
        with pytest.raises(CohortError, match="Row 5 of the cohort nearly equals a host"):
            refuse_near_duplicate(pool.nearest(image), 5)
    for file in (folder / "images").glob("*.png"):
        image = torch.from_numpy(np.asarray(Image.open(file)).T.copy()).float()[None] / 255
        refuse_near_duplicate(pool.nearest(image), 5)


def test_each_image_of_a_batch_has_its_own_nearest(make_cohort: Callable[..., Path]) -> None:
    pool = HostPool(make_cohort(1) / "hosts", RECIPE)
    images = torch.stack([torch.rand(1, 24, 24), pool.host, torch.full((1, 24, 24), 0.5)])
    found = pool.nearest_each(images)
    assert found == pytest.approx([pool.nearest(image) for image in images], abs=1e-6)
    assert found[1:] == pytest.approx([1, 0], abs=1e-5)
    assert found[0] < 0.98


def test_bad_pools_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no images"):
        HostPool(tmp_path, RECIPE)
    Image.fromarray(np.full((24, 24), 7, np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(ValueError, match=r"'flat.png' is constant"):
        HostPool(tmp_path, RECIPE)
    with pytest.raises(ValueError, match=r"'other.png' is not in hosts_dir: name one of its 1 files"):
        HostPool(tmp_path, RECIPE, host="other.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match=r"'text.png' cannot be read"):
        HostPool(tmp_path, RECIPE)
    (tmp_path / "text.png").unlink()
    np.save(tmp_path / "wide.npy", np.full((24, 24), 9.0, np.float32))
    with pytest.raises(ValueError, match=r"'wide.npy': its intensities span"):
        HostPool(tmp_path, RECIPE)
