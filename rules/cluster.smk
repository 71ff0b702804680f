# What a run says when it begins on a cluster, and when jobs of it have failed.
from snakemake.logging import logger

from skeletons import failures, slurm
from skeletons.errors import ClusterError


def give_up(jobid: int) -> None:
    """Spend a job's attempts: it was cancelled by someone, or said what the user must put right."""
    for job in list(workflow.scheduler.running):
        if workflow.dag.jobid(job) == jobid:
            job.attempt = job.restart_times + 1


WATCH = failures.Watch(give_up)
if (
    workflow.is_main_process
):  # and not in the jobs on the nodes, which read these rules as well
    logger.addHandler(WATCH)


def check_cluster() -> None:
    """End the run before anything is submitted if SLURM is not as its profile takes it to be."""
    if workflow.executor_plugin.name != "slurm":
        return
    settings = workflow.executor_settings
    jobs = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    try:
        slurm.check(
            settings.status_command,
            settings.init_seconds_before_status_checks,
            {str(job.resources.get("slurm_partition") or "") for job in jobs} - {""},
        )
    except ClusterError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def report_failures() -> None:
    """One sentence a failure, where they are easy to find: at the end."""
    for sentence in WATCH.summary():
        print(sentence, file=sys.stderr)
