// SPDX-License-Identifier: Apache-2.0
// config.json of transformers <-> ModelConfig.
#include <fmt/format.h>

#include <limits>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "model/architecture.h"
#include "model/bitnet_folder.h"
#include "model/model_folder.h"

namespace forge::model {
namespace {

using io::Json;

/// Reads fields and collects everything that is wrong, so that one report names it all.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& json) : json_(json) {}

  void Problem(std::string text) { problems_.push_back(std::move(text)); }
  const std::vector<std::string>& problems() const { return problems_; }

  /// nullptr: absent or null.
  const Json* Find(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  std::optional<int> Int(const Json& value, const char* name) {
    if (value.is_number_integer()) {
      const auto number = value.get<std::int64_t>();
      if (number >= -1 && number <= std::numeric_limits<int>::max()) return static_cast<int>(number);
    }
    Problem(fmt::format("{} is {}; it must be a whole number", name, value.dump()));
    return std::nullopt;
  }
  int Required(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr) Problem(fmt::format("{} is missing", name));
    return value == nullptr ? 0 : Int(*value, name).value_or(0);
  }
  int Optional(const char* name, int standard) {
    const Json* value = Find(name);
    return value == nullptr ? standard : Int(*value, name).value_or(standard);
  }
  double Number(const char* name, double standard) {
    const Json* value = Find(name);
    if (value == nullptr) return standard;
    if (value->is_number()) return value->get<double>();
    Problem(fmt::format("{} is {}; it must be a number", name, value->dump()));
    return standard;
  }
  bool Bool(const char* name, bool standard) {
    const Json* value = Find(name);
    if (value == nullptr) return standard;
    if (value->is_boolean()) return value->get<bool>();
    Problem(fmt::format("{} is {}; it must be true or false", name, value->dump()));
    return standard;
  }

