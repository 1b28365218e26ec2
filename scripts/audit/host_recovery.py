"""Host and recipe recovery: which public image hid this, in which band, with which share of the plaintext?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fesf.scripts.audit.controls import titled
from fesf.scripts.audit.declip import declipped_amplitude
from fesf.scripts.audit.host_choice import dependence
from fesf.scripts.audit.recipe_recovery import band_edge, nearest_host, regressed, smallest_ratio, spread
from fesf.scripts.audit.scene import Floats, Images, Integers, Scene
from fesf.scripts.audit.score import Score
from fesf.scripts.audit.self_made import one_pass
from fesf.scripts.audit.spectra import band_amplitude

READ = 48
"""Surrogates from which beta is read: enough for it, and undoing their clipping takes seconds."""


def hosts_of(images: Images, scene: Scene) -> Integers:
    """Which image of the pool hides each image, (N,).

    Raises:
        ValueError: when one host hides all and it is not in the pool.
    """
    if images.hosts is not None:
        return images.hosts
    found = np.flatnonzero((scene.pool == scene.host).all((1, 2)))
    if not len(found):
        raise ValueError("The host is not in the public pool: nobody can find it there.")
    return np.full(len(images), found[0])


@dataclass(frozen=True)
class HostRecovery:
    """Somebody with the store and the public pool, who does not know the recipe and reads it from the surrogates.

    Each surrogate's host is the image of the pool whose phases are most alike. Alpha is where the spread of amplitudes
    over the store changes; beta follows from the smallest ratio to the host's amplitude, and by regression, both after
    clipping is undone. This is about the release, not about victims: it costs the hospital its recipe, which all other
    attacks hold anyway. So its controls are its own: stores that the audit makes itself, with a host drawn for each
    image. After a second pass the host is a generator's image, which is in nobody's pool: a named host there says how
    much of the public one the generator kept, and beta cannot be read.
    """

    name: ClassVar[str] = "host and recipe recovery"
    letters: ClassVar[tuple[str, ...]] = ("a", "b")
    finding: ClassVar[str] = "inference"
    measure: ClassVar[str] = "rank-1: the image of the pool that is most alike is the host"
    broken: ClassVar[str] = "additive mixing"
    margin: ClassVar[float] = 0.05
    permutations: ClassVar[int] = 3
    titles: ClassVar[Mapping[str, str]] = titled(
        plaintext="many hosts, floats", broken="additive, many hosts", permuted="hosts not of the pool"
    )

    def condition(self, scene: Scene, name: str, seed: int) -> Scene:
        """Stores of the audit's own: a host of the pool for each image; for the negative control a stranger's image.

        Raises:
            ValueError: when the pool has one image.
        """
        if len(scene.pool) < 2:
            raise ValueError("The public pool has one image: there is nothing to name.")
        if name == "store":
            return scene.with_images(lambda images: replace(images, hosts=hosts_of(images, scene)))
        rng = np.random.default_rng(seed)

        def hidden(images: Images) -> Images:
            drawn = rng.integers(len(scene.pool), size=len(images))
            hosts = scene.pool[drawn]
            if name == "permuted":
                hosts = images.plain[rng.permutation(len(images))]
            if name == "broken":
                return replace(images, seen=(hosts + images.plain) / 2, hosts=drawn)
            seen = [
                self._hidden(replace(scene, host=host), plain[None], exact=name == "plaintext")
                for host, plain in zip(hosts, images.plain, strict=True)
            ]
            return replace(images, seen=np.concatenate(seen) if seen else images.seen, hosts=drawn)

        return scene.with_images(hidden)

    def _hidden(self, scene: Scene, plain: Floats, exact: bool) -> Floats:
        """Images of a control's store: floats, or as files hold them."""
        return one_pass(scene, plain, not exact, None if exact else scene.levels)

    def _faces(self, scene: Scene) -> Floats:
        """What the store would show of each image of the pool, if it were the host, (M, H, W)."""
        return scene.pool

    def fit(self, scene: Scene) -> dict[str, float]:
        """The recipe, from all surrogates."""
        seen = np.concatenate([scene.known.seen, scene.victims.seen])
        truth = np.concatenate([hosts_of(scene.known, scene), hosts_of(scene.victims, scene)])
        labels, patients = (
            np.concatenate([getattr(scene.known, name), getattr(scene.victims, name)])
            for name in ("labels", "patients")
        )
        split = np.arange(len(seen)) >= len(scene.known)
        faces = self._faces(scene)
        named = nearest_host(seen, faces)
        average = nearest_host(seen.mean(0)[None], faces)[0]
        shape = (scene.host.shape[0], scene.host.shape[1])
        # With one host its name is not needed, and where a generator hid it, a wrong name blurs the edge.
        edges = [band_edge(found, shape) for found in (spread(seen), spread(seen, scene.pool[named]))]
        alpha, edge = max(edges, key=lambda pair: pair[1])
        found = {
            "named_of_the_average": float(average == np.bincount(truth).argmax()),
            "hosts": float(len(np.unique(truth))),
            "alpha": alpha,
            "alpha_bins_off": float(max(abs(int(alpha * n + 1e-9) - int(scene.alpha * n + 1e-9)) for n in shape)),
            "alpha_edge_t": edge,
            "p_host_says_nothing_of_label": dependence(truth, labels),
            "p_host_says_nothing_of_patient": dependence(truth, patients),
            "p_host_says_nothing_of_split": dependence(truth, split.astype(np.int64)),
        }
        return found | self._share(seen, named, scene, alpha)

    def _share(self, seen: Floats, named: Integers, scene: Scene, alpha: float) -> dict[str, float]:
        """Beta, and its relative error where it is not 0."""
        some = np.unique(np.linspace(0, len(seen) - 1, READ).astype(np.int64))
        mixed = np.empty((len(some), band_amplitude(scene.host[None], alpha).shape[1]))
        for host in np.unique(named[some]):
            own = named[some] == host
            mixed[own] = declipped_amplitude(seen[some[own]], scene.pool[host], alpha)
        hosts, public = band_amplitude(scene.pool[named[some]], alpha), band_amplitude(scene.pool, alpha)
        found = {
            "beta": smallest_ratio(mixed[:, 1:], hosts[:, 1:]),
            "beta_by_regression": regressed(mixed[:, 1:], hosts[:, 1:], public[:, 1:]),
        }
        errors = {
            f"{name}_relative_error": abs(beta / scene.beta - 1) for name, beta in found.items() if scene.beta > 0
        }
        return found | errors

    def score(self, fitted: dict[str, float], scene: Scene) -> Score:
        """Name each victim's host; by the spectrum outside the found band beside it."""
        victims = scene.victims
        truth = hosts_of(victims, scene)
        faces = self._faces(scene)
        hits = nearest_host(victims.seen, faces) == truth
        outside = 0.0
        if fitted["alpha"] < 0.5:
            outside = float((nearest_host(victims.seen, faces, fitted["alpha"]) == truth).mean())
        details = fitted | {"named_by_spectrum_outside_the_band": outside}
        return Score(hits.astype(float), victims.patients, 1 / len(scene.pool), 1.0, details)
