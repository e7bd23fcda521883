// SPDX-License-Identifier: Apache-2.0
// Reading the weights of a GGUF file.
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <mutex>

#include "base/error.h"
#include "base/thread_pool.h"
#include "model/gguf_config.h"
#include "model/gguf_model.h"

namespace forge::model {
namespace {

class GgufWeights : public WeightSource {
 public:
  GgufWeights(std::unique_ptr<io::GgufFile> file, const ModelConfig& config)
      : WeightSource(config), file_(std::move(file)) {
    std::map<std::string, std::vector<std::int64_t>> shapes;
    std::map<std::string, std::string> names;  // GGUF's -> Hugging Face's
    for (const TensorSpec& spec : ListTensors(config)) names[GgufName(spec.name)] = spec.name;
    for (const io::GgufFile::Entry& entry : file_->entries()) {
      if (entry.name == kRopeDivisorsName) continue;
      if (AddSecondPlane(entry)) continue;
      const auto name = names.find(entry.name);
      shapes[name == names.end() ? entry.name : name->second] = entry.shape;
    }
    CheckTensorShapes(config, shapes, Name());
  }
  std::string Name() const override { return file_->path().string(); }
  std::string StoredType(const TensorSpec& spec) const override {
    const std::string type = io::BlockTypeName(EntryOf(spec).type_id);
    return SecondOf(spec) == nullptr ? type : type + " twice";
  }
  std::span<const std::byte> GgufBytes(const TensorSpec& spec) const override {
    return SecondOf(spec) == nullptr ? EntryOf(spec).bytes : std::span<const std::byte>();
  }
  std::optional<StoredRows> FindStoredRows(const TensorSpec& spec) const override;
  void Release(const TensorSpec& spec) const override { file_->Release(EntryOf(spec).bytes); }
  int TernaryGroup(const TensorSpec& spec) const override {
    if (!IsLinear(spec) || SecondOf(spec) != nullptr) return 0;
    const io::BlockType type = *EntryOf(spec).type;
    if (!IsTernary(type) || HasFourLevels(spec)) return 0;
    return static_cast<int>(io::Info(type).elements);
  }
  int TwoPlaneGroup(const TensorSpec& spec) const override {
    return SecondOf(spec) == nullptr ? 0 : static_cast<int>(io::Info(*EntryOf(spec).type).elements);
  }