 private:
  const Json& json_;
  std::vector<std::string> problems_;
};

std::vector<int> ReadEos(ConfigReader& reader) {
  std::vector<int> ids;
  const Json* eos = reader.Find("eos_token_id");
  if (eos == nullptr) return ids;
  for (const Json& id : eos->is_array() ? *eos : Json::array({*eos}))
    if (const std::optional<int> number = reader.Int(id, "eos_token_id"); number && *number >= 0)
      ids.push_back(*number);
  return ids;
}

constexpr const char* kScalingTypes = "\"default\", \"linear\" and \"llama3\"";

/// One of rope_parameters (transformers 5) and rope_scaling (4): the scaling, and the base if it has one.
RopeScaling ReadScaling(const char* name, const Json& rope, ConfigReader& reader, double& theta) {
  RopeScaling scaling;
  const auto text = [&](const char* key) {
    return rope.contains(key) ? rope[key].dump() : std::string("null");
  };
  const std::string type = text("rope_type") != "null" ? text("rope_type") : text("type");
  if (type == "\"linear\"") {
    scaling.type = RopeScaling::Type::kLinear;
  } else if (type == "\"llama3\"") {
    scaling.type = RopeScaling::Type::kLlama3;
  } else if (type != "\"default\"" && type != "\"none\"" && type != "null") {
    reader.Problem(fmt::format("{} has the type {}; forge computes {}", name, type, kScalingTypes));
    return scaling;
  }
  const bool is_scaled = scaling.type != RopeScaling::Type::kNone;
  const bool is_llama3 = scaling.type == RopeScaling::Type::kLlama3;
  const auto take = [&](const char* key, bool belongs, double& number) {
    const bool is_there = text(key) != "null";
    if (!is_there && belongs) reader.Problem(fmt::format("{}.{} is missing", name, key));
    if (!is_there) return;
    if (!belongs || !rope[key].is_number())
      reader.Problem(fmt::format("{}.{} is {}, which the type {} does not take", name, key, text(key), type));
    else
      number = rope[key].get<double>();
  };
  double positions = 0;
  take("factor", is_scaled, scaling.factor);
  take("low_freq_factor", is_llama3, scaling.low_freq_factor);
  take("high_freq_factor", is_llama3, scaling.high_freq_factor);
  take("original_max_position_embeddings", is_llama3, positions);
  if (positions >= 0 && positions <= std::numeric_limits<int>::max())
    scaling.original_max_position_embeddings = static_cast<int>(positions);
  for (const auto& [key, value] : rope.items()) {
    if (key == "rope_theta" && value.is_number())
      theta = value.get<double>();
    else if (key != "type" && key != "rope_type" && key != "factor" && key != "low_freq_factor" &&
             key != "high_freq_factor" && key != "original_max_position_embeddings" &&
             !(key == "partial_rotary_factor" && value == 1.0) && !value.is_null())
      reader.Problem(fmt::format("{}.{} is {}, which forge does not compute", name, key, value.dump()));
  }
  return scaling;
}

/// rope_theta is at the top level (transformers 4) or in rope_parameters (5).
void ReadRope(ConfigReader& reader, ModelConfig& config) {
  config.rope_theta = reader.Number("rope_theta", 10000);
  for (const char* name : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = reader.Find(name);
    if (rope == nullptr) continue;
    if (!rope->is_object()) {
      reader.Problem(fmt::format("{} must be an object", name));
      continue;
    }
    const RopeScaling scaling = ReadScaling(name, *rope, reader, config.rope_theta);
    if (config.rope_scaling.type != RopeScaling::Type::kNone && scaling != config.rope_scaling)
      reader.Problem("rope_scaling and rope_parameters differ");
    config.rope_scaling = scaling;
  }
}

/// Attention to a window of the last positions only.
void RefuseWindows(const Architecture& architecture, const ModelConfig& config, const Json& json,
                   ConfigReader& reader) {
  if (reader.Bool("use_sliding_window", false))
    reader.Problem("use_sliding_window is true; forge attends to the whole context");
  if (architecture.default_window > 0) {  // Mistral: null turns it off
    const int window = json.contains("sliding_window") && json["sliding_window"].is_null()
                           ? config.max_position_embeddings
                           : reader.Optional("sliding_window", architecture.default_window);
    if (window < config.max_position_embeddings)
      reader.Problem(fmt::format("sliding_window is {}{}; forge attends to the whole context", window,
                                 json.contains("sliding_window") ? "" : " by default"));
  }
  const Json* layers = reader.Find("layer_types");
  if (layers == nullptr || !layers->is_array()) return;
  for (const Json& layer : *layers)
    if (layer != "full_attention")
      return reader.Problem(fmt::format("layer_types has {}; forge computes full_attention", layer.dump()));
}

void RefuseWhatForgeDoesNotCompute(const Architecture& architecture, const Json& json,
                                   const std::string& source, ConfigReader& reader) {
  const Json* activation = reader.Find("hidden_act");
  if (activation != nullptr && *activation != "silu")
    reader.Problem(fmt::format("hidden_act is {}; forge computes silu", activation->dump()));
  if (reader.Bool("mlp_bias", false)) reader.Problem("mlp_bias is true; forge has no biases in the MLP");
  if (!architecture.has_qkv_bias && reader.Bool("attention_bias", false))
    reader.Problem("attention_bias is true, which puts a bias on o_proj too; forge has none there");
  if (reader.Bool("rope_interleaved", false))
    reader.Problem("rope_interleaved is true; forge turns elements i and i + head_dim / 2 together");
  if (reader.Bool("use_mrope", false))
    reader.Problem("use_mrope is true; forge has one position for each token");
  if (reader.Number("partial_rotary_factor", 1) != 1) reader.Problem("partial_rotary_factor is not 1");
  const Json* quantization = reader.Find("quantization_config");
  if (quantization != nullptr && !IsBitnetConfig(json, source))
    reader.Problem(
        fmt::format("it has a quantization_config (quant_method {}); forge reads float weights and bitnet",
                    quantization->is_object() && quantization->contains("quant_method")
                        ? (*quantization)["quant_method"].dump()
                        : "unknown"));
  const Json* architectures = reader.Find("architectures");
  if (architectures == nullptr || !architectures->is_array() || architectures->empty()) return;
  if ((*architectures)[0] != architecture.class_name)
    reader.Problem(fmt::format("architectures is {}; expected [\"{}\"]", architectures->dump(),
                               architecture.class_name));
}

Json ScalingJson(const RopeScaling& scaling) {
  if (scaling.type == RopeScaling::Type::kNone) return nullptr;
  Json json = {{"rope_type", Name(scaling.type)}, {"factor", scaling.factor}};
  if (scaling.type == RopeScaling::Type::kLlama3) {
    json["low_freq_factor"] = scaling.low_freq_factor;
    json["high_freq_factor"] = scaling.high_freq_factor;
    json["original_max_position_embeddings"] = scaling.original_max_position_embeddings;
  }
  return json;
}

}  // namespace

