"""The adversarial training: who sees what, whom a step moves, and that it learns a domain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from ignite.handlers import EMAHandler
from monai.data import DataLoader
from monai.networks.nets import PatchDiscriminator
from monai.utils.enums import AdversarialIterationEvents, AdversarialKeys
from torch import Tensor, nn

from fesf.networks import AdversarialLoss, EnhancementGenerator
from fesf.networks.discriminator import pack, spectrally_normalised
from fesf.scripts.data.distance import HostDistance
from fesf.scripts.data.unpaired import UnpairedImages
from fesf.scripts.engines.enhancement import EnhancementTrainer, channels_last, unpaired_batch
from fesf.scripts.engines.errors import show
from tests.conftest import smooth

G_STEP = AdversarialIterationEvents.GENERATOR_BACKWARD_COMPLETED
D_STEP = AdversarialIterationEvents.DISCRIMINATOR_BACKWARD_COMPLETED


class Recording(nn.Module):
    """A discriminator that keeps what it saw."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Any:
        self.seen.append(images.detach().clone())
        return self.inner(images)


class Counting(torch.optim.SGD):
    """An optimiser that counts its steps."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        return super().step(closure)


def random_images(count: int, low: float, high: float, seed: int) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def make(
    content_weight: float = 0.0,
    images_per_pack: int = 1,
    criterion: str = "log",
    length: int = 8,
    lists: bool = True,
    rate: float = 0.01,
    epochs: int = 1,
    synthetic: Tensor | None = None,
    generator: nn.Module | None = None,
) -> tuple[EnhancementTrainer, nn.Module, Recording]:
    """A trainer on batches of four: synthetic images are dark, hosts bright."""
    torch.manual_seed(0)
    generator = generator or EnhancementGenerator(2, channels=(4, 8))
    patches = PatchDiscriminator(
        spatial_dims=2, channels=8, in_channels=max(1, images_per_pack), num_layers_d=2, norm=None
    )  # returns features with the logits last
    alone = nn.Conv2d(max(1, images_per_pack), 1, 4)
    discriminator = Recording(spectrally_normalised(patches) if lists else alone)
    synthetic = random_images(12, 0.0, 0.4, 1) if synthetic is None else synthetic
    data = UnpairedImages(synthetic, random_images(12, 0.6, 1.0, 2), length)
    data.set_random_state(seed=0)
    trainer = EnhancementTrainer(
        "cpu", epochs, DataLoader(data, batch_size=4), generator, Counting(generator.parameters(), rate),
        discriminator, Counting(discriminator.parameters(), rate), AdversarialLoss(criterion),
        content_weight=content_weight, images_per_pack=images_per_pack,
    )  # fmt: skip
    return trainer, generator, discriminator


def gradients(network: nn.Module) -> list[Tensor | None]:
    return [parameter.grad for parameter in network.parameters()]


def sizes(network: nn.Module) -> list[float]:
    return [0.0 if grad is None else float(grad.abs().max()) for grad in gradients(network)]


def watch(trainer: EnhancementTrainer, event: Any, look: Callable[[], Any]) -> list[Any]:
    """What ``look`` saw each time the event was fired."""
    seen: list[Any] = []
    trainer.add_event_handler(event, lambda engine: seen.append(look()))
    return seen


@pytest.mark.parametrize("criterion", ["log", "least_squares", "hinge"])
def test_the_adversarial_term_alone_moves_the_generator(criterion: str) -> None:
    trainer, generator, discriminator = make(0.0, criterion=criterion)
    of_g = watch(trainer, G_STEP, lambda: (sizes(generator), gradients(discriminator)))
    trainer.run()
    assert len(of_g) == 2
    own, others = of_g[0]
    assert own[-2] > 0 < own[-1]  # at first only the last convolution, which starts at zero, can have one
    assert all(size > 0 for size in of_g[1][0])  # then all of G
    assert all(grad is None for grad in others)


def test_gradients_of_a_step_are_the_networks_own() -> None:
    trainer, generator, discriminator = make(0.3, length=12)
    before_d: list[list[Tensor]] = []
    watch(trainer, G_STEP, lambda: before_d.append([p.detach().clone() for p in discriminator.parameters()]))
    of_g = watch(
        trainer, G_STEP,
        lambda: ([None if grad is None else grad.clone() for grad in gradients(discriminator)], sizes(generator)),
    )  # fmt: skip
    left = watch(
        trainer, AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED,
        lambda: [grad.clone() for grad in gradients(generator) if grad is not None],
    )  # fmt: skip
    of_d = watch(
        trainer, D_STEP,
        lambda: (sizes(discriminator), [grad.clone() for grad in gradients(generator) if grad is not None]),
    )  # fmt: skip
    kept = watch(trainer, Events.ITERATION_COMPLETED, lambda: [grad.clone() for grad in gradients(discriminator)])
    trainer.run()
    for step in range(3):
        assert all(size > 0 for size in of_d[step][0])
        assert all(map(torch.equal, of_d[step][1], left[step]))  # D's step adds nothing to G's gradients
        if step:  # nor G's to D's, which are still those of D's step before
            assert all(map(torch.equal, of_g[step][0], kept[step - 1]))
    assert all(grad is None for grad in of_g[0][0])


def test_a_step_moves_one_network_and_the_next_the_other() -> None:
    trainer, generator, discriminator = make(0.5, length=4)
    states: dict[str, tuple[list[Tensor], list[Tensor]]] = {}

    def keep(name: str) -> None:
        states[name] = tuple([p.detach().clone() for p in net.parameters()] for net in (generator, discriminator))  # type: ignore[assignment]

    keep("start")
    trainer.add_event_handler(AdversarialIterationEvents.GENERATOR_MODEL_COMPLETED, lambda _: keep("middle"))
    trainer.run()
    keep("end")
    for which, first, second in ((0, "start", "middle"), (1, "middle", "end")):
        assert not all(map(torch.equal, states[first][which], states[second][which]))
        assert all(map(torch.equal, states[first][1 - which], states[second][1 - which]))
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_channels_last_are_the_same_numbers(dims: int) -> None:
    torch.manual_seed(0)
    network = EnhancementGenerator(spatial_dims=dims)
    with torch.no_grad():
        for parameter in network.parameters():  # away from the identity
            parameter += 0.05 * torch.randn_like(parameter)
    image = torch.rand(2, 1, *[16] * dims)
    before, loss = network(image), network(image).square().mean()
    gradients_before = torch.autograd.grad(loss, list(network.parameters()))
    kept = list(network.parameters())
    channels_last(network)
    assert all(
        after is parameter for after, parameter in zip(network.parameters(), kept, strict=True)
    )  # the optimiser's
    weights = [parameter for parameter in kept if parameter.ndim == 4]
    assert bool(weights) == (dims == 2)
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    torch.testing.assert_close(network(image), before, rtol=0, atol=1e-5)
    gradients_after = torch.autograd.grad(network(image).square().mean(), kept)
    for mine, theirs in zip(gradients_after, gradients_before, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_trainer_keeps_channels_last() -> None:
    _, generator, discriminator = make()
    for network in (generator, discriminator):
        wide = [weight for weight in network.parameters() if weight.ndim == 4 and min(weight.shape[1:]) > 1]
        assert wide
        assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in wide)


def test_both_step_once_an_iteration() -> None:
    trainer, _, discriminator = make(length=20)
    trainer.run()
    assert trainer.state.g_optimizer.steps == trainer.state.d_optimizer.steps == trainer.state.iteration == 5
    assert len(discriminator.seen) == 15  # G's images for G's step; hosts and G's images for D's


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hosts_are_real_and_generated_images_are_fake(count: int) -> None:
    trainer, generator, discriminator = make(images_per_pack=count, length=12)
    outputs = watch(trainer, Events.ITERATION_COMPLETED, lambda: dict(trainer.state.output))
    made: list[Tensor] = []
    generator.register_forward_hook(lambda module, inputs, output: made.append(output.detach().clone()))
    batches = watch(trainer, Events.GET_BATCH_COMPLETED, lambda: dict(trainer.state.batch))
    trainer.run()
    seen = [discriminator.seen[start : start + 3] for start in range(0, 9, 3)]
    for (for_g, real, fake), output, batch, image in zip(seen, outputs, batches, made, strict=True):
        assert torch.equal(real, pack(batch["host"], count))
        assert real.min() >= 0.6
        assert torch.equal(fake, pack(image, count))
        assert torch.equal(for_g, fake)
        assert torch.equal(output["image"], batch["image"])
        assert torch.equal(output[AdversarialKeys.REALS], batch["host"])
        assert torch.equal(output["pred"], image)
        assert torch.equal(output[AdversarialKeys.FAKES], image)
        assert not any(value.requires_grad for value in output.values())
    assert len(made) == 3


def test_discriminator_learns_which_is_which() -> None:
    """After some steps with a generator that stands still, hosts get the larger logits."""
    trainer, _, _ = make(length=400, rate=0.05)
    trainer.state.g_optimizer.param_groups[0]["lr"] = 0.0
    trainer.run()
    output = trainer.state.output
    assert output[AdversarialKeys.REAL_LOGITS].mean() > output[AdversarialKeys.FAKE_LOGITS].mean() + 1


@pytest.mark.parametrize("lists", [True, False])
def test_losses_are_the_formulas(lists: bool) -> None:
    trainer, generator, discriminator = make(0.7, lists=lists, length=8)
    inner = discriminator.inner.eval()
    inner.train = lambda mode=True: inner  # type: ignore[method-assign]  # the estimate of singular values stands still
    start: list[Any] = []
    totals = watch(trainer, G_STEP, lambda: float(trainer.state.output["loss"]))

    def logits(images: Tensor) -> np.ndarray:
        answer = inner(images)
        return (answer[-1] if lists else answer).detach().double().numpy()

    def before(engine: Any) -> None:
        batch = engine.state.batch
        with torch.no_grad():
            fakes = generator(batch["image"])
        start.append((logits(fakes), float((fakes - batch["image"]).abs().mean()), logits(batch["host"])))

    trainer.add_event_handler(Events.ITERATION_STARTED, before)
    outputs = watch(trainer, Events.ITERATION_COMPLETED, lambda: dict(trainer.state.output))
    trainer.run()

    def softplus(x: np.ndarray) -> np.ndarray:
        return np.log1p(np.exp(x))

    for (fake, content, real), output, total in zip(start, outputs, totals, strict=True):
        adversarial = softplus(-fake).mean()
        assert float(output[AdversarialKeys.GENERATOR_LOSS]) == pytest.approx(adversarial, rel=1e-5)
        assert float(output[AdversarialKeys.RECONSTRUCTION_LOSS]) == pytest.approx(content, rel=1e-5)
        assert total == pytest.approx(adversarial + 0.7 * content, rel=1e-5)
        of_d = softplus(-real).mean() + softplus(fake).mean()
        assert float(output[AdversarialKeys.DISCRIMINATOR_LOSS]) == pytest.approx(of_d, rel=1e-5)
        np.testing.assert_allclose(output[AdversarialKeys.REAL_LOGITS], real, atol=1e-5)
    assert start[1][1] > 0  # no longer the identity


def test_the_content_term_keeps_the_image() -> None:
    changes = []
    for weight in (0.0, 100.0):
        trainer, generator, _ = make(weight, length=80, rate=0.05 / (1 + weight))
        trainer.run()
        images = random_images(6, 0.0, 0.4, 5)
        with torch.no_grad():
            changes.append(float((generator(images) - images).abs().mean()))
    assert changes[1] < changes[0] / 5


class Broken(nn.Module):
    """A generator that breaks after some batches."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.weight, self.left = nn.Parameter(torch.ones(())), after

    def forward(self, images: Tensor) -> Tensor:
        self.left -= 1
        return images * self.weight * (1.0 if self.left >= 0 else math.nan)


