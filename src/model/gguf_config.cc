// SPDX-License-Identifier: Apache-2.0
// Metadata of GGUF <-> ModelConfig. Keys: ggml docs/gguf.md, llama.cpp src/llama-arch.cpp.
#include "model/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "model/architecture.h"
#include "model/gguf_model.h"
#include "model/rope.h"

namespace forge::model {
namespace {

/// Collects everything that is missing or not supported.
class Reader {
 public:
  Reader(const io::GgufMetadata& metadata, std::string arch) : metadata_(metadata), arch_(std::move(arch)) {}

  std::string Key(const std::string& name) const { return arch_ + "." + name; }
  void Problem(std::string text) { problems_.push_back(std::move(text)); }
  const std::vector<std::string>& problems() const { return problems_; }

  std::optional<int> Optional(const std::string& key) {
    const auto value = io::FindInteger(metadata_, key);
    if (!value) return std::nullopt;
    if (*value < 0 || *value > std::numeric_limits<int>::max()) {
      Problem(fmt::format("{} is {}", key, *value));
      return std::nullopt;
    }
    return static_cast<int>(*value);
  }
  int Required(const std::string& name) {
    if (!metadata_.contains(Key(name))) Problem("key " + Key(name) + " is missing");
    return Optional(Key(name)).value_or(0);
  }

 private:
  const io::GgufMetadata& metadata_;
  std::string arch_;
  std::vector<std::string> problems_;
};

/// The shortest decimal that gives this float: 1e-6 is stored as float 9.9999999748e-07 and should be read as
/// 1e-6.
double ShortestDecimal(double value) { return std::stod(fmt::format("{}", static_cast<float>(value))); }

[[noreturn]] void Fail(const io::GgufFile& file, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the model of " + file.path().string(),
               .why = std::move(why),
               .fix = "choose a GGUF file of " + ListArchitectures()});
}

// llama.cpp has no keys for the llama3 scaling, only the tensor of its divisors. We write these beside it, so
// that the constants come back exactly; other programs skip keys that they do not know.
constexpr const char* kLlama3Factor = "forge.rope.llama3.factor";
constexpr const char* kLlama3Low = "forge.rope.llama3.low_freq_factor";
constexpr const char* kLlama3High = "forge.rope.llama3.high_freq_factor";
constexpr const char* kLlama3Positions = "forge.rope.llama3.original_max_position_embeddings";

/// The scaling that rope_freqs.weight stands for, checked against it.
RopeScaling ReadDivisors(const io::GgufFile& file, const io::GgufFile::Entry& entry,
                         const ModelConfig& config, Reader& reader) {
  if (!entry.type || entry.size() != static_cast<std::size_t>(config.head_dim / 2)) {
    reader.Problem(fmt::format("rope_freqs.weight has {} elements, not head_dim / 2 = {}", entry.size(),
                               config.head_dim / 2));
    return {};
  }
  std::vector<float> divisors(entry.size());
  file.ReadFloats(entry, divisors);
  if (std::all_of(divisors.begin(), divisors.end(), [](float divisor) { return divisor == 1; })) return {};
  const io::GgufMetadata& metadata = file.metadata();
  if (metadata.contains(kLlama3Factor)) {
    ModelConfig noted = config;
    noted.rope_scaling = {.type = RopeScaling::Type::kLlama3,
                          .factor = io::FindNumber(metadata, kLlama3Factor).value_or(0),
                          .low_freq_factor = io::FindNumber(metadata, kLlama3Low).value_or(0),
                          .high_freq_factor = io::FindNumber(metadata, kLlama3High).value_or(0),
                          .original_max_position_embeddings = reader.Optional(kLlama3Positions).value_or(0)};
    const std::vector<double> expected = RopeDivisors(noted);
    bool equal = true;
    for (std::size_t i = 0; i < expected.size(); ++i)
      equal = equal && divisors[i] == static_cast<float>(expected[i]);
    if (equal) return noted.rope_scaling;
  }
  if (const auto scaling = Llama3ScalingOf(divisors, config)) return *scaling;
  reader.Problem(
      "rope_freqs.weight is not the scaling of Llama 3 (low_freq_factor 1, high_freq_factor 4, 8192 original "
      "positions); forge computes no other divisors");
  return {};
}

