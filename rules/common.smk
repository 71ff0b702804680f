# The experiment: its configuration, its plan, and what every rule uses.
import re

from snakemake.logging import logger

from skeletons.config.sections import MASK_MEASURES, REPRESENTATIONS
from skeletons import model_ids
from skeletons.errors import SkeletonsError
from skeletons.model_ids import Model
from skeletons.workflow import configuration, jobs
from skeletons.workflow.hooks import Hooks
from skeletons.workflow.internals import Run
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.refusal import RefusalError
from skeletons.workflow.stages import STAGES
from skeletons.workflow.targets import Targets


def in_a_sentence(function, *arguments):
    """Call a function; an error that a user can put right ends the run with its sentence."""
    try:
        return function(*arguments)
    except SkeletonsError as error:
        raise RefusalError(str(error)) from None


RUN = Run(workflow)
CONFIG = in_a_sentence(configuration.read, config, RUN)
config["cache"] = CONFIG.cache  # where jobs in a process of their own read it
PLAN = Plan(CONFIG)
in_a_sentence(lambda: PLAN.files)  # reads the user's folders of images
TARGETS = Targets(PLAN)
LINEAGES = Lineages(TARGETS)
HOOKS = in_a_sentence(Hooks, RUN, PLAN, logger)

RESULTS, LOGS, FIGURES, ID = PLAN.results, PLAN.logs, PLAN.figures, PLAN.task


wildcard_constraints:
    dataset="|".join(map(re.escape, PLAN.datasets)),
    ood="|".join(map(re.escape, PLAN.sets)),
    representation="|".join(REPRESENTATIONS),
    overlap="|".join(MASK_MEASURES),
    seed=r"\d+",
    l1=r"[0-9][0-9.e+-]*",
    epochs=r"[1-9]\d*",
    threshold=r"[0-9][0-9.e+-]*",
    one=r"\d+",
    two=r"\d+",
    order=r"[1-9]\d*",
    draw=r"[1-9]\d*",
    model=r"seed=[^/]+?",
    a=r"seed=[^/]+?",
    b=r"seed=[^/]+?",


def stage(name):
    """What a rule runs, as params: the stage, its slice of the configuration, and its code."""
    known = STAGES[name]
    return {
        "stage": name,
        "settings": lambda wildcards: known.settings(PLAN, dict(wildcards.items())),
        "code": lambda wildcards: in_a_sentence(
            known.code, PLAN, dict(wildcards.items())
        ),
    }


def process(name):
    """The same for a stage in a process of its own, which is given the lineages of its inputs.

    Not for those that read tables of all pairs: it would follow each of thousands of pairs to its
    beginnings at every start, and each was checked when it became part of the table.
    """
    return {
        **stage(name),
        "parents": lambda wildcards, input: LINEAGES.among(input),
    }


def run_stage(reads, makes, chosen, wildcards, logs):
    """Run a rule's stage inside Snakemake's own process."""
    lineages = LINEAGES.among(reads)
    jobs.run_inside(reads, makes, chosen, wildcards, logs, lineages, CONFIG.cache)


def named(**files):
    """Inputs by name, for `unpack`: each the first of a list, and left out if the list is empty."""
    return {name: found[0] for name, found in files.items() if found}


def numbers(wildcards):
    """The wildcards that are parts of a model id, as numbers."""
    return model_ids.numbers(dict(wildcards.items()))
