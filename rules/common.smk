# The experiment: its configuration, its plan, and what every rule uses.
import functools
import re

from snakemake.logging import logger

from skeletons.config.names import CRITERIA, MASK_MEASURES, REPRESENTATIONS
from skeletons import model_ids
from skeletons.errors import SkeletonsError
from skeletons.model_ids import Model
from skeletons.workflow import (
    checkpoints,
    configuration,
    forkserver,
    gpus,
    jobs,
    workers,
)
from skeletons.workflow.foresight import absent_looks, demand_layers, demand_network
from skeletons.workflow.hooks import Hooks
from skeletons.workflow.internals import Run
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import BEGINNING, Plan
from skeletons.workflow.refusal import RefusalError
from skeletons.workflow.stages import STAGES
from skeletons.workflow.stale import expire
from skeletons.workflow.targets import Targets


def in_a_sentence(function, *arguments):
    """Call a function; an error that the user can correct ends the run with one sentence."""
    try:
        return function(*arguments)
    except SkeletonsError as error:
        raise RefusalError(str(error)) from None


RUN = Run(workflow)
CONFIG = in_a_sentence(configuration.read, config, RUN)
config["cache"] = CONFIG.cache  # jobs in their own process read it there
config["jobs_per_gpu"] = CONFIG.compute.jobs_per_gpu  # the same
PLAN = in_a_sentence(Plan, CONFIG)
in_a_sentence(lambda: (PLAN.files, PLAN.digests))  # reads the user's images and models
TARGETS = Targets(PLAN)
LINEAGES = Lineages(TARGETS)
HOOKS = in_a_sentence(Hooks, RUN, TARGETS, LINEAGES, logger)
if RUN.is_main():  # the jobs on the nodes of a cluster read these rules as well
    in_a_sentence(demand_layers, PLAN)
    RUN.forget(expire(TARGETS, LINEAGES))
# All at once and now: code that is edited while the run goes on must not pass for what runs.
CODES = {name: in_a_sentence(known.codes, PLAN) for name, known in STAGES.items()}
if RUN.is_main():
    in_a_sentence(checkpoints.check, PLAN)
    in_a_sentence(demand_network, PLAN)
if RUN.is_main() and (sentence := in_a_sentence(absent_looks, PLAN)):
    logger.warning(sentence)

# A job that may use a GPU counts as one where their number is limited; on a cluster, SLURM assigns GPUs.
LIMIT = gpus.at_once(CONFIG.compute.device, CONFIG.compute.jobs_per_gpu)
GPU_JOBS = int(LIMIT is not None and RUN.limit("gpu_jobs", LIMIT))

# Jobs in their own process start as forks of one that has imported torch and the networks' packages.
RUN.run_scripts(functools.partial(forkserver.run, packages=PLAN.packages))

RESULTS, LOGS, FIGURES, ID = PLAN.results, PLAN.logs, PLAN.figures, PLAN.task


wildcard_constraints:
    dataset="|".join(map(re.escape, PLAN.datasets)),
    ood="|".join(map(re.escape, PLAN.sets)),
    representation="|".join(REPRESENTATIONS),
    overlap="|".join(MASK_MEASURES),
    base_id=model_ids.ROOT_ID,
    l1=model_ids.NUMBER,
    epochs=r"[1-9]\d*",
    threshold=model_ids.NUMBER,
    density=model_ids.NUMBER,
    criterion="|".join(CRITERIA),
    one=model_ids.BASE_ID,
    two=model_ids.BASE_ID,
    order=r"[1-9]\d*",
    draw=r"[1-9]\d*",
    fork=model_ids.NUMBER,
    width=r"[1-9]\d*",
    mask=rf"own|random|{model_ids.BASE_ID}",
    net=r"(?:net=[^/]+_)?",
    by="weights|activations",
    model=r"(?:net|seed|own)=[^/]+?",
    a=r"(?:net|seed|own)=[^/]+?",
    b=r"(?:net|seed|own)=[^/]+?",


