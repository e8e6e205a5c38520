"""Time a VideoMAE pre-training step beside transformers on PyTorch: same sizes, batch, masks and threads, in one run.

    python scripts/bench_step.py --model=base --batch=2 --steps=5 [--dtype=float32] [--json=FILE]

Rounds of both are interleaved, and the fastest of each counts: slower ones measure what else the machine did. The step
is forward, backward and AdamW. Needs torch and transformers (extra: test), none of the data libraries. A ratio above 1
means vidjax is faster.
"""

import argparse
import json
import os
import platform
import time

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main():
    args = parse_args()
    # Read when the backends start: both get the same number of threads.
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ["NPROC"] = str(args.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    contestants = {"vidjax": vidjax_calls(args), "transformers": torch_calls(args)}
    seconds = {(name, what): [] for name in contestants for what in ("forward", "step")}
    for calls in contestants.values():
        for call in calls.values():
            call()  # compiles, allocates
    for _ in range(args.steps):
        for name, what in seconds:
            start = time.perf_counter()
            contestants[name][what]()
            seconds[name, what].append(time.perf_counter() - start)
    report(args, {key: min(values) for key, values in seconds.items()})


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", help="a size of vidjax.models.VIDEOMAE_SPECS")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="timed rounds")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"), help="of the computation")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--mask_ratio", type=float, default=0.9)
    parser.add_argument("--unroll", type=int, default=1, help="layers an iteration of vidjax's scan")
    parser.add_argument("--remat", default="none", help="vidjax's rematerialisation; transformers keeps everything")
    parser.add_argument("--attention", default="", help="vidjax's implementation; empty: chosen by platform")
    parser.add_argument("--json", default="", help="file for the figures")
    return parser.parse_args()


def vidjax_calls(args):
    """Forward pass and training step of vidjax as functions that wait for their result."""
    import jax
    import numpy as np
    import optax

    from vidjax.models import build_model
    from vidjax.objectives import MaskedAutoencoding

    options = {"dtype": args.dtype, "unroll": args.unroll, "remat": args.remat, "attention": args.attention or None}
    module = build_model(f"videomae_{args.model}", **options)
    objective = MaskedAutoencoding(module, "tube", args.mask_ratio, True, IMAGENET_MEAN, IMAGENET_STD)
    tx = optax.adamw(1.5e-4, 0.9, 0.95, weight_decay=0.05)
    params = jax.jit(lambda key: objective.init(key, {})[0])(jax.random.key(0))
    state = [params, jax.jit(tx.init)(params)]
    video = np.random.default_rng(0).integers(0, 256, (args.batch, *module.spec.clip_shape), dtype=np.uint8)
    batch = {"video": jax.device_put(video), "valid": jax.device_put(np.ones(args.batch, bool))}
    rngs = {"mask": jax.random.key(1), "dropout": jax.random.key(2)}

    def loss(params, batch):
        return objective.loss(params, {}, batch, rngs, True)[0]

    def update(params, opt_state, batch):
        value, grads = jax.value_and_grad(loss)(params, batch)
        updates, opt_state = tx.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    forward, update = jax.jit(loss), jax.jit(update, donate_argnums=(0, 1))

    def step():
        *state[:], value = update(*state, batch)
        jax.block_until_ready((value, state))

    return {"forward": lambda: forward(state[0], batch).block_until_ready(), "step": step}


def torch_calls(args):
    """The same of VideoMAEForPreTraining, eager and with scaled_dot_product_attention, as its users run it."""
    import jax
    import numpy as np
    import torch
    import transformers

    from vidjax import ops
    from vidjax.models import VIDEOMAE_SPECS

    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    spec = VIDEOMAE_SPECS[args.model]
    config = transformers.VideoMAEConfig(
        image_size=spec.image_size, patch_size=spec.patch_size, num_frames=spec.num_frames,
        tubelet_size=spec.tubelet_size, hidden_size=spec.width, num_hidden_layers=spec.depth,
        num_attention_heads=spec.num_heads, intermediate_size=spec.mlp_dim, decoder_hidden_size=spec.decoder_width,
        decoder_num_hidden_layers=spec.decoder_depth, decoder_num_attention_heads=spec.decoder_heads,
        decoder_intermediate_size=spec.decoder_mlp_dim, use_mean_pooling=False,
    )  # fmt: skip
    model = transformers.VideoMAEForPreTraining(config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1.5e-4, (0.9, 0.95), weight_decay=0.05)
    _, masked = ops.tube_mask(jax.random.key(1), args.batch, spec.grid, args.mask_ratio)
    hidden = np.zeros((args.batch, spec.num_tokens), bool)
    np.put_along_axis(hidden, np.asarray(masked), True, axis=1)
    hidden = torch.from_numpy(hidden).to(device)
    clips = torch.randn(args.batch, spec.num_frames, 3, *spec.frame_size, device=device)

    def loss():
        with torch.autocast(device, torch.bfloat16, enabled=args.dtype == "bfloat16"):
            return model(clips, hidden).loss

    def forward():
        with torch.no_grad():
            return loss().item()

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        return value.item()

    return {"forward": forward, "step": step}


def report(args, seconds):
    """Print the table and write the figures."""
    import jax
    import torch
    import transformers

    device = jax.devices()[0]
    hardware = (
        f"{platform.processor() or platform.machine()}, {args.threads} threads" if device.platform == "cpu" else ""
    )
    versions = f"jax {jax.__version__}, torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"videomae_{args.model}, batch {args.batch}, {args.dtype}; {device.device_kind} {hardware}; {versions}")
    print(f"{'':10}{'vidjax clips/s':>16}{'transformers clips/s':>22}{'ratio':>8}")
    rows = []
    for what in ("forward", "step"):
        ours, peer = (args.batch / seconds[name, what] for name in ("vidjax", "transformers"))
        print(f"{what:10}{ours:16.3f}{peer:22.3f}{ours / peer:8.2f}")
        name = f"videomae_{args.model} pre-training {what}"
        rows.append({"name": name, "ours": ours, "peer": peer, "unit": "clips/s", "ratio": ours / peer})
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
