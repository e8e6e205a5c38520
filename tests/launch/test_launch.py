"""What scripts/launch would do, to the letter, and that shells and Kubernetes take it."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "launch" / "launch.py"
GOLDEN = pathlib.Path(__file__).parent / "golden"
RUN = ("--config=videomae_k400:base", "--workdir=gs://my-bucket/runs/base", "--config.data.root=gs://my-bucket/k400 v2")
SLICE = ("--topology=v5e:8x8", "--spot", "--zone=us-west4-a", "--project=my-project")
JOBS = {
    "tpu": ("tpu", "--name=base", *SLICE),
    "tpu-slices": ("tpu", "--name=base", "--topology=v5p:4x4x4", "--slices=2", "--zone=us-east5-a"),
    "gke": ("gke", "--name=base", *SLICE, "--service-account=trainer"),
    "xpk": ("xpk", "--name=base", *SLICE, "--cluster=my-cluster"),
    "skypilot": ("skypilot", "--name=base", *SLICE),
    "slurm": ("slurm", "--name=base", "--nodes=4", "--partition=h100", "--time=24:00:00"),
}


def launch(*words, run=RUN):
    return subprocess.run([sys.executable, SCRIPT, *words, "--dry-run", "--", *run], capture_output=True, text=True)


def files(shown):
    """The files of a dry run, by name."""
    found, name = {}, ""
    for line in shown.splitlines():
        if line.startswith("# ") and line[2:] in ("startup.sh", "jobset.yaml", "sky.yaml", "job.sbatch", "commands"):
            name = line[2:]
        else:
            found[name] = found.get(name, "") + line + "\n"
    return found


@pytest.mark.parametrize("name", JOBS)
def test_a_dry_run_shows_every_file_and_command(name):
    """The golden files were read against the engines' documentation; see docs/pods.md."""
    assert launch(*JOBS[name]).stdout == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize(("name", "file"), [("tpu", "startup.sh"), ("slurm", "job.sbatch")])
def test_shells_take_the_scripts(name, file):
    script, shellcheck = files(launch(*JOBS[name]).stdout)[file], pathlib.Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([shellcheck, "-"], input=script, text=True, capture_output=True)
    assert found.returncode == 0, found.stdout


def test_kubernetes_takes_the_job_of_a_slice():
    jobset = yaml.safe_load(files(launch(*JOBS["gke"]).stdout)["jobset.yaml"])
    (slices,) = jobset["spec"]["replicatedJobs"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "slice"}, **slices["template"]}
    kubernetes_validate.validate(job, "1.31", strict=True)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"][0].endswith("'--config.data.root=gs://my-bucket/k400 v2'")
    assert job["spec"]["completions"] * container["resources"]["limits"]["google.com/tpu"] == 64


JOBSET = {  # fields of JobSet v1alpha2 by place, and those that its schema requires (v0.13)
    "": ({"apiVersion", "kind", "metadata", "spec"}, set()),
    "spec": (
        {"coordinator", "failurePolicy", "managedBy", "network", "replicatedJobs", "startupPolicy", "successPolicy"}
        | {"suspend", "ttlSecondsAfterFinished", "volumeClaimPolicies"},
        set(),
    ),
    "failurePolicy": ({"maxRestarts", "restartStrategy", "rules"}, set()),
    "rules": (
        {"action", "name", "onJobFailureMessagePatterns", "onJobFailureReasons", "targetReplicatedJobs"},
        {"action", "name"},
    ),
    "replicatedJobs": ({"dependsOn", "groupName", "name", "replicas", "template"}, {"name", "template"}),
}


def test_jobset_takes_the_manifest():
    """Job templates are tested above; Kubernetes drops or refuses fields that JobSet does not define."""
    jobset = yaml.safe_load(files(launch(*JOBS["gke"]).stdout)["jobset.yaml"])
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    spec = jobset["spec"]
    parts = [("", jobset), ("spec", spec), ("failurePolicy", spec["failurePolicy"])]
    parts += [("rules", part) for part in spec["failurePolicy"]["rules"]]
    parts += [("replicatedJobs", part) for part in spec["replicatedJobs"]]
    for place, part in parts:
        known, required = JOBSET[place]
        assert required <= part.keys() <= known, place
    for rule in spec["failurePolicy"]["rules"]:
        assert rule["action"] in ("FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts")
        assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])


