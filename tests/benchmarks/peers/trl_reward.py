"""TRL's RewardTrainer, one prompt's pairs a step. Runs where TRL is; imports none of ours.

    python trl_reward.py MODEL_FOLDER RANKINGS.json RANK

RANKINGS holds [{"prompt": …, "answers": [best, …, worst]}, …]; RANK is that of the adapter.
"""

import itertools
import json
import resource
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import RewardConfig, RewardTrainer


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *args: object, **kwargs: object) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def main() -> None:
    folder, path, rank = sys.argv[1:]
    with open(path) as file:
        rankings = json.load(file)
    pairs = [
        {"prompt": ranking["prompt"], "chosen": better, "rejected": worse}
        for ranking in rankings
        for better, worse in itertools.combinations(ranking["answers"], 2)
    ]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments = RewardConfig(
            output_dir=out,
            per_device_train_batch_size=len(pairs) // len(rankings),
            num_train_epochs=1,
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=False,
            learning_rate=1e-3,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
            callbacks=[clock],
            peft_config=LoraConfig(
                r=int(rank),
                lora_alpha=2 * int(rank),
                target_modules="all-linear",
                task_type="SEQ_CLS",
            ),
        )
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": clock.seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
