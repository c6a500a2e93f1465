"""What a user does on the page, and what it shows them."""

import base64
import json
import zlib

import torch

import bptt


def slide(page, t):
    page.locator("#t").evaluate("(slider, t) => {slider.value = t; slider.dispatchEvent(new Event('input'))}", t)


def select(page, kind, i=-1):
    page.locator(f"#diagram .part.{kind}").nth(i).dispatch_event("click")


def error(page):
    return page.inner_text("#error-value").split(" was")[0].strip()


def enter(page, name, value):
    field = page.get_by_label(name, exact=True)
    field.fill(value)
    field.press("Enter")


def widths(page, kind):
    return page.eval_on_selector_all(
        f"#diagram .{kind} .band", "all => all.map(b => +b.getAttribute('stroke-width'))"
    )


def link(state):
    """The end of an address that leads to a state."""
    deflate = zlib.compressobj(wbits=-15)
    packed = deflate.compress(json.dumps(state).encode()) + deflate.flush()
    return "#" + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def open_link(page, hash_):
    page.evaluate(
        "hash => { document.getElementById('copied-says').textContent = ''; location.hash = hash; }", hash_
    )


def lesson():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = bptt.Elman(2, 3, 1)
        x, d = torch.randn(5, 2), torch.randn(5, 1)
    return net, x[:3], d[:3]
