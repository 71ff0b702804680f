"""The colour maps that `figures.colormap` allows, in 17 steps for the heatmap in the report.

Plotly has only some of these maps. Seaborn has all of them but takes a second to import.
"""

from __future__ import annotations

from collections.abc import Mapping

SCALES: Mapping[str, str] = {  # red, green and blue of equal steps, from the lowest value
    "viridis": "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c "
    "1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725",
    "cividis": "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 "
    "8c8878 9b9476 aba072 bcae6c cdbb63 dec958 f0d846 fee838",
    "magma": "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 "
    "d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
    "inferno": "000004 0b0724 210c4a 3d0965 57106e 71196e 8a226a a32c61 bc3754 "
    "d24644 e45a31 f1731d f98e09 fcac11 f9cb35 f2ea69 fcffa4",
    "plasma": "0d0887 310597 4c02a1 6600a7 7e03a8 9511a1 aa2395 bc3587 cc4778 "
    "da5a6a e66c5c f0804e f89540 fdac33 fdc527 f8df25 f0f921",
    "mako": "0b0405 1c101c 2b1c35 37284f 3e356b 414387 3b5698 36699f 357ba3 "
    "348da7 359fab 3cb1ad 4bc2ad 6ad2ad 99ddb6 c0e9cc def5e5",
    "rocket": "03051a 180f29 30173a 481c48 611f53 7b1f59 971c5b b21758 cb1b4f "
    "df2f44 ec4c3e f26b49 f58860 f6a37a f6bc99 f8d4bc faebdd",
}


def scale(name: str) -> list[tuple[float, str]]:
    """A key of `SCALES` as Plotly expects it: positions from 0 to 1, each with its colour."""
    steps = SCALES[name].split()
    return [(k / (len(steps) - 1), f"#{step}") for k, step in enumerate(steps)]
