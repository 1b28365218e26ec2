"""Synthetic chest radiographs: a film of a person of :mod:`fesf.scripts.data.anatomy`, with or without opacities.

Pure functions of their arguments: the same person and view give the same film, noise included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates

from fesf.scripts.data.anatomy import (
    Anatomy,
    Array,
    above_dome,
    body,
    bones,
    heart,
    inside_ellipse,
    lung_field,
    mediastinum,
    pixel_grid,
    rotate,
    step,
)

SITES = ("A", "B", "C")
MIN_SIZE, MAX_SIZE = 32, 1024
_NOISE_SIZE = 64  # grid of the coarse noise, so that every picture size shows the same


@dataclass(frozen=True)
class View:
    """How one film was taken: position, breath, exposure and noise; ``noise_seed`` fixes the noise itself."""

    shift: tuple[float, float]
    zoom: float
    angle: float
    breath: float
    gain: float
    brightness: float
    gamma: float
    slope: tuple[float, float]
    noise: float
    electrodes: tuple[tuple[float, float], ...]
    noise_seed: int


@dataclass(frozen=True)
class Opacity:
    """One opacity in the person's coordinates: an ellipse whose edge wobbles with three harmonics (cosine, sine)."""

    centre: tuple[float, float]
    axes: tuple[float, float]
    angle: float
    density: float
    wobble: tuple[float, ...]


def draw_view(rng: np.random.Generator, site: str) -> View:
    """How one film is taken: every film of a person differs in position, breath, exposure and noise.

    Args:
        rng: source of all randomness.
        site: one of :data:`SITES`; B prints darker and harder, C has a mobile unit (noisier, and larger shadows).

    Raises:
        ValueError: for another site.
    """
    if site not in SITES:
        raise ValueError(f"Unknown site {site!r}: use one of {', '.join(SITES)}.")
    u = rng.uniform
    gamma, zoom, noise = {"A": (1.0, 1.0, 1.0), "B": (1.15, 1.0, 1.0), "C": (0.95, 1.05, 1.5)}[site]
    electrodes = tuple((u(-0.75, 0.75), u(-0.7, 0.6)) for _ in range(rng.integers(0, 4)))
    return View(
        shift=(rng.normal(0.0, 0.03), rng.normal(0.0, 0.03)),
        zoom=zoom * u(0.96, 1.04),
        angle=rng.normal(0.0, 0.03),
        breath=u(-0.05, 0.05),
        gain=u(0.85, 1.2),
        brightness=rng.normal(0.0, 0.05),
        gamma=gamma * u(0.85, 1.2),
        slope=(rng.normal(0.0, 0.03), rng.normal(0.0, 0.03)),
        noise=noise * u(0.010, 0.020),
        electrodes=electrodes,
        noise_seed=int(rng.integers(2**32)),
    )


def draw_opacities(rng: np.random.Generator, anatomy: Anatomy) -> tuple[Opacity, ...]:
    """One to three opacities, the first the densest as a rule, centred well inside the lungs even when breathed out."""
    opacities: list[Opacity] = []
    count = int(rng.integers(1, 4))
    while len(opacities) < count:
        x, y = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.7)
        if lung_field(anatomy, np.array(x), np.array(y), breath=-0.1, soft=0.1) < 0.9:
            continue
        opacities.append(
            Opacity(
                centre=(x, y),
                axes=(rng.uniform(0.10, 0.23), rng.uniform(0.10, 0.23)),
                angle=rng.uniform(0.0, np.pi),
                density=rng.uniform(0.12, 0.20) if opacities else rng.uniform(0.15, 0.23),
                wobble=tuple(rng.normal(0.0, 0.07, size=6)),
            )
        )
    return tuple(opacities)


def scale_opacities(opacities: tuple[Opacity, ...], severity: float) -> tuple[Opacity, ...]:
    """The same opacities, ``severity`` times as dense."""
    return tuple(replace(opacity, density=opacity.density * severity) for opacity in opacities)


