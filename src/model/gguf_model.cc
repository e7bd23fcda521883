// SPDX-License-Identifier: Apache-2.0
#include "model/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "model/architecture.h"
#include "model/gguf_config.h"
#include "model/rope.h"

namespace forge::model {
namespace {

/// Endings in a layer: Hugging Face's and GGUF's.
constexpr std::array<std::pair<const char*, const char*>, 14> kLayerNames = {{
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
}};

bool IsPermuted(const ModelConfig& config, const std::string& name) {
  return FindArchitecture(config.model_type)->permutes_gguf &&
         (name.find("self_attn.q_proj.") != std::string::npos ||
          name.find("self_attn.k_proj.") != std::string::npos);
}

[[noreturn]] void Fail(const std::filesystem::path& path, const std::vector<std::string>& problems,
                       std::string fix) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot write " + path.string(),
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = std::move(fix)});
}

/// A tensor of the config with what is to be stored for it.
struct Plan {
  TensorSpec spec;
  GgufTensor tensor;
  std::size_t rows, columns;
};

std::vector<Plan> MakePlan(const std::filesystem::path& path, const ModelConfig& config,
                           std::span<const GgufTensor> tensors) {
  std::vector<Plan> plans;
  std::vector<std::string> problems;
  for (const TensorSpec& spec : ListTensors(config)) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == spec.name; });
    FORGE_CHECK(found != tensors.end());
    Plan plan{spec, *found, spec.shape.size() == 2 ? static_cast<std::size_t>(spec.shape[0]) : 1,
              static_cast<std::size_t>(spec.shape.back())};
    const std::size_t size = plan.rows * plan.columns;
    if (IsVector(spec)) plan.tensor.type = io::BlockType::kF32;
    const io::BlockInfo& info = io::Info(plan.tensor.type);
    const bool is_ternary = plan.tensor.values.empty();
    FORGE_CHECK(info.can_encode &&
                (is_ternary ? plan.tensor.codes.size() : plan.tensor.values.size()) == size);
    FORGE_CHECK(!is_ternary || plan.columns % plan.tensor.group_size == 0);
    if (plan.columns % info.elements != 0)
      problems.push_back(fmt::format("tensor {} has rows of {} weights; {} stores blocks of {}", spec.name,
                                     plan.columns, info.name, info.elements));
    plans.push_back(std::move(plan));
  }
  constexpr std::size_t kShown = 4;
  const std::size_t more = problems.size() > kShown ? problems.size() - kShown : 0;
  problems.resize(problems.size() - more);
  if (more > 0) problems.push_back(fmt::format("and {} more", more));
  if (!problems.empty())
    Fail(path, problems, "use Q2_0 for ternary weights of this model (rows of 64), else Q8_0 or F16");
  return plans;
}

void WriteTensor(io::GgufWriter& writer, const ModelConfig& config, const Plan& plan) {
  const GgufTensor& tensor = plan.tensor;
  if (plan.spec.shape.size() == 1) {
    std::vector<float> values(tensor.values.begin(), tensor.values.end());
    if (IsPermuted(config, plan.spec.name))
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = tensor.values[HuggingFaceRow(static_cast<std::int64_t>(i), config.head_dim)];
    return writer.Write(std::as_bytes(std::span(values)));
  }
  const std::size_t row_bytes = io::RowBytes(tensor.type, plan.columns);
  const std::size_t rows_per_piece = std::clamp<std::size_t>((8 << 20) / row_bytes, 1, plan.rows);
  const bool is_permuted = IsPermuted(config, plan.spec.name);
  std::vector<std::byte> piece;
  for (std::size_t first = 0; first < plan.rows; first += rows_per_piece) {
    const std::size_t count = std::min(rows_per_piece, plan.rows - first);
    piece.resize(count * row_bytes);
    ParallelFor(count, 16, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        std::size_t row = first + i;
        if (is_permuted)
          row = static_cast<std::size_t>(HuggingFaceRow(static_cast<std::int64_t>(row), config.head_dim));
        const auto out = std::span(piece).subspan(i * row_bytes, row_bytes);
        if (!tensor.values.empty()) {
          io::EncodeBlocks(tensor.type, tensor.values.subspan(row * plan.columns, plan.columns), out);
        } else {
          const std::size_t groups = plan.columns / tensor.group_size;
          io::EncodeTernary(tensor.type, tensor.codes.subspan(row * plan.columns, plan.columns),
                            tensor.scales.subspan(row * groups, groups), tensor.group_size, out);
        }
      }
    });
    writer.Write(piece);
  }
}

}  // namespace

