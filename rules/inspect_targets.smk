# Which files the looks inside one variant of each base consist of.
from skeletons import inspections

BASES = [model for model in MODELS if model.state == models.BASE]


def variant_of(base: models.Model) -> models.Model:
    """The variant of a base that `inspect` looks at."""
    recipe = CONFIG.inspect.variant
    return models.Model(base.seed, recipe.l1, recipe.epochs, recipe.threshold)


def probed(wildcards) -> models.Model:
    """The variant whose skeleton is penalised; its regularised parent is what is trained on."""
    return variant_of(models.Model(int(wildcards.seed)))


def line_pairs() -> list[tuple[models.Model, models.Model]]:
    """Between which models the loss is measured: bases, a base and its variant, and variants."""
    chosen = list(models.pairs(BASES))[:1] if CONFIG.inspect.curve else []
    if CONFIG.inspect.lines:
        variants = [variant_of(base) for base in BASES]
        own = list(zip(BASES, variants, strict=True))
        chosen = [*models.pairs(BASES), *own, *models.pairs(variants)]
    return chosen


def plane_models() -> list[models.Model]:
    """The three models that span the plane, and those that are shown on it."""
    first, second = BASES[:2]
    walk = [m for m in MODELS if m.state == models.REGULARIZED and m.seed == first.seed]
    return [first, second, variant_of(first), *walk, variant_of(second)]


def matched_tables(wildcards) -> list[str]:
    return [f"{RESULTS}/importance/{m}.parquet" for m in (wildcards.a, wildcards.b)]


def inspection_files() -> dict[str, list[str]]:
    """All artifacts of looks inside, by kind; nothing of what is off."""
    looks = CONFIG.inspect
    variants = [variant_of(base) for base in BASES] if looks.variant else []
    first = list(models.pairs(BASES))[:1]
    pairs = list(models.pairs(variants))
    probes = [f"{base}_l1={models.spell(l1)}" for base in BASES for l1 in looks.probe]
    exposed = [f"{RESULTS}/exposed/{model}" for model in variants if looks.expose]
    importance = [
        f"{RESULTS}/importance/{model}" for model in variants if looks.importance
    ]
    matched = pairs if looks.importance else []
    curves = [f"{RESULTS}/curve/{a}--{b}" for a, b in first if looks.curve]
    planes = [f"{RESULTS}/plane"] if looks.plane else []
    kinds = {
        "lines": [f"{RESULTS}/lines/{a}--{b}.parquet" for a, b in line_pairs()],
        "plane": [f"{path}/plane.parquet" for path in planes],
        "located": [f"{path}/located.parquet" for path in planes],
        "curve": [f"{path}.parquet" for path in curves],
        "curve_weights": [f"{path}.safetensors" for path in curves],
        "exposed": [f"{path}/exposed.json" for path in exposed],
        "exposed_weights": [f"{path}/weights.safetensors" for path in exposed],
        "timing": [f"{path}/timing.json" for path in exposed],
        "importance": [f"{path}.json" for path in importance],
        "importance_units": [f"{path}.parquet" for path in importance],
        "matched": [f"{RESULTS}/importance/matched/{a}--{b}.json" for a, b in matched],
        "probe": [f"{RESULTS}/probe/{name}.json" for name in probes],
        "probe_epochs": [f"{RESULTS}/probe/{name}.parquet" for name in probes],
        "probe_weights": [f"{RESULTS}/probe/{name}.safetensors" for name in probes],
    }
    return {kind: files for kind, files in kinds.items() if files}


def inspection_findings() -> dict[str, list[str]]:
    """Those of them that the findings are about, by kind."""
    found = inspection_files()
    return {kind: found[kind] for kind in inspections.READ if kind in found}


def inspection_figures() -> list[str]:
    """The figures of looks inside that are on."""
    found = inspection_files()
    names = ["curve"] if CONFIG.inspect.curve else []
    names += ["lines"] if "lines" in found else []
    names += ["plane", "plane_surface"] if CONFIG.inspect.plane else []
    names += ["exposure"] if CONFIG.inspect.expose else []
    for kind in ("importance", "probe"):
        names += [f"{kind}_{Path(path).stem}" for path in found.get(kind, [])]
    return [f"{FIGURES}/{name}.svg" for name in names]
