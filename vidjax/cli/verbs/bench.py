"""`vidjax bench`: measure the speed of training, inference, kernels, loading and verbs, beside other libraries.

Only the benchmarks of loading, predict and embed need the data libraries; these three run on the CPU.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib

from vidjax.cli.terminal import print_json, say
from vidjax.cli.verb import Verb
from vidjax.errors import ConfigError
from vidjax.progress import progress

BENCHES = ("step", "forward", "scan", "attention", "loader", "predict", "embed")
_STDOUT, _RESULTS = "-", "bench-steps.jsonl"
_NOT_OF_ALL = (  # options that --all refuses
    "batch", "dtype", "remat", "unroll", "attention", "scan", "avx2", "compile_peer", "videos", "step_ms", "step_clips",
    "json",
)  # fmt: skip
EXIT_SOME_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    from vidjax.bench.settings import SIZES, Settings

    default = Settings()
    listed = ", ".join(BENCHES)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"any of {listed}; default all")
    about = "with step: time a step of eight shipped recipes on an accelerator; print a table for docs/performance.md"
    parser.add_argument("--all", action="store_true", help=about)
    about = "with --all: only this experiment, such as videomae_k400:base; may be repeated"
    parser.add_argument("--only", action="append", default=[], metavar="EXPERIMENT", help=about)
    about = "with --all: JSON lines file for the rows; rows already in it are reused; default %(default)s"
    parser.add_argument("--results", default=_RESULTS, metavar="FILE", help=about)
    parser.add_argument("--size", action="append", choices=SIZES, help="model size; may be repeated; default base")
    parser.add_argument("--batch", type=int, default=0, help="clips per batch; default by benchmark, size and platform")
    parser.add_argument(
        "--dtype", default="", choices=("", "float32", "bfloat16"), help="default bfloat16, float32 on a CPU"
    )
    parser.add_argument("--rounds", type=int, default=default.rounds, help="runs per contender; the fastest counts")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; default all")
    about = "limit vidjax and its peers to AVX2 on a CPU with wider vectors"
    parser.add_argument("--avx2", action="store_true", help=about)
    choices = ("none", "dots", "attention", "full")
    parser.add_argument("--remat", default=default.remat, choices=choices, help="rematerialisation in vidjax")
    about = "largest number of layers to unroll instead of looping; default by platform"
    parser.add_argument("--unroll", type=int, default=default.unroll, help=about)
    parser.add_argument("--attention", default="", help="an implementation of vidjax.ops.attention")
    parser.add_argument("--scan", default="", help="an implementation of vidjax.ops.selective_scan")
    parser.add_argument(
        "--compile-peer", action=argparse.BooleanOptionalAction, help="also time torch.compile; default on a GPU"
    )
    about = "videos to decode in loader and to embed in embed; default 8 and 50"
    parser.add_argument("--videos", type=int, default=default.videos, help=about)
    about = "an accelerator's time for --step-clips clips, which the loader should match; default %(default)s"
    parser.add_argument("--step-ms", type=float, default=default.step_ms, help=about)
    parser.add_argument("--step-clips", type=int, default=default.step_clips, help="see --step-ms; default %(default)s")
    about = "write the rows to FILE, or print them instead of the table"
    parser.add_argument("--json", nargs="?", const=_STDOUT, default="", metavar="FILE", help=about)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, and write after each benchmark; the exit code is 0, or 1 if a step of --all failed."""
    unknown = [what for what in arguments.what if what not in BENCHES]
    if unknown:
        raise ConfigError(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(BENCHES)}")
    if arguments.json in BENCHES:
        raise ConfigError(f"--json {arguments.json}: name a file, or put --json last to print the rows")
    _check_numbers(arguments)
    _check_all(arguments)
    threads = _limit_threads(arguments.threads)
    if arguments.avx2:
        _hold_to_avx2()
    if arguments.all:
        return _all_steps(arguments)
    from vidjax.bench import report
    from vidjax.bench.settings import Settings, hardware

    settings = Settings(
        sizes=tuple(arguments.size or ("base",)), batch=arguments.batch, dtype=arguments.dtype, rounds=arguments.rounds,
        remat=arguments.remat, unroll=arguments.unroll, attention=arguments.attention, scan=arguments.scan,
        compile_peer=arguments.compile_peer, videos=arguments.videos, step_ms=arguments.step_ms,
        step_clips=arguments.step_clips, remark=say,
    )  # fmt: skip
    rows, notes = [], [report.NOTE]
    for what in dict.fromkeys(arguments.what or BENCHES):
        bench = importlib.import_module(f"vidjax.bench.{what}")
        with progress(f"measuring {what}"):
            rows += bench.measure(settings)
        notes += [bench.NOTE] if bench.NOTE else []
        if arguments.json not in ("", _STDOUT):  # keeps these rows if a later benchmark fails
            report.write_rows(rows, arguments.json)
    if arguments.json == _STDOUT:
        print_json([report.as_dict(row) for row in rows])
    else:
        held = ", all held to AVX2" if arguments.avx2 else ""
        report.print_table(rows, hardware(threads) + held, notes)
    return 0


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name in ("rounds", "step_clips", "step_ms"):
        if (value := getattr(arguments, name)) <= 0:
            raise ConfigError(f"--{name.replace('_', '-')}={value} must be above 0")
    for name in ("batch", "videos"):
        if (value := getattr(arguments, name)) < 0:
            raise ConfigError(f"--{name}={value} must be at least 0; 0 means the default")


