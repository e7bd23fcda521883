// SPDX-License-Identifier: Apache-2.0
#include "eval/result_cache.h"

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/sha256.h"

namespace forge::eval {
namespace {

std::string KeyOf(const io::Json& settings) {
  const std::string text = settings.dump();
  return io::Sha256(std::as_bytes(std::span(text)));
}

}  // namespace

std::filesystem::path ResultCache::FolderOf(const std::string& task, const io::Json& settings) const {
  return folder_ / (task + "-" + KeyOf(settings).substr(0, 16));
}

std::optional<TaskResult> ResultCache::Find(const std::string& task, const io::Json& settings) const {
  const std::filesystem::path file = FolderOf(task, settings) / "result.json";
  if (!std::filesystem::exists(file)) return std::nullopt;
  try {
    const io::Json json = io::ReadJsonFile(file);
    if (json.at("key") != KeyOf(settings)) return std::nullopt;  // another one with the same first digits
    return TaskResult::FromJson(json.at("result"));
  } catch (const Error&) {
    return std::nullopt;
  } catch (const io::Json::exception&) {
    return std::nullopt;
  }
}

void ResultCache::Keep(const io::Json& settings, const TaskResult& result) const {
  io::CreateFolders(folder_);
  io::AtomicFolder folder(FolderOf(result.task, settings), true);
  io::WriteFileAtomically(folder.path() / "items.jsonl", result.ItemLines());
  io::WriteJsonFile(folder.path() / "result.json",
                    {{"key", KeyOf(settings)}, {"settings", settings}, {"result", result.ToJson()}});
  folder.Commit();
}

}  // namespace forge::eval
