"""Array transforms of the pipeline's steps (arXiv 2403.16473); the maths is in ``functional``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
from monai.config import NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import RandomizableTransform, Transform
from monai.utils import TransformBackends
from torch import Tensor, nn

from fesf.transforms.checks import (
    check_alpha,
    check_beta,
    check_float,
    check_range,
    check_same_shape,
    check_unit_interval,
)
from fesf.transforms.functional import PreparedHost, enhance, half_widths, hide, prepare_host
from fesf.transforms.loading import load_image, to_unit_grey

__all__ = ["EnhanceImage", "HideImage", "Host", "RandHideImage", "SurrogateImage", "read_host"]

Host = np.ndarray | Tensor | str | PathLike[str]
"""A host image: ``(C, *spatial)`` as array or tensor, or the path of an image file."""

CACHED_HOSTS = 128
"""Prepared hosts that :class:`RandHideImage` keeps (our choice); the least recently used goes first."""


def read_host(host: Host) -> Tensor:
    """Return a host as a checked float tensor ``(C, *spatial)`` without metadata.

    Args:
        host: path of a file that MONAI's ``LoadImage`` reads, or an array or tensor ``(C, *spatial)``. Files and
            integer arrays go through :func:`~fesf.transforms.loading.to_unit_grey` (divided by their dtype's maximum,
            colour to grey); float arrays are taken as they are, all channels of them.

    Returns:
        Tensor ``(C, *spatial)``, float32 or float64, intensities in [0, 1].

    Raises:
        ValueError: if the host has no channel axis and two or three spatial ones, values that are not finite or outside
            [0, 1], or a constant channel.
    """
    if isinstance(host, str | PathLike):
        host = load_image(host)
    tensor = _as_tensor(host)
    if tensor.ndim not in (3, 4):
        raise ValueError(
            f"the host has shape {tuple(tensor.shape)}: expected (C, H, W) or (C, D, H, W); add the channel axis, "
            "for example with monai.transforms.EnsureChannelFirst."
        )
    if not (tensor.is_floating_point() or tensor.is_complex()):
        tensor = to_unit_grey(host)
    check_float("host", tensor)
    check_unit_interval("host", tensor)
    prepare_host(tensor, 0.0, tensor.ndim - 1)  # refuses a constant channel
    return tensor


class HideImage(Transform):
    """Hide an image in a host: mix amplitudes in the low band, keep the host's phase (IHM, equations 1 to 3).

    The result is ``F^-1(A_sy * exp(j * P_ho))`` with ``A_sy = (1 - beta) * A_ho + beta * A_pl`` on the band and
    ``A_ho`` elsewhere. A MetaTensor gives a MetaTensor with the same affine and no other trace of the source
    (``filename_or_obj``, ``applied_operations``, header); arrays and tensors give a tensor.

    There is no ``inverse``: the plaintext's phase and everything outside the band are gone. It is not encryption
    either: who holds the host, alpha and beta recovers the plaintext's amplitude on the band, exactly if ``clip`` is
    False.

    Args:
        host: ``(C, *spatial)`` array or tensor, or a path; see :func:`read_host`.
        alpha: half-width of the band as a share of each axis, in [0, 0.5]; 0 is DC alone, 0.5 the whole spectrum.
        beta: the plaintext's share of the amplitude, in [0, 1]; 0 gives the host.
        clip: clamp the result to [0, 1]. Black backgrounds ring below zero, so this loses something.

    Raises:
        ValueError: if alpha or beta is outside its range or NaN, or the host is constant, non-finite or outside [0, 1].
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012  (MONAI declares it so)

    def __init__(self, host: Host, alpha: float = 0.1, beta: float = 0.5, clip: bool = True) -> None:
        self.alpha = check_alpha(alpha)
        self.beta = check_beta(beta)
        self.clip = clip
        self._hosts = _Hosts([host])

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Return the synthetic image.

        Args:
            img: plaintext of the host's shape ``(C, *spatial)``, float32 or float64, intensities in [0, 1].

        Returns:
            The synthetic image, same shape and dtype.

        Raises:
            ValueError: if ``img`` is not a float image in [0, 1] of the host's shape.
        """
        return self._hosts.hide(img, 0, self.alpha, self.beta, self.clip)


class RandHideImage(RandomizableTransform):
    """Hide an image in a host, with alpha and beta, drawn anew at each call; see :class:`HideImage`.

    Args:
        hosts: one or more hosts of one shape; see :func:`read_host`. Drawn uniformly.
        alpha: range (low, high) to draw from uniformly, or one number; within [0, 0.5].
        beta: range (low, high) to draw from uniformly, or one number; within [0, 1].
        prob: probability of hiding. Below 1 some calls return the *plaintext* (without its metadata but the affine):
            for augmentation inside the hospital only.
        clip: clamp the result to [0, 1].

    Raises:
        ValueError: if there is no host, hosts differ in shape, one is unusable, a range is not one, or ``prob`` is
            outside [0, 1].
    """

    backend = HideImage.backend

    def __init__(
        self,
        hosts: Sequence[Host] | Host,
        alpha: float | Sequence[float] = (0.05, 0.1),
        beta: float | Sequence[float] = (0.3, 0.7),
        prob: float = 1.0,
        clip: bool = True,
    ) -> None:
        if not 0.0 <= prob <= 1.0:
            raise ValueError(f"prob must be in [0, 1], got {prob!r}.")
        RandomizableTransform.__init__(self, prob)
        self.alpha = check_range("alpha", alpha)
        self.beta = check_range("beta", beta)
        self.clip = clip
        self._hosts = _Hosts([hosts] if isinstance(hosts, str | PathLike) else list(hosts))
        self._draw = (0, self.alpha[0], self.beta[0])

    def randomize(self, data: object = None) -> None:
        """Draw from ``self.R`` whether to hide, the host, alpha and beta; always all four, so streams stay aligned."""
        super().randomize(None)
        self._draw = (
            int(self.R.randint(len(self._hosts.images))),
            float(self.R.uniform(*self.alpha)),
            float(self.R.uniform(*self.beta)),
        )

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> Tensor:
        """Return the synthetic image, or with probability ``1 - prob`` the image itself.

        Args:
            img: plaintext of the hosts' shape ``(C, *spatial)``, float32 or float64, intensities in [0, 1].
            randomize: draw first; False repeats the last draw.

        Returns:
            An image of the same shape and dtype; of a MetaTensor only the affine is kept.

        Raises:
            ValueError: if ``img`` is not a float image in [0, 1] of the hosts' shape.
        """
        if randomize:
            self.randomize(None)
        if not self._do_transform:
            return _dress(_as_tensor(img).clone(), img)
        return self._hosts.hide(img, *self._draw, self.clip)


class EnhanceImage(Transform):
    """Enhance a synthetic image by the IQEM's generator: ``x_su = G(x_sy)``, clamped to [0, 1] (our choice).

    Metadata is treated as by :class:`HideImage`, and there is no ``inverse`` either.

    Args:
        generator: G, ``(B, C, *spatial)`` to the same shape, such as
            :class:`~fesf.networks.generator.EnhancementGenerator`. It is put in evaluation mode; no gradient is kept.
    """

    backend = HideImage.backend

    def __init__(self, generator: nn.Module) -> None:
        self.generator = generator.eval()

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Return the enhanced image.

        Args:
            img: synthetic image ``(C, *spatial)`` in the generator's dtype, intensities in [0, 1].

        Returns:
            The enhanced image, same shape and dtype; of a MetaTensor only the affine is kept.

        Raises:
            ValueError: if ``img`` is not a float image ``(C, *spatial)`` in [0, 1] of the generator's dtype.
        """
        synthetic = _as_tensor(img)
        _check_input("synthetic image", synthetic, self.generator)
        if synthetic.ndim not in (3, 4):
            raise ValueError(
                f"the synthetic image has shape {tuple(synthetic.shape)}: expected one image, (C, H, W) or "
                "(C, D, H, W); add the channel axis or take the images of a batch one by one."
            )
        with torch.no_grad():
            return _dress(enhance(synthetic[None], self.generator)[0], img)