def _check_all(arguments: argparse.Namespace) -> None:
    """Reject options that --all ignores, and options of --all without it."""
    if not arguments.all:
        if arguments.only or arguments.results != _RESULTS:
            raise ConfigError("--only and --results are for vidjax bench step --all")
        return
    if arguments.what != ["step"]:
        raise ConfigError("--all measures the training steps: vidjax bench step --all")
    if arguments.size not in (None, ["tiny"]):
        raise ConfigError("--all measures the shipped sizes; only --size=tiny, a trial run, can be given")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name in _NOT_OF_ALL:
        if getattr(arguments, name) != parser.get_default(name):
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} is not for --all, which measures the shipped steps as they are")


def _all_steps(arguments: argparse.Namespace) -> int:
    """Measure the shipped steps missing from the results, and print the whole table."""
    from vidjax.bench.all_steps import markdown, measure_all, start_process

    size, path = "tiny" if arguments.size else "shipped", pathlib.Path(arguments.results)
    rows = measure_all(path, size, arguments.only, arguments.rounds, remark=say, start=start_process)
    print(markdown(rows))
    say(f'paste the table into docs/performance.md, under "Measured on accelerators"; its rows are kept in {path}')
    failed = [row.experiment for row in rows if row.failed]
    if not failed:
        return 0
    say(f"no figure for {', '.join(failed)}; to retry, remove their lines from {path}")
    return EXIT_SOME_FAILED


def _limit_threads(threads: int) -> int:
    """Limit this process, and so all contenders, to `threads` cores; call it before the backends start."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if threads < 0 or threads > len(cores):
        raise ConfigError(f"--threads={threads} must be from 1 to {len(cores)}, the cores this process may use, or 0")
    if threads:
        os.sched_setaffinity(0, cores[:threads])
    count = threads or len(cores)
    os.environ["OMP_NUM_THREADS"] = os.environ["NPROC"] = str(count)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # a GPU's memory is shared with the peers
    return count


def _hold_to_avx2() -> None:
    """Limit XLA, PyTorch and their libraries to AVX2; call it before the backends start.

    XLA's matrix products run in YNNPACK, which checks the processor and ignores flags. Without YNNPACK they run in
    oneDNN, which has a flag (one core of an AMD EPYC: 205 GFLOP/s with YNNPACK, 110 without).
    """
    held = "--xla_cpu_max_isa=AVX2 --xla_cpu_experimental_ynn_fusion_type="
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {held}".strip()
    os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
    os.environ["ONEDNN_MAX_CPU_ISA"] = os.environ["MKL_ENABLE_INSTRUCTIONS"] = "AVX2"


VERB = Verb(__doc__, add_arguments, run, "vidjax bench step scan --size=tiny --json=bench.json")
