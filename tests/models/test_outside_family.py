"""A family in a user's own module is built, trained, converted and counted like one of vidjax."""

import json
import textwrap

import jax
import jax.numpy as jnp
import pytest

import vidjax
from vidjax.config import Config, DataConfig, ModelConfig, from_saved
from vidjax.errors import ConfigError
from vidjax.models import family_of
from vidjax.models.zoo import count_params, describe
from vidjax.tasks import build_objective

SOURCE = """
    import dataclasses

    import flax.linen as nn

    from vidjax import ops
    from vidjax.models import ClipSpec, Family


    @dataclasses.dataclass(frozen=True)
    class ToySpec(ClipSpec):
        width: int
        bias: bool = True

        def classifier_macs(self, num_classes):
            return self.num_tokens * self.patch_dim * self.width + self.width * num_classes


    class ToyClassifier(nn.Module):
        spec: ToySpec
        num_classes: int

        @nn.compact
        def __call__(self, clips, train=False):
            cubes = ops.patchify(clips, self.spec.tubelet_size, self.spec.patch_size)
            tokens = nn.Dense(self.spec.width, use_bias=self.spec.bias, name="encoder")(cubes)
            pooled = tokens.mean(axis=1)
            head = {"logits": nn.Dense(self.num_classes, name="head")(pooled)} if self.num_classes else {}
            return {"tokens": tokens, "pooled": pooled} | head


    CLIPS = {"num_frames": 4, "image_size": 16, "patch_size": 8}
    TOY = Family("Toy", {"small": ToySpec(6, **CLIPS), "large": ToySpec(9, **CLIPS)}, ToyClassifier)
    NOT_A_FAMILY = 3
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    module = f"toy_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{module}:TOY"


def test_its_sizes_are_built_by_name_and_the_first_is_the_default(toy):
    assert family_of(toy) == (toy, "small")
    assert family_of(f"{toy}.large") == (toy, "large")
    assert vidjax.build_model(toy, num_classes=5).spec.width == 6
    module = vidjax.build_model(f"{toy}.large", num_classes=5, patch_size=4)
    out = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), jnp.zeros((2, 4, 16, 16, 3)))[0])
    assert out["logits"].shape == (2, 5)
    assert out["tokens"].shape == (2, 32, 9)


def test_its_parameters_and_costs_are_counted_and_it_has_no_published_results(toy):
    cubes = 2 * 8 * 8 * 3
    assert count_params(f"{toy}.large", 5) == cubes * 9 + 9 + 9 * 5 + 5
    card = describe(toy)
    assert (card["family"], card["params"], card["results"]) == (toy, cubes * 6 + 6 + 6 * 400 + 400, [])


def test_its_fields_are_set_under_model_spec_and_misspelt_ones_are_refused(toy):
    def objective(**spec):
        data = DataConfig(num_frames=8, image_size=24, num_classes=5)
        model = ModelConfig(name=f"{toy}.large", spec=spec, dtype="float32")
        return build_objective(Config(task="classification", model=model, data=data), 5)

    assert objective(width=12, bias=False).module.spec.width == 12
    with pytest.raises(ConfigError, match=r"did you mean config\.model\.spec\.width\?"):
        objective(widht=12)
    with pytest.raises(ConfigError, match=r"factorization belongs to ViViT; .* is a Toy"):
        objective(factorization="joint")


def test_its_model_is_written_as_a_run_and_read_again(toy, tmp_path):
    from vidjax.data.clips.recipe import ClipRecipe
    from vidjax.training.convert import save_as_run
    from vidjax.weights import Pretrained

    module = vidjax.build_model(f"{toy}.large", num_classes=5, bias=False)
    params = module.init(jax.random.key(0), jnp.zeros((1, 4, 16, 16, 3)))["params"]
    recipe = ClipRecipe(num_frames=4, stride=2, image_size=16)
    model = Pretrained(module, params, module.spec, toy, recipe, source="elsewhere")
    save_as_run(model, tmp_path / "run")
    again = vidjax.from_pretrained(tmp_path / "run")
    assert (again.module, again.family, again.num_classes, again.clip_recipe) == (module, toy, 5, recipe)
    assert from_saved(json.loads((tmp_path / "run" / "config.json").read_text())).model.spec == {"bias": False}


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("TOY.huge", "has no size 'huge'; choose one of small, large"),
        ("TOYS", "has no 'TOYS'; it has TOY"),
        ("NOT_A_FAMILY", "has type int, not a model family"),
    ],
)
def test_a_name_that_leads_to_no_family_is_refused(toy, attribute, message):
    with pytest.raises(ConfigError, match=message):
        vidjax.build_model(toy.replace("TOY", attribute), num_classes=2)
