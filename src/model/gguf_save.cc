// SPDX-License-Identifier: Apache-2.0
// Writing a model as a GGUF file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "io/gguf_size.h"
#include "model/architecture.h"
#include "model/gguf_config.h"
#include "model/gguf_model.h"
#include "model/gguf_size.h"
#include "model/rope.h"

namespace forge::model {
namespace {

constexpr std::int64_t kPieceElements = 1 << 20;  // 4 MiB of float32

[[noreturn]] void Fail(const std::filesystem::path& path, const std::vector<std::string>& problems,
                       std::string fix) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot write " + path.string(),
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = std::move(fix)});
}

/// One tensor to be written. `encode` gives the blocks of the rows [first_row, first_row + rows) of the file;
/// both numbers are multiples of `step`, or reach the end.
struct Plan {
  TensorSpec spec;
  io::BlockType type;
  std::int64_t step = 1;
  std::function<void(std::int64_t first_row, std::int64_t rows, std::span<std::byte> out)> encode;
  const char* suffix = "";  // of the name in the file
};

using ReadRows = std::function<void(std::int64_t first_row, std::span<float> out)>;

/// Encodes rows that come as floats in Hugging Face's order.
Plan PlanFloats(const ModelConfig& config, const TensorSpec& spec, io::BlockType type, ReadRows read) {
  const bool is_permuted = IsPermutedInGguf(config, spec);
  const std::size_t columns = Columns(spec), row_bytes = io::RowBytes(type, columns);
  const int head_dim = config.head_dim;
  Plan plan{spec, type, is_permuted && spec.shape.size() == 2 ? head_dim : 1, {}};
  plan.encode = [=, read = std::move(read)](std::int64_t first_row, std::int64_t rows,
                                            std::span<std::byte> out) {
    std::vector<float> values(static_cast<std::size_t>(rows) * columns);
    read(first_row, values);
    if (is_permuted && spec.shape.size() == 1) {
      std::vector<float> permuted(columns);
      for (std::size_t i = 0; i < columns; ++i)
        permuted[i] =
            values[static_cast<std::size_t>(HuggingFaceRow(static_cast<std::int64_t>(i), head_dim))];
      values = std::move(permuted);
    }
    ParallelFor(static_cast<std::size_t>(rows), 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::size_t row = i;
        if (is_permuted && spec.shape.size() == 2)
          row = static_cast<std::size_t>(HuggingFaceRow(static_cast<std::int64_t>(i), head_dim));
        io::EncodeBlocks(type, std::span(values).subspan(row * columns, columns),
                         out.subspan(i * row_bytes, row_bytes));
      }
    });
  };
  return plan;
}

Plan PlanTernary(const ModelConfig& config, const TensorSpec& spec, const GgufTensor& tensor,
                 bool is_second) {
  const std::span<const std::int8_t> codes = is_second ? tensor.second_codes : tensor.codes;
  const std::span<const float> scales = is_second ? tensor.second_scales : tensor.scales;
  const bool is_permuted = IsPermutedInGguf(config, spec);
  const std::size_t columns = Columns(spec), row_bytes = io::RowBytes(tensor.type, columns);
  FORGE_CHECK(columns % tensor.group_size == 0);
  Plan plan{spec, tensor.type, 1, {}};
  if (is_second) plan.suffix = kSecondPlane;
  plan.encode = [=, head_dim = config.head_dim](std::int64_t first_row, std::int64_t rows,
                                                std::span<std::byte> out) {
    const std::size_t groups = columns / tensor.group_size;
    ParallelFor(static_cast<std::size_t>(rows), 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::int64_t row = first_row + static_cast<std::int64_t>(i);
        if (is_permuted) row = HuggingFaceRow(row, head_dim);
        const auto at = static_cast<std::size_t>(row);
        io::EncodeTernary(tensor.type, codes.subspan(at * columns, columns),
                          scales.subspan(at * groups, groups), tensor.group_size,
                          out.subspan(i * row_bytes, row_bytes));
      }
    });
  };
  return plan;
}