 private:
  /// Whether a Q2_0 tensor uses the code of 2 d, which no ternary one does. Reads all its blocks once.
  bool HasFourLevels(const TensorSpec& spec) const {
    const io::GgufFile::Entry& entry = EntryOf(spec);
    if (*entry.type != io::BlockType::kQ2_0) return false;
    const std::lock_guard lock(four_levels_mutex_);
    const auto found = four_levels_.find(spec.name);
    if (found != four_levels_.end()) return found->second;
    bool has_fourth = false;
    const std::size_t bytes = io::Info(io::BlockType::kQ2_0).bytes;
    for (std::size_t block = 0; block < entry.bytes.size() && !has_fourth; block += bytes)
      for (std::size_t part = 2; part < bytes; part += 8) {
        std::uint64_t codes;
        std::memcpy(&codes, entry.bytes.data() + block + part, sizeof codes);
        has_fourth |= (codes & codes >> 1 & 0x5555555555555555u) != 0;
      }
    file_->Release(entry.bytes);
    return four_levels_[spec.name] = has_fourth;
  }
  static bool IsTernary(io::BlockType type) {
    return type == io::BlockType::kQ2_0 || type == io::BlockType::kTQ1_0 || type == io::BlockType::kTQ2_0;
  }
  const io::GgufFile::Entry& EntryOf(const TensorSpec& spec) const {
    return *file_->Find(GgufName(spec.name));
  }
  /// Null where a linear has one plane.
  const io::GgufFile::Entry* SecondOf(const TensorSpec& spec) const {
    return IsLinear(spec) ? file_->Find(GgufName(spec.name) + kSecondPlane) : nullptr;
  }
  /// Whether the entry is a second plane; throws if there is no first one that it fits.
  bool AddSecondPlane(const io::GgufFile::Entry& entry) const {
    if (!entry.name.ends_with(kSecondPlane)) return false;
    const io::GgufFile::Entry* first =
        file_->Find(entry.name.substr(0, entry.name.size() - std::string_view(kSecondPlane).size()));
    if (first != nullptr && first->shape == entry.shape && first->type && IsTernary(*first->type) &&
        entry.type_id == first->type_id)
      return true;
    throw Error({.what = fmt::format("cannot use the tensor {} of {}", entry.name, Name()),
                 .why = "a second plane needs a first one of the same ternary type and shape",
                 .fix = "the file is damaged or not one that forge wrote; make it anew"});
  }
  void ReadPlane(const io::GgufFile::Entry& entry, const TensorSpec& spec, std::int64_t first_row,
                 std::span<float> out) const;
  void ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const override;
  void ReadPlaneRows(const TensorSpec& spec, int plane, std::int64_t first_row,
                     std::span<float> out) const override {
    ReadPlane(plane == 0 ? EntryOf(spec) : *SecondOf(spec), spec, first_row, out);
  }
  std::unique_ptr<io::GgufFile> file_;
  mutable std::mutex four_levels_mutex_;
  mutable std::map<std::string, bool> four_levels_;  // HasFourLevels, by the names asked for
};

std::optional<StoredRows> GgufWeights::FindStoredRows(const TensorSpec& spec) const {
  const io::GgufFile::Entry& entry = EntryOf(spec);
  if (SecondOf(spec) != nullptr) return std::nullopt;
  const bool is_permuted = IsPermutedInGguf(config(), spec);
  if (is_permuted && spec.shape.size() == 1) return std::nullopt;  // not its rows: its elements are permuted
  return StoredRows{*entry.type, [this, spec, &entry, is_permuted](std::int64_t row) {
                      const std::int64_t stored = is_permuted ? GgufRow(row, config().head_dim) : row;
                      const std::size_t columns = Columns(spec);
                      return CheckedRows(
                          spec, row, *entry.type,
                          io::GgufFile::BytesOf(entry, static_cast<std::size_t>(stored) * columns, columns));
                    }};
}

void GgufWeights::ReadStoredRows(const TensorSpec& spec, std::int64_t first_row, std::span<float> out) const {
  ReadPlane(EntryOf(spec), spec, first_row, out);
  const io::GgufFile::Entry* second = SecondOf(spec);
  if (second == nullptr) return;
  std::vector<float> added(out.size());
  ReadPlane(*second, spec, first_row, added);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += added[i];
}

void GgufWeights::ReadPlane(const io::GgufFile::Entry& entry, const TensorSpec& spec, std::int64_t first_row,
                            std::span<float> out) const {
  const std::size_t columns = Columns(spec);
  if (!IsPermutedInGguf(config(), spec)) {
    const std::size_t first = static_cast<std::size_t>(first_row) * columns;
    file_->ReadFloats(entry, first, out);
    return file_->Release(io::GgufFile::BytesOf(entry, first, out.size()));
  }
  if (spec.shape.size() == 1) {  // a bias: one row, whose elements are permuted
    std::vector<float> stored(columns);
    file_->ReadFloats(entry, stored);
    for (std::size_t i = 0; i < columns; ++i)
      out[i] = stored[static_cast<std::size_t>(GgufRow(static_cast<std::int64_t>(i), config().head_dim))];
    return;
  }
  ParallelFor(out.size() / columns, 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::int64_t row = GgufRow(first_row + static_cast<std::int64_t>(i), config().head_dim);
      file_->ReadFloats(entry, static_cast<std::size_t>(row) * columns, out.subspan(i * columns, columns));
    }
  });
  file_->Release(entry.bytes);
}

}  // namespace

std::unique_ptr<WeightSource> OpenGguf(const std::filesystem::path& path) {
  auto file = std::make_unique<io::GgufFile>(path);
  const ModelConfig config = GgufConfig(*file);
  return std::make_unique<GgufWeights>(std::move(file), config);
}

ModelFolder LoadGguf(const std::filesystem::path& path) {
  const std::unique_ptr<WeightSource> weights = OpenGguf(path);
  return {.config = weights->config(),
          .weights = weights->ReadAll(),
          .config_json = ToConfigJson(weights->config(), io::FloatType::kF32),
          .path = path};
}

}  // namespace forge::model
