"""Two steps of one of TRL's trainers on a file as it is. Runs where TRL is; imports none of ours.

    python trl_loads.py MODEL_FOLDER TRAINER FILE

TRAINER is DPO, Reward, KTO or SFT. Prints the losses and how many rows there were.
"""

import json
import sys
import tempfile

import trl
from datasets import load_dataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)


def main() -> None:
    folder, name, path = sys.argv[1:]
    kind = "parquet" if path.endswith(".parquet") else "json"
    model_class = AutoModelForSequenceClassification if name == "Reward" else AutoModelForCausalLM
    options = {"num_labels": 1} if name == "Reward" else {}
    with tempfile.TemporaryDirectory() as out:
        rows = load_dataset(kind, data_files=path, split="train", cache_dir=out)
        config = getattr(trl, f"{name}Config")(
            output_dir=out,
            max_steps=2,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = getattr(trl, f"{name}Trainer")(
            model=model_class.from_pretrained(folder, **options),
            args=config,
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(folder),
        )
        trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps({"losses": losses, "rows": len(rows), "steps": trainer.state.global_step}))


if __name__ == "__main__":
    main()
