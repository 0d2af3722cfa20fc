"""TRL's RewardTrainer, all pairs of some prompts a step. Runs where TRL is; imports none of ours.

    python trl_reward.py MODEL_FOLDER RANKINGS.json RANK PROMPTS_PER_STEP

RANKINGS holds [{"prompt": …, "answers": [best, …, worst]}, …]; RANK is that of the adapter.
"""

import itertools
import sys
import tempfile

from datasets import Dataset
from trl import RewardConfig, RewardTrainer
from trl_common import SETTINGS, adapter, classifier, read, report


def main() -> None:
    folder, path, rank, per_step = sys.argv[1:]
    rankings = read(path)
    pairs = [
        {"prompt": ranking["prompt"], "chosen": better, "rejected": worse}
        for ranking in rankings
        for better, worse in itertools.combinations(ranking["answers"], 2)
    ]
    model, tokenizer = classifier(folder)
    with tempfile.TemporaryDirectory() as out:
        arguments = RewardConfig(
            output_dir=out,
            per_device_train_batch_size=int(per_step) * len(pairs) // len(rankings),
            learning_rate=1e-3,
            **SETTINGS,
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
            peft_config=adapter(rank, "SEQ_CLS"),
        )
        report(trainer)


if __name__ == "__main__":
    main()
