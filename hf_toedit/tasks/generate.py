"""The task of generation: one pass adds candidates to each row, texts that the prior generates after a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hf_toedit.config import PriorConfig, Resources, SourceConfig, TextConfig
from hf_toedit.errors import SourceError, UsageError
from hf_toedit.generation.config import PROMPT_TOKENS, GenerateConfig
from hf_toedit.generation.loading import check_generates, load_generator
from hf_toedit.priors.names import check_prior
from hf_toedit.rows.nested import ITEMS
from hf_toedit.runs.passes import Pass
from hf_toedit.runs.task import LoadedTask, RowCheck, Task
from hf_toedit.tasks.generate_stats import GenerateStats
from hf_toedit.tasks.with_prior import TaskWithPrior

if TYPE_CHECKING:
    from datasets import Features
    from typing_extensions import Self

    from hf_toedit.rows.texts import Texts

CANDIDATES = Pass("candidates", 1, "the generation")


@dataclass(frozen=True)
class GenerateTask(TaskWithPrior):
    """Adds a column of candidates, `list<string>`; everything else is unchanged.

    A row without a prompt, or with a prompt that fills the prior's context, has an empty list.

    Attributes:
        prior: Settings of the prior.
        generate: How candidates are generated.
        candidates_column: Name of the new column.
        prior_revision: Revision or fingerprint that pins the prior; empty until it is resolved.
    """

    kind = "generate"
    done = "prompted"
    statistics = GenerateStats

    prior: PriorConfig
    generate: GenerateConfig
    candidates_column: str = "candidates"
    prior_revision: str = ""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            UsageError: The column name is empty, or the prior cannot generate.
        """
        if not self.candidates_column.strip():
            raise UsageError("candidates_column must have a name.")
        check_generates(self.prior)

    @property
    def passes(self) -> tuple[Pass, ...]:
        """See `Task.passes`."""
        return (CANDIDATES,)

    def hashed(self) -> dict[str, Any]:
        """All facts except the device; see `Task.hashed`."""
        facts = self.to_json()
        facts["prior"].pop("device")
        return {"task": facts}

    def check(self, features: Features, texts: Texts) -> None:
        """See `Task.check`.

        Raises:
            UsageError: Rows have several texts, each of which would be a prompt.
        """
        option = "--text-column" if self.generate.prompt_tokens else "--context-columns"
        texts.check(features, option=option)
        check_one_prompt(texts.config)
        if self.candidates_column in features:
            raise SourceError(
                f"the source already has a column {self.candidates_column!r}. Choose another name with "
                f"--candidates-column."
            )

    def output_features(self, features: Features, texts: Texts) -> Features:
        """See `Task.output_features`."""
        from datasets import Features, List, Value

        return Features({**features, self.candidates_column: List(Value("string"))})

    def load(self, resources: Resources) -> tuple[Self, LoadedTask]:
        """See `Task.load`."""
        from hf_toedit.tasks.generate_rows import LoadedGenerate

        config, revision, generator = load_generator(self.prior, self.generate, resources)
        loaded = LoadedGenerate(generator, self.candidates_column)
        return replace(self, prior=config, prior_revision=revision), loaded

    def check_loaded(self, planned: Task, own: Mapping[str, Mapping[str, str]]) -> None:
        """See `Task.check_loaded`."""
        assert isinstance(planned, GenerateTask)
        check_prior(self.prior, self.prior_revision, planned.prior, planned.prior_revision)

    def row_check(self, texts: Texts, features: Features) -> RowCheck:
        """See `Task.row_check`."""
        from hf_toedit.tasks.generate_check import GenerateCheck

        return GenerateCheck(self.candidates_column, self.generate.num_candidates)

    @property
    def token_words(self) -> str:
        """See `Task.token_words`."""
        return "tokens at most (prompts, and all candidates of full length)"


def asked_prompts(source: SourceConfig, prompt_tokens: int | None) -> tuple[SourceConfig, int | None]:
    """Determine which columns are read, and how much of their texts is the prompt.

    Args:
        source: The requested source.
        prompt_tokens: Number of tokens of the text; 0 reads only the context columns. None means 0 with context
            columns, and `PROMPT_TOKENS` without.

    Returns:
        The source, whose text is the prompt or begins with it, and `GenerateConfig.prompt_tokens`.

    Raises:
        UsageError: The settings conflict, or a row has several prompts.
    """
    if source.messages_column is not None:
        if prompt_tokens:
            raise UsageError("--prompt-tokens is for texts, and conversations are read whole. Leave it out.")
        prompt_tokens = None
    elif not source.context_columns:
        if prompt_tokens == 0:
            raise UsageError("--prompt-tokens 0 leaves nothing to read. Name what to answer with --context-columns.")
        prompt_tokens = prompt_tokens or PROMPT_TOKENS
    elif not prompt_tokens:
        # The context columns are the whole text: other columns are not read, and may be missing.
        *before, last = source.context_columns
        source = replace(source, text_columns=(last,), context_columns=tuple(before))
        prompt_tokens = None
    check_one_prompt(source)
    return source, prompt_tokens


def check_one_prompt(config: TextConfig) -> None:
    """Refuse rows with several prompts.

    Args:
        config: Which texts are read.

    Raises:
        UsageError: Rows can have several prompts.
    """
    if config.messages_column is not None:
        if config.roles != ("assistant",):
            raise UsageError("candidates are always answers of the assistant. Leave --roles out.")
        return
    if len(config.text_columns) > 1 or any(ITEMS in path for path in config.text_columns):
        raise UsageError(
            f"candidates follow one text per row, and {', '.join(config.text_columns)} may be several. Name one column "
            f"with --text-column."
        )
