"""The models of `public_models.py`, each with its loss on random data, as a function that makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence


class Case(NamedTuple):
    """A model, its loss on random data, and the targets of each step where they are known."""

    model: Any
    loss: Callable[[Any], Tensor]
    d: Tensor | None = None


Make = Callable[[], Case]
CASES: list[tuple[str, str, str, torch.dtype, Make]] = []  # distribution, module, model, dtype, how it is made


def case(distribution: str, module: str, name: str, dtype: torch.dtype = torch.float64) -> Callable[[Make], Make]:
    """Add a function that makes a case; the packages that compute in float32 alone are called in float32."""

    def add(make: Make) -> Make:
        CASES.append((distribution, module, name, dtype, make))
        return make

    return add


@case("torchaudio", "torchaudio", "Tacotron2")
def _tacotron() -> Case:
    from torchaudio.models import Tacotron2

    small = {"n_mels": 20, "n_symbol": 30, "symbol_embedding_dim": 32, "encoder_embedding_dim": 32}
    small |= {"attention_rnn_dim": 48, "decoder_rnn_dim": 48, "attention_hidden_dim": 16, "prenet_dim": 16}
    model = Tacotron2(**small, postnet_embedding_dim=32)
    tokens, mel = torch.randint(0, 30, (3, 20)), torch.randn(3, 20, 40)
    lengths, mel_lengths = torch.tensor([20, 15, 12]), torch.tensor([40, 30, 20])

    def loss(model: Any) -> Tensor:
        before, after, gate, _ = model(tokens, lengths, mel, mel_lengths)
        return (before - mel).square().mean() + (after - mel).square().mean() + gate.square().mean()

    return Case(model, loss)


@case("torchaudio", "torchaudio", "WaveRNN")
def _wave_rnn() -> Case:
    from torchaudio.models import WaveRNN

    small = {"upsample_scales": [2, 2, 3], "n_classes": 16, "hop_length": 12, "n_rnn": 32, "n_fc": 32}
    model = WaveRNN(**small, n_freq=20, n_hidden=16, n_output=16)
    wave, spectrum = torch.randn(2, 1, 12 * 10), torch.randn(2, 1, 20, 14)
    d = torch.randint(0, 16, (2, 120))
    return Case(model, lambda model: cross_entropy(model(wave, spectrum)[:, 0].mT, d), d)


@case("torchaudio", "torchaudio", "DeepSpeech")
def _deep_speech() -> Case:
    from torchaudio.models import DeepSpeech

    x, d = torch.randn(3, 1, 60, 20), torch.randint(1, 10, (3, 8))
    lengths = torch.tensor([60, 60, 60]), torch.tensor([8, 8, 8])
    return Case(
        DeepSpeech(20, n_hidden=32, n_class=10),
        lambda model: nn.functional.ctc_loss(model(x).transpose(0, 1), d, *lengths),
    )


def _forecasting(name: str, **options: Any) -> Case:
    import pandas
    import pytorch_forecasting

    times, series = list(range(80)) * 3, [c for c in "abc" for _ in range(80)]
    y, u = np.random.randn(240).cumsum(), np.random.randn(240)
    known = [] if name == "RecurrentNetwork" else ["u"]  # it takes no known ones
    data = pytorch_forecasting.TimeSeriesDataSet(
        pandas.DataFrame({"t": times, "series": series, "y": y, "u": u}),
        time_idx="t",
        target="y",
        group_ids=["series"],
        max_encoder_length=40,
        max_prediction_length=10,
        time_varying_unknown_reals=["y"],
        time_varying_known_reals=known,
    )
    model = getattr(pytorch_forecasting, name).from_dataset(data, **options)
    x, wanted = next(iter(data.to_dataloader(train=True, batch_size=8, num_workers=0)))
    d = torch.cat([x["encoder_target"], x["decoder_target"]], 1)[:, 1:]
    d = None if name == "TemporalFusionTransformer" else d  # whose two modules walk a part of these steps each
    return Case(model, lambda model: model.loss(model(x)["prediction"], wanted), d)


@case("pytorch-forecasting", "pytorch_forecasting", "TemporalFusionTransformer", torch.float32)
def _fusion_transformer() -> Case:
    from pytorch_forecasting import QuantileLoss

    return _forecasting("TemporalFusionTransformer", hidden_size=8, lstm_layers=2, loss=QuantileLoss())


@case("pytorch-forecasting", "pytorch_forecasting", "DeepAR", torch.float32)
def _deep_ar() -> Case:
    from pytorch_forecasting import NormalDistributionLoss

    return _forecasting("DeepAR", hidden_size=12, rnn_layers=2, loss=NormalDistributionLoss())


@case("pytorch-forecasting", "pytorch_forecasting", "RecurrentNetwork", torch.float32)
def _recurrent_network() -> Case:
    from pytorch_forecasting import MAE

    return _forecasting("RecurrentNetwork", cell_type="GRU", hidden_size=12, loss=MAE())


@case("gluonts", "gluonts", "DeepARModel", torch.float32)
def _gluonts() -> Case:
    from gluonts.torch.model.deepar.module import DeepARModel

    features = {"num_feat_dynamic_real": 1, "num_feat_static_real": 1, "num_feat_static_cat": 1}
    model = DeepARModel("D", 40, 10, **features, cardinality=[3], lags_seq=[1, 7])
    T, data = (
        model._past_length,
        {"feat_static_cat": torch.zeros(3, 1).long(), "feat_static_real": torch.zeros(3, 1)},
    )
    for when, steps in (("past", T), ("future", 10)):
        data |= {f"{when}_time_feat": torch.randn(3, steps, 1), f"{when}_target": torch.randn(3, steps).abs()}
        data |= {f"{when}_observed_values": torch.ones(3, steps)}
    return Case(model, lambda model: model.loss(**data).mean())


def _translation(kind: str) -> Case:
    """Copies its source; the decoder's own input is the target before."""
    from joeynmt.decoders import RecurrentDecoder
    from joeynmt.encoders import RecurrentEncoder

    encoder = RecurrentEncoder(kind, 16, 12, 2, 0.1, 0.1)
    decoder = RecurrentDecoder(kind, 12, 16, encoder, "bahdanau", 2, 20, 0.1, 0.1, 0.1, "bridge", True)
    parts = {
        "encoder": encoder,
        "decoder": decoder,
        "source": nn.Embedding(20, 12),
        "target": nn.Embedding(20, 12),
    }
    tokens, lengths = torch.randint(1, 20, (8, 30)), torch.tensor([30, 30, 30, 28, 25, 22, 20, 15])
    mask = (torch.arange(30) < lengths[:, None])[:, None]
    before = torch.cat([torch.zeros(8, 1).long(), tokens[:, :-1]], 1)

    def loss(model: Any) -> Tensor:
        out, state = model["encoder"](model["source"](tokens), lengths, mask)
        y = model["decoder"](model["target"](before), out, state, mask, 30)[0]
        return cross_entropy(y.flatten(0, 1), tokens.flatten())

    return Case(nn.ModuleDict(parts), loss, tokens)


