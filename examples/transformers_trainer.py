"""Train a causal language model on an edited dataset with `transformers.Trainer`.

    pip install hf-toedit accelerate
    python examples/transformers_trainer.py sample --model HuggingFaceTB/SmolLM2-135M --steps 100

The dataset is edited into a run folder first. `load_dataset` reads that folder as it reads any repository of the Hub:
each generation is a configuration, and the last one is the default.
"""

import argparse

from datasets import load_dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

import hf_toedit


def main() -> None:
    """Edit, tokenize, train."""
    parser = argparse.ArgumentParser(description="Train a model on an edited dataset.")
    parser.add_argument("source", help="dataset to edit: a path, a Hub id, or sample")
    parser.add_argument("--model", required=True, help="model to train: a folder or a Hub id")
    parser.add_argument("--prior", default="embedded", help="model that scores and resamples tokens")
    parser.add_argument("--run", default="run", help="run folder (default: run)")
    parser.add_argument("--output", default="trained", help="folder for the trained model (default: trained)")
    parser.add_argument("--steps", type=int, default=100, help="number of training steps (default: 100)")
    args = parser.parse_args()

    # The same call again reads the finished run; an interrupted one is continued.
    hf_toedit.edit(args.source, args.run, prior=args.prior, seed=0)
    dataset = load_dataset(args.run, split="train")

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokens = dataset.map(
        lambda batch: tokenizer(batch["text"], truncation=True, max_length=256),
        batched=True,
        remove_columns=dataset.column_names,
    )
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(args.model),
        args=TrainingArguments(
            output_dir=args.output,
            max_steps=args.steps,
            per_device_train_batch_size=8,
            logging_steps=max(1, args.steps // 10),
            report_to="none",
        ),
        train_dataset=tokens,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model(args.output)


if __name__ == "__main__":
    main()
