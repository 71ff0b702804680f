"""The report in a browser: clicking and pointing shows the right numbers."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drawn_experiment
import numpy as np
import pandas as pd
import pytest

from skeletons.figures import labels
from skeletons.model_ids import Model
from skeletons.report import colours, stage
from skeletons.store import artifacts

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
if not CHROMIUM and os.environ.get("REQUIRE_CHROMIUM") != "1":
    pytest.skip("no Chromium is installed", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")

WIDTHS = {"phone": (400, 800), "laptop": (1400, 900), "wide": (2200, 1200)}
HOSTILE = "<script>document.title = 'taken'</script>"
LAPTOP = {"width": 1280, "height": 800}
PAGES = ("findings", "grid", "heatmap", "walks", "figures", "costs", "configuration")
# Texts whose contrast with their background is below 4.5, the minimum of WCAG 2 (1.4.3, level AA).
LOW_CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.checkVisibility() && !one.closest("svg, select, .skip, script"))
    .filter((one) => [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((one) => [one, light(parse(getComputedStyle(one).color)), light(behind(one))])
    .filter(([, a, b]) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5)
    .map(([one]) => one.outerHTML.slice(0, 80));
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = drawn_experiment.write(
        tmp_path_factory.mktemp("browser"), ood=("digits", "noise"), random=(1,)
    )
    stage.report_stage(**made)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Reader:
    """A page in the browser, with its messages on the console and its network requests."""

    def __init__(self, browser: Any, path: str) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_page(viewport=LAPTOP)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.address = Path(path).as_uri()
        self.page.goto(self.address)

    def open_at(self, name: str) -> None:
        """Open the report again, at one of its pages."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{name}")

    def turn_to(self, name: str) -> None:
        self.page.click(f"nav a[href='#{name}']")
        self.wait_for_page(name)

    def wait_for_page(self, name: str) -> None:
        """Wait until a page is shown: a browser announces a followed link after the click."""
        self.page.locator(f"nav a[href='#{name}'][aria-current=page]").wait_for()

    def point_at(self, row: int, column: int, count: int) -> None:
        """Move the pointer to the middle of a cell of the heatmap, of `count` rows and columns."""
        box = self.page.locator("#map .nsewdrag").first.bounding_box()
        x = box["x"] + box["width"] * (column + 0.5) / count
        self.page.mouse.move(x, box["y"] + box["height"] * (row + 0.5) / count)

    def column(self, table: str, number: int) -> list[str]:
        """The texts of a column's cells in the visible rows."""
        cells = self.page.locator(f"{table} tbody tr:visible > :nth-child({number})")
        return [text.splitlines()[0].strip() for text in cells.all_inner_texts()]

    def order(self) -> list[str]:
        """The models of the heatmap's rows, from the top."""
        return self.page.evaluate(
            "document.getElementById('map').order.map((k) => PAIRS.models[k].id)"
        )

    def names(self) -> list[str]:
        """The names beside the heatmap's rows, from the top."""
        return self.page.evaluate("document.getElementById('map').layout.yaxis.ticktext")

    def overflow(self) -> list[str]:
        """What extends beyond the window's right edge and cannot be scrolled into view."""
        return self.page.evaluate(
            """() => [...document.querySelectorAll("body *")]
              .filter((one) => one.checkVisibility())
              .filter((one) => !one.closest(".scroll, pre, .skip, .hidden, .prose table, svg"))
              .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
              .map((one) => one.outerHTML.slice(0, 80))"""
        )


@pytest.fixture
def reader(browser: Any, files: dict[str, Any]) -> Iterator[Reader]:
    opened = Reader(browser, files["html"])
    yield opened
    opened.page.close()
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))] == []


def similarity(files: dict[str, Any]) -> pd.DataFrame:
    return artifacts.read_table(files["pairs"][0])


def compared(files: dict[str, Any]) -> list[str]:
    table = similarity(files)
    return sorted({*table.a, *table.b}, key=lambda name: Model.parse(name).sort_key)


