"""What one GPU and a few minutes can prove: python -m tests.gpu_check --minutes 8 --out FOLDER.

Checks that results on the GPU equal those of a CPU in fp32; then speeds, peers and a profile on
random weights of three sizes. It needs rlhf_core, torch, transformers and PEFT: no network, store,
scheduler or test runner. With `--cpu --tiny` the same code runs in seconds.
"""
