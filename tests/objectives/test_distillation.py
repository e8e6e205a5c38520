"""Distillation against PyTorch: the loss and its gradients, what the teacher keeps, and what is refused."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_steps
from small_steps import CLASSES, batch_of

from vidjax.errors import ConfigError
from vidjax.models import build_model
from vidjax.models.outputs import outputs
from vidjax.models.param_paths import flatten
from vidjax.objectives import Classification, Distillation
from vidjax.objectives.base import FIXED
from vidjax.objectives.distillation import PROJECTION, compact, divergence
from vidjax.tasks import TASKS, build_objective

torch = pytest.importorskip("torch", reason="the oracle is PyTorch (extra: test)")

KEYS = {
    "task": "distillation", "model.name": "videomae_tiny", "teacher.name": "timesformer_tiny",
    "teacher.spec.patch_size": 8, "teacher.spec.tubelet_size": 2, "teacher.weights": "random",
}  # fmt: skip
config_of = functools.partial(small_steps.config_of, KEYS)


def rngs(seed=0):
    return {name: jax.random.key(seed) for name in ("mask", "augment", "dropout")}


@functools.cache
def started(**changes):
    objective = build_objective(config_of(**changes), CLASSES)
    params, extra = jax.jit(lambda: objective.init(jax.random.key(1), {}))()
    # Heads start near zero, so both models would answer alike.
    params["head"]["kernel"] = jax.random.normal(jax.random.key(2), params["head"]["kernel"].shape)
    teacher = extra[FIXED]["teacher"]
    if "head" in teacher:
        teacher["head"]["kernel"] = jax.random.normal(jax.random.key(3), teacher["head"]["kernel"].shape)
    return objective, params, extra


def loss_of(objective, params, extra, batch, train=False):
    return jax.jit(lambda params: objective.loss(params, extra, batch, rngs(), train))(params)


def test_the_loss_mixes_pytorchs_divergence_and_cross_entropy():
    weights = {"teacher__logit_weight": 0.7, "teacher__label_weight": 0.4, "teacher__temperature": 2.5}
    objective, params, extra = started(**weights, optim__label_smoothing=0.1)
    batch = batch_of(0)
    batch["valid"][-2:] = False
    clips = objective.normalized(batch["video"])
    student = torch.tensor(np.asarray(outputs(objective.module, params, clips)["logits"]))
    teacher = torch.tensor(np.asarray(outputs(objective.teacher, extra[FIXED]["teacher"], clips)["logits"]))
    label = torch.tensor(batch["label"], dtype=torch.long)
    student, teacher, label = student[:-2].requires_grad_(), teacher[:-2], label[:-2]
    soft = torch.nn.functional.kl_div(
        torch.log_softmax(student / 2.5, -1), torch.softmax(teacher / 2.5, -1), reduction="batchmean"
    )
    for train, smoothing in ((True, 0.1), (False, 0.0)):  # nothing is mixed or dropped here
        hard = torch.nn.functional.cross_entropy(student, label, label_smoothing=smoothing)
        found, (metrics, kept) = loss_of(objective, params, extra, batch, train)
        assert found == pytest.approx((0.7 * 2.5**2 * soft + 0.4 * hard).item(), rel=1e-5)
        assert metrics["loss_logits"] == pytest.approx(2.5**2 * soft.item(), rel=1e-5)
        assert metrics["top1"] == pytest.approx((student.argmax(-1) == label).float().mean().item())
        assert metrics["agreement"] == pytest.approx((student.argmax(-1) == teacher.argmax(-1)).float().mean().item())
        jax.tree.map(np.testing.assert_array_equal, kept, extra)


def test_the_gradient_of_the_divergence_is_pytorchs():
    rng = np.random.default_rng(0)
    theirs, ours = rng.normal(0, 3, (2, 5, 7))
    student = torch.tensor(ours, requires_grad=True)
    loss = torch.nn.functional.kl_div(
        torch.log_softmax(student / 4, -1), torch.log_softmax(torch.tensor(theirs) / 4, -1), reduction="sum",
        log_target=True,
    )  # fmt: skip
    (16 * loss).backward()
    found = jax.grad(lambda ours: divergence(jnp.float32(theirs), ours, 4.0).sum())(jnp.float32(ours))
    np.testing.assert_allclose(found, student.grad, atol=1e-5)  # float32 against float64
    assert float(divergence(jnp.float32(theirs), jnp.float32(theirs), 4.0).max()) == pytest.approx(0, abs=1e-5)


def test_tokens_are_compared_after_the_projection():
    """By hand: 1 - the cosine of two vectors is half their squared distance."""
    objective, params, extra = started(
        teacher__token_weight=0.5, teacher__logit_weight=0.0, teacher__label_weight=1.0, teacher__name="vivit_tiny"
    )
    assert "head" not in extra[FIXED]["teacher"]
    batch = batch_of(1)
    clips = objective.normalized(batch["video"])
    found = np.float64(outputs(objective.module, params, clips)["tokens"])
    theirs = np.float64(outputs(objective.teacher, extra[FIXED]["teacher"], clips)["tokens"])
    head, norm = (jax.tree.map(np.float64, params[PROJECTION][name]) for name in ("head", "norm"))
    x = found @ head["kernel"] + head["bias"]
    spread = np.sqrt(x.var(-1, keepdims=True) + objective.module.spec.norm_eps)
    x = (x - x.mean(-1, keepdims=True)) / spread * norm["scale"] + norm["bias"]
    cosine = (x * theirs).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(theirs, axis=-1)
    _, (metrics, _) = loss_of(objective, params, extra, batch)
    assert metrics["loss_tokens"] == pytest.approx((2 - 2 * cosine).mean(), rel=1e-4)
    module, alone = TASKS["distillation"].for_inference(config_of(), objective.module, params)
    assert module is objective.module
    assert set(alone) == set(params) - {PROJECTION}


def test_mixed_clips_are_the_same_for_student_and_teacher():
    """A student with the teacher's weights has no divergence from it, whatever is mixed and erased."""
    same = {"teacher__name": "videomae_tiny", "data__mixup": 0.8, "data__cutmix": 1.0, "data__erase": 0.9}
    objective, _, extra = started(**same)
    student = jax.tree.map(jnp.float32, extra[FIXED]["teacher"])
    loss, (metrics, _) = loss_of(objective, student, extra, batch_of(2), True)
    assert loss == pytest.approx(0, abs=1e-6)
    assert metrics["agreement"] == 1