RopeScaling ReadScaling(const io::GgufFile& file, const ModelConfig& config, Reader& reader) {
  const io::GgufMetadata& metadata = file.metadata();
  const std::string* type = io::FindText(metadata, reader.Key("rope.scaling.type"));
  double factor = 0;  // 0: absent, as in llama.cpp, whose default type is linear
  for (const char* key : {"rope.scaling.factor", "rope.scale_linear"})
    if (factor == 0) factor = io::FindNumber(metadata, reader.Key(key)).value_or(0);
  if (type != nullptr && *type != "none" && *type != "linear")
    reader.Problem(
        fmt::format("{} is \"{}\"; forge computes \"none\", \"linear\" and the rope_freqs.weight of "
                    "Llama 3",
                    reader.Key("rope.scaling.type"), *type));
  RopeScaling scaling;
  if ((type == nullptr || *type == "linear") && factor != 0 && factor != 1)
    scaling = {.type = RopeScaling::Type::kLinear, .factor = ShortestDecimal(factor)};
  const io::GgufFile::Entry* divisors = file.Find(kRopeDivisorsName);
  if (divisors == nullptr || config.head_dim <= 0) return scaling;
  const RopeScaling divided = ReadDivisors(file, *divisors, config, reader);
  if (divided.type == RopeScaling::Type::kNone) return scaling;
  if (scaling.type != RopeScaling::Type::kNone)
    reader.Problem("it has rope_freqs.weight and a linear scaling factor; forge computes one of them");
  return divided;
}

void RefuseOtherKinds(Reader& reader, const ModelConfig& config) {
  if (const auto window = reader.Optional(reader.Key("attention.sliding_window"));
      window.value_or(0) > 0 && *window < config.max_position_embeddings)
    reader.Problem(fmt::format("{} is {}; forge attends to the whole context",
                               reader.Key("attention.sliding_window"), *window));
  if (const auto experts = reader.Optional(reader.Key("expert_count")); experts.value_or(0) > 0)
    reader.Problem(
        fmt::format("{} is {}; forge has no mixtures of experts", reader.Key("expert_count"), *experts));
}

}  // namespace

ModelConfig GgufConfig(const io::GgufFile& file) {
  const io::GgufMetadata& metadata = file.metadata();
  const std::string* arch = io::FindText(metadata, "general.architecture");
  if (arch == nullptr) Fail(file, "key general.architecture is missing");
  const Architecture* architecture = FindGgufArchitecture(*arch);
  if (architecture == nullptr)
    Fail(file, fmt::format("general.architecture is \"{}\"; forge knows {}", *arch, ListArchitectures()));
  Reader reader(metadata, *arch);
  ModelConfig config;
  config.model_type = architecture->model_type;
  config.qk_norm = architecture->has_qk_norm;
  config.hidden_size = reader.Required("embedding_length");
  config.intermediate_size = reader.Required("feed_forward_length");
  config.num_hidden_layers = reader.Required("block_count");
  config.num_attention_heads = reader.Required("attention.head_count");
  config.max_position_embeddings = reader.Required("context_length");
  config.num_key_value_heads =
      reader.Optional(reader.Key("attention.head_count_kv")).value_or(config.num_attention_heads);
  const int even_share = config.num_attention_heads > 0 ? config.hidden_size / config.num_attention_heads : 0;
  config.head_dim = reader.Optional(reader.Key("attention.key_length")).value_or(even_share);
  if (reader.Optional(reader.Key("attention.value_length")).value_or(config.head_dim) != config.head_dim)
    reader.Problem("attention.key_length and attention.value_length differ");
  if (reader.Optional(reader.Key("rope.dimension_count")).value_or(config.head_dim) != config.head_dim)
    reader.Problem(
        fmt::format("{} is not the head dimension {}", reader.Key("rope.dimension_count"), config.head_dim));
  const auto epsilon = io::FindNumber(metadata, reader.Key("attention.layer_norm_rms_epsilon"));
  if (!epsilon) reader.Problem("key " + reader.Key("attention.layer_norm_rms_epsilon") + " is missing");
  config.rms_norm_eps = ShortestDecimal(epsilon.value_or(1e-6));
  config.rope_theta = ShortestDecimal(io::FindNumber(metadata, reader.Key("rope.freq_base")).value_or(10000));
  config.rope_scaling = ReadScaling(file, config, reader);
  RefuseOtherKinds(reader, config);

  const io::GgufFile::Entry* embedding = file.Find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    reader.Problem("it has no table token_embd.weight");
  } else if (embedding->shape[0] <= std::numeric_limits<int>::max()) {
    config.vocab_size = static_cast<int>(embedding->shape[0]);
  }
  config.tie_word_embeddings = file.Find("output.weight") == nullptr;
  config.attention_bias = architecture->has_qkv_bias || file.Find("blk.0.attn_q.bias") != nullptr;
  config.bos_token_id = reader.Optional("tokenizer.ggml.bos_token_id").value_or(-1);
  config.pad_token_id = reader.Optional("tokenizer.ggml.padding_token_id").value_or(-1);
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    if (const auto id = reader.Optional(key);
        id && (config.eos_token_ids.empty() || config.eos_token_ids[0] != *id))
      config.eos_token_ids.push_back(*id);
  if (!reader.problems().empty()) Fail(file, fmt::format("{}", fmt::join(reader.problems(), "; ")));
  CheckConfig(config, file.path().string());
  return config;
}

