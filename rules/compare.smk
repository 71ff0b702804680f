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


rule similarity:
    input:
        pair_files,
    output:
        table=report(
            f"{RESULTS}/similarity/{{ood}}.parquet",
            caption="../report/similarity_table.rst",
            category="5 Tables",
            labels={"table": "similarity of all pairs", "OOD set": "{ood}"},
        ),
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
    similarity,
