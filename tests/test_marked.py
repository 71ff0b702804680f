"""Pages whose marked text is written by a program."""

import pytest

from skeletons.marked import marks, renewed

BEGIN, END = marks("figures")


def test_only_the_text_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter <!-- end other -->\n"
    assert renewed(page, "figures", "\nnew\n\n") == page.replace("old", "new")


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_page_without_one_place_for_the_text_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="needs one line <!-- figures --> and, after it, one line"):
        renewed(page, "figures", "new")