class SurrogateImage(Transform):
    """Take a plaintext through the whole pipeline: ``x_su' = IHM(x_pl, host=G(IHM(x_pl, x_ho)))``.

    Metadata is treated as by :class:`HideImage`, and there is no ``inverse`` either.

    Args:
        network: a :class:`~fesf.networks.surrogate.SurrogateNet`; its ``stage`` says what is returned. It is put in
            evaluation mode; no gradient is kept.
    """

    backend = HideImage.backend

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Return what the network's ``stage`` names.

        Args:
            img: plaintext of the host's shape ``(C, *spatial)`` in the generator's dtype, intensities in [0, 1].

        Returns:
            An image of the same shape and dtype; of a MetaTensor only the affine is kept.

        Raises:
            ValueError: if ``img`` is not a float image in [0, 1] of the host's shape and the generator's dtype.
        """
        plain = _as_tensor(img)
        _check_input("plaintext", plain, self.network)
        check_same_shape(plain.shape, self.network.get_buffer("host").shape)
        with torch.no_grad():
            return _dress(self.network(plain[None])[0], img)


class _Hosts:
    """Checked hosts of one shape and the most recently used of their prepared forms."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        if not hosts:
            raise ValueError("the list of hosts is empty, got []: pass at least one host image.")
        self.images = [read_host(host) for host in hosts]
        for i, image in enumerate(self.images):
            if image.shape != self.images[0].shape:
                raise ValueError(
                    f"host {i} has shape {tuple(image.shape)}, host 0 {tuple(self.images[0].shape)}: "
                    "resize all hosts to one shape."
                )
        self._prepared: OrderedDict[tuple[object, ...], PreparedHost] = OrderedDict()

    def hide(self, img: NdarrayOrTensor, index: int, alpha: float, beta: float, clip: bool) -> Tensor:
        """Check ``img``, hide it in the host of this index and give back the type and the affine of ``img``."""
        plain = _as_tensor(img)
        check_float("plaintext", plain)
        check_same_shape(plain.shape, self.images[index].shape)
        check_unit_interval("plaintext", plain)
        host = self._prepare(index, alpha, plain)
        return _dress(hide(plain, host, alpha, beta, host.spatial_dims, clip), img)

    def _prepare(self, index: int, alpha: float, like: Tensor) -> PreparedHost:
        image = self.images[index]
        key = (index, half_widths(image.shape[1:], alpha), like.dtype, like.device)
        if key not in self._prepared:
            exact = image.to(torch.promote_types(image.dtype, like.dtype))  # the phase keeps the finer dtype
            self._prepared[key] = prepare_host(exact, alpha, image.ndim - 1).to(like.device, like.dtype)
            if len(self._prepared) > CACHED_HOSTS:
                self._prepared.popitem(last=False)
        self._prepared.move_to_end(key)
        return self._prepared[key]


def _check_input(name: str, image: Tensor, network: nn.Module) -> None:
    """Raise ``ValueError`` unless ``image`` holds floats in [0, 1] of the dtype of the network's parameters."""
    check_float(name, image)
    check_unit_interval(name, image)
    dtype = next((parameter.dtype for parameter in network.parameters()), image.dtype)
    if image.dtype != dtype:
        raise ValueError(
            f"the {name} has dtype {image.dtype} and the network {dtype}: cast the image, for example with "
            "monai.transforms.EnsureType(dtype=...)."
        )


def _as_tensor(img: NdarrayOrTensor) -> Tensor:
    """Return a plain tensor: the maths sees no metadata machinery."""
    if isinstance(img, MetaTensor):
        return img.as_tensor()
    return img if isinstance(img, Tensor) else torch.as_tensor(np.ascontiguousarray(img))


def _dress(out: Tensor, img: NdarrayOrTensor) -> Tensor:
    """Give ``out`` the affine of a MetaTensor ``img`` and nothing else of it."""
    return MetaTensor(out, affine=img.affine) if isinstance(img, MetaTensor) and get_track_meta() else out
