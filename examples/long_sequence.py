"""One long sequence: the full gradient in bounded memory, and how far truncated ones point away from it."""

import argparse

import torch

import bptt


def main(steps: int = 100_000, memory: str = "8MB") -> None:
    """Print the plan, the norm of the exact gradient, and the angles of truncated ones."""
    torch.manual_seed(0)
    model = bptt.SequenceModel(bptt.GRU(1, 32), output_size=1)
    series = torch.sin(torch.arange(steps + 1) / 9)[:, None, None]
    x, d = series[:-1], series[1:]

    plan = bptt.plan_checkpoints(model, x, d, bptt.squared_error, memory=memory)
    whole = bptt.plan_checkpoints(model, x, d, bptt.squared_error, segment=steps).bytes
    print(f"{plan.segments} segments of {plan.segment} steps take {plan.bytes / 1e6:.2f} MB", end=", ")
    print(f"all steps at once {whole / 1e6:.2f} MB")
    bptt.checkpointed(model, x, d, bptt.squared_error, memory=plan)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    print(f"norm of the full gradient: {norm:.4g}")

    few = min(steps, 2000)
    for row in bptt.truncation_bias(model, x[:few], d[:few], bptt.squared_error, k1=10, k2s=[10, 20, 40]):
        print(f"truncated at k2 = {row.k2}: cosine {row.cosine:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--memory", default="8MB")
    main(**vars(parser.parse_args()))
