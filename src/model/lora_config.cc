// SPDX-License-Identifier: Apache-2.0
#include "model/lora_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"

namespace forge::model {
namespace {

using Json = nlohmann::ordered_json;  // the first key of a pattern that matches wins, so their order counts

constexpr int kMaxRank = 1 << 16;

// Settings that change what is computed; unset in a plain adapter.
constexpr const char* kRefused[] = {
    "use_dora",          "fan_in_fan_out", "lora_bias",         "trainable_token_indices",
    "layer_replication", "use_qalora",     "target_parameters", "alora_invocation_tokens",
    "use_bdlora",        "arrow_config",   "kasa_config",       "velora_config",
    "monteclora_config", "megatron_config"};

/// Ways to start that leave the base as it is; others (pissa, olora, corda, loftq, lora_ga) change it.
bool LeavesTheBase(const Json& start) {
  return start.is_null() || start.is_boolean() || start == "gaussian" || start == "eva" ||
         start == "orthogonal";
}

bool IsUnset(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

/// Whether PEFT's expression (.*\.)?(key)$ matches, for a key without operators.
bool EndsInModule(const std::string& module, const std::string& key) {
  return module == key || module.ends_with("." + key);
}

template <class Number>
std::vector<std::pair<std::string, Number>> ReadPattern(const Json& json, const char* name,
                                                        std::vector<std::string>& problems) {
  std::vector<std::pair<std::string, Number>> pattern;
  const Json value = json.value(name, Json());
  if (value.is_null()) return pattern;
  if (!value.is_object()) {
    problems.push_back(fmt::format("{} is {}; it must be an object", name, value.dump()));
    return pattern;
  }
  for (const auto& [key, number] : value.items()) {
    if (key.empty() || key.find_first_of("^$*+?()[]{}|\\") != std::string::npos)
      problems.push_back(
          fmt::format("{} has the regular expression \"{}\"; forge takes names of modules", name, key));
    const bool fits = std::is_integral_v<Number>
                          ? number.is_number_integer() && number >= 1 && number <= kMaxRank
                          : number.is_number();
    if (fits)
      pattern.emplace_back(key, number.template get<Number>());
    else
      problems.push_back(fmt::format("{} of \"{}\" is {}", name, key, number.dump()));
  }
  return pattern;
}

template <class Number>
Number Find(const std::vector<std::pair<std::string, Number>>& pattern, const std::string& module,
            Number standard) {
  for (const auto& [key, number] : pattern)
    if (EndsInModule(module, key)) return number;
  return standard;
}

void RefuseOtherKinds(const Json& json, std::vector<std::string>& problems) {
  if (const Json type = json.value("peft_type", Json()); type != "LORA")
    problems.push_back("peft_type is " + type.dump() + "; forge reads \"LORA\"");
  if (const Json bias = json.value("bias", Json("none")); bias != "none")
    problems.push_back("bias is " + bias.dump() + "; forge adds only scale * B A");
  for (const char* name : kRefused)
    if (const Json value = json.value(name, Json()); !IsUnset(value))
      problems.push_back(fmt::format("{} is {}; forge adds only scale * B A", name, value.dump()));
  if (const Json start = json.value("init_lora_weights", Json()); !LeavesTheBase(start))
    problems.push_back(
        fmt::format("init_lora_weights is {}, which belongs to a changed base model", start.dump()));
}

void ReadRanks(const Json& json, LoraConfig& config, std::vector<std::string>& problems) {
  const Json rank = json.value("r", Json()), alpha = json.value("lora_alpha", Json());
  if (rank.is_number_integer() && rank >= 1 && rank <= kMaxRank)
    config.rank = rank.get<int>();
  else
    problems.push_back("r is " + rank.dump());
  if (alpha.is_number())
    config.alpha = alpha.get<double>();
  else
    problems.push_back("lora_alpha is " + alpha.dump());
  config.is_rank_stabilized = json.value("use_rslora", Json()) == true;
  config.rank_pattern = ReadPattern<int>(json, "rank_pattern", problems);
  config.alpha_pattern = ReadPattern<double>(json, "alpha_pattern", problems);
}

void ReadSavedModules(const Json& json, LoraConfig& config, std::vector<std::string>& problems) {
  const Json saved = json.value("modules_to_save", Json::array());
  if (saved.is_null()) return;
  const bool is_list = saved.is_array() && std::all_of(saved.begin(), saved.end(),
                                                       [](const Json& module) { return module.is_string(); });
  if (is_list)
    config.saved_modules = saved.get<std::vector<std::string>>();
  else
    problems.push_back("modules_to_save is " + saved.dump() + "; it must be a list of names");
}

}  // namespace

int LoraConfig::RankOf(const std::string& module) const { return Find(rank_pattern, module, rank); }

double LoraConfig::ScaleOf(const std::string& module) const {
  const double own_rank = RankOf(module);
  return Find(alpha_pattern, module, alpha) / (is_rank_stabilized ? std::sqrt(own_rank) : own_rank);
}

bool LoraConfig::IsSaved(const std::string& module) const {
  return std::any_of(saved_modules.begin(), saved_modules.end(),
                     [&](const std::string& saved) { return module.ends_with(saved); });
}

LoraConfig ReadLoraConfig(const std::filesystem::path& path) {
  io::ReadJsonFile(path, io::kConfigLimits);  // for its checks
  const Json json = Json::parse(io::ReadFile(path));
  std::vector<std::string> problems;
  LoraConfig config;
  if (json.is_object()) {
    RefuseOtherKinds(json, problems);
    ReadRanks(json, config, problems);
    ReadSavedModules(json, config, problems);
  } else {
    problems.push_back("it is not a JSON object");
  }
  if (problems.empty()) return config;
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use the LoRA adapter " + path.string(),
               .why = fmt::format("{}", fmt::join(problems, "; ")),
               .fix = "give a plain LoRA adapter of this base model, or merge it with PEFT first "
                      "(merge_and_unload)"});
}

}  // namespace forge::model