/// Blocks whose rows are in Hugging Face's order.
Plan PlanBlocks(const ModelConfig& config, const TensorSpec& spec, const GgufTensor& tensor) {
  const bool is_permuted = IsPermutedInGguf(config, spec);
  const std::size_t row_bytes = io::RowBytes(tensor.type, Columns(spec));
  Plan plan{spec, tensor.type, 1, {}};
  plan.encode = [=, blocks = tensor.blocks, head_dim = config.head_dim](
                    std::int64_t first_row, std::int64_t rows, std::span<std::byte> out) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t row = is_permuted ? HuggingFaceRow(first_row + i, head_dim) : first_row + i;
      const auto source = blocks.subspan(static_cast<std::size_t>(row) * row_bytes, row_bytes);
      std::copy(source.begin(), source.end(), out.begin() + i * static_cast<std::ptrdiff_t>(row_bytes));
    }
  };
  return plan;
}

/// The bytes as they are stored.
Plan PlanCopy(const TensorSpec& spec, io::BlockType type, std::span<const std::byte> bytes,
              std::function<void(std::int64_t first_row, std::int64_t rows)> check) {
  const std::size_t row_bytes = io::RowBytes(type, Columns(spec));
  Plan plan{spec, type, 1, {}};
  plan.encode = [=](std::int64_t first_row, std::int64_t rows, std::span<std::byte> out) {
    const auto part = bytes.subspan(static_cast<std::size_t>(first_row) * row_bytes, out.size());
    std::copy(part.begin(), part.end(), out.begin());
    check(first_row, rows);  // after the copy: reading the values lets go of the pages
  };
  return plan;
}

std::string BlockProblem(const TensorSpec& spec, io::BlockType type) {
  const io::BlockInfo& info = io::Info(type);
  return Columns(spec) % info.elements == 0
             ? ""
             : fmt::format("tensor {} has rows of {} weights; {} stores blocks of {}", spec.name,
                           Columns(spec), info.name, info.elements);
}

void ThrowBlockProblems(const std::filesystem::path& path, std::vector<std::string> problems) {
  constexpr std::size_t kShown = 4;
  const std::size_t more = problems.size() > kShown ? problems.size() - kShown : 0;
  problems.resize(problems.size() - more);
  if (more > 0) problems.push_back(fmt::format("and {} more", more));
  if (!problems.empty())
    Fail(path, problems, "use Q2_0 for ternary weights of this model (rows of 64), else Q8_0 or F16");
}

void WritePlan(io::GgufWriter& writer, const Plan& plan) {
  const auto columns = static_cast<std::int64_t>(Columns(plan.spec));
  const std::size_t row_bytes = io::RowBytes(plan.type, Columns(plan.spec));
  const std::int64_t steps = std::max<std::int64_t>(1, kPieceElements / (columns * plan.step));
  std::vector<std::byte> piece;
  for (std::int64_t first = 0; first < Rows(plan.spec); first += steps * plan.step) {
    const std::int64_t rows = std::min(steps * plan.step, Rows(plan.spec) - first);
    piece.resize(static_cast<std::size_t>(rows) * row_bytes);
    plan.encode(first, rows, piece);
    writer.Write(piece);
  }
}

