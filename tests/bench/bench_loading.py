"""Peak host memory and time of loading one expert: `python tests/bench/bench_loading.py [--blocks N]`.

Writes an expert of Wan's width 1536 in the original layout, sharded, then loads it in a fresh process for each pair of stored
and wanted types. Anonymous memory is what the process must have; mapped file pages are given back when others need them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

DIM, FFN, TEXT, HEADS = 1536, 8960, 4096, 12
_LOAD = """
import resource, sys, threading, time
from pathlib import Path
import torch
from diffusers import WanTransformer3DModel
from storymem.checkpoints import load_component

def anonymous():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))

WanTransformer3DModel(num_layers=1, num_attention_heads=2, attention_head_dim=12, ffn_dim=8)
start, peak, done = anonymous(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
began = time.perf_counter()
model = load_component(Path(sys.argv[1]), "transformer", dtype=getattr(torch, sys.argv[2]))
seconds = time.perf_counter() - began
done = True
thread.join()
size = sum(value.numel() * value.element_size() for value in model.parameters())
print(size, max(peak, anonymous()) - start, seconds)
"""


def write_expert(folder: Path, blocks: int, dtype: str) -> int:
    """An expert in two or more shards; its size in bytes."""
    import torch
    from diffusers import WanTransformer3DModel
    from safetensors.torch import save_file

    from storymem.layouts import to_original

    expert = folder / "high_noise_model"
    expert.mkdir(parents=True)
    with torch.device("meta"):
        model = WanTransformer3DModel(num_attention_heads=HEADS, attention_head_dim=128, ffn_dim=FFN, num_layers=blocks, text_dim=TEXT)
    shapes = {to_original("transformer", name): value.shape for name, value in model.state_dict().items()}
    names = sorted(shapes)
    weight_map: dict[str, str] = {}
    for number in range(4):
        file = f"diffusion_pytorch_model-{number + 1:05}-of-00004.safetensors"
        part = {name: torch.zeros(shapes[name], dtype=getattr(torch, dtype)) for name in names[number::4]}
        save_file(part, expert / file)
        weight_map |= dict.fromkeys(part, file)
    (expert / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return sum(path.stat().st_size for path in expert.iterdir())


def main() -> None:
    """Print one line per pair of types."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=8)
    blocks = parser.parse_args().blocks
    print(f"one expert of width {DIM}, {blocks} blocks, four shards, original layout")
    for stored, wanted in (("float32", "bfloat16"), ("bfloat16", "bfloat16"), ("float32", "float32")):
        with tempfile.TemporaryDirectory() as name:
            on_disk = write_expert(Path(name), blocks, stored)
            done = subprocess.run([sys.executable, "-c", _LOAD, name, wanted], capture_output=True, text=True, check=True)
            size, peak, seconds = (float(word) for word in done.stdout.split())
            print(
                f"{stored:>8} on disk ({on_disk / 2**20:5.0f} MiB) -> {wanted:<8} model {size / 2**20:5.0f} MiB, "
                f"peak {peak / 2**20:5.0f} MiB = x{peak / size:.2f} of it, {seconds:.1f} s"
            )


if __name__ == "__main__":
    main()
