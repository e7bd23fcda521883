// SPDX-License-Identifier: Apache-2.0
#include "compress/teacher_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "io/atomic_file.h"

namespace forge::compress {
namespace {

constexpr std::size_t kDocumentsOfFile = 64;
constexpr const char* kKey = "forge.teacher.key";

/// Where the documents of a batch begin and end: [first, last) of its tokens.
std::vector<std::pair<std::size_t, std::size_t>> DocumentsOf(const train::TokenBatch& batch) {
  std::vector<std::pair<std::size_t, std::size_t>> documents;
  const auto length = static_cast<std::size_t>(batch.length);
  for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
    const bool begins = i % length == 0 || (!batch.positions.empty() && batch.positions[i] == 0);
    if (begins)
      documents.push_back({i, i + 1});
    else
      documents.back().second = i + 1;
  }
  return documents;
}

std::vector<int> TokensOf(const train::TokenBatch& batch, std::pair<std::size_t, std::size_t> document) {
  return {batch.tokens.begin() + static_cast<std::ptrdiff_t>(document.first),
          batch.tokens.begin() + static_cast<std::ptrdiff_t>(document.second)};
}

/// Whether the teacher says anything about it.
bool IsLearned(const train::TokenBatch& batch, std::pair<std::size_t, std::size_t> document) {
  for (std::size_t i = document.first + 1; i < document.second; ++i)
    if (batch.teacher_weights[i] != 0) return true;
  return false;
}

/// Each document's number of tokens and its tokens, as a file has them.
std::vector<std::int32_t> Flattened(const std::vector<std::vector<int>>& documents) {
  std::vector<std::int32_t> all;
  for (const std::vector<int>& document : documents) {
    all.push_back(static_cast<std::int32_t>(document.size()));
    all.insert(all.end(), document.begin(), document.end());
  }
  return all;
}

/// The k likeliest of the logits [vocabulary] and their probabilities.
void FindTop(std::span<const float> logits, std::span<std::int32_t> ids, std::span<float> probabilities) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto k = static_cast<std::ptrdiff_t>(ids.size());
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
    return x > y || (x == y && a < b);
  });
  const float largest = logits[static_cast<std::size_t>(order[0])];
  double sum = 0;
  for (const float logit : logits) sum += static_cast<double>(std::exp(logit - largest));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = order[i];
    probabilities[i] = static_cast<float>(
        static_cast<double>(std::exp(logits[static_cast<std::size_t>(order[i])] - largest)) / sum);
  }
}

}  // namespace

TeacherCache::TeacherCache(std::filesystem::path folder, int top_k, std::string key)
    : folder_(std::move(folder)), top_k_(top_k), key_(fmt::format("{} {}", key, top_k)) {
  FORGE_CHECK(top_k > 0);
  io::CreateFolders(folder_);
}
TeacherCache::~TeacherCache() = default;

std::filesystem::path TeacherCache::PathOf(std::size_t index) const {
  return folder_ / fmt::format("teacher-{:06}.kept", index);
}

void TeacherCache::Fill(int count, const std::function<train::TokenBatch(int)>& batch,
                        const std::function<std::unique_ptr<model::LanguageModel>()>& teacher,
                        MetricSink& sink, const StopToken& stop) {
  std::vector<std::vector<int>> documents;  // each once, in the order in which they are met
  std::set<std::vector<int>> met;
  std::size_t tokens = 0, read = 0;
  for (int i = 0; i < count; ++i) {
    const train::TokenBatch next = batch(i);
    for (const auto& document : DocumentsOf(next)) {
      if (!IsLearned(next, document)) continue;
      read += document.second - document.first;
      const auto [known, is_new] = met.insert(TokensOf(next, document));
      if (!is_new) continue;
      documents.push_back(*known);
      tokens += known->size();
    }
  }
  sink.Log(
      fmt::format("compress: the teacher reads {} documents of {} tokens once, training {:.1f} times; {} of "
                  "its tokens take {:.2f} GB on disk",
                  documents.size(), tokens,
                  static_cast<double>(read) / static_cast<double>(std::max<std::size_t>(1, tokens)), top_k_,
                  static_cast<double>(tokens) * top_k_ * 8 / 1e9));
  std::unique_ptr<model::LanguageModel> model;
  for (std::size_t first = 0; first < documents.size(); first += kDocumentsOfFile) {
    const std::size_t index = first / kDocumentsOfFile;
    const std::vector<std::vector<int>> of_file(
        documents.begin() + static_cast<std::ptrdiff_t>(first),
        documents.begin() +
            static_cast<std::ptrdiff_t>(std::min(documents.size(), first + kDocumentsOfFile)));
    if (Open(index, of_file)) continue;
    stop.ThrowIfRequested("the teacher's answers");
    if (!model) model = teacher();
    Make(index, of_file, *model);
    FORGE_CHECK(Open(index, of_file));
    sink.Progress("teacher", static_cast<std::int64_t>(first + of_file.size()),
                  static_cast<std::int64_t>(documents.size()), "documents");
  }
}

