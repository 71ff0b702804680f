# From tables to findings, figures and the report.


# The scores of all models as one table, which figures read as well.
rule scores:
    input:
        scored=TARGETS.scores(),
    output:
        table=f"{RESULTS}/scores.parquet",
    log:
        f"{LOGS}/scores.log",
    params:
        **stage("scores"),
    run:
        run_stage(input, output, params, wildcards, log)


# The answers, which figures show as well. They need neither measures of masks nor inspections.
rule verdict:
    input:
        scored=TARGETS.scores(),
        similarity=TARGETS.similarity_tables(),
        walks=TARGETS.walks("walk.parquet"),
        histories=TARGETS.walks_without_loss(),
    output:
        verdict=f"{RESULTS}/verdict.json",
    log:
        f"{LOGS}/verdict.log",
    benchmark:
        f"{RESULTS}/benchmarks/verdict.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **stage("verdict"),
        parents=lambda wildcards, input: LINEAGES.among(input.scored),
    script:
        "../scripts/stage.py"


rule findings:
    input:
        unpack(lambda wildcards: TARGETS.inspection_findings()),
        scored=TARGETS.scores(),
        similarity=TARGETS.similarity_tables(),
        verdict=f"{RESULTS}/verdict.json",
        predictions=TARGETS.compared_predictions(),
        walks=TARGETS.walks("walk.parquet"),
        histories=TARGETS.walks_without_loss(),
        masks=TARGETS.mask_layers(),
    output:
        json=f"{RESULTS}/findings.json",
        text=f"{RESULTS}/findings.md",
    log:
        f"{LOGS}/findings.log",
    benchmark:
        f"{RESULTS}/benchmarks/findings.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **stage("findings"),
        parents=lambda wildcards, input: LINEAGES.among([*input.scored, input.verdict]),
    script:
        "../scripts/stage.py"


rule figures:
    input:
        scores=f"{RESULTS}/scores.parquet",
        similarity=TARGETS.similarity_tables(),
        histories=TARGETS.longest_walks("history.parquet"),
        verdict=f"{RESULTS}/verdict.json",
    output:
        TARGETS.drawn("rises"),
        TARGETS.drawn("kinds_of_pairs"),
        TARGETS.drawn("heatmap"),
        TARGETS.drawn("cross_base"),
        TARGETS.drawn("similarity_to_base"),
        f"{FIGURES}/accuracy_vs_sparsity.svg",
        f"{FIGURES}/ridge_walk.svg",
    log:
        f"{LOGS}/figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/figures.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **stage("figures"),
    script:
        "../scripts/stage.py"


localrules:
    scores,
    verdict,
    findings,
    figures,


rule record:
    input:
        BEGINNING,
    output:
        config=f"{RESULTS}/config.yaml",
        versions=f"{RESULTS}/versions.json",
    log:
        f"{LOGS}/record.log",
    params:
        **stage("record"),
    run:
        run_stage(input, output, params, wildcards, log)


# Benchmarks are not inputs, because they differ from run to run: the report shows those that exist.
rule report:
    input:
        config=f"{RESULTS}/config.yaml",
        versions=f"{RESULTS}/versions.json",
        findings=f"{RESULTS}/findings.json",
        scores=f"{RESULTS}/scores.parquet",
        pairs=[*TARGETS.similarity_tables(), *TARGETS.measure_tables()],
        trained=TARGETS.base_histories(),
        histories=TARGETS.longest_walks("history.parquet"),
        figures=[
            *rules.figures.output,
            *TARGETS.measure_heatmaps(),
            *TARGETS.inspection_figures(),
        ],
    output:
        html=f"{RESULTS}/report.html",
    log:
        f"{LOGS}/report.log",
    params:
        **stage("report"),
    run:
        run_stage(input, output, params, wildcards, log, run=OF_ALL_PAIRS)


localrules:
    record,
    report,