def render(anatomy: Anatomy, view: View, size: int, opacities: tuple[Opacity, ...] = ()) -> Array:
    """One film of a person.

    Args:
        anatomy: the person.
        view: how the film is taken, noise included: the same view gives the same film.
        size: picture side in pixels, 32 to 1024.
        opacities: added inside the lungs; without any the film shows no finding.

    Returns:
        Array (size, size) in [0, 1], rows from top to bottom, columns from the picture's left to its right.

    Raises:
        ValueError: for a size outside its range.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(f"size {size} is outside {MIN_SIZE} to {MAX_SIZE}: choose a picture side in that range.")
    soft = 0.006 + 1.1 / size  # half width of an edge: the film's own blur and a pixel
    film_x, film_y = pixel_grid(size)
    x, y = rotate(film_x - view.shift[0], film_y - view.shift[1], view.angle)
    x, y = x / view.zoom, y / view.zoom
    density = _soft_tissue(anatomy, view, x, y, soft) + bones(anatomy, x, y, soft)
    inner = _sample(anatomy.texture, x, y) - anatomy.lung_density
    for opacity in opacities:
        inner += _opacity_density(opacity, x, y)
    density += lung_field(anatomy, x, y, view.breath, soft) * inner
    for ex, ey in view.electrodes:
        density += 0.22 * inside_ellipse(x - ex, y - ey, (0.035, 0.035), soft)
    inside = body(anatomy, x, y, soft)
    film = view.gain * (inside * np.clip(density, 0.02, None) - 0.5) + 0.5
    film += view.brightness * inside + view.slope[0] * film_x + view.slope[1] * film_y
    film = np.clip(film, 0.0, 1.0) ** view.gamma
    return np.clip(film + view.noise * _grain(view.noise_seed, size), 0.0, 1.0)


def _soft_tissue(anatomy: Anatomy, view: View, x: Array, y: Array, soft: float) -> Array:
    """Density of everything but bone, as if the lungs held no air."""
    below = 1.0 - above_dome(anatomy, x, y, view.breath, soft)
    density = anatomy.tissue * (1.0 - 0.12 * (x / anatomy.torso) ** 2) + 0.12 * below
    density += np.maximum(0.10 * mediastinum(anatomy, x, y, soft), 0.15 * heart(anatomy, x, y, soft))
    density -= 0.07 * step(0.045 - np.abs(x - 0.01), 2.0 * soft) * step(-0.25 - y, 0.1)  # the windpipe
    amount, apart, level, radius = anatomy.breast
    density += amount * inside_ellipse(np.abs(x) - apart, y - level, (radius, radius), 0.06)
    gas_x, depth, gas = anatomy.stomach
    gas_y = anatomy.dome[1] + view.breath + depth
    return density - 0.14 * inside_ellipse(x - gas_x, y - gas_y, (1.4 * gas, gas), 0.03) * below


def _opacity_density(opacity: Opacity, x: Array, y: Array) -> Array:
    ox, oy = rotate(x - opacity.centre[0], y - opacity.centre[1], opacity.angle)
    ox, oy = ox / opacity.axes[0], oy / opacity.axes[1]
    angle, edge = np.arctan2(oy, ox), np.ones_like(ox)
    for k in range(3):
        edge += opacity.wobble[2 * k] * np.cos((k + 2) * angle) + opacity.wobble[2 * k + 1] * np.sin((k + 2) * angle)
    return opacity.density * step(np.maximum(edge, 0.3) - np.hypot(ox, oy), 0.45)


def _sample(grid: Array, x: Array, y: Array) -> Array:
    """A square array over [-1, 1] x [-1, 1] at given points, linear between its pixel centres."""
    n = len(grid)
    return map_coordinates(grid, np.stack([y, x]) * (n / 2.0) + (n / 2.0 - 0.5), order=1, mode="nearest")


def _grain(seed: int, size: int) -> Array:
    """Noise: a coarse part that every picture size shares, and a fine part of the picture's own pixels."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(_NOISE_SIZE, _NOISE_SIZE))
    return _sample(coarse, *pixel_grid(size)) + 0.5 * rng.normal(size=(size, size))
