"""TRL's PPOTrainer against a reward model. Runs where TRL 1.12 is; imports none of ours.

    python trl_ppo.py MODEL_FOLDER RANKINGS.json RANK PROMPTS_PER_STEP TOKENS EPOCHS [GOAL]

GOAL is FOLDER TARGET SEED: the folder of a reward model, the mean score at which the run ends, and
the trainer's seed. Without it the reward model is one in size and not in sense. Of RANKINGS the
prompts are taken. At its best here: frozen weights in bf16, policy and critic as adapters of that
RANK on them, the reference with the adapter off, all prompts in one batch.
"""

import math
import sys
import tempfile

import torch
from datasets import Dataset
from peft import inject_adapter_in_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer
from trl_common import SETTINGS, adapter, read, report


def scorer(folder: str) -> PreTrainedModel:
    torch.manual_seed(1)
    return AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.bfloat16
    )


def critic(folder: str, rank: str) -> PreTrainedModel:
    model = inject_adapter_in_model(adapter(rank, "SEQ_CLS"), scorer(folder))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith("score"))
    return model


def main() -> None:
    folder, path, rank, per_step, tokens, epochs, *goal = sys.argv[1:]
    reward_folder, target = (
        (f"{goal[0]}/classifier", float(goal[1])) if goal else (folder, math.inf)
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.unk_token  # the model's own is also its end of text
    prompts = [{"input_ids": tokenizer(r["prompt"])["input_ids"]} for r in read(path)]
    with tempfile.TemporaryDirectory() as out:
        arguments = PPOConfig(
            output_dir=out,
            per_device_train_batch_size=int(per_step),
            response_length=int(tokens),
            num_ppo_epochs=int(epochs),
            temperature=1.0,
            stop_token="eos",
            num_sample_generations=0,
            learning_rate=1.5e-3 if goal else 1e-4,
            seed=int(goal[2]) if goal else 42,
            **SETTINGS,
        )
        trainer = PPOTrainer(
            args=arguments,
            processing_class=tokenizer,
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16),
            ref_model=None,
            reward_model=scorer(reward_folder),
            value_model=critic(reward_folder, rank),
            train_dataset=Dataset.from_list(prompts),
            peft_config=adapter(rank, "CAUSAL_LM"),
        )
        report(trainer, target)


if __name__ == "__main__":
    main()