def stage(name):
    """The params of a rule: its stage, the part of the configuration it uses, and its code."""
    known, code = STAGES[name], CODES[name]
    return {
        "stage": name,
        "settings": lambda wildcards: known.settings(PLAN, dict(wildcards.items())),
        "code": (
            code
            if isinstance(code, str)
            else lambda wildcards: code(dict(wildcards.items()))
        ),
    }


def process(name):
    """The same for a stage in its own process, with the lineages of its inputs.

    Stages that read tables of all pairs use `stage` instead. Otherwise the lineages of thousands of
    pairs would be computed at every start, although each pair was checked when the table was made.
    """
    return {
        **stage(name),
        "parents": lambda wildcards, input: LINEAGES.among(input),
    }


def run_stage(reads, makes, chosen, wildcards, logs, run=jobs.Job.run):
    """Run a rule's stage inside Snakemake's own process."""
    lineages = LINEAGES.among(reads)
    known = (lineages, CONFIG.cache, config.get("forced", ()))
    jobs.run_inside(reads, makes, chosen, wildcards, logs, *known, run)


# What holds all pairs of many models: its memory goes with the process.
OF_ALL_PAIRS = workers.run if PLAN.blocks else jobs.Job.run


def named(**files):
    """Inputs by name, for `unpack`: the first file of each list; empty lists are left out."""
    return {name: found[0] for name, found in files.items() if found}


# --- inputs that follow from a rule's wildcards ----------------------------------------


def alignment(wildcards):
    """What aligns b's units to a's; nothing if both come from one base."""
    return TARGETS.aligned(wildcards.a, wildcards.b)


def parent_files(wildcards):
    """The files that a regularised checkpoint starts from: those of a base or a checkpoint."""
    parts = model_ids.numbers(dict(wildcards.items()))
    return TARGETS.parent_files(Model.parse(wildcards.base_id).of(**parts))


def ranks_file(wildcards):
    """What pruning reads beside the model.

    The scores of the weights, for a density or a criterion other than magnitude, and the weights of
    each unit, if whole units are pruned.
    """
    parts = model_ids.numbers(dict(wildcards.items()))
    model = Model.parse(wildcards.base_id).of(**parts)
    return named(ranks=TARGETS.ranks(model), units=TARGETS.units(model))


def units_file(wildcards):
    """The weights of each unit, if whole units are pruned."""
    parts = model_ids.numbers(dict(wildcards.items()))
    return named(units=TARGETS.units(Model.parse(wildcards.base_id).of(**parts)))


def trunk_file(wildcards):
    """The state of a base that a child begins at; none if they share no whole epoch."""
    parts = model_ids.numbers(dict(wildcards.items()))
    return named(trunk=TARGETS.trunk(Model.parse(wildcards.base_id).of(**parts)))


def small_files(wildcards):
    """The files of the small network of planted ones."""
    return TARGETS.small(Model.parse(wildcards.base_id))


def stopped_like(wildcards):
    """The pruned model whose training loss a base is stopped at, and what describes it."""
    parts = model_ids.numbers(dict(wildcards.items()))
    like = Model.parse(wildcards.base_id).of(**parts)
    return {"like": TARGETS.weights(like), "like_summary": TARGETS.network(like)}


def sparsity_file(wildcards):
    """The sparsity.json of a pruned model; none for other models."""
    return named(sparsity=TARGETS.sparsity(wildcards.model))


def predictions_of_bases(wildcards):
    """The predictions of all models of two bases, or of one if it is compared with itself."""
    one, two = wildcards.one, wildcards.two
    found = {"one": TARGETS.predictions_of_base(wildcards.ood, one)}
    if one != two:
        found["two"] = TARGETS.predictions_of_base(wildcards.ood, two)
    return found


def alignment_for_masks(wildcards):
    """The permutations that align b's units to a's, for the measure that aligns them."""
    aligned = wildcards.overlap == "mask_overlap_aligned"
    return alignment(wildcards) if aligned else {}


def bases_for_masks(wildcards):
    """The bases of two pruned models, for the overlap of masks without a walk."""
    return TARGETS.unwalked(wildcards.a, wildcards.b)


def probed(wildcards):
    """The variant whose skeleton is penalised; training starts at its regularised parent."""
    return PLAN.variant_of(wildcards.base_id)
