"""The report from random numbers: it shows what the files contain, and names stay text."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import drawn_experiment
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import yaml
from conftest import ROOT

from skeletons.config.sections import Figures
from skeletons.errors import ArtifactError
from skeletons.measures import behaviour
from skeletons.measures.catalogue import MEASURES
from skeletons.report import colours, costs, html, pair_numbers, settings, stage
from skeletons.store import artifacts, provenance

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u2028"


class Page(HTMLParser):
    """The elements of a page, and the texts of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.texts.append(data)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An experiment and its report; tests must not change them."""
    made = drawn_experiment.write(tmp_path_factory.mktemp("report"), ood=("digits", "noise"))
    stage.report_stage(**made)
    return made


@pytest.fixture(scope="module")
def page(files: dict[str, Any]) -> Page:
    return Page(Path(files["html"]).read_text())


# --- text of others stays text --------------------------------------------------------------------


def test_markdown_keeps_emphasis_and_tables_but_no_markup_of_others() -> None:
    others = f"{HOSTILE} [x](javascript:alert(3)) ![x](http://x/y) <http://x> [x][y] http://x.org"
    text = f"**a** `{HOSTILE}` {others}\n\n{HOSTILE}\n\n[y]: http://x"
    parsed = Page(str(html.rendered(f"{text}\n\n| a |\n| --- |\n| b |")))
    assert {tag for tag, _ in parsed.tags} == {
        *("p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td"),
    }
    texts = "".join(parsed.texts)
    assert texts.count("<script>alert(1)</script>") == 3
    assert others.rstrip() in texts
    assert "[y]: http://x" in texts


def test_json_in_a_page_ends_no_script_and_is_read_back() -> None:
    value = {"name": HOSTILE, "numbers": [1.5, None, -2e-5]}
    text = str(html.json_block(value))
    assert not {"<", ">", "&", "\u2028", "\u2029"} & set(text)
    assert json.loads(text) == value


def test_numbers_keep_five_digits() -> None:
    numbers = [0.1234567, 123456.7, -1e-9, 0.0, float("nan"), float("inf"), None]
    assert html.rounded(numbers) == [0.12346, 123460.0, -1e-9, 0.0, None, None, None]


def test_the_browser_runs_only_the_scripts_that_are_the_reports_own(page: Page) -> None:
    kinds = [attributes.get("type") for tag, attributes in page.tags if tag == "script"]
    assert kinds == ["application/json", None, None]
    meta = next(a for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in str(meta["content"])
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in str(meta["content"])


def test_a_hostile_experiment_stays_text(tmp_path: Path) -> None:
    data = "<img src=x onerror=alert(1)>"
    made = drawn_experiment.write(tmp_path, HOSTILE, ood=("<script>alert(1)", data))
    stage.report_stage(**made)
    parsed = Page(Path(made["html"]).read_text())
    assert [tag for tag, _ in parsed.tags].count("script") == 3
    assert not any("onerror" in attributes for _, attributes in parsed.tags)
    text = "".join(parsed.texts)
    assert text.count("<script>alert(1)</script>") >= 3  # title, header and configuration
    assert data in text


# --- pairs --------------------------------------------------------------------------------------


def pairs_of(names: list[str], value: Callable[[str, str], float]) -> pd.DataFrame:
    rows = [
        {"a": a, "b": b, "ood": "digits", "cosine_prob": value(a, b)}
        for k, a in enumerate(names)
        for b in names[k + 1 :]
    ]
    return pd.DataFrame(rows)


def scores_of(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"model": names, "sparsity": np.linspace(0.9, 0.0, len(names))})


def test_values_are_the_upper_triangle_whatever_the_order_of_rows() -> None:
    names = ["seed=1", "seed=2", "seed=10"]
    value = {"seed=1seed=2": 0.12, "seed=1seed=10": 0.1, "seed=2seed=10": 0.2}
    table = pairs_of(names, lambda a, b: value[a + b]).iloc[::-1]
    found = pair_numbers.gather([table], scores_of(names), MEASURES)
    assert [model["id"] for model in found["models"]] == names
    assert [model["base"] for model in found["models"]] == ["seed 1", "seed 2", "seed 10"]
    assert found["sparsity"] == [2, 1, 0]
    assert found["measures"][0]["values"] == [0.12, 0.1, 0.2]


@pytest.mark.parametrize("name", colours.SCALES)
def test_colours_are_those_of_the_figures(name: str) -> None:
    places = np.linspace(0, 1, 256)
    steps, hexes = zip(*colours.scale(name), strict=True)
    colours_of = np.array([mpl.colors.to_rgb(colour) for colour in hexes])
    shown = np.stack([np.interp(places, steps, channel) for channel in colours_of.T], axis=1)
    drawn = sns.color_palette(name, as_cmap=True)(places)[:, :3]
    assert np.abs(shown - drawn).max() < 0.05


def test_every_colour_map_that_may_be_named_has_its_colours() -> None:
    assert tuple(colours.SCALES) == get_args(Figures.model_fields["colormap"].annotation)


def test_the_heatmap_opens_on_the_first_measure_in_the_experiments_colours(tmp_path: Path) -> None:
    made = drawn_experiment.write(tmp_path, measures=["agreement"], colormap="mako")
    stage.report_stage(**made)
    data = json.loads(Page(Path(made["html"]).read_text()).scripts[0])
    assert data["first"] == "agreement"
    assert [tuple(step) for step in data["colours"]] == colours.scale("mako")


def test_colours_that_are_none_are_refused(files: dict[str, Any], tmp_path: Path) -> None:
    odd = tmp_path / "config.yaml"
    odd.write_text("figures: {colormap: jet}\n")
    with pytest.raises(ArtifactError, match=r"figures.colormap: found 'jet'; allowed: viridis, "):
        stage.report_stage(**{**files, "html": str(tmp_path / "r.html"), "config": str(odd)})


def test_what_has_no_value_says_why() -> None:
    names = ["seed=1", "seed=2", "seed=3"]
    table = pairs_of(names, lambda a, b: np.nan if b == "seed=3" else 0.5)
    table["reason"] = [None, "dead", "dead"]
    [one] = pair_numbers.gather([table], scores_of(names), MEASURES)["measures"]
    assert one["values"] == [0.5, None, None]
    assert one["reasons"] == {"1": "dead", "2": "dead"}


def test_a_measure_of_some_models_keeps_their_places_among_all() -> None:
    names = [f"seed={k}" for k in range(1, 5)]
    some = pairs_of(["seed=2", "seed=4"], lambda a, b: 0.3).rename(
        columns={"cosine_prob": "mask_overlap"}
    )
    found = pair_numbers.gather(
        [pairs_of(names, lambda a, b: 0.5), some.drop(columns="ood")], scores_of(names), MEASURES
    )
    behaviour, masks = found["measures"]
    assert (behaviour["set"], behaviour["models"]) == ("digits", [0, 1, 2, 3])
    assert (masks["set"], masks["models"], masks["values"]) == (None, [1, 3], [0.3])


@pytest.mark.parametrize("measure", ["cosine_prob", "jensen_shannon"])
def test_clusters_come_together(measure: str) -> None:
    odd = np.arange(8) % 2
    same = odd[:, None] == odd[None, :]
    alike = MEASURES[measure].higher_is_alike
    values = np.where(same, 0.9, 0.2) if alike else np.where(same, 0.1, 0.8)
    np.fill_diagonal(values, MEASURES[measure].itself)
    values[7, :7] = values[:7, 7] = np.nan  # a dead model is similar to no other
    order = pair_numbers.clustered(values, MEASURES[measure])
    assert sorted(order) == list(range(8))
    assert 7 in (order[0], order[-1])
    rest = [odd[k] for k in order if k != 7]
    assert sum(a != b for a, b in itertools.pairwise(rest)) == 1


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("value", [np.nan, 1.0])
def test_few_or_equal_or_silent_models_have_an_order_too(count: int, value: float) -> None:
    values = np.full((count, count), value)
    np.fill_diagonal(values, 1.0)
    order = pair_numbers.clustered(values, MEASURES["cosine_prob"])
    assert sorted(order) == list(range(count))


@pytest.mark.parametrize("higher", [True, False])
def test_a_measure_without_an_end_has_an_order_too(higher: bool) -> None:
    measure = replace(MEASURES["cosine_prob"], high=math.inf, low=-math.inf, higher_is_alike=higher)
    near, far = (5.0, 1.0) if higher else (1.0, 5.0)
    odd = np.arange(6) % 2
    values = np.where(odd[:, None] == odd[None, :], near, far)
    np.fill_diagonal(values, measure.itself)
    order = pair_numbers.clustered(values, measure)
    assert sum(odd[a] != odd[b] for a, b in itertools.pairwise(order)) == 1


def test_networks_with_other_targets_have_no_common_one(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    shared = {"target": {"train_loss": 0.1, "train_accuracy": 0.99}}
    own = {"target": {"train_loss": 0.5, "train_accuracy": 0.9}}
    for found, target in (
        ({"base": shared, "network": {"name": "cnn"}, "networks": {}}, shared["target"]),
        ({"base": shared, "network": None, "networks": {"w4": {"base": own}}}, own["target"]),
        ({"base": shared, "network": None, "networks": {"a": {}, "b": {"base": own}}}, {}),
        ({"base": shared, "network": {"name": "cnn"}, "networks": {"b": {"base": own}}}, {}),
        ({"base": shared, "network": None, "networks": {"a": {}, "b": {}}}, shared["target"]),
    ):
        path.write_text(yaml.safe_dump(found))
        assert settings.target_in(path) == target


# --- costs --------------------------------------------------------------------------------------


def benchmark(path: Path, cpu: float, mb: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawn_experiment.BENCHMARK.format(wall=2 * cpu, cpu=cpu, mb=mb))


def test_costs_are_those_of_the_experiments_own_jobs(tmp_path: Path) -> None:
    walked = "seed=1_l1=0.0001_ep=1"
    benchmark(tmp_path / "train_base/seed=1.tsv", 5, 100)
    benchmark(tmp_path / "train_base/seed=9.tsv", 50, 100)  # a seed that was removed
    benchmark(tmp_path / f"regularize/{walked}.tsv", 7, 300)
    benchmark(tmp_path / "curve/seed=1--seed=2.tsv", 1, 10)
    benchmark(tmp_path / "curve/seed=1--seed=9.tsv", 1, 10)
    benchmark(tmp_path / "probe/seed=1_l1=0.001.tsv", 2, 20)  # not named after a model
    benchmark(tmp_path / "plane.tsv", 3, 30)
    (tmp_path / "train_base/seed=2.tsv").write_text("s\th:m:s\n")  # incomplete
    (tmp_path / "plane/-.tsv").parent.mkdir()
    (tmp_path / "plane/-.tsv").write_text("s\tcpu_time\tmax_rss\n1\tNA\t-\n")
    jobs = costs.read(tmp_path, {"seed=1", "seed=2", walked})
    assert list(jobs.itertuples(index=False, name=None)) == [
        ("curve", "seed=1--seed=2", 1, 2, 10),
        ("plane", "plane", 3, 6, 30),
        ("probe", "seed=1_l1=0.001", 2, 4, 20),
        ("regularize", walked, 7, 14, 300),
        ("train_base", "seed=1", 5, 10, 100),
    ]


def test_checkpoints_on_the_way_are_counted(tmp_path: Path) -> None:
    """An experiment of walks of 8 epochs has made those of 4, which it does not compare."""
    for epochs in (4, 8, 16):
        benchmark(tmp_path / f"regularize/seed=1_l1=0.0001_ep={epochs}.tsv", epochs, 100)
    benchmark(tmp_path / "line/seed=1_l1=0.0001_ep=4--seed=2.tsv", 1, 10)  # of another time
    models = {"seed=1", "seed=1_l1=0.0001_ep=8_d=0.2"}
    assert list(costs.read(tmp_path, models).cpu_s) == [4, 8]
    (tmp_path / "regularize/seed=1_l1=0.0001_ep=4.tsv").unlink()
    made = costs.unmeasured(tmp_path, models)
    assert ("regularize", "seed=1_l1=0.0001_ep=4") in made
    brought = {"own=alice", "own=alice_l1=0.0001_ep=1_d=0.2"}
    assert costs.unmeasured(tmp_path, brought) == [("regularize", "own=alice_l1=0.0001_ep=1")]


def test_a_stage_costs_what_its_jobs_do(tmp_path: Path) -> None:
    for k in (1, 2):
        benchmark(tmp_path / f"train_base/seed={k}.tsv", k, 100 * k)
    benchmark(tmp_path / "plane.tsv", 9, 30)
    stages = costs.by_stage(costs.read(tmp_path, {"seed=1", "seed=2"}))
    assert stages.to_dict("records") == [
        {"stage": "plane", "jobs": 1, "cpu_s": 9, "wall_s": 18, "peak_mb": 30},
        {"stage": "train_base", "jobs": 2, "cpu_s": 3, "wall_s": 6, "peak_mb": 200},
    ]


def test_no_benchmarks_are_no_costs(tmp_path: Path) -> None:
    assert costs.by_stage(costs.read(tmp_path / "absent", set())).empty


# --- captions -----------------------------------------------------------------------------------


def test_a_figure_without_a_caption_is_refused(files: dict[str, Any], tmp_path: Path) -> None:
    odd = tmp_path / "pie.svg"
    odd.write_text(drawn_experiment.SVG)
    with pytest.raises(ArtifactError, match=r"pie\.svg has no caption in its metadata"):
        stage.report_stage(**{**files, "html": str(tmp_path / "r.html"), "figures": [str(odd)]})


def test_every_template_is_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["skeletons"]
    library = ROOT / "src/skeletons"
    packed = {path for pattern in patterns for path in library.glob(pattern)}
    templates = {path for path in (library / "report/page/templates").rglob("*") if path.is_file()}
    assert len(templates) > 10
    assert templates <= packed


# --- the page -----------------------------------------------------------------------------------


def test_every_number_of_every_pair_is_in_the_page(files: dict[str, Any], page: Page) -> None:
    pairs = json.loads(page.scripts[0])["pairs"]
    names = [model["id"] for model in pairs["models"]]
    measures = {(one["set"], one["name"]): one for one in pairs["measures"]}
    assert len(measures) == 2 * len(behaviour.DECLARED) + 1
    for path in files["pairs"]:
        table = artifacts.read_table(path)
        ood = table.ood.iloc[0] if "ood" in table else None
        for name in set(table.columns) & set(MEASURES):
            one = measures[ood, name]
            models = [names[k] for k in one["models"]]
            assert len(table) == len(one["values"]) == len(models) * (len(models) - 1) // 2
            values = dict(zip(zip(table.a, table.b, strict=True), table[name], strict=True))
            shown = iter(one["values"])
            for k, a in enumerate(models):
                for b in models[k + 1 :]:
                    found = next(shown)
                    expected = values[a, b]
                    assert found == (None if np.isnan(expected) else pytest.approx(expected, 1e-4))


def test_every_model_has_a_row_that_leads_to_its_files(files: dict[str, Any], page: Page) -> None:
    table = artifacts.read_table(files["scores"])
    rows = [str(a["id"]) for tag, a in page.tags if tag == "tr" and "id" in a]
    assert sorted(rows) == sorted(f"model={name}" for name in table.model)
    links = {a.get("href") for tag, a in page.tags if tag == "a"}
    for name in table.model:
        assert {f"models/{name}/weights.safetensors", f"scores/{name}.json"} <= links
    assert "dead: it answers every image alike" in page.texts


def test_lost_accuracy_is_shown_in_points(files: dict[str, Any], page: Page) -> None:
    table = artifacts.read_table(files["scores"]).set_index("model").accuracy
    pruned = "seed=2_l1=0.0001_ep=1_t=0.5"
    lost = 100 * (table["seed=2"] - table[pruned])
    cells = [text.strip() for text in page.texts if text.strip()]
    row = cells[cells.index(pruned) :]
    assert row[6] == f"{lost:.2f}".replace("-", "−")


def test_the_findings_open_the_page(files: dict[str, Any], page: Page) -> None:
    found = artifacts.read_json(files["findings"])
    text = " ".join("".join(page.texts).split())
    answer, claim, rest = (
        text.index(part)
        for part in (
            found["verdict"]["answer"].capitalize(),
            found["claims"]["digits"][0]["claim"],
            "The evidence",
        )
    )
    assert answer < claim < rest
    for base in found["bases"]:
        assert base["model"] in text[rest:]
    sources = [str(a["src"]) for tag, a in page.tags if tag == "img"]
    assert len(sources) == 1 + len(files["figures"])  # the first heatmap is shown here, too
    content = base64.b64decode(sources[0].partition(",")[2])
    assert content == Path(files["figures"][0]).read_bytes()


def test_the_evidence_is_the_text_of_each_section_and_no_lead(
    files: dict[str, Any], page: Page
) -> None:
    sections = artifacts.read_json(files["findings"])["sections"]
    prose = Path(files["html"]).read_text().split('<div class="prose">')[1].split("</div>")[0]
    titles = re.findall("<h2>(.*?)</h2>", prose)
    assert titles == [str(html.rendered_inline(s["title"])) for s in sections if s["text"]]
    for section in sections:
        assert str(html.rendered(section["text"])).strip() in prose
        assert not section["lead"] or str(html.rendered(section["lead"])).strip() not in prose


def test_walks_and_costs_are_shown(files: dict[str, Any], page: Page) -> None:
    walks = {walk["model"]: walk for walk in json.loads(page.scripts[0])["charts"]["walk"]["lines"]}
    for path in files["histories"]:
        table = artifacts.read_table(path)
        walk = walks.pop(Path(path).parent.name)
        assert walk["epoch"] == table.epoch.tolist()
        assert walk["test_loss"] == pytest.approx(table.test_loss.tolist(), 1e-4)
    assert not walks
    text = " ".join("".join(page.texts).split())
    assert "3 jobs took 18 s of processor time" in text  # 5 + 6 + 7


def test_a_report_of_another_configuration_is_named_with_the_findings_that_it_shows(
    tmp_path: Path,
) -> None:
    values = {"experiment": "<drawn> & 'é'", "figures": {"colormap": "mako", "measures": []}}
    made = drawn_experiment.write(tmp_path)
    folder = Path(made["html"]).parent
    settings.record_stage(config=made["config"], versions=made["versions"], values=values)
    assert settings.outdated(folder, {}) == ""  # there is no report yet
    stage.report_stage(**made)
    assert settings.outdated(folder, values) == ""
    names = [folder / name for name in ("report.html", "findings.md", "findings.json")]
    found = settings.outdated(folder, {**values, "experiment": "other"})
    assert found == (
        f"{names[0]}, {names[1]} and {names[2]} were made by an earlier run with another "
        "configuration."
    )
    for path in names[1:]:  # made by a run that failed before the report
        os.utime(path, (2e9, 2e9))
    found = settings.outdated(folder, {})
    assert found == f"{names[0]} was made by an earlier run with another configuration."


def test_a_report_without_a_digest_is_of_another_configuration(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<title>x</title>")
    found = settings.outdated(tmp_path, {})
    assert found.endswith("report.html was made by an earlier run with another configuration.")


def test_the_digest_is_that_of_the_recorded_configuration(
    files: dict[str, Any], page: Page
) -> None:
    recorded = Path(files["config"]).read_bytes()
    digests = [a["content"] for tag, a in page.tags if a.get("name") == "skeletons-config"]
    assert digests == [f"sha256:{hashlib.sha256(recorded).hexdigest()}"]


def test_the_same_files_give_the_same_page_wherever_they_lie(
    files: dict[str, Any], tmp_path: Path
) -> None:
    again = drawn_experiment.write(tmp_path, ood=("digits", "noise"))
    stage.report_stage(**again)
    page = Path(again["html"]).read_bytes()
    assert page == Path(files["html"]).read_bytes()
    assert str(tmp_path).encode() not in page


def test_an_experiment_without_measures_that_rise_has_a_report_too(tmp_path: Path) -> None:
    made = drawn_experiment.write(tmp_path)
    path = Path(made["findings"])
    found = artifacts.read_json(path)
    found |= {"claims": {}, "verdict": {**found["verdict"], "measure": None, "by": {}}}
    artifacts.write_json(path, found)
    stage.report_stage(**{**made, "histories": [], "figures": []})
    assert "claims hold" not in Path(made["html"]).read_text()


def verdict_box(page: str) -> str:
    """The text of the box with the verdict."""
    box = page.split('<div class="verdict">')[1].split("</div>")[0]
    return re.sub(r"<[^>]+>", "", box)


def test_the_verdict_says_that_bases_are_off_the_optimum(
    files: dict[str, Any], tmp_path: Path
) -> None:
    made = drawn_experiment.write(tmp_path, missed=[2, 3])
    stage.report_stage(**made)
    page = Path(made["html"]).read_text()
    assert "Not tested: 2 of 3 base models miss base.target;" in verdict_box(page)
    assert "seed=2 and seed=3 miss base.target. Train the bases longer" in verdict_box(page)
    assert '<span class="badge good">' not in page.split('class="claims"')[1].split("</table>")[0]
    assert "miss base.target" not in verdict_box(Path(files["html"]).read_text())


def test_claims_that_do_not_use_the_first_measure_say_so(tmp_path: Path, page: Page) -> None:
    made = drawn_experiment.write(tmp_path, measures=["jensen_shannon", "agreement"])
    stage.report_stage(**made)
    text = "".join(Page(Path(made["html"]).read_text()).texts)
    assert "The claims use agreement" in text[: text.index("The evidence")]
    assert "The claims use" not in "".join(page.texts)


@pytest.mark.parametrize("part", ["config", "findings", "scores", "versions"])
def test_a_file_that_is_missing_is_named(part: str, files: dict[str, Any], tmp_path: Path) -> None:
    absent = str(tmp_path / "results/drawn" / Path(files[part]).name)
    with pytest.raises(ArtifactError, match=Path(absent).name):
        stage.report_stage(**{**files, "html": str(tmp_path / "r.html"), part: absent})
    assert not (tmp_path / "r.html").exists()


def test_a_figure_that_is_missing_is_named(files: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"Cannot read .*curve\.svg"):
        stage.report_stage(
            **{
                **files,
                "html": str(tmp_path / "r.html"),
                "figures": [str(tmp_path / "curve.svg")],
            }
        )


def test_the_versions_are_those_of_all_that_affects_a_result() -> None:
    plain = {"network": {"name": "cnn"}, "networks": {}}
    assert set(provenance.PACKAGES) < set(settings.package_versions(plain))
    assert "timm" not in settings.package_versions(plain)
    other = {"network": None, "networks": {"a": {"name": "timm:resnet18"}}}
    assert "timm" in settings.package_versions(other)
