// SPDX-License-Identifier: Apache-2.0
#include "merge/remapped_vocabulary.h"

#include <algorithm>
#include <mutex>

#include "base/check.h"

namespace forge::merge {
namespace {

using model::TensorRole;
using model::TensorSpec;
using model::WeightSource;
using Rule = RowOrigin::Rule;

model::ModelConfig Remapped(model::ModelConfig config, const VocabularyPlan& plan, std::size_t index) {
  const std::vector<int>& rows = plan.own_rows[index];
  const auto new_id = [&](int id) {
    const auto found = id < 0 ? rows.end() : std::find(rows.begin(), rows.end(), id);
    return found == rows.end() ? -1 : static_cast<int>(found - rows.begin());
  };
  config.vocab_size = plan.rows;
  config.bos_token_id = new_id(config.bos_token_id);
  config.pad_token_id = new_id(config.pad_token_id);
  for (int& id : config.eos_token_ids) id = new_id(id);
  std::erase(config.eos_token_ids, -1);
  return config;
}

bool HasTokens(const TensorSpec& spec) {
  return spec.role == TensorRole::kEmbedding || spec.role == TensorRole::kHead;
}

class RemappedSource : public WeightSource {
 public:
  RemappedSource(const VocabularyPlan& plan, const std::vector<const WeightSource*>& models,
                 std::size_t index)
      : WeightSource(Remapped(models[index]->config(), plan, index)),
        plan_(plan),
        models_(models),
        index_(index) {}

  std::string Name() const override { return Own().Name(); }
  std::string StoredType(const TensorSpec& spec) const override { return Own().StoredType(In(index_, spec)); }
  std::optional<model::StoredRows> FindStoredRows(const TensorSpec& spec) const override {
    return HasTokens(spec) ? std::nullopt : Own().FindStoredRows(spec);
  }
  void Release(const TensorSpec& spec) const override {
    for (std::size_t m = 0; m < models_.size(); ++m)
      if (m == index_ || HasTokens(spec)) models_[m]->Release(In(m, spec));
  }
  int TernaryGroup(const TensorSpec& spec) const override {
    return HasTokens(spec) ? 0 : Own().TernaryGroup(spec);
  }
  int TwoPlaneGroup(const TensorSpec& spec) const override {
    return HasTokens(spec) ? 0 : Own().TwoPlaneGroup(spec);
  }

 private:
  const WeightSource& Own() const { return *models_[index_]; }

  /// The tensor as the model `m` has it.
  TensorSpec In(std::size_t m, TensorSpec spec) const {
    if (HasTokens(spec)) spec.shape[0] = models_[m]->config().vocab_size;
    return spec;
  }

  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override {
    if (!HasTokens(spec)) return Own().ReadRows(spec, first_row, out);
    const std::vector<RowOrigin>& origins = plan_.origins[index_];
    const std::size_t columns = Columns(spec), rows = out.size() / columns;
    for (std::size_t i = 0; i < rows;) {
      const std::size_t id = static_cast<std::size_t>(first_row) + i;
      const std::size_t length = RunLength(origins, id, rows - i);
      const std::span<float> part = out.subspan(i * columns, length * columns);
      if (origins[id].row >= 0)
        ReadFrom(static_cast<std::size_t>(origins[id].model), spec, origins[id].row, part);
      else
        ComputeRow(spec, id, part);
      i += length;
    }
  }

  /// How many rows from `id` on lie one after the other in one model; 1 for computed ones.
  static std::size_t RunLength(const std::vector<RowOrigin>& origins, std::size_t id, std::size_t most) {
    std::size_t length = 1;
    while (length < most && origins[id].row >= 0 && origins[id + length].model == origins[id].model &&
           origins[id + length].row == origins[id].row + static_cast<int>(length))
      ++length;
    return length;
  }

  void ReadFrom(std::size_t model, const TensorSpec& spec, int row, std::span<float> out) const {
    FORGE_CHECK(models_[model]->config().hidden_size == config().hidden_size);
    models_[model]->ReadRows(In(model, spec), row, out);
  }

  void ComputeRow(const TensorSpec& spec, std::size_t id, std::span<float> out) const {
    const Rule rule = plan_.origins[index_][id].rule;
    if (rule == Rule::kPadding) {
      const std::vector<float>& mean = PaddingRow(spec);
      std::copy(mean.begin(), mean.end(), out.begin());
    } else if (rule == Rule::kMean) {
      MeanOfOwners(spec, id, out);
    } else {
      std::fill(out.begin(), out.end(), 0.0f);
    }
  }

  void MeanOfOwners(const TensorSpec& spec, std::size_t id, std::span<float> out) const {
    std::vector<double> sum(out.size());
    int owners = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      if (plan_.own_rows[m][id] < 0) continue;
      ReadFrom(m, spec, plan_.own_rows[m][id], out);
      for (std::size_t i = 0; i < out.size(); ++i) sum[i] += static_cast<double>(out[i]);
      ++owners;
    }
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sum[i] / owners);
  }

  /// The mean of the rows that have a token, computed once for embedding and head each.
  const std::vector<float>& PaddingRow(const TensorSpec& spec) const {
    Padding& padding = padding_[spec.role == TensorRole::kHead];
    std::call_once(padding.once, [&] {
      constexpr std::size_t kRowsAtOnce = 256;
      const std::size_t columns = Columns(spec), tokens = plan_.tokens.size();
      std::vector<double> sum(columns);
      std::vector<float> piece;
      for (std::size_t first = 0; first < tokens; first += kRowsAtOnce) {
        piece.resize(std::min(kRowsAtOnce, tokens - first) * columns);
        ReadStoredRows(spec, static_cast<std::int64_t>(first), piece);
        for (std::size_t i = 0; i < piece.size(); ++i) sum[i % columns] += static_cast<double>(piece[i]);
      }
      for (const double value : sum)
        padding.row.push_back(static_cast<float>(value / static_cast<double>(tokens)));
    });
    return padding.row;
  }

  struct Padding {
    std::once_flag once;
    std::vector<float> row;
  };
  const VocabularyPlan& plan_;
  const std::vector<const WeightSource*> models_;
  const std::size_t index_;
  mutable Padding padding_[2];  // of the embedding, of the head
};

}  // namespace

std::unique_ptr<WeightSource> RemapVocabulary(const VocabularyPlan& plan,
                                              const std::vector<const WeightSource*>& models,
                                              std::size_t index) {
  return std::make_unique<RemappedSource>(plan, models, index);
}

}  // namespace forge::merge
