"""TRL's RewardTrainer on shuffled pairs; prints the scores of the held-out answers.

    python trl_accuracy.py MODEL_FOLDER DATA.json RANK SEED

DATA holds "pairs" to learn from and "held" sets of answers. Runs where TRL is, without ours.
"""

import json
import sys
import tempfile

import torch
from datasets import Dataset
from trl import RewardConfig, RewardTrainer
from trl_common import SETTINGS, adapter, classifier

PAIRS_PER_STEP = 16
"""Of four prompts with two better and two worse answers each, as on the other side."""


def main() -> None:
    folder, path, rank, seed = sys.argv[1:]
    torch.manual_seed(int(seed))
    with open(path) as file:
        data = json.load(file)
    model, tokenizer = classifier(folder)
    with tempfile.TemporaryDirectory() as out:
        arguments = RewardConfig(
            output_dir=out,
            per_device_train_batch_size=PAIRS_PER_STEP,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            seed=int(seed),
            **SETTINGS,
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(data["pairs"]),
            processing_class=tokenizer,
            peft_config=adapter(rank, "SEQ_CLS"),
        )
        trainer.train()
    scored = trainer.model.eval()
    scores = []
    for ranked in data["held"]:
        texts = [ranked["prompt"] + answer + tokenizer.eos_token for answer in ranked["answers"]]
        own = []
        for text in texts:  # one by one: padding could not disturb them
            inputs = tokenizer(text, return_tensors="pt")
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                own.append(scored(**inputs).logits.float().item())
        scores.append(own)
    print(json.dumps(scores))


if __name__ == "__main__":
    main()
