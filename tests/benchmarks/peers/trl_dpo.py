"""TRL's DPOTrainer on pairs. Runs where TRL is; imports none of ours.

    python trl_dpo.py MODEL_FOLDER RANKINGS.json RANK PROMPTS_PER_STEP

RANKINGS holds [{"prompt": …, "answers": [better, worse]}, …]; RANK is that of the adapter.
"""

import sys
import tempfile

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from trl_common import SETTINGS, adapter, read, report


def main() -> None:
    folder, path, rank, per_step = sys.argv[1:]
    pairs = [
        {"prompt": r["prompt"], "chosen": r["answers"][0], "rejected": r["answers"][1]}
        for r in read(path)
    ]
    with tempfile.TemporaryDirectory() as out:
        arguments = DPOConfig(
            output_dir=out,
            per_device_train_batch_size=int(per_step),
            learning_rate=5e-4,
            **SETTINGS,
        )
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16),
            args=arguments,
            train_dataset=Dataset.from_list(pairs),
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=adapter(rank, "CAUSAL_LM"),
        )
        report(trainer)


if __name__ == "__main__":
    main()
