"""Feature alignment against a second implementation of the authors' pre-training, in PyTorch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vidjax import config as config_lib
from vidjax.config import OptimConfig
from vidjax.errors import ConfigError
from vidjax.models.alignment import AlignmentStudent, AlignmentTeacher
from vidjax.models.clip import CLIPEncoder, CLIPVisionSpec
from vidjax.models.videomae import FAMILY as VIDEOMAE
from vidjax.models.videomae import VIDEOMAE_SPECS
from vidjax.models.videomamba import VideoMambaEncoder, VideoMambaSpec
from vidjax.objectives import FeatureAlignment
from vidjax.objectives.base import FIXED
from vidjax.tasks import build_objective
from vidjax.training.optim import RunLength, build_optimizer
from vidjax.weights import rules as rule_tables
from vidjax.weights.families import clip as clip_rules
from vidjax.weights.families import videomamba as videomamba_rules
from vidjax.weights.rules import flatten

torch = pytest.importorskip("torch", reason="the oracle is in PyTorch (extra: test)")
transformers = pytest.importorskip("transformers", reason="the teacher of the oracle is in transformers (extra: test)")
import videomamba_torch  # noqa: E402 - needs torch

STUDENT = VideoMambaSpec(20, 3, patch_size=4, num_frames=2, image_size=16, state_size=5)
TEACHER = CLIPVisionSpec(24, 3, 4, 40, 10, patch_size=6, num_frames=2, image_size=(24, 24))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def make_objective(student_layers=(1,), teacher_layers=(2,), norms=(False, False), class_token=True, **options):
    student, teacher = VideoMambaEncoder(STUDENT, student_layers), CLIPEncoder(TEACHER, teacher_layers)
    return FeatureAlignment(
        AlignmentStudent(student, TEACHER.projection, "linear", class_token, norms[0]),
        AlignmentTeacher(teacher, 1, class_token, norms[1]),
        MEAN, STD, **options,
    )  # fmt: skip


def make_batch(rows=2, spec=STUDENT):
    video = np.random.default_rng(3).integers(0, 256, (rows, *spec.clip_shape), dtype=np.uint8)
    return {"video": video, "valid": np.ones(rows, bool)}


def rngs(seed=0):
    return {name: jax.random.key(seed) for name in ("mask", "augment", "dropout")}


def shaken(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.double().eval()


class Peer:
    """The authors' `train_one_epoch`, `VisionMamba` and `VisionTransformer`, written anew."""

    def __init__(self, layers=1):
        torch.manual_seed(0)
        self.student = shaken(videomamba_torch.VideoMamba(STUDENT, 0))
        decoder = torch.nn.ModuleList([torch.nn.Linear(STUDENT.width, TEACHER.projection) for _ in range(layers)])
        norms = torch.nn.ModuleList([torch.nn.LayerNorm(TEACHER.projection) for _ in range(layers)])
        self.decoders, self.norms = shaken(decoder), shaken(norms)
        config = transformers.CLIPVisionConfig(
            hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40, projection_dim=10,
            image_size=24, patch_size=6, attn_implementation="eager",
        )  # fmt: skip
        self.teacher = shaken(transformers.CLIPVisionModelWithProjection(config))

    def teach(self, clips, taps=(2,), class_token=True):
        """clip.py:143-181: features (k b n e) of length 1, and the class token's attention (b t places)."""
        b, c, t, h, w = clips.shape
        clips = torch.nn.functional.interpolate(
            clips.reshape(b, c * t, h, w), size=(24, 24), mode="bicubic", align_corners=False
        ).reshape(b, c, t, 24, 24)
        frames = clips.permute(0, 2, 1, 3, 4).reshape(b * t, c, 24, 24)
        out = self.teacher.vision_model(frames, output_hidden_states=True, output_attentions=True)
        found = []
        for tap in taps:
            x = out.hidden_states[tap + 1].reshape(b, t, 17, 24)
            if class_token:
                x = torch.cat([x[:, :, 0].mean(1, keepdim=True), x[:, :, 1:].reshape(b, t * 16, 24)], 1)
            else:
                x = self.teacher.vision_model.post_layernorm(x[:, :, 1:].reshape(b, t * 16, 24))
            x = x @ self.teacher.visual_projection.weight.T
            found.append(x / x.norm(dim=-1, keepdim=True))
        return torch.stack(found), out.attentions[-1].mean(1)[:, 0, 1:].reshape(b, t, 16)

    def predict(self, clips, hidden):
        """videomamba_pretrain.py:352-447 for one layer, the last: the `residual` that the fused norm leaves."""
        model, (b, _, t, _, _) = self.student, clips.shape
        x = model.patch_embed.proj(clips).permute(0, 2, 3, 4, 1).reshape(b * t, 16, -1)
        x = torch.cat([model.cls_token.expand(b * t, -1, -1), x], 1) + model.pos_embed
        cls, x = x[:b, :1], x[:, 1:].reshape(b, t, 16, -1)
        x = torch.cat([cls, (x + model.temporal_pos_embedding[0][None, :, None]).reshape(b, t * 16, -1)], 1)
        x, residual = x[~hidden].reshape(b, -1, STUDENT.width), None
        for layer in model.layers:
            residual = x if residual is None else residual + x
            x = layer.mixer(layer.norm(residual))
        n, d = 1 + t * 16, STUDENT.width
        angle = np.array([[p / 10000 ** (2 * (j // 2) / d) for j in range(d)] for p in range(n)])
        angle[:, 0::2], angle[:, 1::2] = np.sin(angle[:, 0::2]), np.cos(angle[:, 1::2])
        places = torch.tensor(angle).expand(b, -1, -1)[~hidden].reshape(b, -1, d)
        x = self.norms[0](self.decoders[0](residual + places))
        return (x / x.norm(dim=-1, keepdim=True))[None]

    def loss(self, clips, index):
        """engine_for_pretraining_videomamba.py:70-107, with a given mask."""
        b = len(clips)
        hidden = torch.ones(b, 1 + STUDENT.num_tokens, dtype=torch.bool)
        hidden[:, 0] = False
        for row, visible in enumerate(index):
            hidden[row, 1 + torch.from_numpy(np.array(visible, np.int64))] = False
        with torch.no_grad():
            features = self.teach(clips)[0]
        targets = features[hidden.logical_not()[None]].reshape(1, b, -1, TEACHER.projection)
        return (2 - 2 * (self.predict(clips, hidden) * targets).sum(-1)).mean()

    def params(self, objective, gradients=False):
        def arrays(module):
            named = module.named_parameters()
            return {
                k: (p.grad if gradients else p).detach().numpy()
                for k, p in named
                if not gradients or p.grad is not None
            }

        shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {}))
        state = arrays(self.student)
        for key, parameter in self.student.named_parameters():  # of the last block and norm PyTorch has no gradient
            state.setdefault(key, np.zeros(parameter.shape))
        rules = [r for r in videomamba_rules.rules(STUDENT, 0) if r.targets != ("encoder/norm/scale",)]
        encoder = rule_tables.read(rules, state, lambda: {"encoder": shapes[0]["encoder"]}, ignore="norm_f")
        of_decoder, norm = arrays(self.decoders), arrays(self.norms)
        decoder = {
            "head": {"kernel": of_decoder["0.weight"].T, "bias": of_decoder["0.bias"]},
            "norm": {"scale": norm["0.weight"], "bias": norm["0.bias"]},
        }
        return jax.tree.map(np.float32, {**encoder, "decoders_0": decoder})

    def teacher_params(self, objective):
        shapes = jax.eval_shape(lambda: objective.init(jax.random.key(0), {}))[1][FIXED]["teacher"]
        state = {key: tensor.detach().numpy() for key, tensor in self.teacher.named_parameters()}
        rules = clip_rules.rules(TEACHER, clip_rules.TRANSFORMERS, "vision_model.")
        used = [rule for rule in rules if rule.targets[0] in flatten(shapes)]  # without the final norm
        return {FIXED: {"teacher": rule_tables.read(used, state, lambda: shapes, ignore="post_layernorm")}}


def as_torch(batch):
    normal = (batch["video"] / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(normal.transpose(0, 4, 1, 2, 3))


def test_loss_and_gradients_match_the_authors_pre_training():
    """The published settings: the class token, the teacher without its norm, the student's second-to-last layer."""
    objective, batch, peer = make_objective(), make_batch(), Peer()
    params, extra = peer.params(objective), peer.teacher_params(objective)
    seen = objective.teacher.apply(
        {"params": extra[FIXED]["teacher"]}, as_torch(batch).numpy().transpose(0, 2, 3, 4, 1).astype(np.float32)
    )
    index = objective.draw_visible(rngs(), batch, seen)
    assert index.shape == (2, 2 * (16 - 12))  # int(16 * 0.8) = 12 of each frame are hidden
    wanted = peer.loss(as_torch(batch), np.asarray(index))
    wanted.backward()

    def loss(params):
        return objective.loss(params, extra, batch, rngs(), False)[0]

    found, gradients = jax.jit(jax.value_and_grad(loss))(params)
    assert found == pytest.approx(wanted.item(), rel=2e-5)
    theirs = peer.params(objective, gradients=True)
    assert jax.tree.structure(gradients) == jax.tree.structure(theirs)
    for (path, a), b in zip(jax.tree.leaves_with_path(gradients), jax.tree.leaves(theirs), strict=True):
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * max(np.abs(b).max(), 1e-6), err_msg=name)
        if "blocks" in name:
            assert not np.any(b[-1])  # which is why weight decay must not touch it, see below
            assert not np.any(np.asarray(a)[-1])


def test_the_teacher_and_its_attention_match_the_authors():
    objective, batch, peer = make_objective(), make_batch(), Peer()
    extra = peer.teacher_params(objective)
    clips = as_torch(batch)
    features, attention = peer.teach(clips)
    seen = objective.teacher.apply({"params": extra[FIXED]["teacher"]}, jnp.asarray(clips.permute(0, 2, 3, 4, 1)))
    ours = np.asarray(seen["features"])
    ours = ours / np.linalg.norm(ours, axis=-1, keepdims=True)
    np.testing.assert_allclose(ours, features.detach().numpy(), rtol=0, atol=2e-5)
    np.testing.assert_allclose(seen["attention"], attention.detach().numpy(), rtol=0, atol=2e-6)


@pytest.mark.parametrize("loss", [pytest.param("mse", marks=pytest.mark.slow), "smooth_l1"])
def test_other_losses_match_pytorch_over_all_values(loss):
    objective, batch = make_objective(loss_of=loss, unit_length=False), make_batch()
    params, extra = jax.jit(lambda: objective.init(jax.random.key(1), {}))()
    found = jax.jit(lambda batch: objective.loss(params, extra, batch, rngs(), False)[0])(batch)
    clips = (batch["video"] / 255 - np.array(MEAN)) / np.array(STD)
    seen = jax.jit(objective.teacher.apply)({"params": extra[FIXED]["teacher"]}, clips.astype(np.float32))
    index = np.asarray(objective.draw_visible(rngs(), batch, seen))
    patches = clips.reshape(2, 2, 4, 4, 4, 4, 3).transpose(0, 1, 2, 4, 3, 5, 6).reshape(2, 32, 48)
    visible = np.take_along_axis(patches, index[:, :, None], 1).astype(np.float32)
    predicted = jax.jit(objective.module.apply)({"params": params}, visible, index)["features"]
    places = np.concatenate([np.zeros((2, 1), int), index + 1], 1)
    targets = np.take_along_axis(np.asarray(seen["features"]), places[None, :, :, None], 2)
    peers = {"mse": torch.nn.MSELoss(), "smooth_l1": torch.nn.SmoothL1Loss()}
    wanted = peers[loss](torch.tensor(np.asarray(predicted)), torch.tensor(targets))
    assert found == pytest.approx(wanted.item(), rel=1e-5)


def test_padding_rows_do_not_count():
    objective, batch = make_objective(), make_batch(rows=3)
    params, extra = jax.jit(lambda: objective.init(jax.random.key(1), {}))()
    alone = objective.loss(params, extra, {k: v[:2] for k, v in batch.items()}, rngs(), False)[0]
    batch["valid"][2] = False
    assert objective.loss(params, extra, batch, rngs(), False)[0] == pytest.approx(float(alone), rel=1e-6)


def test_blocks_that_the_loss_does_not_reach_stay_identical_to_the_bit():
    objective = make_objective()
    assert objective.unused_blocks == 1
    params, _ = jax.jit(lambda: objective.init(jax.random.key(1), {}))()
    optim = OptimConfig(weight_decay=0.5, base_lr=1.0)
    optimizer = build_optimizer(optim, RunLength(10), global_batch=256, unused_blocks=1)
    tx, schedule = optimizer.tx, optimizer.schedule
    gradients = jax.tree.map(jnp.zeros_like, params)
    direction, _ = tx.update(gradients, tx.init(params), params)
    kernel = direction["encoder"]["blocks"]["mixer"]["in_proj"]["kernel"]
    assert not np.any(kernel[-1])
    np.testing.assert_allclose(kernel[:-1], 0.5 * params["encoder"]["blocks"]["mixer"]["in_proj"]["kernel"][:-1])
    assert np.any(direction["decoders_0"]["head"]["kernel"])
    assert schedule(0) > 0


@pytest.mark.slow
def test_a_vit_of_two_frame_cubes_learns_from_the_middle_frames_of_a_teacher():
    spec = dataclasses.replace(VIDEOMAE_SPECS["tiny"], image_size=16, num_frames=4, depth=3)
    student = VIDEOMAE.encoder(spec, (0, 2))
    teacher = CLIPEncoder(dataclasses.replace(TEACHER, image_size=12), (1, 2))
    objective = FeatureAlignment(
        AlignmentStudent(student, TEACHER.projection, "mlp", False, True),
        AlignmentTeacher(teacher, 2, False, True), MEAN, STD, "tube", 0.5,
    )  # fmt: skip
    batch = make_batch(spec=spec)
    params, extra = jax.jit(lambda: objective.init(jax.random.key(1), {}))()
    before = float(objective.loss(params, extra, batch, rngs(), False)[0])
    unseen = {**batch, "video": batch["video"].copy()}
    clips = (unseen["video"] / 255 - np.array(MEAN)) / np.array(STD)
    full = objective.teacher.apply({"params": extra[FIXED]["teacher"]}, clips.astype(np.float32))["features"]
    clips[:, [0, 2]] = 0  # the first frames of the cubes, which the teacher does not see
    part = objective.teacher.apply({"params": extra[FIXED]["teacher"]}, clips.astype(np.float32))["features"]
    np.testing.assert_array_equal(full, part)
    assert full.shape == (2, 2, spec.num_tokens, TEACHER.projection)

    @jax.jit
    def descend(params):
        gradients = jax.grad(lambda p: objective.loss(p, extra, batch, rngs(), False)[0])(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients)

    for _ in range(20):
        params = descend(params)
    assert float(objective.loss(params, extra, batch, rngs(), False)[0]) < 0.8 * before


def config_of(**changes):
    config = config_lib.defaults()
    keys = {
        "task": "feature_alignment", "model.name": "videomamba_tiny", "align.teacher": "clip_tiny",
        "model.mask": "attention", "model.mask_ratio": 0.8, "data.num_frames": 8, "data.image_size": 64,
    }  # fmt: skip
    config.update_from_flattened_dict(keys | {key.replace("__", "."): value for key, value in changes.items()})
    return config_lib.from_dict(config.to_dict())


def test_a_video_model_can_be_the_teacher():
    objective = build_objective(config_of(align__teacher="videomae_tiny", model__mask="tube", model__spec={
        "tubelet_size": 2
    }), 1)  # fmt: skip
    assert objective.teacher.spec.grid == objective.module.spec.grid
    assert objective.fixed_parts[0].key == "align.teacher_from"


def test_v_jepa_2_can_be_teacher_and_student():
    objective = build_objective(
        config_of(
            model__name="vjepa2_tiny", model__mask="tube", align__teacher="vjepa2_tiny", align__class_token=False,
            data__num_frames=4, data__image_size=32,
        ),
        1,
    )  # fmt: skip
    batch = make_batch(spec=objective.module.spec)
    params, extra = objective.init(jax.random.key(0), batch)
    gradient = jax.jit(jax.grad(lambda params: objective.loss(params, extra, batch, rngs(), True)[0]))(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient["encoder"]["blocks"]["mlp"]))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"align__teacher": "videomamba_tiny"}, "model.mask=attention needs an image model with a class token"),
        ({"align__teacher": "videomae_tiny"}, "cubes span 2 frames, the student's 1; set model.spec.tubelet_size=2"),
        ({"align__teacher": "timesformer_tiny"}, "timesformer_tiny cannot return features of its layers"),
        ({"model__name": "clip_tiny"}, "clip_tiny cannot drop tokens; VideoMAE, VideoMamba, V-JEPA 2 can"),
        ({"model__name": "vivit_tiny"}, "vivit_tiny cannot return features of its layers"),
        ({"model__name": "videomae_tiny", "align__class_token": True}, "videomae_tiny has no class token"),
        ({"align__student_layers": (-1, -3)}, "name the same number of each"),
        ({"align__student_layers": (4,)}, "videomamba_tiny has 4 layers; choose from -4 to 3"),
        ({"align__teacher": "clip_bse"}, "did you mean 'clip_base'"),
        ({"model__mask_ratio": 0.0}, "choose a ratio that hides at least one"),
    ],
)
def test_models_that_cannot_be_aligned_are_refused_with_the_remedy(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_objective(config_of(**changes), 1)
