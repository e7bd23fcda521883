// SPDX-License-Identifier: Apache-2.0
#include "text/gpt2_files.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace forge::text {
namespace {

namespace fs = std::filesystem;
using io::Json;

constexpr const char* kEndOfText = "<|endoftext|>";

[[noreturn]] void Fail(const fs::path& folder, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot use vocab.json and merges.txt in " + folder.string(),
               .why = std::move(why),
               .fix = "add the model's tokenizer.json"});
}

void CheckClass(const fs::path& folder) {
  if (!fs::exists(folder / "tokenizer_config.json")) return;
  const Json config = io::ReadJsonFile(folder / "tokenizer_config.json");
  const std::string name = config.is_object() ? config.value("tokenizer_class", "GPT2Tokenizer") : "";
  if (name != "GPT2Tokenizer" && name != "GPT2TokenizerFast")
    Fail(folder, fmt::format("tokenizer_class is \"{}\", whose way to split text they do not hold", name));
}

/// The lines of merges.txt, "left right", without the line "#version: ..." in front.
Json MergesOf(const std::string& text) {
  Json merges = Json::array();
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !(begin == 0 && line.starts_with("#version"))) merges.push_back(line);
    begin = end + 1;
  }
  return merges;
}

}  // namespace

bool IsGpt2Folder(const fs::path& folder) {
  return fs::exists(folder / "vocab.json") && fs::exists(folder / "merges.txt");
}

TokenizerData ReadGpt2Folder(const fs::path& folder) {
  CheckClass(folder);
  const Json vocabulary = io::ReadJsonFile(folder / "vocab.json");
  Json added = Json::array();
  if (vocabulary.is_object() && vocabulary.contains(kEndOfText))
    added.push_back({{"id", vocabulary[kEndOfText]}, {"content", kEndOfText}, {"special", true}});
  const Json json = {
      {"model",
       {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", MergesOf(io::ReadFile(folder / "merges.txt"))}}},
      {"added_tokens", added},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}}}};
  TokenizerData data = ParseTokenizerJson(json, folder.string());
  if (!added.empty()) data.bos = data.eos = added[0]["id"].get<int>();
  ReadTokenizerConfig(folder, data);
  return data;
}

}  // namespace forge::text
