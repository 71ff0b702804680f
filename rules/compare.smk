# Every pair of models, one file a pair: milliseconds each, inside Snakemake's own process.


rule compare:
    input:
        a=f"{RESULTS}/predictions/{{ood}}/{{a}}.parquet",
        b=f"{RESULTS}/predictions/{{ood}}/{{b}}.parquet",
    output:
        pair=f"{RESULTS}/similarity/{{ood}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare/{{ood}}/{{a}}--{{b}}.log",
    params:
        measures=OWN_MEASURES,
        code=fingerprint("similarity", own=MEASURE_CODE),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run(
                "similarity.compare_stage",
                *input,
                *output,
                *wildcards,
                params.measures,
            )


# Beyond `compare.blocks_beyond` models: all pairs of two bases' models in one file, by a process.
rule compare_bases:
    input:
        one=lambda wildcards: predictions_of_base(wildcards.ood, wildcards.one),
        two=lambda wildcards: (
            predictions_of_base(wildcards.ood, wildcards.two)
            if wildcards.one != wildcards.two
            else []
        ),
    output:
        block=f"{RESULTS}/similarity/{{ood}}/bases/seed={{one}}--seed={{two}}.parquet",
    log:
        f"{LOGS}/compare_bases/{{ood}}/seed={{one}}--seed={{two}}.log",
    conda:
        "../envs/skeletons.yaml"
    params:
        measures=OWN_MEASURES,
        parents=parents_of,
        code=fingerprint("similarity", own=MEASURE_CODE),
    script:
        "../scripts/compare_bases.py"


rule similarity:
    input:
        lambda wildcards: compared_files(wildcards.ood),
    output:
        table=f"{RESULTS}/similarity/{{ood}}.parquet",
    log:
        f"{LOGS}/similarity/{{ood}}.log",
    params:
        code=fingerprint("similarity"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run("similarity.collect_stage", *output, *input)


localrules:
    compare,
    compare_bases,
    similarity,
