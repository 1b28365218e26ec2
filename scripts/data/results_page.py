"""``results.csv``, ``quality.csv`` and ``results.md``: the text of what :mod:`fesf.scripts.data.results` collects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fesf.scripts.data.distance import MEASURES
from fesf.scripts.data.files import to_csv
from fesf.scripts.data.grid import ARMS, CNN, NETWORKS, OTHER_EPOCHS, STAGES
from fesf.scripts.data.results import SHOWN, Results, SetResult, differences
from fesf.scripts.data.studies import ALPHAS, BETAS, GENERATED, STRONG
from fesf.scripts.engines.metrics import METRICS

COLUMNS = ("set", "network", "arm", "run", "n_test", *METRICS, "clipped_share", "commit")
QUALITY_COLUMNS = (
    "set",
    "run",
    "content_weight",
    "images_drawn",
    "stage",
    *MEASURES,
    *(f"{name}_gap_closed" for name in MEASURES),
    *(f"{name}_to_{to}" for to in ("host", "plaintext") for name in ("ssim", "psnr", "ms_ssim")),
)
TITLES = {"plaintext": "plaintext", "ihm": "IHM", "iqem": "IHM + IQEM", "full": "full"}
SECOND_PASS = "second_pass"
"""The stronger second pass, where a table names an arm or a stage."""
PAIRS = (
    ("plaintext", "ihm"),
    ("plaintext", "iqem"),
    ("plaintext", "full"),
    ("ihm", "iqem"),
    ("ihm", "full"),
    ("iqem", "full"),  # what the second pass is worth
)
OTHERS_PAIRS = (*PAIRS[:3], ("ihm", "full"))
"""Differences that the table of the other networks has room for: each arm less plaintext, and full less IHM."""
IMAGES = ("floor", "plaintext", "host", "synthetic", "enhanced", "surrogate")
GOAL_GAP, GOAL_LOSS = 0.5, -0.01


def write_table(results: Results) -> bytes:
    """The content of ``results.csv``: one line a set, network, arm and run."""
    return to_csv(COLUMNS, [line for item in results.sets for line in _lines(item)])


def _lines(item: SetResult) -> Iterator[dict[str, Any]]:
    for network, runs in item.networks.items():
        for run, arms in runs:
            shares = item.figures[run]["clipped_share"]
            found = [(arm, arms[arm], shares.get(arm)) for arm in ARMS]
            if network == CNN and run in item.second_pass:
                outcome, done = item.second_pass[run]
                found.append((SECOND_PASS, outcome, done["clipped_share"]))
            if network == CNN and run == 0:
                found += [
                    (f"{arm}_lambda_{weight:g}", outcome, None)
                    for weight, of_arm in item.lambda_arms.items()
                    for arm, outcome in of_arm.items()
                ]
            for arm, outcome, share in found:
                line = {"set": item.name, "network": network, "arm": arm, "run": run, "n_test": len(outcome.rows)}
                line |= {metric: _number(float(value[0])) for metric, value in outcome.metrics().items()}
                yield line | {"clipped_share": "" if share is None else f"{share:.4f}", "commit": outcome.commit}


def qualities(item: SetResult) -> Iterator[tuple[int, float, Mapping[str, Any]]]:
    """(run, lambda, figures of quality.json) of every trained generator."""
    for source in item.sources:
        yield source.run, source.content_weight, item.figures[source.run]["quality"]
    for weight, done in item.lambdas.items():
        if "refused" not in done:
            yield 0, weight, done["quality"]


def write_quality(results: Results) -> bytes:
    """The content of ``quality.csv``: one line a set, run, lambda and stage, controls among them."""
    lines = []
    for item in results.sets:
        for run, weight, figures in qualities(item):
            place = {"set": item.name, "run": run, "content_weight": weight}
            lines += [place | {"stage": stage} | _quality(figures, stage) for stage in IMAGES]
        for run, (_, done) in item.second_pass.items():
            place = {"set": item.name, "run": run, "content_weight": item.sources[0].content_weight}
            lines.append(place | {"stage": SECOND_PASS} | _quality(done["quality"], "surrogate"))
    return to_csv(QUALITY_COLUMNS, lines)


def _quality(figures: Mapping[str, Any], stage: str) -> dict[str, Any]:
    line: dict[str, Any] = {"images_drawn": figures["images_drawn"]}
    line |= {name: _number(figures["distance"][stage][name]) for name in MEASURES}
    line |= {f"{name}_gap_closed": _number(value) for name, value in figures["gap_closed"].get(stage, {}).items()}
    for to in ("host", "plaintext"):
        values = figures[f"likeness_to_{to}"].get(stage, {})
        line |= {f"{name}_to_{to}": _number(value) for name, value in values.items()}
    return line


def write_page(results: Results, origin: Mapping[str, Any]) -> bytes:
    """The content of ``results.md``.

    Args:
        results: what is done.
        origin: see :func:`fesf.scripts.data.provenance.provenance`.
    """
    software = ", ".join(f"{name} {value}" for name, value in origin["software"].items())
    commits, machines = ", ".join(results.commits), "; ".join(results.machines)
    judged = [item for item in results.sets if CNN in item.networks]
    parts = [
        "# The whole method and its ablations",
        f"Written by `{origin['command']}` at commit {origin['commit']} from {results.done} of {results.planned} jobs"
        f" that ran at {commits} on {machines}; {software}. Seeds: the run's"
        " number trains; 0 withdraws the hosts' patients and makes the folds.",
        INTRODUCTION,
        *_refused(results.refused),
        *(part for metric in SHOWN for part in _accuracy(judged, metric)),
        *_goal(judged),
        *_lambdas([item for item in judged if item.lambdas]),
        *_second_pass([item for item in judged if item.second_pass]),
        *_other_networks(results.sets),
        *_distances(results.sets),
        *_likeness(results.sets),
        *_sweep(results.sweep),
        LIMITS,
    ]
    return ("\n\n".join(parts) + "\n").encode()


INTRODUCTION = (
    "Arms: *plaintext* is the upper bound; *IHM* hides once; *IHM + IQEM* trains on the generator's images; *full*"
    " hides a second time in the generator's image. Alpha 0.1 and beta 0.5 in both passes, one fixed host; the same"
    " splits, network and seed in every arm. Mean ± standard deviation over runs. Differences are paired by image, with"
    " a 95 % bootstrap interval that draws patients (images where no patients are known). They say nothing of what"
    " another training would give: that is in the ± columns. `demo` is synthetic, a new cohort each seed; how hard it"
    " is was set with a look at test figures, so its own are no surprise. Classifier settings were chosen on the demo's"
    " validation split, the IQEM's losses on the distance of demo and cxr_nih1000, its lambda on distance and AUC of"
    " the training and validation patients of demo, mri_cheng430 and us_breastmnist, all with seed 0. Training on"
    " plaintexts adds random crops, which suit them."
)
LIMITS = (
    "AUC is macro one-against-rest where a set has more than two classes. 0.5 is chance for AUC; for balanced accuracy"
    " chance, and the majority class, is 1 / classes (mri_cheng430: 3, fundus_retinamnist: 5)."
)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _refused(refused: Mapping[str, str]) -> Iterator[str]:
    if refused:
        yield "Generators and images that were refused; what needs them has no figures below:"
        yield "\n".join(f"- `{title}`: {why}" for title, why in refused.items())


def _accuracy(sets: Sequence[SetResult], metric: str) -> Iterator[str]:
    name = {"auc": "AUC", "balanced_accuracy": "Balanced accuracy"}[metric]
    yield f"## {name}, small CNN"
    rows = []
    for item in sets:
        tests = [len(arms["plaintext"].rows) for arms in item.arms(CNN)]
        shown = [_spread(item.values(CNN, arm, metric)) for arm in ARMS]
        runs = f"{len(tests)} {'seeds' if item.seeds else 'folds'}"
        rows.append([item.name, runs, str(sum(tests)), *shown, f"{item.majority_accuracy:.3f}"])
    heads = ["set", "runs", "tested images", *(TITLES[arm] for arm in ARMS), "accuracy of the majority class"]
    yield _table(heads, rows)
    rows = [
        [item.name, *(_interval(item.difference(CNN, *pair)[metric]) for pair in PAIRS), item.unit] for item in sets
    ]
    heads = ["set", *(f"{TITLES[second]} less {TITLES[first]}" for first, second in PAIRS), "interval over"]
    yield _table(heads, rows)


def _goal(sets: Sequence[SetResult]) -> Iterator[str]:
    yield "## The goal"
    yield (
        "Enhanced and surrogate images shall close half of the gap between the synthetic images' distance to the host"
        " domain and the floor, and the interval of their AUC less IHM's shall reach no lower than -0.01."
    )
    rows = []
    for item in sets:
        for stage, arm in (("enhanced", "iqem"), ("surrogate", "full")):
            gaps = {
                name: float(np.mean([done["quality"]["gap_closed"][stage][name] for done in item.figures.values()]))
                for name in MEASURES
            }
            loss = item.difference(CNN, "ihm", arm)["auc"]
            verdicts = ["met" if gap >= GOAL_GAP else "not met" for gap in gaps.values()]
            row = [item.name, stage]
            row += [f"{gap:+.2f}, {verdict}" for gap, verdict in zip(gaps.values(), verdicts, strict=True)]
            rows.append([*row, f"{_interval(loss)}, {'met' if loss['low'] >= GOAL_LOSS else 'not met'}"])
    yield _table(["set", "images", "gap closed, MMD", "gap closed, Fréchet", "AUC less IHM's"], rows)


def _lambdas(sets: Sequence[SetResult]) -> Iterator[str]:
    if not sets:
        return
    yield "## The goal at other lambdas, first fold or seed"
    rows, met = [], []
    for item in sets:
        for weight, (done, arms) in item.by_lambda().items():
            refused = "refused" in done
            closed, values, losses = [], [], []
            for arm in GENERATED:
                gaps = {} if refused else done["quality"]["gap_closed"][STAGES[arm]]
                closed += [f"{gaps[name]:+.2f}" if gaps else "-" for name in MEASURES]
                values.append(_rounded(float(arms[arm].metrics()["auc"][0]), 3) if arm in arms else "-")
                loss = differences([arms], "ihm", arm)["auc"] if arm in arms else None
                losses.append(_interval(loss) if loss else "-")
                if gaps and loss and min(gaps.values()) >= GOAL_GAP and loss["low"] >= GOAL_LOSS:
                    met.append(f"{item.name}, {STAGES[arm]} images, lambda {weight:g}")
            rows.append([item.name, f"{weight:g}", *closed, *values, *losses])
    yield (
        "The same hosts, splits and seed, another weight of the content term (0 is the paper's loss); dashes stand for"
        " what was refused. One generator and one training each: the spread over runs above, which no interval here"
        " holds, is as wide as most differences. Both halves of the goal together are met by:"
        f" {'; '.join(met) or 'none'}."
    )
    heads = [f"gap closed, {STAGES[arm]}, {name}" for arm in GENERATED for name in ("MMD", "Fréchet")]
    heads += [f"AUC, {TITLES[arm]}" for arm in GENERATED] + [f"{TITLES[arm]} less IHM" for arm in GENERATED]
    yield _table(["set", "lambda", *heads], rows)


def _second_pass(sets: Sequence[SetResult]) -> Iterator[str]:
    if not sets:
        return
    alpha, beta = STRONG
    yield f"## A stronger second pass: alpha' {alpha:g}, beta' {beta:g}"
    yield (
        "The same generators; the second pass replaces all of the amplitude in a band of another width by the"
        " plaintext's, instead of half of it. Whoever holds a surrogate then reads the plaintext's amplitude in that"
        " band off it, up to clipping and rounding, without knowing any host: accuracy is bought with exposure."
    )
    rows = []
    for item in sets:
        values = [float(outcome.metrics()["auc"][0]) for outcome, _ in item.second_pass.values()]
        closed = [done["quality"]["gap_closed"]["surrogate"] for _, done in item.second_pass.values()]
        gaps = [f"{np.mean([of_run[name] for of_run in closed]):+.2f}" for name in MEASURES]
        pairs = [_interval(item.second_pass_difference(arm)["auc"]) for arm in ("plaintext", "ihm", "full")]
        rows.append([item.name, str(len(values)), _spread(values), *pairs, *gaps])
    heads = ["set", "runs", "AUC", *(f"less {TITLES[arm]}" for arm in ("plaintext", "ihm", "full"))]
    yield _table([*heads, "gap closed, MMD", "gap closed, Fréchet"], rows)


def _other_networks(sets: Sequence[SetResult]) -> Iterator[str]:
    rows = []
    for item in sets:
        for network in NETWORKS:
            if network == CNN or network not in item.networks:
                continue
            values = [_rounded(item.values(network, arm, "auc")[0], 3) for arm in ARMS]
            gaps = [_interval(item.difference(network, *pair)["auc"]) for pair in OTHERS_PAIRS]
            rows.append([item.name, network, *values, *gaps])
    if rows:
        yield f"## AUC, other networks, first fold or seed, {OTHER_EPOCHS} epochs"
        yield (
            "One training each, so a figure says little of its network; where AUC is near 0.5 on plaintexts, too, it"
            " has learned nothing in that time. EfficientNet-B0 takes no fewer than 32 pixels: of the sets of that size"
            " its plaintexts are not cropped at random."
        )
        heads = ["set", "network", *(TITLES[arm] for arm in ARMS)]
        heads += [f"{TITLES[second]} less {TITLES[first]}" for first, second in OTHERS_PAIRS]
        yield _table(heads, rows)


def _distances(sets: Sequence[SetResult]) -> Iterator[str]:
    yield "## Distance to the host domain"
    yield (
        "Squared MMD (unbiased, so also below 0; RBF kernel at the hosts' median distance) and Fréchet distance (8"
        " principal components) on fixed random convolution features, on test images against the half of the hosts that"
        " trained nothing, always the same number of images. *Floor* is the distance of the two halves of the host"
        " domain, *plaintext* the cohort's own (for the real sets hosts are withdrawn patients of the same set, so it"
        " is near the floor), *host* copies of the one host that hides: most of the synthetic images' distance is that"
        " all of them are one host. Other lambdas than our own are of the first run only. Means over runs."
    )
    for name in MEASURES:
        rows = []
        for item in sets:
            found = list(qualities(item))
            for weight in sorted({weight for _, weight, _ in found}, reverse=True):
                figures = [of_run for _, of, of_run in found if of == weight]
                shown = [f"{np.mean([of_run['distance'][stage][name] for of_run in figures]):.3f}" for stage in IMAGES]
                gaps = [
                    f"{np.mean([of_run['gap_closed'][stage][name] for of_run in figures]):+.2f}"
                    for stage in IMAGES[-2:]
                ]
                drawn = str(figures[0]["images_drawn"])
                rows.append([item.name, f"{weight:g}", str(len(figures)), drawn, *shown, *gaps])
        heads = ["set", "lambda", "runs", "images", *IMAGES, "gap closed, enhanced", "gap closed, surrogate"]
        yield f"**{'Squared MMD' if name == 'mmd' else 'Fréchet distance'}**"
        yield _table(heads, rows)


def _likeness(sets: Sequence[SetResult]) -> Iterator[str]:
    yield "## What an onlooker sees"
    yield "SSIM, PSNR (dB) and MS-SSIM (three scales) of test images to the host and to their own plaintext; run 0."
    rows = []
    for item in sets:
        figures = item.figures[item.sources[0].run]["quality"]
        for stage in ("plaintext", *IMAGES[-3:], "another plaintext"):
            cells = [item.name, stage]
            for to in ("host", "plaintext"):
                values = figures[f"likeness_to_{to}"].get(stage)
                shown = zip(("ssim", "psnr", "ms_ssim"), (3, 1, 3), strict=True)
                cells.append("-" if values is None else ", ".join(_rounded(values[name], n) for name, n in shown))
            rows.append(cells)
    yield _table(["set", "images", "to the host", "to the plaintext"], rows)


def _sweep(sets: Sequence[SetResult]) -> Iterator[str]:
    if sets:
        yield "## AUC against alpha and beta (IHM alone, small CNN, first run)"
    for item in sets:
        rows = [[f"{alpha:g}", *(_cell(item, alpha, beta) for beta in BETAS)] for alpha in ALPHAS]
        plain = item.values(CNN, "plaintext", "auc")
        yield f"**{item.name}**" + (f" (plaintext {plain[0]:.3f})" if plain else "")
        yield _table(["alpha", *(f"beta {beta:g}" for beta in BETAS)], rows)


def _cell(item: SetResult, alpha: float, beta: float) -> str:
    outcome = item.sweep.get((alpha, beta))
    return "-" if outcome is None else _rounded(float(outcome.metrics()["auc"][0]), 3)


def _spread(values: Sequence[float]) -> str:
    if not np.isfinite(values).all():
        return "-"
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _interval(gap: Mapping[str, float]) -> str:
    if not np.isfinite(list(gap.values())).all():
        return "-"
    return f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"


def _rounded(value: float | None, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.4f}"
