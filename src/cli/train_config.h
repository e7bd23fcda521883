// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/config_field.h"

namespace forge::cli {

/// Models below this are trained as a whole unless --lora-rank says otherwise, and saved as float32.
inline constexpr std::int64_t kSmallModelWeights = 20'000'000;
inline constexpr int kDefaultLoraRank = 16;

struct TrainConfig {
  std::string model, data, out;
  int steps = 200;
  int batch_tokens = 2048;
  int sequence_length = 256;
  int batch_rows = 0;
  int max_tokens = 0;
  std::string document_separator;
  bool full = false;
  int lora_rank = 0;
  double lora_alpha = 0;
  std::vector<std::string> lora_target{"all"};
  double learning_rate = 1e-4;
  double weight_decay = 0.01;
  double max_memory_gb = 0;
  std::string precision = "auto";

  template <class Visitor>
  void VisitFields(Visitor&& visit) {
    visit("model", model, AnyValue{}, "The model to fine-tune; the same as MODEL.");
    visit("data", data, AnyValue{},
          "JSONL file of {prompt, completion} or {text}, or a .txt file of documents between blank lines.");
    visit("out", out, AnyValue{}, "Folder for the fine-tuned model, or for the adapter.");
    visit("steps", steps, InRange{1, 10000000}, "Training steps.");
    visit("batch_tokens", batch_tokens, InRange{2, 100000000},
          "Tokens of a step, in rows of --sequence-length that hold several documents each. A document sees "
          "nothing of the others.");
    visit("sequence_length", sequence_length, InRange{2, 1000000}, "Tokens of a row.");
    visit("batch_rows", batch_rows, InRange{0, 4096},
          "Documents of a step, each in a row of its own, instead of --batch-tokens.");
    visit("max_tokens", max_tokens, InRange{0, 1000000},
          "Longer pairs of prompt and completion are left out, longer texts cut; 0: --sequence-length.");
    visit("document_separator", document_separator, AnyValue{},
          "The line that separates documents of a .txt file, instead of blank lines.");
    visit("full", full, AnyValue{},
          "Train all weights. The default for models of less than 20 million weights; larger ones get an "
          "adapter of rank 16.");
    visit("lora_rank", lora_rank, InRange{0, 65536},
          "Train a LoRA adapter of this rank and write it as PEFT does; use it as MODEL+OUT.");
    visit("lora_alpha", lora_alpha, InRange{0, 1e6},
          "The adapter counts alpha / rank times; 0: twice the rank.");
    visit("lora_target", lora_target, AnyValue{},
          "Linears that get factors: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, or all.");
    visit("learning_rate", learning_rate, InRange{1e-8, 1}, "Highest learning rate; warm-up, then cosine.");
    visit("weight_decay", weight_decay, InRange{0, 1}, "Of the matrices.");
    visit("max_memory_gb", max_memory_gb, InRange{0, 100000},
          "Memory that training may take, in 10^9 bytes: it then works in smaller parts. 0: no limit.");
    visit("precision", precision, OneOf{{"auto", "f32", "bf16"}},
          "Of the matrix products; auto: bf16 where the processor has it.");
  }
};

}  // namespace forge::cli
