"""A synthetic person's chest: its shapes in normalised coordinates, and a generator that draws one. Pure functions.

Everything is made up (our choice, no source): ``x`` runs from -1 (left of the picture, the person's right) to 1 and
``y`` from -1 (top) to 1, so that any picture size shows the same person. Densities are relative: 0 is air, 1 the
whitest bone over soft tissue. No real image went into it, and nothing measured on it says anything about real films.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

SEXES = ("F", "M")
TEXTURE_SIZE = 128  # grid of a person's lung texture: one step is the blur of the finest vessel


@dataclass(frozen=True)
class Anatomy:
    """One person, in normalised coordinates (a value of 1 is half the picture).

    ``texture`` is a square array of added density (vessels, parenchyma, scars) over [-1, 1] x [-1, 1], rows along y.
    """

    sex: str
    lung_half_width: float
    lung_top: float
    dome: tuple[float, float]  # y of the diaphragm, picture's left and right
    lung_density: float  # what air takes away
    mediastinum: float
    heart: tuple[float, float, float, float, float]  # centre x, centre y, half axes, tilt (radians)
    aorta: float
    neck: float
    shoulder: float
    torso: float
    tissue: float
    breast: tuple[float, float, float, float]  # density, distance from the midline, y, radius
    ribs: tuple[float, float, float, float, float, float]  # first y, spacing, drop, sideways slope, half width, density
    clavicle: tuple[float, float]  # y at the midline, rise towards the shoulder
    stomach: tuple[float, float, float]  # centre x, depth under the dome, radius
    texture: Array


def pixel_grid(size: int) -> tuple[Array, Array]:
    """x and y of the pixel centres of a square picture, each (size, size), rows from top to bottom."""
    axis = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def rotate(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates in axes turned by ``angle`` (radians)."""
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def step(distance: Array | float, soft: float) -> Array:
    """1 well inside (positive distance), 0 well outside, a smooth ramp of exactly ``2 * soft`` between."""
    t = np.clip(np.asarray(distance, dtype=np.float64) / (2.0 * soft) + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def inside_ellipse(x: Array, y: Array, axes: tuple[float, float], soft: float, power: float = 2.0) -> Array:
    """Soft indicator of a (super-)ellipse about the origin."""
    radius = (np.abs(x / axes[0]) ** power + np.abs(y / axes[1]) ** power) ** (1.0 / power)
    return step((1.0 - radius) * min(axes), soft)


def heart(anatomy: Anatomy, x: Array, y: Array, soft: float) -> Array:
    """Soft indicator of the heart with the aorta's arch and the pulmonary trunk."""
    cx, cy, a, b, tilt = anatomy.heart
    hx, hy = rotate(x - cx, y - cy, tilt)
    taper = 1.0 - 0.25 * np.clip(hx / a, -1.0, 1.0)  # the apex is narrower than the base
    ventricle = inside_ellipse(hx, hy / taper, (a, b), 1.5 * soft)
    atrium = inside_ellipse(x + 0.45 * cx, y - cy - 0.02, (0.62 * a, 0.9 * b), 2.0 * soft)
    arch = inside_ellipse(x - 0.6 * anatomy.mediastinum, y + 0.36, (anatomy.aorta, 1.3 * anatomy.aorta), 2.0 * soft)
    trunk = inside_ellipse(x - 0.5 * anatomy.mediastinum, y + 0.12, (1.2 * anatomy.aorta, 0.2), 2.0 * soft)
    return np.maximum(np.maximum(ventricle, atrium), np.maximum(arch, trunk))


def mediastinum(anatomy: Anatomy, x: Array, y: Array, soft: float) -> Array:
    """Soft indicator of the middle between the lungs."""
    width = anatomy.mediastinum * (1.0 + 0.35 * np.clip(-0.45 - y, 0.0, 0.5) + 0.25 * np.clip(y, 0.0, 1.0))
    return step(width - np.abs(x), 2.0 * soft)


def above_dome(anatomy: Anatomy, x: Array, y: Array, breath: float, soft: float) -> Array:
    """Soft indicator of what lies above the diaphragm: two domes that fall off towards the ribs."""
    level = anatomy.dome[0] + (anatomy.dome[1] - anatomy.dome[0]) * step(x, 0.2) + breath
    return step(level + 0.75 * (np.abs(x) - 0.42 * anatomy.lung_half_width) ** 2 - y, 1.2 * soft)


def _cage(anatomy: Anatomy, x: Array, y: Array, middle: float, half: float, soft: float) -> Array:
    """The chest's inside: rounded, narrower at the top."""
    taper = 0.80 + 0.20 * np.clip((y - anatomy.lung_top) / 0.9, 0.0, 1.0)
    return inside_ellipse(x / taper, y - middle, (anatomy.lung_half_width, half), soft, power=2.6)


def lung_field(anatomy: Anatomy, x: Array, y: Array, breath: float = 0.0, soft: float = 0.02) -> Array:
    """How much of a point is lung.

    Args:
        anatomy: the person.
        x: person's x of the points, any shape.
        y: person's y, same shape.
        breath: how far the diaphragm lies below its usual level.
        soft: half width of the edges.

    Returns:
        Values in [0, 1] of the same shape: 1 within the lungs, 0 outside and where heart or mediastinum covers them.
    """
    bottom = max(anatomy.dome) + 0.45
    middle, half = (bottom + anatomy.lung_top) / 2.0, (bottom - anatomy.lung_top) / 2.0
    lungs = _cage(anatomy, x, y, middle, half, soft) * above_dome(anatomy, x, y, breath, soft)
    return lungs * (1.0 - mediastinum(anatomy, x, y, soft)) * (1.0 - heart(anatomy, x, y, soft))


def _to_nearest(distance: Array, spacing: float) -> Array:
    """Distance to the nearest of nine ribs, from the signed distance to the first."""
    return np.abs(distance - spacing * np.clip(np.round(distance / spacing), 0, 8))


def bones(anatomy: Anatomy, x: Array, y: Array, soft: float) -> Array:
    """Density that ribs, clavicles and spine add."""
    first, spacing, drop, slope, half, density = anatomy.ribs
    reach = np.abs(x) / anatomy.lung_half_width
    from_back = y - first - slope * reach - drop * reach**2.2
    from_front = y - first - 0.10 - 0.42 * (1.0 - reach)
    back = step(half * (1.0 - 0.25 * reach) - _to_nearest(from_back, spacing), 0.012 + soft)
    front = step(1.1 * half - _to_nearest(from_front, spacing), 0.02 + soft)
    cage = _cage(anatomy, x / 1.06, y, 0.1, 0.16 - anatomy.lung_top, soft) * step(max(anatomy.dome) + 0.22 - y, 0.15)
    ribs = cage * (back + 0.5 * front * step(reach - 0.45, 0.1))
    height, rise = anatomy.clavicle
    line = height - rise * reach + 0.03 * np.sin(5.0 * reach)
    clavicles = step(0.034 - np.abs(y - line), 0.01 + soft) * step(np.abs(x) - 0.10, 0.03) * step(1.15 - reach, 0.1)
    spine = step(0.075 - np.abs(x), 0.02 + soft) * (1.0 + 0.25 * np.cos(2.0 * np.pi * y / (0.8 * spacing)))
    return density * (ribs + 1.5 * clavicles + 0.6 * spine)


def body(anatomy: Anatomy, x: Array, y: Array, soft: float) -> Array:
    """Soft indicator of the body: neck, shoulders and trunk."""
    far = np.abs(x)
    line = anatomy.shoulder + 0.50 * np.clip(far - 0.8 * anatomy.neck, 0.0, 2.0) ** 1.6
    shoulders = step(y - line, 2.0 * soft)
    trunk = step(anatomy.torso + 1.5 * np.clip(-0.2 - y, 0.0, 1.0) - far, 2.0 * soft)
    return np.maximum(shoulders * trunk, step(anatomy.neck - far, 3.0 * soft) * step(-0.2 - y, soft))


def _draw_vessels(rng: np.random.Generator) -> Array:
    """A tree from each hilum: curved branches, three calibres each a layer that is blurred by its width."""
    n, samples = TEXTURE_SIZE, 160
    layers = np.zeros((3, n, n))
    t = np.linspace(0.0, 1.0, samples)
    calibre = np.clip((t * 3.0).astype(int), 0, 2)  # 0 the stem, 2 the tip
    for side in (-1.0, 1.0):
        hilum = np.array([side * rng.uniform(0.17, 0.22), rng.uniform(-0.12, 0.0)])
        for branch in range(rng.integers(9, 14)):
            heading = rng.uniform(-1.35, 1.35) + rng.normal(0.0, 0.35) * t
            length, strength = rng.uniform(0.35, 0.75), rng.uniform(0.6, 1.2) * (1.0 if branch else 1.6)
            path = np.cumsum(np.stack([side * np.cos(heading), np.sin(heading)]), axis=1) * length / samples
            column, row = ((path + hilum[:, None] + 1.0) / 2.0 * n).astype(int)  # at most 0.97 away: on the grid
            np.add.at(layers, (calibre, row, column), strength * length / samples * n / 2.0)
    widths, densities = (2.0, 1.4, 1.0), (0.034, 0.030, 0.026)
    vessels = np.zeros((n, n))
    for layer, width, density in zip(layers, widths, densities, strict=True):
        vessels += density * np.sqrt(2.0 * np.pi) * width * gaussian_filter(layer, width)
    return vessels


def _draw_texture(rng: np.random.Generator) -> Array:
    """Density within the lungs, in sick and healthy alike: vessels, hila, parenchyma, and up to two calcified scars."""
    n = TEXTURE_SIZE
    texture = _draw_vessels(rng)
    x, y = pixel_grid(n)
    for side in (-1.0, 1.0):
        size, level = rng.uniform(0.08, 0.13), rng.uniform(-0.1, 0.02)
        blob = np.exp(-(((x - side * 0.22) / size) ** 2) - ((y - level) / (1.6 * size)) ** 2)
        texture += rng.uniform(0.05, 0.11) * blob
    width = 2.5
    texture += 0.012 * 2.0 * np.sqrt(np.pi) * width * gaussian_filter(rng.normal(size=(n, n)), width, mode="wrap")
    for _ in range(rng.integers(0, 3)):
        px, py, peak = rng.uniform(-0.7, 0.7), rng.uniform(-0.65, 0.35), rng.uniform(0.04, 0.08)
        texture += peak * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2.0 * 0.02**2))
    return texture


