# Alignment: the order of a base's hidden units that brings its weights nearest to another base's.


rule align:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.a),
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