def test_only_the_student_has_gradients():
    objective, params, extra = started(teacher__token_weight=1.0, teacher__label_weight=0.1)

    def loss(params, extra):
        return objective.loss(params, extra, batch_of(0), rngs(), True)[0]

    ours, theirs = jax.jit(jax.grad(loss, (0, 1)))(params, extra)
    assert all(np.any(leaf) for path, leaf in flatten(ours).items() if path.startswith(("head", PROJECTION)))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(theirs))


FAMILIES = ("videomae", "timesformer", "vivit", "videomamba", "vjepa2", "clip")


@pytest.mark.parametrize("name", [pytest.param(f, marks=[pytest.mark.slow] * (f != "videomae")) for f in FAMILIES])
def test_a_teacher_in_bfloat16_takes_half_the_memory_and_answers_to_the_bit(name):
    options = {"num_frames": 4, "image_size": 32, "dtype": "bfloat16"}
    module = build_model(f"{name}_tiny", num_classes=CLASSES, **options)
    clips = jax.random.normal(jax.random.key(0), (2, *module.spec.clip_shape))
    whole = module.init(jax.random.key(1), clips)["params"]
    small = compact(whole, module.spec.dtype)
    before, after = (
        sum(leaf.nbytes for path, leaf in flatten(of).items() if "blocks" in path and path.endswith("kernel"))
        for of in (whole, small)
    )
    assert 2 * after == before
    answers = [jax.jit(lambda params: outputs(module, params, clips))(params) for params in (whole, small)]
    if name == "videomamba":  # computes its convolution in float32
        for a, b in zip(*map(jax.tree.leaves, answers), strict=True):
            np.testing.assert_allclose(np.float32(a), np.float32(b), atol=2**-5 * np.abs(np.float32(a)).max())
    else:
        jax.tree.map(np.testing.assert_array_equal, *answers)
    assert all(a is b for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(compact(whole, "float32")), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("student", FAMILIES)
@pytest.mark.parametrize("teacher", FAMILIES)
def test_every_family_can_teach_every_other(student, teacher):
    """Logits and tokens, on the same grid of cubes."""
    cubes = {"patch_size": 8, "tubelet_size": 1 if "clip" in (student, teacher) else 2}
    objective = build_objective(
        config_of(
            model__name=f"{student}_tiny", teacher__name=f"{teacher}_tiny", teacher__token_weight=1.0,
            model__spec__tubelet_size=cubes["tubelet_size"], teacher__spec__tubelet_size=cubes["tubelet_size"],
        ),
        CLASSES,
    )  # fmt: skip
    params, extra = jax.jit(lambda: objective.init(jax.random.key(1), {}))()
    loss, (metrics, _) = loss_of(objective, params, extra, batch_of(0))
    assert np.isfinite(loss)
    assert 0 < metrics["loss_tokens"] < 4  # of unit vectors


def test_the_teacher_costs_its_forward_pass():
    objective, *_ = started()
    student = Classification(objective.module, objective.mean, objective.std)
    theirs = objective.teacher.spec.classifier_macs(CLASSES)
    assert objective.train_flops_per_clip == student.train_flops_per_clip + 2 * theirs


def test_scoring_a_run_needs_no_teacher():
    objective = build_objective(dataclasses.replace(config_of(teacher__weights=""), mode="evaluate"), CLASSES)
    assert type(objective) is Classification


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"teacher__weights": ""}, "teacher.weights is empty: distillation learns from a trained model; name a run"),
        ({"teacher__name": ""}, "teacher.name is empty, .* name the teacher's model from `vidjax models`"),
        ({"teacher__name": "videomae_hug"}, "did you mean 'videomae_huge'"),
        ({"teacher__temperature": 0.0}, r"teacher.temperature=0.0 must be above 0; 1 is usual"),
        ({"teacher__logit_weight": 0.0}, "leave the teacher unused; set one of them above 0, or use task=class"),
        ({"teacher__logit_weight": 0.0, "teacher__token_weight": 1.0}, "leave the head untrained; set one of them"),
        ({"teacher__token_weight": 1.0, "teacher__image_size": 32}, "has 1x4x4 tokens .* videomae_tiny 1x2x2; choose"),
        ({"teacher__image_size": 20}, "teacher.name='timesformer_tiny': a frame side of 20 pixels"),
        ({"teacher__spec__dpth": 3}, "config.teacher.spec.dpth is unknown for teacher.name=timesformer_tiny; .*depth"),
        ({"teacher__token_weight": 1.0, "model__freeze_backbone": True}, "model.freeze_backbone=True would freeze"),
        ({"teacher__token_weight": 1.0, "model__lora__rank": 2}, "model.lora.rank=2 would freeze; set the first"),
        ({"optim__class_weights": "balanced"}, "class_weights=balanced is for task=classification"),
    ],
)  # fmt: skip
def test_what_cannot_be_distilled_is_refused_with_the_remedy(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_objective(config_of(**changes), CLASSES)


def test_distillation_is_built_by_its_task():
    assert isinstance(started()[0], Distillation)