std::int64_t HuggingFaceRow(std::int64_t row, int head_dim) {
  const std::int64_t within = row % head_dim;
  return row - within + within % 2 * (head_dim / 2) + within / 2;
}

std::string GgufName(const std::string& name) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  const std::string prefix = "model.layers.";
  FORGE_CHECK(name.starts_with(prefix));
  const std::size_t dot = name.find('.', prefix.size());
  for (const auto& [ours, theirs] : kLayerNames)
    if (name.substr(dot + 1) == ours)
      return "blk." + name.substr(prefix.size(), dot + 1 - prefix.size()) + theirs;
  FORGE_CHECK(!"a tensor name of ListTensors");
  return "";
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

void SaveGguf(const std::filesystem::path& path, const ModelConfig& config,
              std::span<const GgufTensor> tensors, const io::GgufMetadata& tokenizer,
              const std::string& model_name) {
  CheckConfig(config, path.string());
  if (config.rope_scaling.type == RopeScaling::Type::kLlama3 &&
      std::string(FindArchitecture(config.model_type)->gguf_name) != "llama")
    Fail(path,
         {fmt::format("positions scaled by \"llama3\" exist in GGUF for arch llama, not {}",
                      std::string(FindArchitecture(config.model_type)->gguf_name))},
         "keep this model as a folder");
  const std::vector<Plan> plans = MakePlan(path, config, tensors);
  const std::vector<std::string>* tokens = io::FindTexts(tokenizer, "tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->size() != static_cast<std::size_t>(config.vocab_size))
    Fail(path,
         {fmt::format("the tokenizer has {} tokens, the embedding {} rows", tokens->size(),
                      config.vocab_size)},
         "use the tokenizer of this model");
  io::GgufMetadata metadata = ShapeMetadata(config);
  metadata["general.name"] = model_name;
  metadata.insert(tokenizer.begin(), tokenizer.end());
  std::vector<io::GgufWriter::Declaration> declarations;
  for (const Plan& plan : plans) {
    declarations.push_back({GgufName(plan.spec.name), plan.spec.shape, plan.tensor.type});
    const auto file_type = GgufFileType(plan.tensor.type);
    if (IsLinear(plan.spec) && file_type) metadata["general.file_type"] = *file_type;
  }
  std::vector<float> divisors;
  if (config.rope_scaling.type == RopeScaling::Type::kLlama3) {
    for (const double divisor : RopeDivisors(config)) divisors.push_back(static_cast<float>(divisor));
    declarations.push_back(
        {kRopeDivisorsName, {static_cast<std::int64_t>(divisors.size())}, io::BlockType::kF32});
  }
  io::GgufWriter writer(path, metadata, std::move(declarations));
  for (const Plan& plan : plans) WriteTensor(writer, config, plan);
  writer.Write(std::as_bytes(std::span(divisors)));
  writer.Finish();
}

ModelFolder LoadGguf(const std::filesystem::path& path) {
  const io::GgufFile file(path);
  ModelFolder model;
  model.path = path;
  model.config = GgufConfig(file);
  model.config_json = ToConfigJson(model.config, io::FloatType::kF32);
  std::size_t known = 0;
  for (const TensorSpec& spec : ListTensors(model.config)) {
    const io::GgufFile::Entry* entry = file.Find(GgufName(spec.name));
    if (entry == nullptr) continue;  // CheckWeights reports it
    ++known;
    Tensor& tensor = model.weights[spec.name];
    tensor.shape = entry->shape;
    tensor.values.resize(entry->size());
    file.ReadFloats(*entry, tensor.values);
    if (!IsPermuted(model.config, spec.name) || tensor.shape != spec.shape) continue;
    const std::size_t columns = tensor.shape.size() == 2 ? static_cast<std::size_t>(tensor.shape[1]) : 1;
    std::vector<float> ordered(tensor.values.size());
    for (std::int64_t row = 0; row < tensor.shape[0]; ++row)
      std::copy_n(tensor.values.begin() + row * static_cast<std::ptrdiff_t>(columns), columns,
                  ordered.begin() +
                      HuggingFaceRow(row, model.config.head_dim) * static_cast<std::ptrdiff_t>(columns));
    tensor.values = std::move(ordered);
  }
  if (file.Find(kRopeDivisorsName) != nullptr) ++known;
  if (known != file.entries().size() && known >= ListTensors(model.config).size())
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the model of " + path.string(),
                 .why = fmt::format("it has {} tensors, of which this architecture knows {}",
                                    file.entries().size(), known),
                 .fix = "choose a GGUF file of " + ListArchitectures()});
  CheckWeights(model.config, model.weights, path.string());
  return model;
}

}  // namespace forge::model
