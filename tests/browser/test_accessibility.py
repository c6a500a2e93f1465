"""axe-core finds nothing on the pages: WCAG's rules and its best practices."""

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
RULES = {"rules": {"target-size": {"enabled": True}}, "resultTypes": ["violations"]}  # 24 px; off by default


@pytest.mark.parametrize(
    ("name", "chapter", "scheme", "width"),
    [("lesson", "vanish", "light", 1280), ("run", "", "dark", 390)],
)
def test_nothing_is_found(files, visit, name, chapter, scheme, width):
    page = visit(f"{files[name]}#{chapter}", width, color_scheme=scheme)
    found = axe.Axe().run(page, options=RULES)
    nodes = [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]
    assert nodes == [], "\n".join(nodes)