def test_each_page_is_shown_alone_and_fits_a_laptop(reader: Reader) -> None:
    names = [link.get_attribute("href")[1:] for link in reader.page.locator("nav a").all()]
    assert len(names) == 7
    for name in names:
        reader.turn_to(name)
        assert [
            s.get_attribute("id") for s in reader.page.locator("main > section:visible").all()
        ] == [name]
        assert reader.page.locator("nav a[aria-current=page]").inner_text().lower() == name
        width = reader.page.evaluate("document.documentElement.scrollWidth")
        assert width <= LAPTOP["width"]


def test_the_verdict_is_seen_first(reader: Reader) -> None:
    box = reader.page.locator(".verdict").bounding_box()
    assert box["y"] + box["height"] < LAPTOP["height"]


def in_view(reader: Reader, selector: str) -> bool:
    box = reader.page.locator(selector).first.bounding_box()
    return bool(box["y"] + box["height"] < reader.page.viewport_size["height"])


def test_the_bases_are_on_the_first_screen(reader: Reader, files: dict[str, Any]) -> None:
    assert in_view(reader, "#bases")
    assert in_view(reader, "#findings figure img")
    scores = artifacts.read_table(files["scores"]).set_index("model")
    names = [f"seed={seed}" for seed in (1, 2, 3)]
    assert reader.column("#bases", 1) == names
    assert reader.column("#bases", 2) == [f"{scores.accuracy[name]:.2%}" for name in names]
    assert reader.column("#bases", 3) == [f"{scores.train_loss[name]:.4f}" for name in names]
    assert reader.column("#bases", 4) == ["reached"] * 3
    assert reader.column("#bases", 5) == ["yes"] * 3


def test_many_bases_that_miss_their_target_or_are_dead_are_there_too(
    browser: Any, tmp_path: Path
) -> None:
    made = drawn_experiment.write(tmp_path, seeds=30, epochs=(1,), thresholds=(0.1,), missed=[2])
    found = artifacts.read_json(made["findings"])
    found["dead"] = [{"model": "seed=3", "sparsity": 0, "dead_reason": "it answers alike"}]
    artifacts.write_json(made["findings"], found)
    stage.report_stage(**made)
    reader = Reader(browser, made["html"])
    assert reader.column("#bases", 4)[:3] == ["reached", "missed", "reached"]
    assert reader.column("#bases", 5)[:3] == ["yes", "yes", "no"]
    text = reader.page.locator("#bases tbody").inner_text()
    assert "training loss 2 is above 0.1" in text
    assert "it answers alike" in text
    box = reader.page.locator("div:has(> #bases)").bounding_box()
    assert box["height"] < 400  # the rest of the thirty is scrolled to
    reader.page.locator("#bases button", has_text="Target").click()
    assert reader.column("#bases", 1)[0] == "seed=2"
    reader.page.close()


def test_what_to_change_next_stands_below_the_answer(reader: Reader, files: dict[str, Any]) -> None:
    found = artifacts.read_json(files["findings"])
    assert found["next"]
    shown = reader.page.locator(".steps li").all_inner_texts()
    assert shown == [
        f"{step['change']}. {step['reason']}".replace("`", "") for step in found["next"]
    ]
    command = reader.page.locator("#next ~ pre.command").inner_text()
    for step in found["next"]:
        for key, value in step["values"].items():
            section, name = key.split(".")
            assert f"{section}=" in command
            assert f"{name}: [{', '.join(map(str, value))}]" in command


