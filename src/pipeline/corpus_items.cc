// SPDX-License-Identifier: Apache-2.0
#include "pipeline/corpus_items.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "io/json_lines.h"
#include "pipeline/text_items.h"

namespace forge::pipeline {
namespace {

namespace fs = std::filesystem;

fs::path FileOf(const std::string& name, const char* split) {
  const char* folder = std::getenv("FORGE_DATA");
  return fs::path(folder != nullptr && *folder != '\0' ? folder : "data") / name /
         (std::string(split) + ".jsonl");
}

/// Pieces of one file until `take` has enough.
void ReadPieces(const std::string& name, const char* split, const std::function<bool(eval::Item)>& take) {
  const fs::path path = FileOf(name, split);
  if (!fs::exists(path))
    throw Error(
        {.what = fmt::format("the data set {} is not here", name),
         .why = fmt::format("there is no {}", path.string()),
         .fix = fmt::format("forge data pull {}, or set FORGE_DATA to the folder that holds it", name)});
  io::JsonLines lines(path, "{\"text\": ..}");
  bool is_enough = false;
  TextPieces pieces([&](eval::Item item) { is_enough = is_enough || take(std::move(item)); });
  while (!is_enough && lines.Next()) pieces.Add(lines.Text("text"));
  if (!is_enough) pieces.End();
}

/// Fills `items`; whether they are as many as asked.
bool Fill(std::vector<eval::Item>& items, int count, eval::Item item) {
  if (static_cast<int>(items.size()) < count) items.push_back(std::move(item));
  return static_cast<int>(items.size()) >= count;
}

}  // namespace

bool IsCorpus(const std::string& spec) {
  return spec == "wikitext" || spec == "wikitext103" || spec == "openwebtext";
}

void TextPieces::Add(const std::string& part) {
  text_ += part;
  if (part.empty() || part.back() != '\n') text_ += '\n';
  Take(/*is_whole=*/false);
}

void TextPieces::End() { Take(/*is_whole=*/true); }

void TextPieces::Take(bool is_whole) {
  std::size_t start = 0;
  while (std::optional<eval::Item> item = NextPiece(text_, start, is_whole)) take_(*std::move(item));
  text_.erase(0, start);
}

eval::DomainItems LoadCorpus(const std::string& name, const TaskSizes& sizes) {
  eval::DomainItems domain{.name = name, .metric = eval::Metric::kNegativeLogLikelihood};
  if (fs::exists(FileOf(name, "test"))) {
    const auto fill = [&](const char* split, std::vector<eval::Item>& items, int count) {
      ReadPieces(name, split, [&](eval::Item item) { return Fill(items, count, std::move(item)); });
    };
    fill("train", domain.search, sizes.search);
    fill("validation", domain.selection, sizes.selection);
    fill("test", domain.test, sizes.test);
  } else {
    ReadPieces(name, "train", [&](eval::Item item) {
      const eval::Split split = SplitOf(item.prompt);
      if (split == eval::Split::kSearch) Fill(domain.search, sizes.search, std::move(item));
      if (split == eval::Split::kSelection) Fill(domain.selection, sizes.selection, std::move(item));
      if (split == eval::Split::kTest) Fill(domain.test, sizes.test, std::move(item));
      return static_cast<int>(domain.search.size()) >= sizes.search &&
             static_cast<int>(domain.selection.size()) >= sizes.selection &&
             static_cast<int>(domain.test.size()) >= sizes.test;
    });
  }
  if (domain.search.empty() || domain.selection.empty() || domain.test.empty())
    throw Error({.what = fmt::format("the data set {} has too few texts", name),
                 .why = "search, selection and test need at least one piece of 400 bytes each",
                 .fix = fmt::format("fetch it again: forge data pull {}", name)});
  return domain;
}

std::vector<eval::Item> LoadCorpusTraining(const std::string& name, std::size_t count) {
  const bool is_apart = fs::exists(FileOf(name, "test"));
  std::vector<eval::Item> items;
  ReadPieces(name, "train", [&](eval::Item item) {
    if (is_apart || SplitOf(item.prompt) == eval::Split::kSearch) items.push_back(std::move(item));
    return items.size() >= count;
  });
  return items;
}

}  // namespace forge::pipeline
