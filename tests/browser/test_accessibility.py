"""axe-core finds nothing on the pages: WCAG's rules and its best practices."""

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
RULES = {"rules": {"target-size": {"enabled": True}}, "resultTypes": ["violations"]}  # 24 px; off by default


PAGES = [("lesson", chapter) for chapter in ("three", "vanish", "explode", "leak", "lstm", "truncation")]
PAGES += [(name, "") for name in ("twenty", "long", "run", "classified", "large", "text")]


def found_on(page):
    found = axe.Axe().run(page, options=RULES)
    nodes = [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]
    return "\n".join(nodes)


@pytest.mark.parametrize(
    ("name", "chapter", "scheme", "width"),
    [("lesson", "vanish", "light", 1280), ("run", "", "dark", 390)],
)
def test_nothing_is_found(files, visit, name, chapter, scheme, width):
    assert found_on(visit(f"{files[name]}#{chapter}", width, color_scheme=scheme)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "chapter"), PAGES)
def test_nothing_is_found_on_any_page(files, visit, name, chapter, scheme, width):
    page = visit(f"{files[name]}#{chapter}", width, color_scheme=scheme)
    if page.locator("#predict").is_visible():
        page.click("#predict summary")
    if page.locator("#beat-next").is_visible():
        page.click("#beat-next")
    assert found_on(page) == ""
