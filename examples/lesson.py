"""The backward pass of E_3 through a small network, by hand and by bptt."""

import torch

import bptt


def main() -> None:
    """Print each step's part of ∂E_3/∂W_s, both ways."""
    torch.manual_seed(0)
    net = bptt.Elman(input_size=2, state_size=3, output_size=1)
    x, d = torch.randn(3, 2), torch.randn(3, 1)

    s = [torch.zeros(3)]
    for x_t in x:
        s.append(torch.tanh(x_t @ net.W_x + s[-1] @ net.W_s))
    delta = 2 * (s[3] @ net.W_y - d[2]) @ net.W_y.T * (1 - s[3] ** 2)

    found = bptt.explain(net, x, d, t=3).contributions["W_s"]
    for k in (3, 2, 1):
        part = torch.outer(s[k - 1], delta).detach()
        print(f"step {k}: by hand {part.norm():.6f}, by bptt {found[k - 1].norm():.6f}")
        assert torch.allclose(part, found[k - 1], atol=1e-6)
        delta = delta @ net.W_s.T * (1 - s[k - 1] ** 2)


if __name__ == "__main__":
    main()
