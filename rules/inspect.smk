# Looks inside: the loss between models, exposed skeletons, what units are worth, second skeletons.
# What runs a network has a process and, on a cluster, a job of its own.

MEASURED = {
    "split": "test",
    "images": CONFIG.inspect.images,
    "norm_images": CONFIG.inspect.images,
    "precision": "fp32",
}


rule line:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.a),
        dataset=f"results/data/{ID}/images.safetensors",
        matched=lambda wildcards: alignment_file(wildcards.a, wildcards.b),
    output:
        table=f"{RESULTS}/lines/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/line/{{a}}--{{b}}.log",
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        points=CONFIG.inspect.points,
        measured=MEASURED,
        device=CONFIG.compute.device,
        parents=parents_of,
        code=fingerprint("ridge", own=NETWORK_CODE),
    script:
        "../scripts/line.py"


rule plane:
    input:
        models=lambda wildcards: [
            model_file(model, "weights.safetensors") for model in plane_models()
        ],
        summary=lambda wildcards: network_file(BASES[0]),
        dataset=f"results/data/{ID}/images.safetensors",
        matched=lambda wildcards: alignment_file(*BASES[:2]),
    output:
        grid=f"{RESULTS}/plane/plane.parquet",
        located=f"{RESULTS}/plane/located.parquet",
    log:
        f"{LOGS}/plane.log",
    benchmark:
        f"{RESULTS}/benchmarks/plane.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        models=lambda wildcards: [str(model) for model in plane_models()],
        aligned=lambda wildcards: [
            str(model) for model in plane_models() if model.seed != BASES[0].seed
        ],
        points=CONFIG.inspect.points,
        margin=0.2,
        measured=MEASURED,
        device=CONFIG.compute.device,
        parents=parents_of,
        code=fingerprint("ridge", own=NETWORK_CODE),
    script:
        "../scripts/plane.py"


rule curve:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.a),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        weights=f"{RESULTS}/curve/{{a}}--{{b}}.safetensors",
        table=f"{RESULTS}/curve/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/curve/{{a}}--{{b}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/curve/{{a}}--{{b}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        seed=lambda wildcards: models.Model.parse(wildcards.a).seed,
        settings={
            **CONFIG.base.model_dump(exclude={"seeds", "target"}),
            "epochs": CONFIG.inspect.epochs,
        },
        points=CONFIG.inspect.points,
        measured=MEASURED,
        device=CONFIG.compute.device,
        precision=CONFIG.compute.precision,
        parents=parents_of,
        code=fingerprint("ridge", own=NETWORK_CODE),
    script:
        "../scripts/curve.py"


rule expose:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.model),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        weights=f"{RESULTS}/exposed/{{model}}/weights.safetensors",
        structure=f"{RESULTS}/exposed/{{model}}/exposed.json",
    log:
        f"{LOGS}/expose/{{model}}.log",
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        images=CONFIG.inspect.images,
        parents=parents_of,
        code=fingerprint("exposure", own=NETWORK_CODE),
    script:
        "../scripts/expose.py"


# Last, when the machine has least else to do: other jobs take time from it.
rule time_exposed:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.model),
        exposed=f"{RESULTS}/exposed/{{model}}/weights.safetensors",
        structure=f"{RESULTS}/exposed/{{model}}/exposed.json",
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        timing=f"{RESULTS}/exposed/{{model}}/timing.json",
    log:
        f"{LOGS}/time_exposed/{{model}}.log",
    priority: -1
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        batch=min(CONFIG.inspect.images, 500),
        repeats=10,
        device=CONFIG.compute.device,
        parents=parents_of,
        code=fingerprint("exposure", own=NETWORK_CODE),
    script:
        "../scripts/time_exposed.py"


rule importance:
    input:
        weights=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}/model.json",
        pruned=f"{RESULTS}/models/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/weights.safetensors",
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        table=f"{RESULTS}/importance/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.parquet",
        ranks=f"{RESULTS}/importance/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.json",
    log:
        f"{LOGS}/importance/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/importance/seed={{seed}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        images=CONFIG.inspect.images,
        mode="zero",
        device=CONFIG.compute.device,
        parents=parents_of,
        code=fingerprint("importance", own=NETWORK_CODE),
    script:
        "../scripts/importance.py"


rule match_importance:
    input:
        tables=matched_tables,
        weights=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: network_file(wildcards.b),
        matched=lambda wildcards: alignment_file(wildcards.a, wildcards.b),
    output:
        ranks=f"{RESULTS}/importance/matched/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/match_importance/{{a}}--{{b}}.log",
    params:
        code=fingerprint("matched_units"),
    run:
        with inside(
            rule, input, output, params, wildcards, log, lineages(input)
        ) as job:
            job.run("matched_units.matched_stage", *input, *output)


rule probe:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        weights=lambda wildcards: model_file(
            probed(wildcards).parent, "weights.safetensors"
        ),
        summary=lambda wildcards: network_file(probed(wildcards)),
        pruned=lambda wildcards: model_file(probed(wildcards), "weights.safetensors"),
    output:
        rows=f"{RESULTS}/probe/seed={{seed}}_l1={{l1}}.parquet",
        verdict=f"{RESULTS}/probe/seed={{seed}}_l1={{l1}}.json",
        weights=f"{RESULTS}/probe/seed={{seed}}_l1={{l1}}.safetensors",
    log:
        f"{LOGS}/probe/seed={{seed}}_l1={{l1}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe/seed={{seed}}_l1={{l1}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        epochs=CONFIG.inspect.epochs,
        # How finely walks are recorded changes no probe.
        settings={
            **CONFIG.regularize.model_dump(exclude={"lambdas", "epochs"}),
            "trace": 0,
        },
        tolerance=0.02,  # of accuracy, as the findings allow a skeleton
        device=CONFIG.compute.device,
        precision=CONFIG.compute.precision,
        parents=parents_of,
        code=fingerprint("probe", own=NETWORK_CODE),
    script:
        "../scripts/probe.py"


rule inspection_figures:
    input:
        unpack(lambda wildcards: inspection_files()),
    output:
        inspection_figures(),
    log:
        f"{LOGS}/inspection_figures.log",
    conda:
        "../envs/skeletons.yaml"
    params:
        folder=FIGURES,
        colormap=CONFIG.figures.colormap,
        parents=parents_of,
        code=fingerprint("inspection_figures"),
    script:
        "../scripts/inspection_figures.py"


localrules:
    match_importance,
    inspection_figures,
