"""Fine-tune a model with TRL's `SFTTrainer` on conversations that are edited while they stream.

    pip install hf-toedit trl
    python examples/trl_sft.py chats.jsonl --model HuggingFaceTB/SmolLM2-135M-Instruct --steps 100

Each row has a column `messages`, a list of roles and contents. Only the assistant's messages are edited; the others are
context for the prior. Nothing is written to disk before training: rows are read, edited and trained on as they come.
"""

import argparse

import torch
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

from hf_toedit import ToEditProcessor


def main() -> None:
    """Stream, edit, train."""
    parser = argparse.ArgumentParser(description="Fine-tune a model on conversations that are edited on the fly.")
    parser.add_argument("source", help=".jsonl file with a column messages")
    parser.add_argument("--model", required=True, help="chat model to train: a folder or a Hub id")
    parser.add_argument("--prior", default="embedded", help="model that scores and resamples tokens")
    parser.add_argument("--output", default="tuned", help="folder for the tuned model (default: tuned)")
    parser.add_argument("--steps", type=int, default=100, help="number of training steps (default: 100)")
    args = parser.parse_args()

    stream = load_dataset("json", data_files=args.source, split="train", streaming=True)
    processor = ToEditProcessor(args.prior, messages_column="messages", seed=0)
    edited = stream.map(processor, batched=True, batch_size=64).select_columns(["messages"])

    trainer = SFTTrainer(
        model=args.model,
        train_dataset=edited,
        args=SFTConfig(
            output_dir=args.output,
            max_steps=args.steps,  # a stream has no length, so the number of steps is required
            max_length=256,
            per_device_train_batch_size=8,
            logging_steps=max(1, args.steps // 10),
            bf16=torch.cuda.is_available(),  # TRL's default is True, which a CPU refuses
            report_to="none",
        ),
    )
    trainer.train()
    trainer.save_model(args.output)


if __name__ == "__main__":
    main()