void CheckBeforeWriting(const std::filesystem::path& path, const ModelConfig& config,
                        const io::GgufMetadata& tokenizer) {
  CheckConfig(config, path.string());
  const std::string arch = FindArchitecture(config.model_type)->gguf_name;
  if (config.rope_scaling.type == RopeScaling::Type::kLlama3 && arch != "llama")
    Fail(path, {fmt::format("positions scaled by \"llama3\" exist in GGUF for arch llama, not {}", arch)},
         "keep this model as a folder");
  const std::vector<std::string>* tokens = io::FindTexts(tokenizer, "tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->size() != static_cast<std::size_t>(config.vocab_size))
    Fail(path,
         {fmt::format("the tokenizer has {} tokens, the embedding {} rows", tokens->size(),
                      config.vocab_size)},
         "use the tokenizer of this model");
}

/// What a file of the planned tensors begins with.
struct FileHead {
  io::GgufMetadata metadata;
  std::vector<io::GgufWriter::Declaration> tensors;
  std::vector<float> divisors;  // the values of the last tensor, where a rope scaling needs it
};
FileHead HeadOf(const ModelConfig& config, std::span<const Plan> plans, const io::GgufMetadata& tokenizer,
                const std::string& model_name) {
  FileHead head{.metadata = ShapeMetadata(config), .tensors = {}, .divisors = {}};
  head.metadata["general.name"] = model_name;
  head.metadata.insert(tokenizer.begin(), tokenizer.end());
  for (const Plan& plan : plans) {
    head.tensors.push_back({GgufName(plan.spec.name) + plan.suffix, plan.spec.shape, plan.type});
    const auto file_type = GgufFileType(plan.type);
    if (IsLinear(plan.spec) && file_type) head.metadata["general.file_type"] = *file_type;
  }
  if (config.rope_scaling.type == RopeScaling::Type::kLlama3) {
    for (const double divisor : RopeDivisors(config)) head.divisors.push_back(static_cast<float>(divisor));
    head.tensors.push_back(
        {kRopeDivisorsName, {static_cast<std::int64_t>(head.divisors.size())}, io::BlockType::kF32});
  }
  return head;
}

void WritePlans(const std::filesystem::path& path, const ModelConfig& config, std::span<const Plan> plans,
                const io::GgufMetadata& tokenizer, const std::string& model_name) {
  FileHead head = HeadOf(config, plans, tokenizer, model_name);
  io::GgufWriter writer(path, head.metadata, std::move(head.tensors));
  for (const Plan& plan : plans) WritePlan(writer, plan);
  writer.Write(std::as_bytes(std::span(head.divisors)));
  writer.Finish();
}

bool IsTernary(io::BlockType type) {
  return type == io::BlockType::kTQ1_0 || type == io::BlockType::kTQ2_0 || type == io::BlockType::kQ2_0;
}

/// Throws if rounding the values to ternary blocks would change them.
void CheckTernaryKeeps(const TensorSpec& spec, io::BlockType type, std::span<const float> values,
                       const std::string& source) {
  std::vector<std::byte> bytes(io::RowBytes(type, values.size()));
  std::vector<float> kept(values.size());
  io::EncodeBlocks(type, values, bytes);
  io::DecodeBlocks(type, bytes, kept);
  const auto changed = std::mismatch(values.begin(), values.end(), kept.begin()).first;
  if (changed == values.end()) return;
  throw Error(
      {.kind = ErrorKind::kInput,
       .what = fmt::format("cannot store {} of {} as {}", spec.name, source, io::Info(type).name),
       .why = fmt::format("element {} is {:g}: its block holds more than one magnitude, and rounding without "
                          "training would ruin the model",
                          changed - values.begin(), *changed),
       .fix = "forge compress makes a ternary model; or give another type"});
}

Plan PlanOf(const WeightSource& weights, const TensorSpec& spec, io::BlockType type) {
  const std::span<const std::byte> stored = weights.GgufBytes(spec);
  if (!stored.empty() && weights.StoredType(spec) == io::Info(type).name)
    return PlanCopy(spec, type, stored, [&weights, spec](std::int64_t first_row, std::int64_t rows) {
      std::vector<float> values(static_cast<std::size_t>(rows) * Columns(spec));
      weights.ReadRows(spec, first_row, values);  // throws for values that are not finite
    });
  return PlanFloats(weights.config(), spec, type,
                    [&weights, spec, type](std::int64_t first_row, std::span<float> out) {
                      weights.ReadRows(spec, first_row, out);
                      if (IsTernary(type)) CheckTernaryKeeps(spec, type, out, weights.Name());
                      const auto limit = type == io::BlockType::kF32    ? io::FloatType::kF32
                                         : type == io::BlockType::kBF16 ? io::FloatType::kBF16
                                                                        : io::FloatType::kF16;
                      CheckRange(out, limit, spec.name, weights.Name());
                    });
}

}  // namespace

