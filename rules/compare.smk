# Every pair of models, one file per pair. It takes milliseconds, inside Snakemake's own process.


rule compare:
    input:
        a=f"{RESULTS}/predictions/{{ood}}/{{a}}.parquet",
        b=f"{RESULTS}/predictions/{{ood}}/{{b}}.parquet",
    output:
        pair=f"{RESULTS}/similarity/{{ood}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare/{{ood}}/{{a}}--{{b}}.log",
    params:
        **stage("compare"),
    run:
        run_stage(input, output, params, wildcards, log)


# Beyond `compare.blocks_beyond` models: one file for all pairs of two bases, in its own process.
rule compare_bases:
    input:
        unpack(predictions_of_bases),
    output:
        block=f"{RESULTS}/similarity/{{ood}}/bases/{{one}}--{{two}}.parquet",
    log:
        f"{LOGS}/compare_bases/{{ood}}/{{one}}--{{two}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_bases/{{ood}}/{{one}}--{{two}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **process("compare_bases"),
    script:
        "../scripts/stage.py"


rule similarity:
    input:
        pairs=lambda wildcards: TARGETS.compared(wildcards.ood),
    output:
        table=f"{RESULTS}/similarity/{{ood}}.parquet",
    log:
        f"{LOGS}/similarity/{{ood}}.log",
    params:
        **stage("similarity"),
    run:
        run_stage(input, output, params, wildcards, log)


localrules:
    compare,
    compare_bases,
    similarity,