@pytest.mark.parametrize("size", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_every_window(reader: Reader, size: str, scheme: str) -> None:
    width, height = WIDTHS[size]
    reader.page.emulate_media(color_scheme=scheme)
    reader.page.set_viewport_size({"width": width, "height": height})
    for name in PAGES:
        reader.open_at(name)
        reader.page.wait_for_timeout(100)
        assert reader.overflow() == []
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
        assert reader.page.evaluate("scrollY") == 0
        assert reader.page.evaluate(LOW_CONTRAST) == []
        main = reader.page.locator("main").bounding_box()
        assert main["width"] > 0.95 * width


def test_a_figure_is_as_large_as_its_column_and_columns_fill_the_window(reader: Reader) -> None:
    columns = {}
    for size, (width, height) in WIDTHS.items():
        reader.page.set_viewport_size({"width": width, "height": height})
        reader.open_at("figures")
        for figure in reader.page.locator("#figures figure").all():
            box, image = figure.bounding_box(), figure.locator("img").bounding_box()
            assert image["width"] == pytest.approx(box["width"], abs=1)
        columns[size] = round(
            reader.page.locator(".gallery").bounding_box()["width"] / box["width"]
        )
    assert columns == {"phone": 1, "laptop": 2, "wide": 3}


def test_the_map_names_recipes_by_the_row_and_bases_by_the_group(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.open_at("heatmap")
    notes = "document.getElementById('map').layout.annotations.map(({text}) => text)"
    assert reader.names() == labels.recipes(compared(files))
    assert reader.page.evaluate(notes) == ["seed 1", "seed 2", "seed 3"] * 2  # above and beside
    texts = reader.page.locator("#map .ytick text").all()
    plot = reader.page.locator("#map .nsewdrag").first.bounding_box()
    groups = reader.page.locator("#map .annotation-text").all()
    edges = [text.bounding_box() for text in texts]
    assert len(edges) == len(compared(files))
    assert max(box["x"] + box["width"] for box in edges) <= plot["x"] + 1
    beside = [box for box in (one.bounding_box() for one in groups) if box["x"] < plot["x"]]
    assert len(beside) == 3
    assert max(box["x"] + box["width"] for box in beside) <= min(box["x"] for box in edges)
    reader.page.select_option("#order", "clustered")
    assert reader.page.evaluate(notes) == []
    words = dict(zip(compared(files), labels.recipes(compared(files)), strict=True))
    expected = [f"seed {Model.parse(name).seed}, {words[name]}" for name in reader.order()]
    assert reader.names() == expected


def test_the_training_of_bases_is_drawn_with_their_target(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.turn_to("walks")
    reader.page.set_viewport_size({"width": 1600, "height": 900})
    boxes = [reader.page.locator(chart).bounding_box() for chart in ("#training", "#walk")]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]  # beside each other
    drawn = "document.getElementById('training').data.map(({meta, y, yaxis}) => [meta, yaxis, y])"
    for path in files["trained"]:
        table, name = artifacts.read_table(path), Path(path).parent.name
        lines = {axis: y for model, axis, y in reader.page.evaluate(drawn) if model == name}
        assert lines["y"] == pytest.approx(table.train_loss.tolist(), 1e-4)
        assert lines["y2"] == pytest.approx(table.test_accuracy.tolist(), 1e-4)
    target = "document.getElementById('training').layout.shapes.map(({y0, yref}) => [y0, yref])"
    assert reader.page.evaluate(target) == [[0.1, "y"]]
    reader.page.select_option("#training-lower", "train_accuracy")
    assert reader.page.evaluate(target) == [[0.1, "y"], [0.97, "y2"]]
    colours = """(id) => Object.fromEntries(document.getElementById(id).data
      .map(({meta, line}) => [meta.split("_")[0], line.color]))"""
    bases = [reader.page.evaluate(colours, chart) for chart in ("training", "walk")]
    assert bases[0] == bases[1]
    assert len(set(bases[0].values())) == 3
    dashes = "new Set(document.getElementById('walk').data.map(({line}) => line.dash)).size"
    assert reader.page.evaluate(dashes) == 1  # one penalty


def test_pointing_at_a_cell_shows_its_pair_and_all_its_numbers(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.turn_to("heatmap")
    names = compared(files)
    a, b = names[1], names[-2]
    reader.point_at(1, len(names) - 2, len(names))
    label = reader.page.locator("#map .hoverlayer .hovertext")
    label.wait_for()
    row = similarity(files).set_index(["a", "b"]).loc[(a, b)]
    assert [a, b, f"{row.cosine_prob:.5g}"] == label.locator(
        "text.nums tspan.line"
    ).all_text_contents()
    for measure in ("cosine_prob", "agreement", "jensen_shannon", "cosine_logit_flat"):
        shown = reader.page.locator(f"#pair tr[data-measure={measure}] td").inner_text()
        assert float(shown) == pytest.approx(row[measure], 1e-4)
    overlap = artifacts.read_table(files["pairs"][-1]).set_index(["a", "b"])
    shown = reader.page.locator("#pair tr[data-measure=mask_overlap] td").inner_text()
    assert float(shown) == pytest.approx(overlap.loc[(a, b)].mask_overlap, 1e-4)


def test_the_other_side_of_the_diagonal_is_the_same_pair(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.turn_to("heatmap")
    count = len(compared(files))
    shown = []
    for row, column in ((2, 5), (5, 2)):
        reader.point_at(row, column, count)
        reader.page.wait_for_timeout(200)
        shown.append(reader.page.locator("#pair tbody").inner_text())
    assert shown[0] == shown[1]


def test_a_click_keeps_a_pair_whose_links_lead_to_its_models(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.turn_to("heatmap")
    names = compared(files)
    reader.point_at(0, 3, len(names))
    reader.page.locator("#map .hoverlayer .hovertext").wait_for()
    reader.page.mouse.down()
    reader.page.mouse.up()
    reader.page.get_by_text("Kept;").wait_for()
    reader.point_at(6, 7, len(names))
    reader.page.wait_for_timeout(200)
    links = reader.page.locator("#pair-links a")
    assert links.all_inner_texts() == [names[0], names[3]]
    links.nth(1).click()
    row = reader.page.locator("#grid tr.chosen")
    row.wait_for()
    assert row.locator("th a").inner_text() == names[3]
    assert reader.page.locator("#grid").is_visible()


def test_measure_and_images_choose_what_is_drawn(reader: Reader, files: dict[str, Any]) -> None:
    reader.turn_to("heatmap")
    reader.page.select_option("#set", "noise")
    reader.page.select_option("#measure", "disagreement")
    names = compared(files)
    matrix = reader.page.evaluate("document.getElementById('map').data[0].z")
    for row in artifacts.read_table(files["pairs"][1]).itertuples():
        i, j = names.index(row.a), names.index(row.b)
        expected = None if np.isnan(row.disagreement) else pytest.approx(row.disagreement, 1e-4)
        assert matrix[i][j] == matrix[j][i] == expected
    reader.page.select_option("#measure", "mask_overlap")
    pruned = [name for name in names if "_t=" in name]
    assert reader.order() == pruned


def test_the_map_opens_on_the_first_measure_in_the_experiments_colours(
    browser: Any, tmp_path: Path
) -> None:
    made = drawn_experiment.write(
        tmp_path, ood=("digits", "noise"), measures=["jensen_shannon", "agreement"], colormap="mako"
    )
    stage.report_stage(**made)
    reader = Reader(browser, made["html"])
    reader.turn_to("heatmap")
    chosen = reader.page.locator("#measure")
    assert chosen.input_value() == "jensen_shannon"
    drawn = reader.page.evaluate("document.getElementById('map').data[0].colorscale")
    assert [tuple(step) for step in drawn] == colours.scale("mako")
    reader.page.select_option("#measure", "agreement")
    reader.page.select_option("#set", "noise")
    assert chosen.input_value() == "agreement"  # other images, the same measure
    assert reader.said == []
    reader.page.close()


def test_the_order_changes_the_axis_and_moves_the_numbers_with_it(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.turn_to("heatmap")
    names = compared(files)
    assert reader.order() == names
    sparsity = artifacts.read_table(files["scores"]).set_index("model").sparsity
    reader.page.select_option("#order", "sparsity")
    by_sparsity = reader.order()
    assert sparsity[by_sparsity].is_monotonic_increasing
    reader.page.select_option("#order", "clustered")
    clustered = reader.order()
    assert sorted(clustered) == sorted(names)
    assert clustered not in (names, by_sparsity)
    living = [name for name in clustered if name != drawn_experiment.DEAD]
    seeds = [Model.parse(name).seed for name in living]
    changes = sum(one != other for one, other in itertools.pairwise(seeds))
    assert changes == len(set(seeds)) - 1  # pairs of one base are drawn far more alike
    values = similarity(files).set_index(["a", "b"]).cosine_prob
    matrix = reader.page.evaluate("document.getElementById('map').data[0].z")
    a, b = names[0], names[-1]
    shown = matrix[clustered.index(a)][clustered.index(b)]
    assert shown == pytest.approx(values[a, b], 1e-4)


def test_a_pair_without_a_value_says_why(reader: Reader, files: dict[str, Any]) -> None:
    reader.turn_to("heatmap")
    reader.page.select_option("#pair-a", label=drawn_experiment.DEAD)
    reader.page.select_option("#pair-b", label="seed=2")
    assert reader.page.locator("#pair tr[data-measure=cosine_prob] td").inner_text() == "–"
    assert "answers every image alike" in reader.page.locator("#pair-state").inner_text()
    names = compared(files)
    reader.point_at(0, names.index(drawn_experiment.DEAD), len(names))
    label = reader.page.locator("#map .hoverlayer .hovertext", has_text="no value")
    label.wait_for()


def test_the_grid_sorts_both_ways_and_keeps_what_has_no_value_last(
    reader: Reader, files: dict[str, Any]
) -> None:
    reader.turn_to("grid")
    table = artifacts.read_table(files["scores"]).set_index("model")
    button = reader.page.locator("#models thead button", has_text="Sparsity")
    button.click()
    assert table.sparsity[reader.column("#models", 1)].is_monotonic_increasing
    button.click()
    assert table.sparsity[reader.column("#models", 1)].is_monotonic_decreasing
    assert button.locator("..").get_attribute("aria-sort") == "descending"
    for _ in range(2):
        reader.page.locator("#models thead button", has_text="Threshold").click()
        thresholds = reader.column("#models", 5)
        missing = thresholds.count("–")
        assert missing
        assert thresholds[-missing:] == ["–"] * missing


def test_the_grid_filters_by_words_state_and_numbers(reader: Reader, files: dict[str, Any]) -> None:
    reader.turn_to("grid")
    table = artifacts.read_table(files["scores"])
    count = reader.page.locator("#grid output")
    reader.page.fill("input[name=text]", "SEED=2 pruned")
    expected = table[(table.seed == 2) & (table.state == "pruned")]
    assert set(reader.column("#models", 1)) == set(expected.model)
    assert count.inner_text() == f"{len(expected)} of {len(table)} models"
    reader.page.fill("input[name=text]", "")
    reader.page.select_option("select[name=state]", "pruned")
    reader.page.select_option("select[name=base]", "seed 1")
    reader.page.fill("input[name=accuracy]", "85")
    reader.page.fill("input[name=sparsity]", "20")
    expected = table[
        (table.state == "pruned")
        & (table.seed == 1)
        & (table.accuracy >= 0.85)
        & (table.sparsity >= 0.2)
    ]
    assert set(reader.column("#models", 1)) == set(expected.model)


def test_a_model_that_a_filter_hides_is_shown_when_a_link_leads_to_it(reader: Reader) -> None:
    reader.turn_to("grid")
    reader.page.fill("input[name=text]", "nothing has this")
    assert reader.column("#models", 1) == []
    reader.turn_to("findings")
    link = reader.page.locator("#findings .prose a[href^='#model=']").first
    name = link.inner_text()
    link.click()
    reader.page.wait_for_selector("#models tr.chosen")
    assert reader.column("#models", 1) == [name]


@pytest.mark.parametrize(
    ("name", "plot"), [("heatmap", "map"), ("walks", "walk"), ("walks", "training")]
)
def test_an_address_of_a_page_with_a_plot_draws_it(reader: Reader, name: str, plot: str) -> None:
    reader.open_at(name)
    assert reader.page.evaluate(f"document.getElementById('{plot}').data.length") > 0


def test_walks_draw_what_is_chosen(reader: Reader, files: dict[str, Any]) -> None:
    reader.turn_to("walks")
    reader.page.select_option("#walk-upper", "penalty")
    reader.page.check("#walk-log")
    drawn = reader.page.evaluate(
        "document.getElementById('walk').data.map(({meta, y, yaxis}) => [meta, yaxis, y])"
    )
    for path in files["histories"]:
        table, name = artifacts.read_table(path), Path(path).parent.name
        lines = {axis: values for walk, axis, values in drawn if walk == name}
        assert lines["y"] == pytest.approx(table.penalty.tolist(), 1e-4)
        assert lines["y2"] == pytest.approx(table.distance.tolist(), 1e-4)


def test_the_keyboard_alone_turns_pages_and_sorts(reader: Reader) -> None:
    reader.page.keyboard.press("Tab")
    assert reader.page.evaluate("document.activeElement.className") == "skip"
    reader.page.locator("nav a[href='#costs']").focus()
    reader.page.keyboard.press("Enter")
    reader.wait_for_page("costs")
    button = reader.page.locator("#costs thead button").first
    button.focus()
    reader.page.keyboard.press("Enter")
    assert button.locator("..").get_attribute("aria-sort") == "ascending"


def test_every_control_has_a_name(reader: Reader) -> None:
    names = reader.page.evaluate(
        "[...document.querySelectorAll('input, select')].map((one) => one.labels.length)"
    )
    assert len(names) > 10
    assert all(names)


def test_a_hostile_name_stays_text(browser: Any, tmp_path: Path) -> None:
    made = drawn_experiment.write(tmp_path, HOSTILE, ood=("<img src=x onerror=alert(1)>",))
    stage.report_stage(**made)
    reader = Reader(browser, made["html"])
    for name in ("heatmap", "findings"):
        reader.turn_to(name)
    assert reader.page.title().startswith(HOSTILE)
    assert reader.page.locator("header b").inner_text() == HOSTILE
    assert reader.page.locator("img[src=x]").count() == 0
    assert reader.said == []
    reader.page.close()


def test_an_injected_script_would_not_run(
    browser: Any, files: dict[str, Any], tmp_path: Path
) -> None:
    """Even if a name became markup, the page's policy would block it, and any request."""
    text = Path(files["html"]).read_text()
    evil = f"{HOSTILE}<img src='https://example.org/x.png'>"
    spoilt = tmp_path / "report.html"
    spoilt.write_text(re.sub(r"<body>", f"<body>{evil}", text, count=1))
    reader = Reader(browser, str(spoilt))
    assert reader.page.title().startswith("drawn")
    assert len([text for text in reader.said if "Content Security Policy" in text]) == 2
    reader.page.close()


def test_two_hundred_models_are_still_small_and_quick_to_point_at(
    browser: Any, tmp_path: Path
) -> None:
    thresholds = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 0.9)
    made = drawn_experiment.write(tmp_path, seeds=8, epochs=(1, 2, 4), thresholds=thresholds)
    stage.report_stage(**made)
    assert len(compared(made)) == 200
    assert Path(made["html"]).stat().st_size < 15e6
    reader = Reader(browser, made["html"])
    reader.turn_to("heatmap")
    names = compared(made)
    reader.point_at(30, 170, 200)
    reader.page.locator("#map .hoverlayer .hovertext").wait_for()
    value = similarity(made).set_index(["a", "b"]).cosine_prob[names[30], names[170]]
    shown = reader.page.locator("#pair tr[data-measure=cosine_prob] td").inner_text()
    assert float(shown) == pytest.approx(value, 1e-4)
    assert 20 < len(reader.names()) < 60  # as many names as there is room for
    assert reader.said == []
    reader.page.close()