std::uint64_t GgufBytes(const ModelConfig& config,
                        const std::function<io::BlockType(const TensorSpec&)>& type_of,
                        const io::GgufMetadata& tokenizer, const std::string& model_name) {
  std::vector<Plan> plans;
  for (const TensorSpec& spec : ListTensors(config))
    plans.push_back({spec, IsVector(spec) ? io::BlockType::kF32 : type_of(spec), 1, {}});
  const FileHead head = HeadOf(config, plans, tokenizer, model_name);
  return io::GgufFileBytes(head.metadata, head.tensors);
}

std::vector<GgufTensor> GgufTensorsOf(const ModelConfig& config, const ModelWeights& weights,
                                      io::BlockType linear_type, io::BlockType table_type) {
  std::vector<GgufTensor> tensors;
  for (const TensorSpec& spec : ListTensors(config)) {
    const io::BlockType type = IsLinear(spec)   ? linear_type
                               : IsVector(spec) ? io::BlockType::kF32
                                                : table_type;
    tensors.push_back({.name = spec.name, .type = type, .values = weights.at(spec.name).values});
  }
  return tensors;
}

void SaveGguf(const std::filesystem::path& path, const WeightSource& weights,
              const std::function<io::BlockType(const TensorSpec&)>& type_of,
              const io::GgufMetadata& tokenizer, const std::string& model_name) {
  CheckBeforeWriting(path, weights.config(), tokenizer);
  std::vector<std::string> problems;
  std::vector<std::pair<TensorSpec, io::BlockType>> choices;
  for (const TensorSpec& spec : ListTensors(weights.config())) {
    choices.emplace_back(spec, IsVector(spec) ? io::BlockType::kF32 : type_of(spec));
    if (std::string problem = BlockProblem(spec, choices.back().second); !problem.empty())
      problems.push_back(std::move(problem));
  }
  ThrowBlockProblems(path, std::move(problems));
  std::vector<Plan> plans;
  for (const auto& [spec, type] : choices) plans.push_back(PlanOf(weights, spec, type));
  WritePlans(path, weights.config(), plans, tokenizer, model_name);
}

void SaveGguf(const std::filesystem::path& path, const ModelConfig& config,
              std::span<const GgufTensor> tensors, const io::GgufMetadata& tokenizer,
              const std::string& model_name) {
  CheckBeforeWriting(path, config, tokenizer);
  std::map<std::string_view, GgufTensor> by_name;
  for (const GgufTensor& tensor : tensors) by_name[tensor.name] = tensor;
  std::vector<std::string> problems;
  const std::vector<TensorSpec> specs = ListTensors(config);
  for (const TensorSpec& spec : specs) {
    GgufTensor& tensor = by_name.at(spec.name);
    if (IsVector(spec)) tensor.type = io::BlockType::kF32;
    const std::size_t size = static_cast<std::size_t>(Rows(spec)) * Columns(spec);
    if (tensor.blocks.empty())
      FORGE_CHECK((tensor.values.empty() ? tensor.codes.size() : tensor.values.size()) == size);
    if (std::string problem = BlockProblem(spec, tensor.type); !problem.empty())
      problems.push_back(std::move(problem));
  }
  ThrowBlockProblems(path, std::move(problems));
  std::vector<Plan> plans;
  for (const TensorSpec& spec : specs) {
    const GgufTensor& tensor = by_name.at(spec.name);
    if (!tensor.blocks.empty()) {
      FORGE_CHECK(tensor.blocks.size() ==
                  static_cast<std::size_t>(Rows(spec)) * io::RowBytes(tensor.type, Columns(spec)));
      plans.push_back(PlanBlocks(config, spec, tensor));
    } else if (tensor.values.empty()) {
      plans.push_back(PlanTernary(config, spec, tensor, false));
      if (!tensor.second_codes.empty()) plans.push_back(PlanTernary(config, spec, tensor, true));
    } else {
      const std::size_t columns = Columns(spec);
      plans.push_back(PlanFloats(
          config, spec, tensor.type,
          [values = tensor.values, columns](std::int64_t first_row, std::span<float> out) {
            const auto first = static_cast<std::size_t>(first_row) * columns;
            std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
          }));
    }
  }
  WritePlans(path, config, plans, tokenizer, model_name);
}

}  // namespace forge::model
