# From tables to what a reader sees: findings, figures and the report.


rule findings:
    input:
        scores=score_files(),
        similarity=expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=SETS),
        predictions=verdict_predictions(),
        walks=longest_walks("walk.parquet"),
        histories=walks_without_loss(),
        looks=[file for files in inspection_findings().values() for file in files],
    output:
        json=f"{RESULTS}/findings.json",
        text=f"{RESULTS}/findings.md",
        scores=f"{RESULTS}/scores.parquet",
        page=report(
            f"{RESULTS}/findings.html",
            caption="../report/findings.rst",
            category="0 Findings",
            labels={"figure": "findings", "OOD set": "", "measure": ""},
        ),
    log:
        f"{LOGS}/findings.log",
    conda:
        "../envs/skeletons.yaml"
    params:
        experiment=CONFIG.experiment,
        measures=CONFIG.figures.measures,
        ood=SETS,
        settings=CONFIG.findings.model_dump(),
        looks={kind: len(files) for kind, files in inspection_findings().items()},
        parents=lambda wildcards, input: lineages(input.scores),
        code=fingerprint("findings", own=DRAWN_CODE),
    script:
        "../scripts/findings.py"


rule figures:
    input:
        scores=f"{RESULTS}/scores.parquet",
        similarity=expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=SETS),
        histories=longest_walks("history.parquet"),
        findings=f"{RESULTS}/findings.json",
    output:
        rises=drawn("rises", "2 Do different bases grow alike?"),
        kinds=drawn("kinds_of_pairs", "2 Do different bases grow alike?"),
        heatmap=drawn("heatmap", "1 Similarity of every pair"),
        cross_base=drawn("cross_base", "2 Do different bases grow alike?"),
        to_base=drawn("similarity_to_base", "3 What pruning changes"),
        accuracy=drawn_once("accuracy_vs_sparsity", "3 What pruning changes"),
        walk=drawn_once("ridge_walk", "4 The walk along the ridge"),
    log:
        f"{LOGS}/figures.log",
    conda:
        "../envs/skeletons.yaml"
    params:
        ood=SETS,
        measures=CONFIG.figures.measures,
        colormap=CONFIG.figures.colormap,
        code=fingerprint("figures", own=DRAWN_CODE),
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
            category="8 Configuration and versions",
            labels={"file": "configuration"},
        ),
        versions=report(
            f"{RESULTS}/versions.json",
            caption="../report/versions.rst",
            category="8 Configuration and versions",
            labels={"file": "package versions"},
        ),
    log:
        f"{LOGS}/record.log",
    params:
        config=schema.canonical(CONFIG),
        code=fingerprint("record"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run("record.record_stage", *output, params.config)


# `snakemake --report` as a file target: made anew when, and only when, what it shows has changed.
rule report:
    input:
        config=f"{RESULTS}/config.yaml",
        shown=[
            f"{RESULTS}/versions.json",
            f"{RESULTS}/findings.json",
            *expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=SETS),
            rules.figures.output,
            *measure_tables(),
            *measure_heatmaps(),
            *inspection_figures(),
        ],
        texts=report_texts(),
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
