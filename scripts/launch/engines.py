"""Launch a job with each engine: Cloud TPU's queued resources, JobSet and xpk on GKE, SkyPilot and Slurm."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from job import Job, Launch, LaunchError

ON_TPU, ON_GPU = "vidjax[tpu,gcs]", "vidjax[cuda]"  # installed unless the job says otherwise
GRACE = 120  # seconds between the stop signal and the end of a machine, for a run to save its step

RESTARTS = "100"
AGAIN = "1,4"  # exit codes after which xpk restarts a run, besides 42 and 127 to 255: a traceback, a lost process
FOR_GOOD = (2, 3)  # exit codes of vidjax.main that a restart would only repeat: a mistake, videos that cannot be scored
_UNTIL_DONE = """\
while true; do
  code=0
  {command} || code=$?
  case $code in 0|{for_good}) break ;; esac
  echo "ended with $code; starting again in 30 s"
  sleep 30
done"""


def queued_resource(job: Job) -> Launch:
    """A queued resource of Cloud TPU, whose machines run a script whenever they start.

    If a spot slice is taken away, its queued resource is suspended. Delete it; the same command then requests another
    slice.
    """
    job.check(bucket=True)
    place = [f"--{key}={job.engine[key]}" for key in ("project", "zone") if job.engine.get(key)]
    many = [f"--node-count={job.slices}", f"--node-prefix={job.name}"] if job.slices > 1 else [f"--node-id={job.name}"]
    create = (
        *("gcloud", "compute", "tpus", "queued-resources", "create", job.name), *place, *many,
        f"--accelerator-type={job.accelerator_type}",
        f"--runtime-version={job.engine.get('runtime_version') or job.chip.runtime}",
        *(["--spot"] if job.spot else []),
        "--metadata-from-file=startup-script=startup.sh",
    )  # fmt: skip
    node = f"{job.name}-0" if job.slices > 1 else job.name
    where = " ".join(place)
    return Launch(
        {"startup.sh": _startup(job)},
        (create,),
        f"gcloud compute tpus queued-resources describe {job.name} {where}\n"
        f"gcloud compute tpus tpu-vm ssh {node} {where} --worker=0 --command='tail -f /var/log/vidjax.log'\n"
        f"gcloud compute tpus queued-resources delete {job.name} {where} --force",
    )


def jobset(job: Job) -> Launch:
    """A JobSet on GKE: one indexed job per slice. If a pod fails, all jobs restart, except after a code in FOR_GOOD."""
    job.check(bucket=True)
    spot = ['cloud.google.com/gke-spot: "true"'] if job.spot else []
    selector = [
        f"cloud.google.com/gke-tpu-accelerator: {job.chip.podslice}",
        f"cloud.google.com/gke-tpu-topology: {job.shape}",
        *spot,
    ]
    account = [f"serviceAccountName: {job.engine['service_account']}"] if job.engine.get("service_account") else []
    pod = [
        "restartPolicy: Never",
        f"terminationGracePeriodSeconds: {GRACE}",
        *account,
        "nodeSelector:",
        *(f"  {line}" for line in selector),
        "containers:",
        "- name: vidjax",
        f"  image: {_image(job)}",
        '  command: ["bash", "-c"]',
        "  args:",
        f"  - {_quoted(_in_container(job))}",
        "  ports:",
        "  - containerPort: 8471",
        "  - containerPort: 8080",
        "  resources:",
        "    limits:",
        f"      google.com/tpu: {min(job.chips, job.chip.host)}",
    ]
    manifest = [
        "apiVersion: jobset.x-k8s.io/v1alpha2",
        "kind: JobSet",
        "metadata:",
        f"  name: {job.name}",
        "  annotations:",
        "    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool",
        "spec:",
        "  failurePolicy:",
        f"    maxRestarts: {job.engine.get('restarts') or RESTARTS}",
        "    rules:",
        "    - name: ended_for_good",
        "      action: FailJobSet",
        "      onJobFailureReasons: [PodFailurePolicy]",
        "  replicatedJobs:",
        "  - name: slice",
        f"    replicas: {job.slices}",
        "    template:",
        "      spec:",
        f"        parallelism: {job.hosts}",
        f"        completions: {job.hosts}",
        "        completionMode: Indexed",
        "        backoffLimit: 0",
        "        podFailurePolicy:",
        "          rules:",
        "          - action: FailJob",
        f"            onExitCodes: {{containerName: vidjax, operator: In, values: [{', '.join(map(str, FOR_GOOD))}]}}",
        "        template:",
        "          spec:",
        *(f"            {line}" for line in pod),
    ]
    return Launch(
        {"jobset.yaml": "\n".join(manifest) + "\n"},
        (("kubectl", "apply", "-f", "jobset.yaml"),),
        f"kubectl get jobset {job.name}\n"
        f"kubectl logs -f -l jobset.sigs.k8s.io/jobset-name={job.name},batch.kubernetes.io/job-completion-index=0\n"
        f"kubectl delete jobset {job.name}",
    )


def xpk(job: Job) -> Launch:
    """A workload of xpk, which makes a JobSet on a cluster made by `xpk cluster create`."""
    job.check(bucket=True)
    if not job.engine.get("cluster"):
        raise LaunchError("--cluster=NAME is missing: the name of a cluster made by `xpk cluster create`")
    where = [f"--{key}={job.engine[key]}" for key in ("cluster", "project", "zone") if job.engine.get(key)]
    create = (
        *("xpk", "workload", "create", f"--workload={job.name}"), *where,
        f"--tpu-type={job.accelerator_type}",
        f"--num-slices={job.slices}",
        *(["--spot"] if job.spot else []),
        f"--docker-image={_image(job)}",
        f"--max-restarts={job.engine.get('restarts') or RESTARTS}",
        f"--restart-on-exit-codes={AGAIN}",
        f"--termination-grace-period-seconds={GRACE}",
        f"--command={_in_container(job)}",
    )  # fmt: skip
    return Launch(
        {},
        (create,),
        f"xpk workload list {' '.join(where)} --filter-by-job={job.name}\n"
        f"kubectl logs -f -l xpk.google.com/workload={job.name},batch.kubernetes.io/job-completion-index=0\n"
        f"xpk workload delete --workload={job.name} {' '.join(where)}",
    )


def skypilot(job: Job) -> Launch:
    """A managed job of SkyPilot, which requests another slice when one is taken away."""
    job.check(bucket=True)
    lines = [
        f"name: {job.name}",
        "resources:",
        f"  accelerators: tpu-{job.accelerator_type}",
        f"  use_spot: {'true' if job.spot else 'false'}",
        "  accelerator_args:",
        f"    runtime_version: {job.engine.get('runtime_version') or job.chip.runtime}",
        *([f"  region: {job.engine['zone'].rsplit('-', 1)[0]}"] if job.engine.get("zone") else []),
        "setup: |",
        "  pip install --quiet uv",
        "  uv venv --quiet --allow-existing --python 3.12 ~/vidjax",
        f"  uv pip install --quiet --python ~/vidjax/bin/python {shlex.quote(job.install or ON_TPU)}",
        "run: |",
        '  export PATH="$HOME/vidjax/bin:$PATH"',
        f"  {job.command}",
    ]
    return Launch(
        {"sky.yaml": "\n".join(lines) + "\n"},
        (("sky", "jobs", "launch", "--yes", "--name", job.name, "sky.yaml"),),
        f"sky jobs queue\nsky jobs logs --name {job.name}\nsky jobs cancel --name {job.name}",
    )


def slurm(job: Job) -> Launch:
    """A batch job of Slurm, one process per node; requeued at its time limit, when preempted, and when a node fails."""
    job.check(bucket=False)
    given = {key: job.engine.get(key, "") for key in ("nodes", "gpus", "partition", "time", "account")}
    options = {
        "job-name": job.name,
        "nodes": given["nodes"] or "1",
        "ntasks-per-node": "1",
        "gpus-per-node": given["gpus"] or "8",
        "partition": given["partition"],
        "account": given["account"],
        "time": given["time"],
        "signal": f"TERM@{GRACE}",
        "open-mode": "append",
        "output": f"{job.name}.log",
    }
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{key}={value}" for key, value in options.items() if value),
        "#SBATCH --requeue",
        "set -uo pipefail",
        "# The environment is on a file system that all nodes share:",
        f"#   python -m venv venv && venv/bin/pip install {shlex.quote(job.install or ON_GPU)}",
        'export PATH="$PWD/venv/bin:$PATH"',
        "code=0",
        f"srun --kill-on-bad-exit=1 {job.command} || code=$?",
        "# 143: the time limit was reached or the job was preempted, and the step is saved",
        '[ "$code" -ne 143 ] || scontrol requeue "$SLURM_JOB_ID"',
        'exit "$code"',
    ]
    return Launch(
        {"job.sbatch": "\n".join(lines) + "\n"},
        (("sbatch", "job.sbatch"),),
        f"squeue --name={job.name}\ntail -f {job.name}.log\nscancel --name={job.name}",
    )


ENGINES: dict[str, Callable[[Job], Launch]] = {
    "tpu": queued_resource,
    "gke": jobset,
    "xpk": xpk,
    "skypilot": skypilot,
    "slurm": slurm,
}


def _startup(job: Job) -> str:
    """Return the start-up script of a machine, which installs once and restarts the run until it has ended for good."""
    install = f"uv pip install --quiet --python /opt/vidjax/bin/python {shlex.quote(job.install or ON_TPU)}"
    return "\n".join(
        [
            "#!/bin/bash",
            "# Runs as root on every machine of the slice, whenever it starts.",
            "set -uo pipefail",
            "exec >> /var/log/vidjax.log 2>&1",
            "export HOME=/root",
            "if [ ! -e /opt/vidjax/installed ]; then",
            "  until python3 -m pip install --quiet uv \\",
            "    && python3 -m uv venv --quiet --allow-existing --python 3.12 /opt/vidjax \\",
            f"    && python3 -m {install}; do",
            "    sleep 10",
            "  done",
            "  touch /opt/vidjax/installed",
            "fi",
            'export PATH="/opt/vidjax/bin:$PATH"',
            _UNTIL_DONE.format(command=job.command, for_good="|".join(map(str, FOR_GOOD))),
            'echo "ended for good with $code"',
            "",
        ]
    )


def _image(job: Job) -> str:
    return job.engine.get("image") or "python:3.12-slim"


def _in_container(job: Job) -> str:
    """Return the shell line of a container; `exec` lets the run receive the signals sent to the shell."""
    return f"pip install --quiet {shlex.quote(job.install or ON_TPU)} && exec {job.command}"


def _quoted(text: str) -> str:
    """Quote text as a YAML scalar."""
    return "'" + text.replace("'", "''") + "'"
