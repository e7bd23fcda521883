// SPDX-License-Identifier: Apache-2.0
#include "text/load_tokenizer.h"

#include "io/section_file.h"
#include "text/gguf_tokenizer.h"
#include "text/gpt2_files.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace forge::text {

std::unique_ptr<Tokenizer> LoadTokenizer(const std::filesystem::path& path) {
  const auto make = [](TokenizerData data, const std::filesystem::path& source) {
    return std::make_unique<Tokenizer>(std::move(data), source.string());
  };
  if (std::filesystem::is_directory(path)) {
    if (!std::filesystem::exists(path / "tokenizer.json")) {
      if (std::filesystem::exists(path / "tokenizer.model")) return LoadTokenizer(path / "tokenizer.model");
      if (IsGpt2Folder(path)) return make(ReadGpt2Folder(path), path);
    }
    return Tokenizer::FromFile(path / "tokenizer.json");
  }
  if (path.extension() == ".json") return Tokenizer::FromFile(path);
  if (path.extension() == ".model") return make(ReadSentencePieceModel(path), path);
  if (io::SectionFile::Is(path))
    return make(ReadGgufTokenizer(io::SectionFile(path).metadata(), path.string()), path);
  const io::GgufFile file(path);
  return make(ReadGgufTokenizer(file.metadata(), path.string()), path);
}

void SaveTokenizer(const std::filesystem::path& folder, const TokenizerData& data, int model_max_length) {
  io::WriteJsonFile(folder / "tokenizer.json", ToTokenizerJson(data));
  io::WriteJsonFile(folder / "tokenizer_config.json", ToTokenizerConfigJson(data, model_max_length));
}

}  // namespace forge::text
