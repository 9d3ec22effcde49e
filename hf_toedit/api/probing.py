"""The steps of a probe before its models: find the sources and the model, and tokenize."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from os import fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_toedit.api.named import check_names, shown_source, source_of
from hf_toedit.api.report_folder import other_settings
from hf_toedit.api.request import RunRequest
from hf_toedit.checked import checked, kinds
from hf_toedit.errors import RunError, SourceError, UsageError, did_you_mean
from hf_toedit.priors.registry import libraries
from hf_toedit.probes.config import ProbeConfig, check_installed
from hf_toedit.settings import SourceSettings
from hf_toedit.tasks.measure import MeasureTask

if TYPE_CHECKING:
    from hf_toedit.probes.contamination import EvalGrams
    from hf_toedit.probes.evaluation import EvalSet
    from hf_toedit.probes.harness import Harness
    from hf_toedit.probes.models import ProbeModel
    from hf_toedit.probes.results import Job
    from hf_toedit.probes.tokens import Blocks, Tokens
    from hf_toedit.runs.plan import Plan

SETTINGS = "settings.json"
"""File with the settings that results depend on."""

MODELS = "models"
"""Folder with the checkpoints and results of each model."""


@dataclass
class Probing:
    """A probe whose sources and model have been found.

    Attributes:
        asked: Settings of the probe.
        shown: Names of the sources in reports, by kind and name.
        plans: Plans of the variants.
        eval_plans: Plans of the evaluation sets.
        model: The model to train.
        sets: The evaluation sets, tokenized.
        grams: The 13-grams of the evaluation sets.
        harness: The tasks on which trained models are evaluated; None without tasks.
        tokens: Tokens of the variants; empty before `tokenize`.
    """

    asked: ProbeConfig
    shown: Mapping[str, str]
    plans: Mapping[str, Plan]
    eval_plans: Mapping[str, Plan]
    model: ProbeModel
    sets: list[EvalSet]
    grams: EvalGrams
    harness: Harness | None
    tokens: dict[str, Tokens]

    @classmethod
    def find(
        cls,
        variants: Mapping[str, Any],
        evals: Mapping[str, Any],
        settings: Mapping[str, Any],
        load_tasks: bool = True,
    ) -> Probing:
        """Check the settings, then find the sources, the tasks, the model and the evaluation text."""
        given = dict(settings)
        known = [*kinds(ProbeConfig), *SourceSettings.__annotations__, "split"]
        for name in given:
            if name not in known:
                raise UsageError(f"unknown setting {name!r}.{did_you_mean(name, known)}")
        fields = {name: given.pop(name) for name in kinds(ProbeConfig) if name in given}
        for name in ("model", "tokenizer", "task_folder"):
            if name in fields:
                fields[name] = checked(fields[name], str, name)
        asked = ProbeConfig.from_mapping(fields)
        _check_named(variants, evals)
        check_installed(asked.lora)
        sources = {name: source_of(source, given) for name, source in variants.items()}
        eval_sources = {name: source_of(source, given) for name, source in evals.items()}
        with libraries():
            from hf_toedit.priors.loading import device_of
            from hf_toedit.probes.contamination import EvalGrams
            from hf_toedit.probes.models import find_model
            from hf_toedit.probes.processes import join
            from hf_toedit.probes.training import check_tracker

            join(device_of(asked.device).type == "cpu")
            check_tracker(asked.report_to)

            plans = {name: _plan(source) for name, source in sources.items()}
            eval_plans = {name: _plan(source) for name, source in eval_sources.items()}
            model = find_model(asked)
            harness = _harness(asked, load_tasks)
        shown = {name: shown_source(fspath(source), plans[name]) for name, source in variants.items()}
        shown |= {f"eval:{name}": shown_source(fspath(source), eval_plans[name]) for name, source in evals.items()}
        sets = [_eval_set(name, plan, model, fspath(evals[name])) for name, plan in eval_plans.items()]
        grams = EvalGrams.of({one.name: one.texts for one in sets})
        return cls(asked, shown, plans, eval_plans, model, sets, grams, harness, {})

    @property
    def jobs(self) -> list[Job]:
        """The models to train."""
        from hf_toedit.probes.results import Job

        asked = self.asked
        return [Job(*entry) for entry in product(self.plans, asked.rates, range(asked.seeds))]

    def settle(self, work: Path) -> None:
        """Write the settings that results depend on into the folder, or compare them with those already there.

        A probe without any model, such as one that was refused, is replaced.

        Raises:
            RunError: The folder contains a probe with other settings.
        """
        loose = {name: None for name in ProbeConfig.loose}
        settings = {
            "settings": {name: value for name, value in self.asked.to_json().items() if name not in loose},
            "variants": {name: [plan.source.to_json(), plan.source_revision] for name, plan in self.plans.items()},
            "evals": {name: [plan.source.to_json(), plan.source_revision] for name, plan in self.eval_plans.items()},
            "model": [self.model.revision, self.model.tokenizer_revision],
        }
        there = other_settings(work / SETTINGS, settings)
        if there is None:
            return
        if (work / MODELS).exists():
            raise RunError(
                f"{work.parent} holds a probe with other settings: {_differences(there, settings)}. Use the same "
                f"settings to continue it, or name a new folder with -o."
            )
        shutil.rmtree(work)
        self.settle(work)

    def tokenize(self, folder: Path) -> None:
        """Write the tokens of all variants, and check that there are enough.

        Raises:
            SourceError: A variant has no text.
            UsageError: A variant has too few tokens, or several processes cannot divide a step.
        """
        from hf_toedit.editing.alignment import Aligner
        from hf_toedit.probes.processes import blocks_per_process
        from hf_toedit.probes.tokens import Separators, Tokens, documents

        aligner, around = Aligner(self.model.tokenizer.backend_tokenizer), Separators.of(self.model.tokenizer)
        for name, plan in self.plans.items():
            found = _documents_of(documents, plan, aligner, self.model)
            self.tokens[name] = Tokens.of(folder / f"{name}.tokens", found, around, self.grams)
        for name, available in self.available.items():
            if not available:
                why = " that shares no 13-gram with the evaluation text" if self.asked.drop_contaminated else ""
                raise SourceError(
                    f"variant {name!r} ({self.shown[name]}) has no text{why}. Name the column with --text-column."
                )
            epochs = (self.asked.num_tokens or 0) / available
            if epochs > self.asked.max_epochs:
                raise UsageError(
                    f"variant {name!r} has {available:,} tokens, so {self.asked.num_tokens:,} are {epochs:.2f} epochs. "
                    f"Lower --tokens, or allow it with --max-epochs {math.ceil(100 * epochs) / 100:.2f}."
                )
        if not self.num_blocks:
            raise UsageError(
                f"there are too few tokens for a single step: {self.num_tokens:,}, and a step reads "
                f"{self.batch_size} blocks of {self.asked.context}. Lower --batch-size or --context, or give "
                f"more text."
            )
        blocks_per_process(self.batch_size)

    @property
    def available(self) -> dict[str, int]:
        """Number of tokens that each variant has for training."""
        dropped = self.asked.drop_contaminated
        return {name: found.stream(0, dropped).num_tokens for name, found in self.tokens.items()}

    @property
    def num_tokens(self) -> int:
        """Requested number of tokens per model."""
        return self.asked.num_tokens or int(min(self.available.values()) * self.asked.max_epochs)

    @property
    def num_blocks(self) -> int:
        """Number of blocks that each model reads, a multiple of the batch size."""
        return self.num_tokens // self.asked.context // self.batch_size * self.batch_size

    @property
    def batch_size(self) -> int:
        """Number of blocks per step."""
        return self.asked.blocks_per_step(self.num_tokens // self.asked.context)

    def blocks(self, job: Job, num_blocks: int) -> Blocks:
        """Return the training data of a model."""
        from hf_toedit.probes.tokens import Blocks

        stream = self.tokens[job.variant].stream(job.seed, self.asked.drop_contaminated)
        return Blocks(stream, self.asked.context, num_blocks)

    def facts(self) -> dict[str, Any]:
        """Return the facts about the setting for the report, as JSON values."""
        from hf_toedit.probes.contamination import overlaps

        asked = self.asked
        trained = self.num_blocks * asked.context
        variants = {}
        for name, available in self.available.items():
            tokens = self.tokens[name]
            found = overlaps(self.grams, tokens.seen, tokens.hits)
            variants[name] = {
                "source": self.shown[name],
                "revision": self.plans[name].source_revision,
                "num_documents": len(tokens.hits),
                "num_tokens": available,
                "num_dropped": int(tokens.hits.any(axis=1).sum()) if asked.drop_contaminated else 0,
                "epochs": trained / available,
                "contamination": {one: asdict(overlap) for one, overlap in found.items()},
            }
        evals = {
            one.name: {
                "source": self.shown[f"eval:{one.name}"],
                "revision": self.eval_plans[one.name].source_revision,
                "num_documents": len(one.documents),
                "num_tokens": one.num_tokens,
            }
            for one in self.sets
        }
        training = {
            "num_tokens": trained,
            "num_steps": self.num_blocks // self.batch_size,
            "context": asked.context,
            "batch_size": self.batch_size,
            "learning_rates": list(asked.rates),
            "seeds": asked.seeds,
            "lora": asked.lora,
            "drop_contaminated": asked.drop_contaminated,
        }
        tasks = {"tasks": {"names": list(asked.tasks), "limit": asked.task_limit}} if asked.tasks else {}
        return {"model": self.model.facts(), "training": training, "variants": variants, "evals": evals, **tasks}


def _check_named(variants: Mapping[str, Any], evals: Mapping[str, Any]) -> None:
    if len(variants) < 2:
        raise UsageError(
            "a probe needs two variants or more. Write them as human=org/web edited=run:gen1; the first is the "
            "reference."
        )
    if not evals:
        raise UsageError("a probe needs held-out text. Name it with --eval NAME=SOURCE.")
    check_names(variants, "variant")
    check_names(evals, "evaluation set")
    if "all" in evals:
        raise UsageError("an evaluation set cannot be called 'all', which is the mean over sets. Choose another name.")


def _harness(asked: ProbeConfig, load: bool) -> Harness | None:
    if not asked.tasks:
        return None
    from hf_toedit.probes.harness import Harness

    return Harness.of(asked, load)


def _plan(source: Any) -> Plan:
    task = MeasureTask()
    return RunRequest(source, task).plan(lambda: task)


def _documents_of(documents: Callable[..., Any], plan: Plan, aligner: Any, model: ProbeModel) -> Callable[[], Any]:
    from hf_toedit.priors import chat

    def render(messages: list[dict[str, Any]]) -> str | None:
        return chat.render(model.tokenizer, model.tokenizer_name, messages, "tokenizer")

    return lambda: documents(plan, aligner, render)


def _eval_set(name: str, plan: Plan, model: ProbeModel, given: str) -> EvalSet:
    from hf_toedit.editing.alignment import Aligner
    from hf_toedit.probes.evaluation import EvalSet
    from hf_toedit.probes.tokens import documents

    found = list(_documents_of(documents, plan, Aligner(model.tokenizer.backend_tokenizer), model)())
    one = EvalSet(name, [document for _, document in found], [passage.texts for passage, _ in found])
    if one.num_tokens < 2:
        raise SourceError(f"evaluation set {name!r} ({given}) has no text. Name the column with --text-column.")
    return one


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Describe in a few words which settings differ."""
    before, now = there.get("settings", {}), here["settings"]
    found = [f"{name} is {before.get(name)} there and {value} here" for name, value in now.items()
             if before.get(name) != value]  # fmt: skip
    found += [f"the {name} differ" for name in ("variants", "evals") if there.get(name) != here[name]]
    found += ["the model or its tokenizer changed"] if there.get("model") != here["model"] else []
    return "; ".join(found)