void TeacherCache::Make(std::size_t index, const std::vector<std::vector<int>>& documents,
                        model::LanguageModel& teacher) {
  const auto k = static_cast<std::size_t>(top_k_);
  const std::vector<std::int32_t> tokens = Flattened(documents);
  std::vector<std::int32_t> ids;
  std::vector<float> probabilities;
  for (const std::vector<int>& document : documents) {
    const std::vector<float> logits = teacher.Logits(document);
    const std::size_t vocabulary = logits.size() / document.size(), predictions = document.size() - 1;
    FORGE_CHECK(k < vocabulary);
    const std::size_t first = ids.size();
    ids.resize(first + predictions * k);
    probabilities.resize(first + predictions * k);
    ThreadPool::Global().Run(predictions, [&](std::size_t t) {
      FindTop(std::span(logits).subspan(t * vocabulary, vocabulary), std::span(ids).subspan(first + t * k, k),
              std::span(probabilities).subspan(first + t * k, k));
    });
  }
  const auto section = [](const char* name, const auto& values) {
    return io::Section{
        .name = name, .rows = 1, .columns = values.size(), .bytes = std::as_bytes(std::span(values))};
  };
  const std::vector<io::Section> sections{section("tokens", tokens), section("ids", ids),
                                          section("probabilities", probabilities)};
  io::GgufMetadata metadata;
  metadata[kKey] = key_;
  io::WriteSectionFile(PathOf(index), metadata, sections);
}

bool TeacherCache::Open(std::size_t index, const std::vector<std::vector<int>>& documents) {
  if (!std::filesystem::exists(PathOf(index))) return false;
  std::unique_ptr<io::SectionFile> file;
  const std::vector<std::int32_t> expected = Flattened(documents);
  const std::size_t predictions = expected.size() - 2 * documents.size();  // one less than tokens of each
  try {
    file = std::make_unique<io::SectionFile>(PathOf(index));
    const std::string* key = io::FindText(file->metadata(), kKey);
    const io::Section *tokens = file->Find("tokens"), *ids = file->Find("ids"),
                      *p = file->Find("probabilities");
    const std::span<const std::byte> wanted = std::as_bytes(std::span(expected));
    const std::size_t bytes = predictions * static_cast<std::size_t>(top_k_) * sizeof(float);
    if (key == nullptr || *key != key_ || tokens == nullptr || ids == nullptr || p == nullptr ||
        !std::equal(wanted.begin(), wanted.end(), tokens->bytes.begin(), tokens->bytes.end()) ||
        ids->bytes.size() != bytes || p->bytes.size() != bytes)
      return false;
    file->VerifyAll();
  } catch (const Error&) {  // damaged: made again
    return false;
  }
  std::size_t position = 0;
  for (const std::vector<int>& document : documents) {
    places_[document] = {.file = files_.size(), .position = position};
    position += document.size() - 1;
  }
  files_.push_back(std::move(file));
  return true;
}

train::TokenBatch TeacherCache::Taught(train::TokenBatch batch) const {
  const auto k = static_cast<std::size_t>(top_k_);
  batch.top_k = top_k_;
  batch.top_ids.resize(batch.tokens.size() * k);
  batch.top_probabilities.resize(batch.tokens.size() * k);
  // Where nothing is learned: distinct tokens without weight.
  for (std::size_t i = 0; i < batch.top_ids.size(); ++i) batch.top_ids[i] = static_cast<int>(i % k);
  for (const auto& document : DocumentsOf(batch)) {
    if (!IsLearned(batch, document)) continue;
    const auto found = places_.find(TokensOf(batch, document));
    FORGE_CHECK(found != places_.end());
    const io::SectionFile& file = *files_[found->second.file];
    const std::size_t offset = found->second.position * k,
                      count = (document.second - document.first - 1) * k * sizeof(float);
    const std::size_t to = (document.first + 1) * k;
    std::memcpy(batch.top_ids.data() + to, file.Find("ids")->bytes.data() + offset * sizeof(float), count);
    std::memcpy(batch.top_probabilities.data() + to,
                file.Find("probabilities")->bytes.data() + offset * sizeof(float), count);
  }
  return batch;
}

}  // namespace forge::compress
