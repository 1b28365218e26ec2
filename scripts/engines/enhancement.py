"""The engine that trains the IQEM: MONAI's AdversarialTrainer, with host images as the real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from monai.engines import AdversarialTrainer
from monai.utils import CommonKeys
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from fesf.networks.discriminator import pack
from fesf.networks.losses import AdversarialLoss
from fesf.scripts.engines.tracking import refuse_other_servers

SYNTHETIC, HOST = CommonKeys.IMAGE, "host"


def unpaired_batch(batch: Mapping[str, Tensor], device: Any = None, non_blocking: bool = False, **options: Any) -> Any:
    """The synthetic images and the host images of a batch, on the device."""
    return tuple(batch[key].to(device=device, non_blocking=non_blocking, **options) for key in (SYNTHETIC, HOST))


def channels_last(network: nn.Module) -> None:
    """Keep the weights of 2D convolutions with their channels last: the same numbers, faster on CPUs and with AMP."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)


class EnhancementTrainer(AdversarialTrainer):
    """Alternating steps of G and D on unpaired batches (arXiv 2403.16473, L_GAN; both networks are our choice).

    MONAI's trainer takes its *input* for the real image; here the host images are real and G's images are fake. D's
    parameters take no gradient in G's step, G's none in D's. G minimises the adversarial loss plus
    ``content_weight * mean abs(G(s) - s)``; 0 is the paper's loss.

    Args:
        device: where to train.
        max_epochs: number of epochs.
        train_data_loader: batches with synthetic images under "image" and host images under "host".
        g_network: the generator G.
        g_optimizer: of G's parameters.
        d_network: the discriminator; returns logits, or features with the logits last.
        d_optimizer: of D's parameters.
        loss: the adversarial loss of both.
        content_weight: lambda, at least 0.
        images_per_pack: how many images D judges together.
        train_handlers: handlers.
        amp: mixed precision, on CUDA only.

    Raises:
        ValueError: when ``content_weight`` is negative or not finite, a pack is larger than a batch, or the environment
            would send figures to a server that nobody named; while training, when a loss is not finite.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: DataLoader[Any],
        g_network: nn.Module,
        g_optimizer: Optimizer,
        d_network: nn.Module,
        d_optimizer: Optimizer,
        loss: AdversarialLoss,
        content_weight: float = 0.0,
        images_per_pack: int = 1,
        train_handlers: Sequence[Any] | None = None,
        amp: bool = False,
    ) -> None:
        if not (math.isfinite(content_weight) and content_weight >= 0):
            raise ValueError(f"content_weight={content_weight!r}: give a number of at least 0; 0 is the paper's loss.")
        if not 1 <= images_per_pack <= (train_data_loader.batch_size or images_per_pack):
            raise ValueError(f"{images_per_pack=}: give a whole number from 1 to batch_size, which D judges together.")
        refuse_other_servers(train_handlers)
        for network in (g_network, d_network):
            channels_last(network)
        super().__init__(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=train_data_loader,
            g_network=g_network,
            g_optimizer=g_optimizer,
            g_loss_function=loss,
            recon_loss_function=nn.L1Loss(),
            d_network=d_network,
            d_optimizer=d_optimizer,
            d_loss_function=loss.discriminator,
            prepare_batch=unpaired_batch,
            train_handlers=train_handlers,
            amp=amp,
            decollate=False,
            optim_set_to_none=True,
        )
        self.content_weight = content_weight
        self.images_per_pack = images_per_pack

    def _complete_state_dict_user_keys(self) -> None:
        """None: MONAI's would put whole modules into the state, which ``weights_only=True`` refuses."""

    @property
    def scalers(self) -> dict[str, Any]:
        """Gradient scalers by name; empty without mixed precision."""
        found = {"g_scaler": self.state.g_scaler, "d_scaler": self.state.d_scaler}
        return {name: scaler for name, scaler in found.items() if scaler is not None}

    def _iteration(self, engine: Any, batchdata: Mapping[str, Tensor]) -> dict[str, Any]:
        state = engine.state
        synthetic, hosts = engine.prepare_batch(batchdata, state.device, engine.non_blocking, **engine.to_kwargs)
        output = state.output = {CommonKeys.IMAGE: synthetic, AdversarialKeys.REALS: hosts}
        state.g_network.train()
        state.d_network.train()

        state.d_network.requires_grad_(False)
        with self._precision():
            fakes = engine.g_inferer(synthetic, state.g_network)
            adversarial = state.g_loss_function(self._logits(fakes))
            content = state.recon_loss_function(fakes, synthetic)
        total = adversarial + self.content_weight * content
        output |= {CommonKeys.PRED: fakes.detach(), AdversarialKeys.FAKES: fakes.detach()}
        output |= {CommonKeys.LOSS: total.detach(), AdversarialKeys.GENERATOR_LOSS: adversarial.detach()}
        output[AdversarialKeys.RECONSTRUCTION_LOSS] = content.detach()
        self._check("generator", total)
        self._step(total, state.g_optimizer, state.g_scaler, AdversarialIterationEvents.GENERATOR_BACKWARD_COMPLETED)
        state.d_network.requires_grad_(True)
        engine.fire_event(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED)

        with self._precision():
            real, fake = self._logits(hosts), self._logits(fakes.detach())
            loss = state.d_loss_function(real, fake)
        output |= {AdversarialKeys.REAL_LOGITS: real.detach(), AdversarialKeys.FAKE_LOGITS: fake.detach()}
        output[AdversarialKeys.DISCRIMINATOR_LOSS] = loss.detach()
        self._check("discriminator", loss)
        self._step(loss, state.d_optimizer, state.d_scaler, AdversarialIterationEvents.DISCRIMINATOR_BACKWARD_COMPLETED)
        return output

    def _precision(self) -> AbstractContextManager[Any]:
        return torch.autocast("cuda", enabled=self.amp, **self.amp_kwargs)

    def _logits(self, images: Tensor) -> Tensor:
        answer = self.d_inferer(pack(images.float(), self.images_per_pack), self.state.d_network)
        return answer[-1] if isinstance(answer, list | tuple) else answer

    def _step(self, loss: Tensor, optimizer: Optimizer, scaler: Any, event: AdversarialIterationEvents) -> None:
        optimizer.zero_grad(set_to_none=True)
        (loss if scaler is None else scaler.scale(loss)).backward()
        self.fire_event(event)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def _check(self, name: str, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise ValueError(
                f"The {name}'s loss became {loss.item()} in epoch {self.state.epoch}, iteration {self.state.iteration}:"
                " lower the learning rates and resume from last.pt, which holds the epoch before."
            )
