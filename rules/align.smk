# Alignment: the order of a base's hidden units that brings its weights, or the activations of its
# units, nearest to those of another base; pair by pair, or of all bases of a network together.


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


rule activations:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        dataset=f"results/data/{ID}/images.safetensors",
        symmetries=lambda wildcards: TARGETS.symmetries(wildcards.model),
    output:
        units=f"{RESULTS}/alignment/units/{{model}}.safetensors",
    log:
        f"{LOGS}/activations/{{model}}.log",
    params:
        **stage("activations"),
    run:
        run_stage(input, output, params, wildcards, log)


rule align_activations:
    input:
        a=f"{RESULTS}/alignment/units/{{a}}.safetensors",
        b=f"{RESULTS}/alignment/units/{{b}}.safetensors",
        symmetries=lambda wildcards: TARGETS.symmetries(wildcards.b),
    output:
        permutations=f"{RESULTS}/alignment/activations/{{a}}--{{b}}.safetensors",
        gains=f"{RESULTS}/alignment/activations/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/align_activations/{{a}}--{{b}}.log",
    params:
        **stage("align_activations"),
    run:
        run_stage(input, output, params, wildcards, log)


rule align_together:
    input:
        models=lambda wildcards: [
            TARGETS.matched_by(base, wildcards.by)
            for base in PLAN.bases_of(wildcards.net)
        ],
        symmetries=f"{RESULTS}/alignment/{{net}}symmetries.json",
    output:
        frame=f"{RESULTS}/alignment/together/{{by}}/{{net}}frame.safetensors",
    log:
        f"{LOGS}/align_together/{{by}}/{{net}}frame.log",
    benchmark:
        f"{RESULTS}/benchmarks/align_together/{{by}}/{{net}}frame.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("align_together"),
    script:
        "../scripts/stage.py"


rule align_through_frame:
    input:
        frame=lambda wildcards: TARGETS.frame(wildcards.b, wildcards.by),
        a=lambda wildcards: TARGETS.matched_by(wildcards.a, wildcards.by),
        b=lambda wildcards: TARGETS.matched_by(wildcards.b, wildcards.by),
        symmetries=lambda wildcards: TARGETS.symmetries(wildcards.b),
    output:
        permutations=f"{RESULTS}/alignment/together/{{by}}/{{a}}--{{b}}.safetensors",
        gains=f"{RESULTS}/alignment/together/{{by}}/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/align_through_frame/{{by}}/{{a}}--{{b}}.log",
    params:
        **stage("align_through_frame"),
    run:
        run_stage(input, output, params, wildcards, log)


localrules:
    symmetries,
    activations,
    align_activations,
    align_through_frame,