@case("joeynmt", "joeynmt", "encoder-decoder of GRUs")
def _gru_translation() -> Case:
    return _translation("gru")


@case("joeynmt", "joeynmt", "encoder-decoder of LSTMs")
def _lstm_translation() -> Case:
    return _translation("lstm")


@case("stanza", "stanza", "Seq2SeqModel")
def _stanza_seq2seq() -> Case:
    from stanza.models.common.seq2seq_model import Seq2SeqModel

    options = {"vocab_size": 20, "emb_dim": 8, "hidden_dim": 16, "num_layers": 2, "nlayers": 2, "emb_dropout": 0.1}
    options |= {
        "dropout": 0.2,
        "max_dec_len": 20,
        "top": 1e10,
        "attn_type": "soft",
        "rnn_hidden": 16,
        "edit": False,
    }
    model = Seq2SeqModel(options | {"copy": False, "batch_size": 8, "coverage": False})
    source, target = torch.randint(4, 20, (8, 24)), torch.randint(4, 20, (8, 16))
    before = torch.cat([torch.full((8, 1), 3), target[:, :-1]], 1)

    def loss(model: Any) -> Tensor:
        y = model(source, source == 0, before)
        y = y[0] if isinstance(y, tuple) else y
        return nn.functional.nll_loss(y.flatten(0, 1), target.flatten())

    return Case(model, loss, target)


