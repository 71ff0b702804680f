# Inspections: the loss between models, exposed skeletons, importance of units, second skeletons.
# A job that runs a network has its own process; on a cluster, it is submitted.


rule line:
    input:
        unpack(lambda wildcards: TARGETS.aligned_on_line(wildcards.a, wildcards.b)),
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.a),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        table=f"{RESULTS}/lines/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/line/{{a}}--{{b}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/line/{{a}}--{{b}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("line"),
    script:
        "../scripts/stage.py"


rule plane:
    input:
        unpack(lambda wildcards: TARGETS.aligned(*PLAN.plane_models()[:2])),
        weights=lambda wildcards: [
            TARGETS.weights(model) for model in PLAN.plane_models()
        ],
        summary=lambda wildcards: TARGETS.network(PLAN.plane_models()[0]),
        dataset=f"results/data/{ID}/images.safetensors",
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
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("plane"),
    script:
        "../scripts/stage.py"


rule curve:
    input:
        unpack(alignment),
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.a),
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
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("curve"),
    script:
        "../scripts/stage.py"


rule bridge:
    input:
        a=f"{RESULTS}/models/{{a}}/weights.safetensors",
        b=f"{RESULTS}/models/{{b}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.a),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        points=f"{RESULTS}/bridge/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/bridge/{{a}}--{{b}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/bridge/{{a}}--{{b}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("bridge"),
    script:
        "../scripts/stage.py"


rule original_width:
    input:
        a=lambda wildcards: [
            TARGETS.weights(model) for model in TARGETS.walk_of(wildcards.a)
        ],
        b=lambda wildcards: [
            TARGETS.weights(model) for model in TARGETS.walk_of(wildcards.b)
        ],
        summary=lambda wildcards: TARGETS.network(wildcards.a),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        points=f"{RESULTS}/bridge/original_width/{{a}}--{{b}}.parquet",
        units=f"{RESULTS}/bridge/original_width/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/original_width/{{a}}--{{b}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/original_width/{{a}}--{{b}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("original_width"),
    script:
        "../scripts/stage.py"


rule judge_bridge:
    input:
        unpack(lambda wildcards: TARGETS.bridged(wildcards.a, wildcards.b)),
        points=f"{RESULTS}/bridge/{{a}}--{{b}}.parquet",
        original=f"{RESULTS}/bridge/original_width/{{a}}--{{b}}.parquet",
        units=f"{RESULTS}/bridge/original_width/{{a}}--{{b}}.json",
        summary=lambda wildcards: TARGETS.network(wildcards.a),
    output:
        bridge=f"{RESULTS}/bridge/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/judge_bridge/{{a}}--{{b}}.log",
    params:
        **stage("judge_bridge"),
    run:
        run_stage(input, output, params, wildcards, log)


rule transfer:
    input:
        unpack(lambda wildcards: TARGETS.masked_by(wildcards.base_id, wildcards.mask)),
        dataset=f"results/data/{ID}/images.safetensors",
        info=f"results/data/{ID}/info.json",
    output:
        result=f"{RESULTS}/transfer/{{base_id}}_mask={{mask}}.json",
    log:
        f"{LOGS}/transfer/{{base_id}}_mask={{mask}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/transfer/{{base_id}}_mask={{mask}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("transfer"),
    script:
        "../scripts/stage.py"


rule expose:
    input:
        pruned=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        weights=f"{RESULTS}/exposed/{{model}}/weights.safetensors",
        structure=f"{RESULTS}/exposed/{{model}}/exposed.json",
    log:
        f"{LOGS}/expose/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/expose/{{model}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    params:
        **process("expose"),
    script:
        "../scripts/stage.py"


# Timed last, when the fewest other jobs compete for the processor.
rule time_exposed:
    input:
        pruned=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        exposed=f"{RESULTS}/exposed/{{model}}/weights.safetensors",
        structure=f"{RESULTS}/exposed/{{model}}/exposed.json",
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        timing=f"{RESULTS}/exposed/{{model}}/timing.json",
    log:
        f"{LOGS}/time_exposed/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/time_exposed/{{model}}.tsv"
    priority: -1
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("time_exposed"),
    script:
        "../scripts/stage.py"


rule importance:
    input:
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        pruned=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}/weights.safetensors",
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        table=f"{RESULTS}/importance/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.parquet",
        ranks=f"{RESULTS}/importance/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.json",
    log:
        f"{LOGS}/importance/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/importance/{{base_id}}_l1={{l1}}_ep={{epochs}}_t={{threshold}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("importance"),
    script:
        "../scripts/stage.py"


use rule importance as importance_to_density with:
    input:
        regularized=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/weights.safetensors",
        summary=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}/model.json",
        pruned=f"{RESULTS}/models/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}/weights.safetensors",
        dataset=f"results/data/{ID}/images.safetensors",
    output:
        table=f"{RESULTS}/importance/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}.parquet",
        ranks=f"{RESULTS}/importance/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}.json",
    log:
        f"{LOGS}/importance_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/importance_to_density/{{base_id}}_l1={{l1}}_ep={{epochs}}_d={{density}}.tsv"