def draw_anatomy(rng: np.random.Generator, sex: str) -> Anatomy:
    """A person's own anatomy.

    Args:
        rng: source of all randomness.
        sex: one of :data:`SEXES`; women get breast shadows and a somewhat smaller chest, with much overlap.

    Raises:
        ValueError: for another sex.
    """
    if sex not in SEXES:
        raise ValueError(f"Unknown sex {sex!r}: use one of {', '.join(SEXES)}.")
    female = sex == "F"
    u = rng.uniform
    width = u(0.60, 0.74) + (0.0 if female else 0.04)
    dome = u(0.36, 0.56)
    return Anatomy(
        sex=sex,
        lung_half_width=width,
        lung_top=u(-0.84, -0.70),
        dome=(dome - u(0.0, 0.08), dome),
        lung_density=u(0.30, 0.38),
        mediastinum=u(0.11, 0.17),
        heart=(u(0.06, 0.16), dome - u(0.10, 0.17), u(0.26, 0.38), u(0.22, 0.30), u(0.3, 0.7)),
        aorta=u(0.07, 0.12),
        neck=u(0.22, 0.32),
        shoulder=u(-1.05, -0.85),
        torso=width + u(0.14, 0.34),
        tissue=u(0.46, 0.58),
        breast=(u(0.05, 0.12) if female else u(0.0, 0.03), u(0.32, 0.46), u(0.30, 0.48), u(0.24, 0.36)),
        ribs=(u(-0.80, -0.70), u(0.15, 0.19), u(0.18, 0.34), u(-0.10, 0.02), u(0.026, 0.038), u(0.06, 0.11)),
        clavicle=(u(-0.66, -0.54), u(0.10, 0.24)),
        stomach=(u(0.25, 0.42), u(0.12, 0.2), u(0.06, 0.13)),
        texture=_draw_texture(rng),
    )
