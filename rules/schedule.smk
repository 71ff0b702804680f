# How Snakemake's scheduler goes about thousands of jobs that take milliseconds.


def pace_scheduler() -> None:
    """Let each round look at as many ready jobs as can start, and start no round but for a job.

    A round is one thread and a second round a second later if jobs a second are limited, which by
    default they are: to 100, more than start here. A limit of the user's own stays.
    """
    scheduler = workflow.scheduler
    limiter = scheduler.job_rate_limiter
    if limiter and (limiter.max_jobs, limiter.timespan) == (100, 1):
        scheduler.job_rate_limiter = None
    if scheduler.subsample and workflow.local_exec:
        scheduler.subsample = max(scheduler.subsample, 2 * workflow.cores)
