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
        drawn("rises"),
        drawn("kinds_of_pairs"),
        drawn("heatmap"),
        drawn("cross_base"),
        drawn("similarity_to_base"),
        accuracy=f"{FIGURES}/accuracy_vs_sparsity.svg",
        walk=f"{FIGURES}/ridge_walk.svg",
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
        config=f"{RESULTS}/config.yaml",
        versions=f"{RESULTS}/versions.json",
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


# Made anew when, and only when, what it shows has changed; but benchmarks, of which no two runs give
# the same, are no inputs: it shows those that are there.
rule report:
    input:
        config=f"{RESULTS}/config.yaml",
        versions=f"{RESULTS}/versions.json",
        findings=f"{RESULTS}/findings.json",
        text=f"{RESULTS}/findings.md",
        scores=f"{RESULTS}/scores.parquet",
        pairs=[
            *expand(f"{RESULTS}/similarity/{{ood}}.parquet", ood=SETS),
            *measure_tables(),
        ],
        histories=longest_walks("history.parquet"),
        figures=[*rules.figures.output, *measure_heatmaps(), *inspection_figures()],
    output:
        html=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    # No lineages are held against: as in `figures`, they would follow each pair to its beginnings.
    params:
        code=fingerprint("report", own=MEASURE_CODE),
    run:
        with inside(rule, input, output, params, wildcards, log, {}) as job:
            job.run("report.report_stage", output.html, **dict(input.items()))


localrules:
    record,
    report,
