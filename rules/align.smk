# The order of one base's hidden units that brings its weights nearest another's.


rule align:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.a),
    output:
        permutations=f"{RESULTS}/alignment/{{a}}--{{b}}.safetensors",
        gains=f"{RESULTS}/alignment/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/align/{{a}}--{{b}}.log",
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        seed=0,
        restarts=3,
        parents=parents_of,
        code=fingerprint("alignment"),
    script:
        "../scripts/align.py"