def test_xpk_restarts_after_every_exit_code_except_those_that_a_restart_would_repeat():
    """Without being told, xpk restarts a workload only after 42 and 127 to 255 (xpk workload create --help, 1.16)."""
    words = shlex.split(files(launch(*JOBS["xpk"]).stdout)["commands"].splitlines()[0])
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
    again = {int(code) for code in options["restart-on-exit-codes"].split(",")} | {42, *range(127, 256)}
    assert {1, 4, 134, 137, 143} <= again
    assert not {0, 2, 3} & again
    assert shlex.split(options["command"])[-len(RUN) :] == list(RUN)


@pytest.mark.skipif(not shutil.which("gcloud"), reason="needs gcloud, of Google Cloud's SDK")
@pytest.mark.parametrize("name", ["tpu", "tpu-slices"])
def test_gcloud_knows_the_options(name, tmp_path):
    """An option that does not exist is added, so that gcloud stops before it connects to anything."""
    lines = launch(*JOBS[name]).stdout.splitlines()
    commands = [line for line in lines if line.startswith("gcloud ")]
    assert len(commands) == 4
    (tmp_path / "startup.sh").touch()
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "settings")}
    for command in commands:
        words = [*shlex.split(command), "--no-such-option"]
        said = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True).stderr
        assert re.search(r"unrecognized arguments: --no-such-option *(\(|$)", said, re.MULTILINE), said


@pytest.mark.parametrize(
    ("topology", "accelerator", "hosts"),
    [
        ("v5e:4x4", "v5litepod-16", 4),
        ("v5p:4x4x4", "v5p-128", 16),
        ("v6e:16x16", "v6e-256", 64),
        ("v4:2x2x2", "v4-16", 2),
    ],
)
def test_slices_have_the_names_of_cloud_tpu(topology, accelerator, hosts):
    """v4 and v5p are counted in cores, two per chip; machines of these slices have four chips."""
    assert f"--accelerator-type={accelerator} " in launch("tpu", "--name=a", f"--topology={topology}").stdout
    jobset = yaml.safe_load(files(launch("gke", "--name=a", f"--topology={topology}").stdout)["jobset.yaml"])
    assert jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["completions"] == hosts


def test_the_words_of_the_run_reach_it_as_they_were(tmp_path):
    """The start-up script runs with a `python` that writes down what it is given, and is stopped once."""
    script = files(launch(*JOBS["tpu"]).stdout)["startup.sh"]
    for path, here in (("/var/log", tmp_path), ("/opt", tmp_path), ("sleep 30", "sleep 0")):
        script = script.replace(path, str(here))
    (tmp_path / "vidjax" / "bin").mkdir(parents=True)
    (tmp_path / "vidjax" / "installed").touch()
    python = tmp_path / "vidjax" / "bin" / "python"
    python.write_text(
        f'#!/bin/bash\nprintf "%s\\n" "$@" >> {tmp_path}/given\n[ -e {tmp_path}/again ] && exit 0\n'
        f"touch {tmp_path}/again\nexit 143\n"
    )
    python.chmod(0o755)
    subprocess.run(["bash", "-c", script], check=True)
    assert (tmp_path / "given").read_text().splitlines() == ["-m", "vidjax.main", *RUN] * 2
    assert "ended with 143; starting again" in (tmp_path / "vidjax.log").read_text()


@pytest.mark.parametrize(
    ("words", "run", "said"),
    [
        (("tpu", "--name=a", "--topology=v5e:8x8"), ("--workdir=/tmp/run",), "is lost with its machine; name a bucket"),
        (("slurm", "--name=a"), ("--config=videomae_k400:base",), "--workdir=DIR is missing among them"),
        (("tpu", "--name=a", "--topology=v9:8x8"), RUN, "--topology=v9:8x8: use one of v4:..., v5e:..."),
        (("tpu", "--name=a", "--topology=v5e:eight"), RUN, "--topology=v5e:eight is not of the form v5e:8x8"),
        (("xpk", "--name=a", "--topology=v5e:8x8"), RUN, "--cluster=NAME is missing"),
        (("tpu", "--name=My_Job", "--topology=v5e:8x8"), RUN, "--name=My_Job: use lower-case letters"),
    ],
)
def test_a_job_that_cannot_be_is_refused_with_what_helps(words, run, said):
    done = launch(*words, run=run)
    assert done.returncode == 2
    assert said in done.stderr


def test_an_engine_that_is_not_installed_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, *JOBS["slurm"], "--", *RUN],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (2, "launch: sbatch is not installed\n")