def _packed(model: Any, *more: Any) -> Case:
    x, lengths = torch.randn(3, 30, 8), [30, 30, 12]
    rows = pack_padded_sequence(x, lengths, batch_first=True)
    return Case(model, lambda model: model(rows, *more)[0].data.square().mean())


@case("stanza", "stanza", "LSTMwRecDropout")
def _stanza_dropout() -> Case:
    from stanza.models.common.packed_lstm import LSTMwRecDropout

    return _packed(LSTMwRecDropout(8, 6, 2, batch_first=True, dropout=0.1, bidirectional=True, rec_dropout=0.2))


@case("stanza", "stanza", "HighwayLSTM")
def _stanza_highway() -> Case:
    from stanza.models.common.hlstm import HighwayLSTM

    options = {"batch_first": True, "dropout": 0.1, "bidirectional": True, "rec_dropout": 0.2}
    return _packed(HighwayLSTM(8, 6, 2, **options, highway_func=torch.tanh), [30, 30, 12])


@case("sb3-contrib", "sb3_contrib", "RecurrentActorCriticPolicy", torch.float32)
def _policy() -> Case:
    from gymnasium.spaces import Box
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    model = RecurrentActorCriticPolicy(Box(-1, 1, (4,)), Box(-1, 1, (2,)), lambda _: 1e-3, lstm_hidden_size=16)
    seen, done, zeros = torch.randn(2 * 40, 4), torch.randn(80, 2), torch.zeros(1, 2, 16)
    starts = torch.zeros(80)
    starts[[0, 40]] = 1

    def loss(model: Any) -> Tensor:
        value, likelihood, entropy = model.evaluate_actions(
            seen, done, RNNStates((zeros, zeros), (zeros, zeros)), starts
        )
        return value.square().mean() - likelihood.mean() - entropy.mean()

    return Case(model, loss)


def _rl(name: str) -> Case:
    import torchrl.modules
    from tensordict import TensorDict

    states = ["h", "c"] if name == "LSTMModule" else ["h"]
    keys = {"in_keys": ["seen", *states], "out_keys": ["y", *(("next", key) for key in states)]}
    model = getattr(torchrl.modules, name)(input_size=4, hidden_size=8, **keys)
    first = torch.zeros(3, 40, 1, dtype=torch.bool)
    first[:, 0], first[1, 26] = True, True
    data = {"seen": torch.randn(3, 40, 4), "is_init": first} | {key: torch.zeros(3, 40, 1, 8) for key in states}

    def loss(model: Any) -> Tensor:
        with torchrl.modules.set_recurrent_mode(True):
            return model(TensorDict(dict(data), [3, 40]))["y"].square().mean()

    return Case(model, loss)


@case("torchrl", "torchrl", "LSTMModule")
def _rl_lstm() -> Case:
    return _rl("LSTMModule")


@case("torchrl", "torchrl", "GRUModule")
def _rl_gru() -> Case:
    return _rl("GRUModule")


@case("torch-geometric", "torch_geometric", "Set2Set")
def _set_to_set() -> Case:
    from torch_geometric.nn import Set2Set

    x, which = torch.randn(8, 6), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    return Case(Set2Set(6, 12), lambda model: model(x, which).square().mean())


@case("torch-geometric", "torch_geometric", "GatedGraphConv")
def _gated_graph() -> Case:
    from torch_geometric.nn import GatedGraphConv

    x, edges = torch.randn(8, 6), torch.randint(0, 8, (2, 20))
    return Case(GatedGraphConv(6, 12), lambda model: model(x, edges).square().mean())


@case("speechbrain", "speechbrain", "CRDNN")
def _crdnn() -> Case:
    from speechbrain.lobes.models.CRDNN import CRDNN
    from speechbrain.nnet.RNN import LSTM

    sizes = {"rnn_layers": 2, "rnn_neurons": 16, "cnn_channels": (4, 4), "dnn_neurons": 8}
    x = torch.randn(3, 80, 9)
    return Case(CRDNN(input_size=9, **sizes, rnn_class=LSTM), lambda model: model(x).square().mean())
