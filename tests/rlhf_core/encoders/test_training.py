"""Arguments of the encoders' trainer on machines with several GPUs."""

from pathlib import Path

from transformers import TrainingArguments

from rlhf_core.encoders.training import on_one_device


def test_a_process_with_several_gpus_trains_on_one(tmp_path: Path):
    """Else the trainer wraps the model in DataParallel, and a batch is one of each GPU."""
    arguments = TrainingArguments(
        output_dir=str(tmp_path), use_cpu=True, per_device_train_batch_size=8
    )
    assert arguments.n_gpu <= 1
    arguments._n_gpu = 4
    kept = on_one_device(arguments)
    assert (kept.n_gpu, kept.train_batch_size) == (1, 8)
    arguments._n_gpu = 0
    assert on_one_device(arguments).n_gpu == 0
