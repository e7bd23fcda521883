// SPDX-License-Identifier: Apache-2.0
// config.json of transformers <-> ModelConfig.
#include <fmt/format.h>

#include <limits>
#include <optional>

#include "base/error.h"
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

/// rope_theta at the top level (transformers 4), or in rope_parameters (5). Scaled positions are refused.
double ReadRopeTheta(ConfigReader& reader) {
  double theta = reader.Number("rope_theta", 10000);
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const Json* rope = reader.Find(name);
    if (rope == nullptr) continue;
    if (!rope->is_object()) {
      reader.Problem(fmt::format("{} must be an object", name));
      continue;
    }
    for (const auto& [key, value] : rope->items()) {
      if (key == "rope_theta" && value.is_number()) {
        theta = value.get<double>();
      } else if (key == "rope_type" || key == "type") {
        if (value != "default" && value != "none")
          reader.Problem(
              fmt::format("{} has the type {}; forge computes only unscaled positions (\"default\")", name,
                          value.dump()));
      } else if (key == "partial_rotary_factor" && value == 1.0) {
        continue;
      } else if (!value.is_null()) {
        reader.Problem(
            fmt::format("{}.{} is {}; forge computes only unscaled positions", name, key, value.dump()));
      }
    }
  }
  return theta;
}

void RefuseOtherArchitectures(const Json& json, ConfigReader& reader) {
  const Json* activation = reader.Find("hidden_act");
  if (activation != nullptr && *activation != "silu")
    reader.Problem(fmt::format("hidden_act is {}; forge computes silu", activation->dump()));
  if (reader.Bool("mlp_bias", false)) reader.Problem("mlp_bias is true; forge has no biases in the MLP");
  if (reader.Bool("use_sliding_window", false))
    reader.Problem("use_sliding_window is true; forge attends to the whole context");
  if (reader.Number("partial_rotary_factor", 1) != 1) reader.Problem("partial_rotary_factor is not 1");
  if (reader.Find("quantization_config") != nullptr)
    reader.Problem("it has a quantization_config; forge starts from float weights");
  const Json* architectures = reader.Find("architectures");
  if (architectures == nullptr || !architectures->is_array() || architectures->empty()) return;
  const std::string expected =
      json.value("model_type", Json()) == "llama" ? "LlamaForCausalLM" : "Qwen2ForCausalLM";
  if ((*architectures)[0] != expected)
    reader.Problem(fmt::format("architectures is {}; expected [\"{}\"]", architectures->dump(), expected));
}

}  // namespace

ModelConfig ParseModelConfig(const Json& json, const std::string& source) {
  ConfigReader reader(json);
  ModelConfig config;
  const Json* model_type = json.is_object() ? reader.Find("model_type") : nullptr;
  if (model_type == nullptr || (*model_type != "llama" && *model_type != "qwen2"))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "cannot use the model of " + source,
                 .why = model_type == nullptr
                            ? std::string("it has no model_type")
                            : "model_type is " + model_type->dump() + "; forge knows qwen2 and llama",
                 .fix = "choose a model of the Llama or Qwen2 family"});
  config.model_type = model_type->get<std::string>();
  const bool is_llama = config.model_type == "llama";
  config.vocab_size = reader.Required("vocab_size");
  config.hidden_size = reader.Required("hidden_size");
  config.intermediate_size = reader.Required("intermediate_size");
  config.num_hidden_layers = reader.Required("num_hidden_layers");
  config.num_attention_heads = reader.Required("num_attention_heads");
  config.num_key_value_heads = reader.Optional("num_key_value_heads", config.num_attention_heads);
  config.head_dim = config.num_attention_heads > 0 ? config.hidden_size / config.num_attention_heads : 0;
  if (reader.Find("head_dim") == nullptr && config.num_attention_heads > 0 &&
      config.hidden_size % config.num_attention_heads != 0)
    reader.Problem(fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                               config.hidden_size, config.num_attention_heads));
  config.head_dim = reader.Optional("head_dim", config.head_dim);
  config.max_position_embeddings = reader.Optional("max_position_embeddings", is_llama ? 2048 : 32768);
  config.rms_norm_eps = reader.Number("rms_norm_eps", 1e-6);
  config.rope_theta = ReadRopeTheta(reader);
  config.attention_bias = is_llama ? reader.Bool("attention_bias", false) : true;
  config.tie_word_embeddings = reader.Bool("tie_word_embeddings", false);
  config.bos_token_id = reader.Optional("bos_token_id", -1);
  config.pad_token_id = reader.Optional("pad_token_id", -1);
  config.eos_token_ids = ReadEos(reader);
  RefuseOtherArchitectures(json, reader);
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
  const bool is_llama = config.model_type == "llama";
  Json json = {{"architectures", {is_llama ? "LlamaForCausalLM" : "Qwen2ForCausalLM"}},
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
               {"hidden_act", "silu"},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"bos_token_id", nullptr},
               {"eos_token_id", nullptr},
               {"pad_token_id", nullptr},
               {"torch_dtype", io::LongName(type)},
               {"use_cache", true}};
  if (is_llama) {
    json["attention_bias"] = config.attention_bias;
    json["mlp_bias"] = false;
  } else {
    json["use_sliding_window"] = false;
  }
  if (config.bos_token_id >= 0) json["bos_token_id"] = config.bos_token_id;
  if (config.pad_token_id >= 0) json["pad_token_id"] = config.pad_token_id;
  if (config.eos_token_ids.size() == 1) json["eos_token_id"] = config.eos_token_ids[0];
  if (config.eos_token_ids.size() > 1) json["eos_token_id"] = config.eos_token_ids;
  return json;
}

}  // namespace forge::model
