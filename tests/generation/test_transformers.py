"""Generation with transformers by a `Generator`, compared with its own `generate` and the model's probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from hf_toedit.errors import OutOfMemory, PriorError, UsageError
from hf_toedit.generation.config import GenerateConfig
from hf_toedit.generation.generator import Prompt
from hf_toedit.generation.picking import pick, uniforms, warpers
from hf_toedit.priors import embedded
from tests.generation.models import TEMPLATE, copied, generator, logits, plain, stories
from tests.goodness_of_fit import chi_square
from tests.shared import texts

CALM = 1e-3
"""Significance level of tests of fit; draws are keyed, so the tests are deterministic."""


def prompts(of, count: int = 4, num_tokens: int = 12) -> list[Prompt]:
    """Return the beginnings of stories, of several lengths."""
    told = texts("synthetic_tinystories_500")[:count]
    return [of.beginning("", text, num_tokens + 3 * index) for index, text in enumerate(told)]


def plainly(prior: str, prompt: Prompt, eos: list[int], **how) -> list[list[int]]:
    """Return the output of `generate` of transformers, truncated at the end of the text."""
    model = plain(prior)
    ids = torch.tensor([prompt.ids])
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), eos_token_id=eos, pad_token_id=eos[0], do_sample=False, **how
    )
    rows = [row[len(prompt.ids) :] for row in found.tolist()]
    return [row[: next((at for at, token in enumerate(row) if token in eos), len(row)) + 1] for row in rows]


@pytest.mark.parametrize("prior", ["embedded", "stories"])
def test_greedy_and_beam_are_those_of_transformers(prior: str) -> None:
    prior = prior if prior == "embedded" else stories()
    greedy = generator(prior, decoding="greedy", max_new_tokens=40)
    found = greedy.generate(prompts(greedy))
    for prompt, [made] in zip(prompts(greedy), found, strict=True):
        assert [made.ids] == plainly(prior, prompt, sorted(greedy.eos), max_new_tokens=40)
    beam = generator(prior, decoding="beam", num_candidates=3, max_new_tokens=40)
    for prompt, made in zip(prompts(beam), beam.generate(prompts(beam)), strict=True):
        wanted = plainly(prior, prompt, sorted(beam.eos), max_new_tokens=40, num_beams=3, num_return_sequences=3)
        assert [one.ids for one in made] == wanted
        assert len({tuple(one.ids) for one in made}) == 3


@pytest.mark.parametrize("decoding", ["greedy", "sample", "beam"])
def test_log_probabilities_are_the_models_at_temperature_1(decoding: str) -> None:
    how = {"temperature": 0.7, "top_k": 20, "top_p": 0.9} if decoding == "sample" else {}
    each = 1 if decoding == "greedy" else 3
    found = generator(stories(), decoding=decoding, num_candidates=each, max_new_tokens=20, **how)
    for prompt, made in zip(prompts(found), found.generate(prompts(found)), strict=True):
        assert len(made) == each
        for one in made:
            read = logits(stories(), prompt.ids + one.ids)[len(prompt.ids) - 1 : -1].log_softmax(dim=-1)
            expected = read.gather(1, torch.tensor(one.ids)[:, None]).sum()
            assert one.logprob == pytest.approx(float(expected), abs=1e-3)


def test_samples_follow_the_models_probabilities() -> None:
    found = generator(stories(), num_candidates=3000, max_new_tokens=2, temperature=1.3, seed=5)
    [prompt] = prompts(found, 1)
    [made] = found.generate([prompt])
    firsts = np.bincount([one.ids[0] for one in made], minlength=512)
    expected = (logits(stories(), prompt.ids)[-1].double() / 1.3).softmax(dim=0).numpy() * len(made)
    assert _fit(firsts, expected) > CALM
    first = int(firsts.argmax())
    seconds = np.bincount([one.ids[1] for one in made if one.ids[0] == first], minlength=512)
    after = (logits(stories(), [*prompt.ids, first])[-1].double() / 1.3).softmax(dim=0).numpy() * seconds.sum()
    assert seconds.sum() > 300 and _fit(seconds, after) > CALM


def _fit(counts: np.ndarray, expected: np.ndarray) -> float:
    rare = expected < 5
    return chi_square([*counts[~rare], counts[rare].sum()], [*expected[~rare], expected[rare].sum()])


@pytest.mark.parametrize(("top_k", "top_p", "temperature"), [(7, None, 1.0), (None, 0.8, 1.0), (30, 0.7, 2.0)])
def test_top_k_and_top_p_leave_the_tokens_that_they_should(top_k, top_p, temperature) -> None:
    scores = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (4, 60)))
    config = GenerateConfig(top_k=top_k, top_p=top_p, temperature=temperature)
    drawn = torch.linspace(0, 1 - 1e-12, 20_000, dtype=torch.float64)
    for row in scores:
        warped = warpers(config)(None, row[None])
        found = set(pick(warped.expand(len(drawn), -1), drawn).tolist())
        order = np.argsort(-row.numpy())[: top_k or 60]
        p = np.exp(row.numpy()[order] / temperature)
        before = np.cumsum(p / p.sum()) - p / p.sum()
        assert found == set(order[before < (top_p or 1)].tolist())


def test_pick_inverts_the_cumulative_distribution() -> None:
    p = torch.tensor([0.25, 0.0, 0.5, 0.25, 0.0], dtype=torch.float64)
    drawn = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53], dtype=torch.float64)
    assert pick(p.log().expand(6, -1), drawn).tolist() == [0, 0, 2, 2, 3, 3]


def test_uniforms_are_keyed_by_seed_text_candidate_and_position() -> None:
    drawn = uniforms(1, ["a", "b"], 2, 5)
    assert drawn.shape == (4, 5) and len(np.unique(drawn)) == 20
    assert (uniforms(1, ["b"], 3, 9)[:2, :5] == drawn[2:]).all()
    assert not np.isin(uniforms(2, ["a"], 2, 5), drawn).any()


def test_a_row_depends_on_its_text_alone() -> None:
    found = generator(stories(), num_candidates=2, max_new_tokens=30)
    together = found.generate(prompts(found, 5))
    alone = [found.generate([prompt])[0] for prompt in reversed(prompts(found, 5))]
    assert together == alone[::-1]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert found.generate(prompts(found, 5)) == together
    torch.set_num_threads(threads)
    other = generator(stories(), num_candidates=2, max_new_tokens=30, seed=1).generate(prompts(found, 5))
    assert other != together


@pytest.mark.parametrize("decoding", ["greedy", "sample", "beam"])
def test_rows_that_share_a_call_are_as_alone_up_to_rounding(decoding: str) -> None:
    found = generator(stories(), decoding=decoding, num_candidates=1 if decoding == "greedy" else 2, max_new_tokens=20)
    padded = found._together(prompts(found), None)
    for mine, other in zip(padded, found.generate(prompts(found)), strict=True):
        assert [one.ids for one in mine] == [one.ids for one in other]
        assert [one.logprob for one in mine] == pytest.approx([one.logprob for one in other], abs=1e-3)


def test_calls_on_a_gpu_hold_as_many_rows_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = generator(stories(), decoding="greedy", max_new_tokens=20)
    told = [*prompts(found, 5)[::-1], Prompt([1] * 500, "long"), Prompt([1] * 505, "longer")]
    sizes: list[int] = []
    together = found._together
    monkeypatch.setattr(found, "_together", lambda rows, new: sizes.append(len(rows)) or together(rows, new))
    for free, expected in ((1e12, [5, 1, 1]), (2.5 * found._bytes_per_row(42), [2, 2, 1, 1, 1]), (0, [1] * 7)):
        monkeypatch.setattr(found, "_free_bytes", lambda free=free: free)
        sizes.clear()
        made = found._batched(told, None)
        assert sizes == expected
        assert [one.ids for [one] in made] == [one.ids for [one] in found.generate(told)]


def test_calls_on_a_gpu_are_halved_where_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = generator(stories(), decoding="greedy", max_new_tokens=5)
    monkeypatch.setattr(found, "_free_bytes", lambda: 1e12)
    together, most = found._together, 2

    def small(rows: list[Prompt], num_new: int | None) -> object:
        if len(rows) > most:
            raise torch.OutOfMemoryError
        return together(rows, num_new)

    monkeypatch.setattr(found, "_together", small)
    assert [one.ids for [one] in found._batched(prompts(found, 7), None)] == [
        one.ids for [one] in found.generate(prompts(found, 7))
    ]
    most = 0
    with pytest.raises(OutOfMemory, match="out of memory with the 1 candidates of one row"):
        found._batched(prompts(found, 7), None)


def test_why_candidates_end(tmp_path: Path) -> None:
    short = copied(tmp_path / "short", embedded.path(), config={"max_position_embeddings": 40})
    found = generator(short, num_candidates=40, max_new_tokens=20)
    first, second = (found.prompt(texts("synthetic_tinystories_500")[0][:length], "key") for length in (30, 75))
    assert len(first.ids) < 20 < len(second.ids) < 40
    made, cut = found.generate([first, second])
    assert {one.stop for one in made} <= {"limit", "eos"} and {one.stop for one in cut} <= {"context", "eos"}
    assert any(one.stop == "limit" for one in made) and any(one.stop == "context" for one in cut)
    for prompt, ones in ((first, made), (second, cut)):
        for one in ones:
            assert (one.stop == "eos") == (one.ids[-1] in found.eos)
            assert one.stop == "eos" or len(one.ids) == min(20, 40 - len(prompt.ids))
            assert not any(token in found.eos for token in one.ids[:-1])
    enders = copied(tmp_path / "enders", stories(), generation_config={"eos_token_id": list(range(3, 512))})
    ended = generator(enders, num_candidates=3)
    assert ended.eos >= set(range(3, 512))
    assert {(len(one.ids), one.stop) for one in ended.generate(prompts(ended, 1))[0]} == {(1, "eos")}


def test_a_candidate_reads_as_it_goes_on_behind_its_prompt() -> None:
    for prior in ("embedded", stories()):
        found = generator(prior, decoding="greedy", max_new_tokens=12)
        for prompt in prompts(found, 3):
            [[made]] = found.generate([prompt])
            whole = found._decode(prompt.ids + made.ids)
            assert found._decode(prompt.ids) + found.text(prompt, made) == whole
            assert not found.text(prompt, made).startswith(found._decode(prompt.ids))
    emoji = found.prompt("🍋", "")
    assert len(emoji.ids) > 2  # one token per byte
    split = Prompt(emoji.ids[:-1], "")
    rest = made._replace(ids=emoji.ids[-1:])
    assert found.text(split, rest) == "🍋"


def test_the_beginning_of_a_text_is_its_first_tokens() -> None:
    found = generator("embedded", decoding="greedy")
    text = texts("synthetic_tinystories_500")[0]
    whole = found.prompt(text, text)
    assert found.beginning("", text, 9) == Prompt(whole.ids[:10], text)  # BOS and nine tokens
    assert found.beginning("", "A cat.", 500).ids == found.prompt("A cat.", "").ids
    behind = found.beginning("Tell me.\n\n", text, 9)
    assert found._decode(behind.ids) == "Tell me.\n\n" + found._decode(whole.ids[:10])


def test_what_a_model_recommends_does_not_change_what_is_asked_for(tmp_path: Path) -> None:
    advice = {"repetition_penalty": 5.0, "temperature": 0.1, "do_sample": True, "top_k": 2, "num_beams": 2}
    advised = copied(tmp_path / "advised", stories(), generation_config=advice)
    mine, other = (generator(prior, num_candidates=3, max_new_tokens=20) for prior in (advised, stories()))
    assert mine.generate(prompts(mine)) == other.generate(prompts(other))


def test_a_chat_template_writes_what_comes_before_an_answer(tmp_path: Path) -> None:
    chat = generator(copied(tmp_path / "chat", stories(), TEMPLATE), decoding="greedy")
    assert chat.has_chat and not generator(stories()).has_chat
    assert chat.render([{"role": "user", "content": "Hi"}]) == "user: Hi\nassistant:"
    with pytest.raises(PriorError, match="no tools"):
        chat.render([{"role": "tool", "content": "Hi"}])


def test_models_that_do_not_generate_are_refused(tmp_path: Path) -> None:
    copied(tmp_path / "bert", stories())
    config = BertConfig(
        vocab_size=512, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    (tmp_path / "bert/model.safetensors").unlink(missing_ok=True)
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(PriorError, match="not a causal language model"):
        generator(tmp_path / "bert")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decoding": "beam", "temperature": 0.5}, "--temperature is for sampling. Leave it out, or use --decoding"),
        ({"decoding": "greedy", "top_k": 5}, "--top-k is for sampling"),
        ({"decoding": "greedy", "num_candidates": 2}, "greedy decoding has one candidate per row, not 2"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"temperature": 0}, "temperature"),
        ({"num_candidates": 0}, "num_candidates"),
        ({"decoding": "best"}, "decoding"),
    ],
)
def test_settings_that_do_not_go_together(settings, said) -> None:
    with pytest.raises(UsageError, match=said):
        GenerateConfig(**settings)
