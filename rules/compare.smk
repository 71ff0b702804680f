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


# Beyond `compare.blocks_beyond` models: one file for all pairs of two bases, in a process that stays.
rule compare_bases:
    input:
        unpack(predictions_of_bases),
    output:
        block=f"{RESULTS}/similarity/{{ood}}/bases/{{one}}--{{two}}.parquet",
    log:
        f"{LOGS}/compare_bases/{{ood}}/{{one}}--{{two}}.log",
    params:
        **stage("compare_bases"),
    run:
        run_stage(input, output, params, wildcards, log, run=workers.run)


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
        run_stage(input, output, params, wildcards, log, run=OF_ALL_PAIRS)


localrules:
    compare,
    compare_bases,
    similarity,
