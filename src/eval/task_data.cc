// SPDX-License-Identifier: Apache-2.0
#include "eval/task_data.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <sstream>
#include <string_view>

#include "base/error.h"
#include "io/compressed_file.h"
#include "io/json_file.h"
#include "io/json_lines.h"
#include "io/sha256.h"

namespace forge::eval {
namespace {

namespace fs = std::filesystem;

std::string_view TakeLine(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::vector<io::OrderedJson> ReadJsonLines(const std::string& text, const std::string& path) {
  std::vector<io::OrderedJson> documents;
  std::istringstream stream(text);
  io::JsonLines lines(stream, path, "one object with the fields of a document");
  while (lines.Next()) documents.emplace_back(lines.object());
  return documents;
}

/// As the data sets on the hub: [{..}, ..]; or {"column": {"0": .., "1": ..}} is not taken.
std::vector<io::OrderedJson> ReadJsonArray(const std::string& text, const std::string& path) {
  std::vector<io::OrderedJson> documents;
  io::ParseJson(text, path);
  const io::OrderedJson all = io::OrderedJson::parse(text);
  for (const io::OrderedJson& document : all) {
    if (!document.is_object())
      throw Error({.what = "cannot use " + path,
                   .why = "its array has an entry that is no object",
                   .fix = "give an array of objects"});
    documents.push_back(document);
  }
  return documents;
}

std::vector<io::OrderedJson> ReadLineGroups(std::string_view text, const DataFile& file,
                                            const std::string& path) {
  std::vector<io::OrderedJson> documents;
  while (!text.empty()) {
    io::OrderedJson document = io::OrderedJson::object();
    for (const std::string& field : file.line_fields) {
      if (text.empty())
        throw Error({.what = "cannot use " + path,
                     .why = fmt::format("its number of lines is no multiple of {}", file.line_fields.size()),
                     .fix = "fetch it again"});
      document[field] = std::string(TakeLine(text));
    }
    documents.push_back(std::move(document));
  }
  return documents;
}

/// The text that a data set of the hub has line by line. An empty one stands for " \n", as WikiText writes
/// it.
std::string JoinedLines(const std::string& text, const std::string& field, const std::string& path) {
  std::string joined;
  std::istringstream stream(text);
  io::JsonLines lines(stream, path, "{\"" + field + "\": ..}");
  while (lines.Next()) {
    const std::string& line = lines.Text(field.c_str());
    joined += line.empty() ? " \n" : line;
  }
  return joined;
}

std::vector<io::OrderedJson> CutText(const std::string& text, const Pattern& pattern) {
  std::vector<io::OrderedJson> documents;
  std::size_t begin = 0;
  const auto add = [&](std::size_t end) {
    if (text.find_first_not_of(" \t\r\n", begin) < end)
      documents.push_back({{"page", text.substr(begin, end - begin)}});
    begin = end;
  };
  for (const std::size_t at : pattern.Places(text)) add(at);
  add(text.size());
  return documents;
}

std::vector<io::OrderedJson> ReadDocuments(const DataFile& file, const fs::path& path) {
  const std::string text = io::ReadMaybeCompressed(path);
  if (!file.join_lines.empty())
    return CutText(JoinedLines(text, file.join_lines, path.string()), file.split_before[0]);
  if (!file.split_before.empty()) return CutText(text, file.split_before[0]);
  if (!file.line_fields.empty()) return ReadLineGroups(text, file, path.string());
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '[') return ReadJsonArray(text, path.string());
  return ReadJsonLines(text, path.string());
}

/// Leaves out what the task does not keep, and adds the fields that its templates expect; the others stay.
void Prepare(const DataFile& file, std::vector<io::OrderedJson>& documents) {
  if (file.keep.is_set())
    std::erase_if(documents,
                  [&](const io::OrderedJson& document) { return file.keep.Text(document) != "True"; });
  for (io::OrderedJson& document : documents) {
    const io::OrderedJson original = document;
    for (const auto& [name, field] : file.fields) document[name] = field.StructuredValue(original);
  }
}

[[noreturn]] void ThrowMissing(const TaskFile& task, const std::string& split,
                               const std::vector<fs::path>& folders) {
  std::vector<std::string> tried, others;
  for (const DataFile& file : task.data_files.at(split)) tried.push_back(file.path);
  for (const auto& [other, files] : task.data_files)
    for (const DataFile& file : files)
      for (const fs::path& folder : folders)
        if (other != split && fs::exists(folder / file.path)) others.push_back(other);
  std::vector<std::string> shown;
  for (const fs::path& folder : folders) shown.push_back(folder.string());
  throw Error({.what = fmt::format("there are no {} data of the task {}", split, task.name),
               .why = fmt::format("none of {} is in {}", fmt::join(tried, ", "), fmt::join(shown, ", ")),
               .fix = fmt::format("forge data pull {}; or give the folder that has them: --data DIR{}",
                                  task.name, others.empty() ? "" : "; --split " + others[0] + " is there")});
}

}  // namespace

TaskData LoadTaskData(const TaskFile& task, const std::string& split, const std::vector<fs::path>& folders) {
  const auto files = task.data_files.find(split);
  if (files == task.data_files.end()) {
    std::vector<std::string> splits;
    for (const auto& [name, list] : task.data_files) splits.push_back(name);
    throw Error({.kind = ErrorKind::kUsage,
                 .what = fmt::format("the task {} has no split {}", task.name, split),
                 .why = "its file names " + fmt::format("{}", fmt::join(splits, ", ")),
                 .fix = "give one of these to --split"});
  }
  for (const fs::path& folder : folders)
    for (const DataFile& file : files->second) {
      const fs::path path = folder / file.path;
      if (!fs::exists(path)) continue;
      TaskData data{.split = split,
                    .path = path,
                    .sha256 = io::Sha256OfFile(path),
                    .documents = ReadDocuments(file, path)};
      Prepare(file, data.documents);
      if (data.documents.empty())
        throw Error({.what = "there is nothing in " + path.string(),
                     .why = "it has no document",
                     .fix = "fetch it again: forge data pull " + task.name});
      return data;
    }
  ThrowMissing(task, split, folders);
}

}  // namespace forge::eval
