// SPDX-License-Identifier: Apache-2.0
#include "pipeline/model_source.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/thread_pool.h"
#include "io/atomic_file.h"
#include "io/section_file.h"
#include "model/gguf_model.h"
#include "model/lora.h"
#include "model/model_folder.h"
#include "model/ternary_gguf.h"
#include "runtime/packed_file.h"
#include "text/gguf_tokenizer.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

void AddAdapter(const fs::path& adapter, LoadedModel& loaded) {
  WidenTernary(loaded);
  model::AddLora(model::ReadLoraAdapter(adapter), 1.0, loaded.weights, adapter.string());
}

void CheckTokenizer(const text::Tokenizer& tokenizer, const fs::path& base,
                    const model::ModelConfig& config) {
  if (tokenizer.size() > config.vocab_size)
    throw Error({.what = "cannot use the model " + base.string(),
                 .why = fmt::format("its tokenizer has {} tokens, its embedding {} rows", tokenizer.size(),
                                    config.vocab_size),
                 .fix = "use the tokenizer that belongs to this model"});
}

std::shared_ptr<text::Tokenizer> LoadTokenizerOf(const fs::path& base, const model::ModelConfig& config) {
  std::shared_ptr<text::Tokenizer> tokenizer = text::LoadTokenizer(base);
  CheckTokenizer(*tokenizer, base, config);
  return tokenizer;
}

ModelToRun LoadPackedFile(const ModelParts& parts, const RunOptions& options) {
  const std::string name = parts.base.string();
  if (!parts.adapters.empty())
    throw Error({.kind = ErrorKind::kInput,
                 .what = fmt::format("cannot add {} to {}", parts.adapters.front().string(), name),
                 .why = "the weights of a packed file are rounded already",
                 .fix = "name the model that it was made of instead"});
  if (options.packing.linears || options.packing.embeddings)
    throw Error({.kind = ErrorKind::kUsage,
                 .what = "cannot hold the weights of " + name + " in another way",
                 .why = "a packed file is used as it lies on disk",
                 .fix = "leave out --weights, or name the model that it was made of"});
  const auto file = std::make_shared<const io::SectionFile>(parts.base);
  if (options.verify) file->VerifyAll();
  ModelToRun loaded{.weights = runtime::OpenPackedFile(file), .tokenizer = nullptr};
  if (options.with_tokenizer) {
    loaded.tokenizer =
        std::make_shared<text::Tokenizer>(text::ReadGgufTokenizer(file->metadata(), name), name);
    CheckTokenizer(*loaded.tokenizer, parts.base, loaded.weights.config);
  }
  return loaded;
}

}  // namespace

LoadedModel LoadModel(const fs::path& path) {
  LoadedModel loaded{.name = ShortNameOf(path), .path = path};
  const ModelParts parts = PartsOf(path);
  CheckIsModel(parts.base);
  if (fs::is_directory(parts.base)) {
    model::ModelFolder files = model::LoadModelFolder(parts.base);
    loaded.config = files.config;
    loaded.weights = std::move(files.weights);
  } else {
    model::TernaryModel file = model::LoadTernaryGguf(parts.base);
    loaded.config = file.config;
    loaded.weights = std::move(file.weights);
    loaded.ternary = std::move(file.ternary);
  }
  for (const fs::path& adapter : parts.adapters) AddAdapter(adapter, loaded);
  loaded.tokenizer = LoadTokenizerOf(parts.base, loaded.config);
  return loaded;
}

LoadedModel OpenedModel::Load() const {
  return {.name = name,
          .path = path,
          .config = config,
          .weights = weights->ReadAll(),
          .ternary = {},
          .tokenizer = tokenizer};
}

OpenedModel OpenModel(const fs::path& path, const fs::path& lora_base) {
  const bool is_adapter = IsLoraFolder(PartsOf(path).base) && !lora_base.empty();
  const fs::path whole = is_adapter ? fs::path(lora_base.string() + "+" + path.string()) : path;
  OpenedModel opened{.name = ShortNameOf(path), .path = path, .weights = OpenWeights(whole)};
  opened.config = opened.weights->config();
  opened.tokenizer = LoadTokenizerOf(PartsOf(whole).base, opened.config);
  const std::vector<model::TensorSpec> specs = model::ListTensors(opened.config);
  ThreadPool::Global().Run(specs.size(), [&](std::size_t i) {
    model::VisitRows(*opened.weights, specs[i], 1, [](std::span<const float>) {});
  });
  return opened;
}

ModelToRun LoadModelToRun(const fs::path& path, const RunOptions& options) {
  const ModelParts parts = PartsOf(path);
  if (io::SectionFile::Is(parts.base)) return LoadPackedFile(parts, options);
  const std::unique_ptr<model::WeightSource> source = OpenWeights(path);
  std::shared_ptr<text::Tokenizer> tokenizer;
  if (options.with_tokenizer) tokenizer = LoadTokenizerOf(parts.base, source->config());
  return {runtime::PackWeights(*source, options.packing), std::move(tokenizer)};
}

void WidenTernary(LoadedModel& model) {
  for (const auto& [name, tensor] : model.ternary) model.weights[name] = model::Dequantize(tensor);
  model.ternary.clear();
}

void SaveLoadedModel(const fs::path& folder, const LoadedModel& model, bool full_precision, bool replace) {
  io::AtomicFolder staging(folder.string() + ".tokenizer",
                           true);  // the tokenizer's files, to be copied into the model folder
  text::SaveTokenizer(staging.path(), model.tokenizer->data(), model.config.max_position_embeddings);
  model::SaveModelFolder(folder, model.config, model.weights,
                         full_precision ? io::FloatType::kF32 : io::FloatType::kBF16, staging.path(),
                         replace);
}

void CopyTokenizer(const fs::path& base, int max_position_embeddings, const fs::path& folder) {
  if (fs::is_directory(base))
    model::CopyTokenizerFiles(base, folder);
  else
    text::SaveTokenizer(folder, text::LoadTokenizer(base)->data(), max_position_embeddings);
}

io::GgufMetadata GgufTokenizerOf(const fs::path& base, const model::ModelConfig& config) {
  if (fs::is_directory(base))
    return text::ToGgufMetadata(text::LoadTokenizer(base)->data(), config.vocab_size);
  io::GgufMetadata keys;
  const io::GgufFile file(base);
  for (const auto& [key, value] : file.metadata())
    if (key.starts_with("tokenizer.")) keys.emplace(key, value);
  return keys;
}

std::uint64_t WeightBytes(const model::ModelConfig& config) {
  return static_cast<std::uint64_t>(model::CountParameters(config)) * sizeof(float);
}

}  // namespace forge::pipeline