ModelConfig ParseModelConfig(const Json& json, const std::string& source) {
  ConfigReader reader(json);
  ModelConfig config;
  const Json* model_type = json.is_object() ? reader.Find("model_type") : nullptr;
  const Architecture* architecture = model_type != nullptr && model_type->is_string()
                                         ? FindArchitecture(model_type->get<std::string>())
                                         : nullptr;
  if (architecture == nullptr)
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the model of " + source,
                 .why = model_type == nullptr
                            ? std::string("it has no model_type")
                            : fmt::format("model_type is {}, an architecture that forge does "
                                          "not compute",
                                          model_type->dump()),
                 .fix = "choose one of " + ListArchitectures()});
  config.model_type = architecture->model_type;
  config.vocab_size = reader.Required("vocab_size");
  config.hidden_size = reader.Required("hidden_size");
  config.intermediate_size = reader.Required("intermediate_size");
  config.num_hidden_layers = reader.Required("num_hidden_layers");
  config.num_attention_heads = reader.Required("num_attention_heads");
  const bool has_key_value_heads = json.contains("num_key_value_heads");  // null: as many as query heads
  config.num_key_value_heads =
      reader.Optional("num_key_value_heads", has_key_value_heads || architecture->default_key_value_heads == 0
                                                 ? config.num_attention_heads
                                                 : architecture->default_key_value_heads);
  config.head_dim = architecture->default_head_dim;
  if (config.head_dim == 0 && config.num_attention_heads > 0)
    config.head_dim = config.hidden_size / config.num_attention_heads;
  if (reader.Find("head_dim") == nullptr && architecture->default_head_dim == 0 &&
      config.num_attention_heads > 0 && config.hidden_size % config.num_attention_heads != 0)
    reader.Problem(fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                               config.hidden_size, config.num_attention_heads));
  config.head_dim = reader.Optional("head_dim", config.head_dim);
  config.max_position_embeddings =
      reader.Optional("max_position_embeddings", architecture->default_positions);
  config.rms_norm_eps = reader.Number("rms_norm_eps", 1e-6);
  ReadRope(reader, config);
  config.attention_bias = architecture->has_qkv_bias;
  config.qk_norm = architecture->has_qk_norm;
  config.tie_word_embeddings = reader.Bool("tie_word_embeddings", false);
  config.bos_token_id = reader.Optional("bos_token_id", -1);
  config.pad_token_id = reader.Optional("pad_token_id", -1);
  config.eos_token_ids = ReadEos(reader);
  RefuseWhatForgeDoesNotCompute(*architecture, json, source, reader);
  RefuseWindows(*architecture, config, json, reader);
  if (reader.problems().empty()) {
    CheckConfig(config, source);
    return config;
  }
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the model of " + source,
               .why = fmt::format("{}", fmt::join(reader.problems(), "; ")),
               .fix = "choose a model without these, or correct the file"});
}

Json ToConfigJson(const ModelConfig& config, io::FloatType type) {
  const Architecture* architecture = FindArchitecture(config.model_type);
  FORGE_CHECK(architecture != nullptr);
  Json json = {{"architectures", {architecture->class_name}},
               {"model_type", config.model_type},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_attention_heads", config.num_attention_heads},
               {"num_key_value_heads", config.num_key_value_heads},
               {"head_dim", config.head_dim},
               {"max_position_embeddings", config.max_position_embeddings},
               {"rms_norm_eps", config.rms_norm_eps},
               {"rope_theta", config.rope_theta},
               {"rope_scaling", ScalingJson(config.rope_scaling)},
               {"hidden_act", "silu"},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"bos_token_id", nullptr},
               {"eos_token_id", nullptr},
               {"pad_token_id", nullptr},
               {"torch_dtype", io::LongName(type)},
               {"use_cache", true}};
  if (config.model_type == "llama") json["mlp_bias"] = false;
  if (!architecture->has_qkv_bias) json["attention_bias"] = config.attention_bias;
  if (architecture->default_window > 0)
    json["sliding_window"] = nullptr;
  else if (config.model_type != "llama")
    json["use_sliding_window"] = false;
  if (config.bos_token_id >= 0) json["bos_token_id"] = config.bos_token_id;
  if (config.pad_token_id >= 0) json["pad_token_id"] = config.pad_token_id;
  if (config.eos_token_ids.size() == 1) json["eos_token_id"] = config.eos_token_ids[0];
  if (config.eos_token_ids.size() > 1) json["eos_token_id"] = config.eos_token_ids;
  return json;
}

}  // namespace forge::model
