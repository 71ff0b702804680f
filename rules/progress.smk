# What the logger needs to tell how far a run is, and how long the rest will take.
from snakemake.logging import logger


def units_of(job) -> int:
    """A job's work: its epochs, if it trains."""
    if job.rule.name in ("train_base", "reorder"):
        return CONFIG.base.epochs
    if job.rule.name == "regularize":
        return int(job.wildcards.epochs) - epochs_before(job.wildcards)
    return 1


def tell_plan() -> None:
    """Hand the logger all jobs of this run: the time left is a matter of which await which."""
    jobs = {job: workflow.dag.jobid(job) for job in workflow.dag.needrun_jobs()}
    work = {
        number: {
            "rule": job.rule.name,
            "threads": job.threads,
            "units": units_of(job),
            "after": tuple(
                jobs[other] for other in workflow.dag.dependencies[job] if other in jobs
            ),
        }
        for job, number in jobs.items()
        if job.output
    }
    logger.info("", extra={"plan": {"work": work, "memory": f"{LOGS}/seconds.json"}})
