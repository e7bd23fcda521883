// SPDX-License-Identifier: Apache-2.0
#include "merge/stored_choices.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "io/safetensors.h"

namespace forge::merge {
namespace {

constexpr std::string_view kSelection = "select";

[[noreturn]] void Throw(const io::SafetensorsFile& file, std::string why) {
  throw Error({.what = "cannot use the choices in " + file.path().string(),
               .why = std::move(why),
               .fix = "give the file of the choices that mergekit made in this very merge"});
}

std::string LastComponent(std::string_view model) {
  while (model.size() > 1 && model.ends_with('/')) model.remove_suffix(1);
  return std::string(model.substr(model.rfind('/') + 1));
}

void CheckEntry(const io::SafetensorsFile& file, const io::SafetensorsFile::Entry& entry,
                const std::vector<std::string>& names) {
  if (entry.dtype != "U8") Throw(file, fmt::format("{} is of type {}, not U8", entry.name, entry.dtype));
  const std::string model = entry.name.substr(0, entry.name.find('/'));
  const auto count = std::count(names.begin(), names.end(), model);
  if (count > 1)
    Throw(file, fmt::format("{} could be of any of the {} models named {}", entry.name, count, model));
  if (count == 0 && model != kSelection)
    Throw(file, fmt::format("{} is of a model that is not merged; those are {}", entry.name,
                            fmt::join(names, ", ")));
}

std::vector<std::uint8_t> ReadChoice(const io::SafetensorsFile& file, const io::SafetensorsFile::Entry& entry,
                                     std::size_t size) {
  if (entry.size() != size)
    Throw(file, fmt::format("{} has {} elements and the tensor {}", entry.name, entry.size(), size));
  std::vector<std::uint8_t> choice;
  for (const std::byte value : entry.bytes) choice.push_back(std::to_integer<std::uint8_t>(value));
  for (const std::uint8_t value : choice)
    if (value > 1)
      Throw(file, fmt::format("{} has the value {}, which is neither 0 nor 1", entry.name, value));
  return choice;
}

}  // namespace

StoredChoices ReadStoredChoices(const std::filesystem::path& path, const std::vector<std::string>& models) {
  const auto file = std::make_shared<const io::SafetensorsFile>(path);
  std::vector<std::string> names;
  for (const std::string& model : models) names.push_back(LastComponent(model));
  for (const io::SafetensorsFile::Entry& entry : file->entries()) CheckEntry(*file, entry, names);
  return [file, names](const TensorTask& task,
                       std::optional<std::size_t> source) -> std::optional<std::vector<std::uint8_t>> {
    const std::string model =
        source ? names.at(static_cast<std::size_t>(task.sources.at(*source).model)) : std::string(kSelection);
    const io::SafetensorsFile::Entry* entry = file->Find(model + "/" + task.name);
    if (entry == nullptr) return std::nullopt;
    return ReadChoice(*file, *entry, task.size());
  };
}

}  // namespace forge::merge
