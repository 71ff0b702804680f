# The order of one base's hidden units that brings its weights nearest another's.


rule align:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{a}}/model.json",
    output:
        permutations=f"{RESULTS}/alignment/{{a}}--{{b}}.safetensors",
        report=f"{RESULTS}/alignment/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/align/{{a}}--{{b}}.log",
    params:
        seed=0,
        restarts=3,
        code=fingerprint("alignment"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input), CACHE
        ) as job:
            job.run_once(
                "alignment.align_stage",
                *input,
                *output,
                seed=params.seed,
                restarts=params.restarts,
            )


localrules:
    align,
