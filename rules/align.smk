# Alignment: the order of a base's hidden units that brings its weights nearest to another base's.


# Before anything trains: of some networks, units cannot be aligned.
rule symmetries:
    input:
        info=f"results/data/{ID}/info.json",
    output:
        symmetries=f"{RESULTS}/alignment/{{net}}symmetries.json",
    log:
        f"{LOGS}/{{net}}symmetries.log",
    priority: 1
    params:
        **stage("symmetries"),
    run:
        run_stage(input, output, params, wildcards, log)


rule align:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        symmetries=lambda wildcards: TARGETS.symmetries(wildcards.b),
    output:
        permutations=f"{RESULTS}/alignment/{{a}}--{{b}}.safetensors",
        gains=f"{RESULTS}/alignment/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/align/{{a}}--{{b}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/align/{{a}}--{{b}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("align"),
    script:
        "../scripts/stage.py"


localrules:
    symmetries,
