"""TRL's DPOTrainer on pairs. Runs where TRL is installed, imports none of ours.

    python trl_dpo.py MODEL_FOLDER RANKINGS.json RANK PROMPTS_PER_STEP

RANKINGS holds [{"prompt": …, "answers": [better, worse]}, …]; RANK is that of the adapter.
"""

import json
import resource
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer


class Clock(TrainerCallback):
    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *args: object, **kwargs: object) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def main() -> None:
    folder, path, rank, per_step = sys.argv[1:]
    with open(path) as file:
        rankings = json.load(file)
    pairs = [
        {"prompt": r["prompt"], "chosen": r["answers"][0], "rejected": r["answers"][1]}
        for r in rankings
    ]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        arguments = DPOConfig(
            output_dir=out,
            per_device_train_batch_size=int(per_step),
            num_train_epochs=1,
            bf16=True,
            use_cpu=not torch.cuda.is_available(),
            gradient_checkpointing=False,
            learning_rate=5e-4,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = DPOTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
            callbacks=[clock],
            peft_config=LoraConfig(
                r=int(rank),
                lora_alpha=2 * int(rank),
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
        )
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": clock.seconds, "peak_gb": peak}))


if __name__ == "__main__":
    main()
