// SPDX-License-Identifier: Apache-2.0
#include "train/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace forge::train {
namespace {

constexpr std::uint64_t kFloat = 4;
constexpr std::uint64_t kHeadRows = 256, kHeadStep = 64;  // torch/tune_pass.h
constexpr int kFreeTokens = 1024;  // of a micro-batch without a limit; more is no faster
constexpr double kGigabyte = 1e9;
// The program with libtorch open and the tokenizer read: 0.25 GB measured, and room for what is small.
constexpr std::uint64_t kProgram = 330'000'000;
// Freed memory that malloc keeps in the heap of a thread (M_TOP_PAD of torch_engine.cc; HEAP_MAX_SIZE of
// glibc). How much of it is used depends on how the threads meet: 50 MB more were seen with other programs on
// the cores.
constexpr std::uint64_t kHeapOfThread = 64 << 20;

std::uint64_t Elements(const model::TensorSpec& spec) {
  std::uint64_t size = 1;
  for (const std::int64_t length : spec.shape) size *= static_cast<std::uint64_t>(length);
  return size;
}

bool IsTarget(const model::TensorSpec& spec, const LoraSettings& lora) {
  return model::IsLinear(spec) &&
         std::any_of(lora.targets.begin(), lora.targets.end(), [&](const std::string& target) {
           return spec.name.ends_with("." + target + ".weight");
         });
}

/// Bytes for each token of a micro-batch; DecoderLayer::Tape and what lives while a layer is computed.
struct TokenBytes {
  std::uint64_t stream = 0;     // the input of one layer
  std::uint64_t tape = 0;       // the rest that one layer keeps
  std::uint64_t transient = 0;  // while one layer goes backward
};

TokenBytes BytesOfToken(const model::ModelConfig& config, std::uint64_t compute_bytes) {
  const auto hidden = static_cast<std::uint64_t>(config.hidden_size),
             middle = static_cast<std::uint64_t>(config.intermediate_size),
             query = static_cast<std::uint64_t>(config.query_size()),
             key_value = static_cast<std::uint64_t>(config.key_value_size());
  TokenBytes bytes;
  bytes.stream = hidden * kFloat;
  // middle; query, key, value; both repeated over the groups and the attention's output; gate and up.
  bytes.tape = hidden * kFloat + (4 * query + 2 * key_value + 2 * middle) * compute_bytes;
  // Normed inputs, gradients of the stream and of the linears, in float32 at worst.
  bytes.transient = (8 * hidden + 4 * middle + 6 * query) * kFloat;
  return bytes;
}

}  // namespace

MemoryPlan PlanMemory(const model::ModelConfig& config, const MemoryRequest& request, int micro_rows,
                      bool recompute_activations) {
  MemoryPlan plan{.micro_rows = micro_rows,
                  .micro_batches = (request.rows + micro_rows - 1) / micro_rows,
                  .recompute_activations = recompute_activations};
  const bool is_narrow = request.precision == Precision::kBFloat16;
  const std::uint64_t compute_bytes = is_narrow ? 2 : kFloat;
  const auto at_once = static_cast<std::uint64_t>(std::min(request.threads, plan.micro_batches));
  plan.program = kProgram + at_once * kHeapOfThread;
  std::uint64_t trained = 0, largest = 0;
  for (const model::TensorSpec& spec : model::ListTensors(config)) {
    const std::uint64_t size = Elements(spec);
    const std::uint64_t copy = is_narrow && spec.shape.size() == 2 ? size * 2 : 0;
    plan.weights += (size * kFloat + copy) * (request.has_teacher ? 2 : 1);
    if (request.is_ternary && copy == 0 && model::IsLinear(spec)) plan.weights += size * kFloat;
    const bool is_trained = !request.trainable || request.trainable(spec);
    std::uint64_t own = request.lora.rank == 0 && is_trained ? size : 0;
    if (request.lora.rank > 0 && IsTarget(spec, request.lora))
      own = static_cast<std::uint64_t>(request.lora.rank) *
            static_cast<std::uint64_t>(spec.shape[0] + spec.shape[1]);
    trained += own;
    largest = std::max(largest, own);
  }
  // Each thread has one gradient on its way, in bfloat16 also as it came out of the product.
  plan.gradients = trained * kFloat + at_once * largest * (kFloat + (is_narrow ? 2 : 0));
  plan.moments = 2 * trained * kFloat;

  const TokenBytes bytes = BytesOfToken(config, compute_bytes);
  const auto layers = static_cast<std::uint64_t>(config.num_hidden_layers);
  const std::uint64_t tokens =
      static_cast<std::uint64_t>(micro_rows) * static_cast<std::uint64_t>(request.length);
  const std::uint64_t kept = layers * bytes.stream + (recompute_activations ? 1 : layers) * bytes.tape;
  // Logits, their exponentials while they are summed, their gradient in the compute type.
  const std::uint64_t head_rows = std::min((tokens + kHeadStep - 1) / kHeadStep * kHeadStep, kHeadRows);
  const std::uint64_t head = head_rows * static_cast<std::uint64_t>(config.vocab_size) *
                             ((request.has_teacher ? 4 : 2) * kFloat + (is_narrow ? 2 * 2 : 0));
  const std::uint64_t mask = tokens * static_cast<std::uint64_t>(request.length) * (kFloat + compute_bytes);
  plan.activations = at_once * (tokens * (kept + bytes.transient) + head + mask);
  return plan;
}

MemoryPlan ChooseMemoryPlan(const model::ModelConfig& config, const MemoryRequest& request,
                            std::uint64_t limit) {
  const int half = std::max(1, (request.rows + 1) / 2);
  if (limit == 0) {
    const int rows = std::clamp(kFreeTokens / std::max(1, request.length), 1, half);
    return PlanMemory(config, request, rows, false);
  }
  std::uint64_t smallest = ~std::uint64_t{0};
  for (const bool recompute : {false, true})
    for (int rows = half;; rows = (rows + 1) / 2) {
      const MemoryPlan plan = PlanMemory(config, request, rows, recompute);
      if (plan.total() <= limit) return plan;
      smallest = std::min(smallest, plan.total());
      if (rows == 1) break;
    }
  const double needed = std::ceil(static_cast<double>(smallest) / kGigabyte * 100) / 100;
  throw Error(
      {.kind = ErrorKind::kInput,
       .what =
           fmt::format("this training does not fit into {:.2f} GB", static_cast<double>(limit) / kGigabyte),
       .why = fmt::format("with one row of {} tokens at a time and activations computed again it takes "
                          "{:.2f} GB",
                          request.length, needed),
       .fix = fmt::format("give --max-memory-gb {:.2f}{}", needed, request.advice)});
}

std::string Describe(const MemoryPlan& plan) {
  const auto gb = [](std::uint64_t bytes) { return static_cast<double>(bytes) / kGigabyte; };
  return fmt::format(
      "memory: {:.2f} GB: program {:.2f}, weights {:.2f}, gradients {:.2f}, moments {:.2f}, activations "
      "{:.2f}; "
      "{} micro-batch{} of {} row{}, activations {}",
      gb(plan.total()), gb(plan.program), gb(plan.weights), gb(plan.gradients), gb(plan.moments),
      gb(plan.activations), plan.micro_batches, plan.micro_batches == 1 ? "" : "es", plan.micro_rows,
      plan.micro_rows == 1 ? "" : "s", plan.recompute_activations ? "computed again" : "kept");
}

}  // namespace forge::train
