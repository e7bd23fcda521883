# SPDX-License-Identifier: Apache-2.0
"""What lora_training.sh runs. A random Llama made by transformers is the base; forge train writes an adapter to it.
  1 PEFT loads the adapter: every factor is found, none is left over, and B is no longer zero;
  2 its log-probabilities of a text are those of forge score BASE+ADAPTER, within 1e-4;
  3 PEFT's own training from the same start (A of forge's first state, B zero) on the same row ends with the same loss,
    within 1e-3: scaling, gradients, clipping and AdamW agree.
"""
import json
import math
import sys

import peft
import tokenizers
import torch
import transformers
from peers import WORK, forge, problems, report
from safetensors.torch import load_file

TEXT = "Once upon a time there was a model that could be read by everyone."


def make_base():
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    core.train_from_iterator(
        [TEXT],
        tokenizers.trainers.BpeTrainer(
            vocab_size=280,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>")
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=280, hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False, eos_token_id=0, bos_token_id=0,
        initializer_range=0.15,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(WORK / "base")
    tokenizer.save_pretrained(WORK / "base")
    return tokenizer


def train(out, steps, rate):
    forge("train", WORK / "base", "--data", WORK / "data.jsonl", "--out", out, "--lora-rank", 4, "--steps", steps,
          "--batch-tokens", 128, "--sequence-length", 128, "--lr", rate, "--precision", "f32", "--weight-decay", 0,
          "--device", "cpu")  # fmt: skip
    return load_file(out / "adapter_model.safetensors")


def load(adapter):
    base = transformers.AutoModelForCausalLM.from_pretrained(WORK / "base", dtype=torch.float32)
    return peft.PeftModel.from_pretrained(base, adapter, is_trainable=True)


def loss_of(model, ids):
    return model(input_ids=ids, labels=ids).loss


def learning_rate(step, steps, rate):
    """train/optimizer_config.cc: warm-up over min(20, steps / 10), then half a cosine to 5 %."""
    warmup = min(20, max(1, steps // 10))
    if step < warmup:
        return rate * (step + 1) / warmup
    progress = min(1, (step - warmup) / max(1, steps - 1 - warmup))
    return rate * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))


tokenizer = make_base()
(WORK / "data.jsonl").write_text(json.dumps({"text": TEXT}) + "\n")
ids = torch.tensor([tokenizer(TEXT)["input_ids"] + [0]])
steps, rate = 20, 5e-3
trained = train(WORK / "adapter", steps, rate)
model = load(WORK / "adapter").eval()
factors = {name: value for name, value in model.state_dict().items() if "lora_" in name}
missing = [name for name in factors if name.replace(".default", "") not in trained]
report("1 factors that PEFT has and the file has not", len(missing) + abs(len(factors) - len(trained)), 0)
for name, value in factors.items():
    report(f"1 {name.split('model.')[-1]}", (value - trained[name.replace(".default", "")]).abs().max().item(), 0)
report("1 factors B that are zero", sum(not v.any() for n, v in trained.items() if "lora_B" in n), 0)

with torch.no_grad():
    log_probs = model(ids[:, :-1]).logits.log_softmax(-1)
expected = log_probs[0, :-1].gather(1, ids[0, 1:-1, None]).sum().item()
line = json.dumps({"prompt": tokenizer.decode(ids[0, :1]), "completion": tokenizer.decode(ids[0, 1:-1])})
found = json.loads(forge("score", f"{WORK / 'base'}+{WORK / 'adapter'}", "--jsonl", stdin=line))["sum"]
report("2 log-probability of BASE+ADAPTER", abs(found - expected), 1e-4 * max(1, abs(expected)))
forge("inspect", f"{WORK / 'base'}+{WORK / 'adapter'}")
forge("generate", f"{WORK / 'base'}+{WORK / 'adapter'}", "--prompt", "Once", "--max-new-tokens", 3)

# A learning rate so small that nothing moves gives the start, with B at zero but for 1e-8.
train(WORK / "start", 1, 1e-8)
model = load(WORK / "start").train()
for name, value in model.named_parameters():
    if "lora_B" in name:
        value.data.zero_()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, betas=(0.9, 0.95),
                              weight_decay=0)  # fmt: skip
for step in range(steps):
    optimizer.param_groups[0]["lr"] = learning_rate(step, steps, rate)
    optimizer.zero_grad()
    loss_of(model, ids).backward()
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
mine = loss_of(load(WORK / "adapter").eval(), ids).item()
theirs = loss_of(model.eval(), ids).item()
first = loss_of(load(WORK / "start").eval(), ids).item()
report("3 share of the start's loss that is left", mine / first, 0.7)
report("3 loss after training, against PEFT's own", abs(mine - theirs), 1e-3 * theirs)
print(f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}")
sys.exit(bool(problems))
