# From tables to what a reader sees: findings, figures and the report.

FIGURES = f"{RESULTS}/figures"
MEASURES = CONFIG.figures.measures


def by_ood(template: str) -> list[str]:
    return expand(template, ood=OOD, measure=MEASURES)


rule findings:
    input:
        scores=score_files(),
        similarity=expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=OOD),
    output:
        json=f"{RESULTS}/findings.json",
        text=f"{RESULTS}/findings.md",
        scores=f"{RESULTS}/scores.parquet",
    params:
        experiment=CONFIG.experiment,
        measures=MEASURES,
        ood=OOD,
        code=fingerprint("findings"),
    log:
        f"{LOGS}/findings.log",
    conda:
        "../envs/skeletons.yaml"
    script:
        "../scripts/findings.py"


rule figures:
    input:
        scores=f"{RESULTS}/scores.parquet",
        similarity=expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=OOD),
        histories=history_files(),
    output:
        heatmaps=report(
            by_ood(f"{FIGURES}/heatmap_{{ood}}_{{measure}}.svg"),
            caption="../report/heatmap.rst",
            category="Similarity of every pair",
        ),
        to_base=report(
            by_ood(f"{FIGURES}/similarity_to_base_{{ood}}_{{measure}}.svg"),
            caption="../report/similarity_to_base.rst",
            category="What pruning changes",
        ),
        cross_base=report(
            by_ood(f"{FIGURES}/cross_base_{{ood}}_{{measure}}.svg"),
            caption="../report/cross_base.rst",
            category="Do different bases grow alike?",
        ),
        accuracy=report(
            f"{FIGURES}/accuracy_vs_sparsity.svg",
            caption="../report/accuracy_vs_sparsity.rst",
            category="What pruning changes",
        ),
        walk=report(
            f"{FIGURES}/ridge_walk.svg",
            caption="../report/ridge_walk.rst",
            category="The walk along the ridge",
        ),
    params:
        ood=OOD,
        measures=MEASURES,
        colormap=CONFIG.figures.colormap,
        code=fingerprint("figures"),
    log:
        f"{LOGS}/figures.log",
    conda:
        "../envs/skeletons.yaml"
    script:
        "../scripts/figures.py"


localrules:
    findings,
    figures,


rule record:
    output:
        config=report(
            f"{RESULTS}/config.yaml",
            caption="../report/config.rst",
            category="Configuration and versions",
            labels={"file": "configuration"},
        ),
        versions=report(
            f"{RESULTS}/versions.json",
            caption="../report/versions.rst",
            category="Configuration and versions",
            labels={"file": "package versions"},
        ),
    params:
        config=CONFIG.model_dump(mode="json"),
        code=fingerprint("record"),
    log:
        f"{LOGS}/record.log",
    run:
        with logged(log) as stage:
            stage("record.record_stage", *output, params.config)


# `snakemake --report` as a file target: made anew when, and only when, what it shows has changed.
rule report:
    input:
        config=f"{RESULTS}/config.yaml",
        shown=[
            f"{RESULTS}/versions.json",
            f"{RESULTS}/findings.json",
            *expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=OOD),
            rules.figures.output,
        ],
        texts=sorted(str(p) for p in Path("report").glob("*.rst")),
    output:
        html=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    conda:
        "../envs/skeletons.yaml"
    shell:
        "snakemake --report {output.html} --nolock --configfile {input.config} -- "
        "{input.config} {input.shown} > {log} 2>&1"


localrules:
    record,
    report,