io::GgufMetadata ShapeMetadata(const ModelConfig& config) {
  const std::string arch = FindArchitecture(config.model_type)->gguf_name;
  io::GgufMetadata metadata = {{"general.architecture", arch},
                               {"general.quantization_version", std::uint32_t{2}}};
  const auto set = [&](const char* name, int value) {
    metadata[arch + "." + name] = static_cast<std::uint32_t>(value);
  };
  set("context_length", config.max_position_embeddings);
  set("embedding_length", config.hidden_size);
  set("block_count", config.num_hidden_layers);
  set("feed_forward_length", config.intermediate_size);
  set("attention.head_count", config.num_attention_heads);
  set("attention.head_count_kv", config.num_key_value_heads);
  set("attention.key_length", config.head_dim);
  set("attention.value_length", config.head_dim);
  set("rope.dimension_count", config.head_dim);
  set("vocab_size", config.vocab_size);
  metadata[arch + ".attention.layer_norm_rms_epsilon"] = static_cast<float>(config.rms_norm_eps);
  metadata[arch + ".rope.freq_base"] = static_cast<float>(config.rope_theta);
  if (config.rope_scaling.type == RopeScaling::Type::kLinear) {
    metadata[arch + ".rope.scaling.type"] = std::string("linear");
    metadata[arch + ".rope.scaling.factor"] = static_cast<float>(config.rope_scaling.factor);
  } else if (config.rope_scaling.type == RopeScaling::Type::kLlama3) {
    metadata[kLlama3Factor] = config.rope_scaling.factor;
    metadata[kLlama3Low] = config.rope_scaling.low_freq_factor;
    metadata[kLlama3High] = config.rope_scaling.high_freq_factor;
    metadata[kLlama3Positions] =
        static_cast<std::uint32_t>(config.rope_scaling.original_max_position_embeddings);
  }
  if (config.bos_token_id >= 0)
    metadata["tokenizer.ggml.bos_token_id"] = static_cast<std::uint32_t>(config.bos_token_id);
  if (config.pad_token_id >= 0)
    metadata["tokenizer.ggml.padding_token_id"] = static_cast<std::uint32_t>(config.pad_token_id);
  const char* const end_keys[] = {"tokenizer.ggml.eos_token_id",
                                  "tokenizer.ggml.eot_token_id"};  // GGUF has room for 2
  for (std::size_t i = 0; i < std::min<std::size_t>(2, config.eos_token_ids.size()); ++i)
    metadata[end_keys[i]] = static_cast<std::uint32_t>(config.eos_token_ids[i]);
  return metadata;
}

std::optional<std::uint32_t> GgufFileType(io::BlockType linear_type) {
  using enum io::BlockType;
  switch (linear_type) {
    case kF32:
      return 0;
    case kF16:
      return 1;
    case kQ4_0:
      return 2;
    case kQ4_1:
      return 3;
    case kQ8_0:
      return 7;
    case kQ5_0:
      return 8;
    case kQ5_1:
      return 9;
    case kBF16:
      return 32;
    case kTQ1_0:
      return 36;
    case kTQ2_0:
      return 37;
    default:  // Q2_0; the others are not written
      return std::nullopt;
  }
}

}  // namespace forge::model