def test_a_loss_that_is_not_finite_stops_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    trainer, generator, _ = make(0.5, length=8, epochs=3, generator=Broken(4))
    message = (
        "The generator's loss became nan in epoch 3, iteration 5: lower the learning rates and resume from last.pt"
    )
    with pytest.raises(ValueError, match=message) as caught:
        trainer.run()
    assert generator.get_parameter("weight").item() != 1
    assert math.isfinite(generator.get_parameter("weight").item())
    wrapped = RuntimeError("Failed to evaluate")
    wrapped.__cause__ = caught.value
    show(RuntimeError, wrapped, None)  # what a bundle run prints
    assert capsys.readouterr().err == f"error: {message}, which holds the epoch before.\n"


def test_the_discriminators_loss_is_watched_too() -> None:
    trainer, _, _ = make(length=4)
    hosts = trainer.data_loader.dataset.hosts  # type: ignore[union-attr]
    hosts.fill_(math.inf)
    with pytest.raises(ValueError, match="The discriminator's loss became nan in epoch 1, iteration 1"):
        trainer.run()
    assert trainer.state.d_optimizer.steps == 0


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_bad_content_weight_is_refused(weight: float) -> None:
    with pytest.raises(
        ValueError, match=f"content_weight={weight}: give a number of at least 0; 0 is the paper's loss"
    ):
        make(weight)


