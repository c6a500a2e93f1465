import re
from collections import Counter
from pathlib import Path

import bptt.page

NAME = re.compile(r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", re.MULTILINE)


def test_no_two_modules_declare_one_name_since_they_share_a_scope():
    files = Path(bptt.page.__file__).parent.rglob("*.js")
    counts = Counter(name for file in files for name in NAME.findall(file.read_text(encoding="utf-8")))
    assert [name for name, count in counts.items() if count > 1] == []
