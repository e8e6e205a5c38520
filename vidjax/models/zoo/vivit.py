"""ViViT: scenic's model zoo, which lists the checkpoints, and the paper's ablation (arXiv:2103.15691, table 2).

scenic's Kinetics configuration of the large model has 24 temporal blocks; its other configurations and the paper have
4. Only the checkpoint can tell which is right.
"""

from functools import partial

from vidjax.models.zoo_types import Published, Result

_ZOO = "google-research/scenic projects/vivit/README.md"
_BUCKET = "scenic-bucket/vivit"
_TABLE_2 = "arXiv:2103.15691, table 2"

_zoo = partial(Result, top5=None, clips=4, crops=3, stride=2, sampling="dense_loop", source=_ZOO)
_ablation = partial(
    Result, "Kinetics-400", top5=None, clips=None, crops=None, stride=2, sampling="dense_loop", source=_TABLE_2
)

PUBLISHED = {
    "base": Published(
        (_zoo("Kinetics-400", 79.9, gmacs=455.2, weights="google/vivit-b-16x2-kinetics400"),),
        params=88.9,
    ),
    "base_fe": Published(
        (
            _zoo(
                "Kinetics-400",
                78.4,
                gmacs=284.4,
                weights=f"{_BUCKET}/kinetics_400/vivit_base_16x2_fe/checkpoint",
            ),
        ),
        params=115.1,
    ),
    "base_fsa": Published((_ablation(77.4, gmacs=372.3),), params=117.3),
    "base_fdp": Published((_ablation(76.3, gmacs=277.1),), params=88.9),
    "large_fe": Published(
        (
            _zoo("Kinetics-400", 80.3, weights=f"{_BUCKET}/kinetics_400/vivit_large_16x2_fe/checkpoint"),
            _zoo("Kinetics-600", 81.6, weights=f"{_BUCKET}/kinetics_600/vivit_large_16x2_fe/checkpoint"),
        ),
    ),
}