@pytest.mark.parametrize("count", [0, 5])
def test_bad_packs_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"images_per_pack={count}: give a whole number from 1 to batch_size"):
        make(images_per_pack=count)


def test_state_holds_no_module() -> None:
    """MONAI's trainer puts its networks into its state, which weights_only=True refuses."""
    trainer, _, _ = make()
    trainer.run()
    assert set(trainer.state_dict()) == {"epoch_length", "max_epochs", "iteration"}
    assert trainer.scalers == {}


def test_scalers_by_name() -> None:
    trainer, _, _ = make()
    trainer.state.g_scaler = "g"
    trainer.state.d_scaler = "d"
    assert trainer.scalers == {"g_scaler": "g", "d_scaler": "d"}


class Scaler:
    """Doubles the loss, and halves what the gradients became."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def scale(self, loss: Tensor) -> Tensor:
        self.calls.append("scale")
        return 2 * loss

    def step(self, optimizer: Any) -> None:
        self.calls.append("step")
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad /= 2
        optimizer.step()

    def update(self) -> None:
        self.calls.append("update")


def test_scalers_are_used_where_there_are_any() -> None:
    plain, first, _ = make(0.5, length=8)
    plain.run()
    scaled, second, _ = make(0.5, length=8)
    scaled.state.g_scaler, scaled.state.d_scaler = Scaler(), Scaler()
    scaled.run()
    for scaler in scaled.scalers.values():
        assert scaler.calls == ["scale", "step", "update"] * 2
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_unpaired_batch() -> None:
    batch = {"image": torch.zeros(2), "host": torch.ones(2)}
    synthetic, hosts = unpaired_batch(batch, "cpu", dtype=torch.float64)
    assert (float(synthetic.sum()), float(hosts.sum())) == (0, 2)
    assert synthetic.dtype == hosts.dtype == torch.float64


def textures(first: int, count: int) -> Tensor:
    """Textures of various brightness and contrast, in [0.32, 1]."""
    rng = np.random.default_rng(first)
    made = []
    for seed in range(first, first + count):
        low, height = rng.uniform(0.32, 0.5), rng.uniform(0.15, 0.5)
        made.append(low + height * (smooth(seed, (16, 16)) - 0.1) / 0.8)
    return torch.from_numpy(np.stack(made)).float()[:, None]


def test_learns_to_move_one_domain_to_another() -> None:
    """Synthetic images are other textures, 0.3 darker: G brightens them and lets the textures be."""
    hosts, synthetic = textures(0, 48), textures(100, 48) - 0.3
    torch.manual_seed(0)
    generator = EnhancementGenerator(2, channels=(8, 16))
    discriminator = spectrally_normalised(
        PatchDiscriminator(spatial_dims=2, channels=16, in_channels=2, num_layers_d=2, norm=None)
    )
    data = UnpairedImages(synthetic[:24], hosts[:24], 320 * 16)
    data.set_random_state(seed=0)
    averager = EMAHandler(generator, momentum=0.03)
    trainer = EnhancementTrainer(
        "cpu", 1, DataLoader(data, batch_size=16),
        generator, torch.optim.Adam(generator.parameters(), 5e-4, betas=(0.5, 0.99)),
        discriminator, torch.optim.Adam(discriminator.parameters(), 1e-3, betas=(0.5, 0.99)),
        AdversarialLoss("log"), content_weight=1.0, images_per_pack=2, train_handlers=[averager],
    )  # fmt: skip
    distance = HostDistance(hosts[:24], hosts[24:])
    unseen = synthetic[24:]
    before = distance(unseen)["mmd"]
    assert before > 10 * abs(distance.floor()["mmd"])
    trainer.run()
    with torch.no_grad():
        enhanced = averager.ema_model(unseen)
    assert distance(enhanced)["mmd"] <= 0.2 * before
    assert 0.2 < float((enhanced - unseen).mean()) < 0.4
    kept = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(enhanced.numpy(), unseen.numpy(), strict=True)]
    assert np.median(kept) > 0.7
