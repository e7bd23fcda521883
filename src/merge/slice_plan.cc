// SPDX-License-Identifier: Apache-2.0
#include "merge/slice_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace forge::merge {
namespace {

class Planner {
 public:
  Planner(const MergeConfig& config, const std::vector<const model::WeightSource*>& models)
      : config_(config), models_(models), names_(ModelsOf(config)) {}

  SlicePlans Plan(bool cut_tail) {
    SlicePlans plans;
    for (const SliceConfig& slice : config_.slices) {
      plans.slices.push_back(PlanSlice(slice));
      FindBase(plans.slices.back(), slice.path);
    }
    plans.tail = plans.slices.back();
    if (const std::size_t first = plans.slices.front().size(); cut_tail && plans.tail.size() > first) {
      plans.tail.models.resize(first);
      plans.tail.first_layers.resize(first);
      FindBase(plans.tail, fmt::format("final norm and head, which mergekit makes of the first {} of {}",
                                       first, plans.tail.config->path));
    }
    problems_.ThrowIfAny(config_.source);
    return plans;
  }

 private:
  SlicePlan PlanSlice(const SliceConfig& slice) {
    SlicePlan plan{.config = &slice};
    std::set<std::string> seen;
    for (const SourceConfig& source : slice.sources) {
      const auto found = std::find(names_.begin(), names_.end(), source.model);
      plan.models.push_back(static_cast<int>(found - names_.begin()));
      if (!seen.insert(source.model).second)
        problems_.Add(
            source.path,
            fmt::format("{} is there already; give it once, with the sum of its weights", source.model));
      const auto range = RangeOf(source, plan.models.back());
      plan.first_layers.push_back(range ? range->first : 0);
      if (!range) continue;
      if (plan.layers == 0) plan.layers = range->size();
      if (range->size() != plan.layers)
        problems_.Add(source.path.empty() ? slice.path : source.path,
                      fmt::format("{} has {} layers here; {} before it in the slice", source.model,
                                  range->size(), plan.layers));
    }
    return plan;
  }

  /// Nothing, noted, for layers that the model does not have.
  std::optional<LayerRange> RangeOf(const SourceConfig& source, int model) {
    const int layers = models_[static_cast<std::size_t>(model)]->config().num_hidden_layers;
    const LayerRange range = source.layers.value_or(LayerRange{0, layers});
    if (range.first >= 0 && range.end <= layers && range.first < range.end) return range;
    problems_.Add(Below(source.path, "layer_range"),
                  fmt::format("[{}, {}) {}; {} has the layers [0, {})", range.first, range.end,
                              range.first >= range.end ? "is empty" : "goes too far", source.model, layers));
    return std::nullopt;
  }

  /// Finds which source is the base, and checks that the method takes the others.
  void FindBase(SlicePlan& plan, const std::string& path) {
    const MethodInfo& method = *config_.method;
    plan.base = -1;
    const std::string& name = plan.config->base_model.empty() ? config_.base_model : plan.config->base_model;
    if (method.base != BaseRole::kNone && !name.empty()) {
      for (std::size_t i = 0; i < plan.size(); ++i)
        if (plan.config->sources[i].model == name) plan.base = static_cast<int>(i);
      if (plan.base < 0)
        return problems_.Add(path, fmt::format("the base {} is not among the sources; add it to them", name));
    }
    if (method.base == BaseRole::kRequired && name.empty())
      return problems_.Add(path, fmt::format("{} needs a base; add base_model to the merge", method.name));
    CheckCount(plan, path);
  }

  void CheckCount(const SlicePlan& plan, const std::string& path) {
    const MethodInfo& method = *config_.method;
    const int count = static_cast<int>(plan.size()) - (plan.base >= 0 ? 1 : 0);
    if (count >= method.min_models && (method.max_models == 0 || count <= method.max_models)) return;
    const bool is_exact = method.min_models == method.max_models;
    problems_.Add(path, fmt::format("{} takes {} {}{}, and there {} {}{}", method.name,
                                    is_exact ? "exactly" : "at least", method.min_models,
                                    plan.base >= 0 ? " beside the base" : "", count == 1 ? "is" : "are",
                                    count, AddedBase(plan)));
  }

  /// A base that has no role but was added as one more source is a surprise that the message must name.
  std::string AddedBase(const SlicePlan& plan) const {
    if (config_.method->base != BaseRole::kNone || !plan.config->sources.back().path.empty()) return {};
    return fmt::format(" with base_model {}, which is one more model for this method", config_.base_model);
  }

  const MergeConfig& config_;
  const std::vector<const model::WeightSource*>& models_;
  const std::vector<std::string> names_;
  ConfigProblems problems_;
};

}  // namespace

SlicePlans PlanSlices(const MergeConfig& config, const std::vector<const model::WeightSource*>& models,
                      bool cut_tail) {
  return Planner(config, models).Plan(cut_tail);
}

}  // namespace forge::merge