rule match_importance:
    input:
        unpack(alignment),
        tables=[
            f"{RESULTS}/importance/{{a}}.parquet",
            f"{RESULTS}/importance/{{b}}.parquet",
        ],
        weights=f"{RESULTS}/models/{{b}}/weights.safetensors",
    output:
        ranks=f"{RESULTS}/importance/matched/{{a}}--{{b}}.json",
    log:
        f"{LOGS}/match_importance/{{a}}--{{b}}.log",
    params:
        **stage("match_importance"),
    run:
        run_stage(input, output, params, wildcards, log)


rule probe:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        regularized=lambda wildcards: TARGETS.weights(probed(wildcards).parent),
        summary=lambda wildcards: TARGETS.network(probed(wildcards)),
        pruned=lambda wildcards: TARGETS.weights(probed(wildcards)),
    output:
        rows=f"{RESULTS}/probe/{{base_id}}_l1={{l1}}.parquet",
        verdict=f"{RESULTS}/probe/{{base_id}}_l1={{l1}}.json",
        weights=f"{RESULTS}/probe/{{base_id}}_l1={{l1}}.safetensors",
    log:
        f"{LOGS}/probe/{{base_id}}_l1={{l1}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/probe/{{base_id}}_l1={{l1}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("probe"),
    script:
        "../scripts/stage.py"


rule takeover:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        regularized=lambda wildcards: TARGETS.weights(
            Model.parse(wildcards.model).parent
        ),
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        pruned=f"{RESULTS}/models/{{model}}/weights.safetensors",
    output:
        rows=f"{RESULTS}/takeover/{{model}}.parquet",
        verdict=f"{RESULTS}/takeover/{{model}}.json",
        weights=f"{RESULTS}/takeover/{{model}}.safetensors",
    log:
        f"{LOGS}/takeover/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/takeover/{{model}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("takeover"),
    script:
        "../scripts/stage.py"


# The lowest density at which the walk of the inspected variant still gives a skeleton.
rule sparsest:
    input:
        dataset=f"results/data/{ID}/images.safetensors",
        regularized=lambda wildcards: TARGETS.weights(probed(wildcards).parent),
        summary=lambda wildcards: TARGETS.network(probed(wildcards)),
        base=f"{RESULTS}/models/{{base_id}}/weights.safetensors",
        base_summary=f"{RESULTS}/models/{{base_id}}/model.json",
        ranks=lambda wildcards: TARGETS.ranks_of(probed(wildcards).parent),
    output:
        found=f"{RESULTS}/sparsest/{{base_id}}.json",
    log:
        f"{LOGS}/sparsest/{{base_id}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sparsest/{{base_id}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    threads: CONFIG.compute.threads
    resources:
        gpu_jobs=GPU_JOBS,
    params:
        **process("sparsest"),
    script:
        "../scripts/stage.py"


rule layers:
    input:
        weights=f"{RESULTS}/models/{{model}}/weights.safetensors",
        summary=lambda wildcards: TARGETS.network(wildcards.model),
        dataset="results/data/{dataset}/images.safetensors",
    output:
        layers=f"{RESULTS}/layers/{{dataset}}/{{model}}.safetensors",
    log:
        f"{LOGS}/layers/{{dataset}}/{{model}}.log",
    params:
        **stage("layers"),
    run:
        run_stage(input, output, params, wildcards, log)


# In its own process: a hundred shuffles of the images for every two layers take seconds.
rule compare_layers:
    input:
        a=f"{RESULTS}/layers/{{ood}}/{{a}}.safetensors",
        b=f"{RESULTS}/layers/{{ood}}/{{b}}.safetensors",
    output:
        pair=f"{RESULTS}/layer_maps/{{representation}}/{{ood}}/{{a}}--{{b}}.parquet",
    log:
        f"{LOGS}/compare_layers/{{representation}}/{{ood}}/{{a}}--{{b}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_layers/{{representation}}/{{ood}}/{{a}}--{{b}}.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **process("compare_layers"),
    script:
        "../scripts/stage.py"


rule inspection_figures:
    input:
        unpack(lambda wildcards: TARGETS.inspections()),
    output:
        TARGETS.inspection_figures(),
    log:
        f"{LOGS}/inspection_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/inspection_figures.tsv"
    conda:
        "../envs/skeletons.yaml"
    params:
        **process("inspection_figures"),
    script:
        "../scripts/stage.py"


localrules:
    judge_bridge,
    match_importance,
    layers,
    compare_layers,
    inspection_figures,
