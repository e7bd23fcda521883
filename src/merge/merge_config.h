// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/float_type.h"
#include "merge/method_table.h"
#include "merge/parameter_setting.h"
#include "merge/tokenizer_setting.h"

namespace forge::merge {

/// Layers [first, end) of a model.
struct LayerRange {
  int first = 0, end = 0;
  int size() const { return end - first; }
};

/// One model of a slice.
struct SourceConfig {
  std::string model;                 // "path[@revision][+adapter]"
  std::optional<LayerRange> layers;  // as written, not checked against the model; nothing: all of them
  Parameters parameters;
  std::string path;  // where it stands: "slices[0].sources[1]"; empty: base_model was added to `models:`
};

/// Layers that are merged with each other, one from each source.
struct SliceConfig {
  std::vector<SourceConfig> sources;
  std::string base_model;  // empty: that of the whole merge
  Parameters parameters;
  std::string path;  // "slices[0]"; "models" where there are no slices
};

/// One merge as mergekit 0.1.5 describes it in YAML. `models:` is read as one slice of all layers with
/// base_model as its last source if it is not listed; `modules:` (one, whatever its name) as its inside.
struct MergeConfig {
  std::string source;  // what errors name it by: the file, and the name if it has one
  std::string name;    // of the result, for the other documents of the file; empty: it has none
  const MethodInfo* method = nullptr;
  std::vector<SliceConfig> slices;
  std::string base_model;  // empty: none
  Parameters module_parameters;
  Parameters parameters;
  std::optional<io::FloatType> dtype;      // what mergekit's numerics compute in
  std::optional<io::FloatType> out_dtype;  // what the result is stored as
  std::optional<TokenizerSetting> tokenizer;
  std::string chat_template;  // a name or the text; empty: that of the model whose config the result has
};

/// The merges of a YAML text: of one document, or of several (mergekit-multi), each but one with a `name`
/// that the others can use as a model. The answer is in an order in which each comes after the merges whose
/// results it uses, else as in the text; one without a name comes last.
///
/// What mergekit passes over is refused: unknown keys and parameters, parameters of other methods, shared
/// parameters beside a model, residual_weight, values out of range, numbers in quotes. Throws Error(kInput)
/// with everything that is wrong, each with its path ("models[1].parameters.desnity: unknown; did you mean
/// "density"?"), and for names that are used twice and merges that need each other. Keys that are null are as
/// if they were absent.
std::vector<MergeConfig> ParseMergeConfigs(const std::string& text, const std::string& source);

/// The models whose weights the merge reads, each once, in the order of first use; base_model last if it is
/// in no slice.
std::vector<std::string> ModelsOf(const MergeConfig& config);

}  // namespace forge::merge
