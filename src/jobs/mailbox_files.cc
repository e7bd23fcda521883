// SPDX-License-Identifier: Apache-2.0
#include "jobs/mailbox_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <random>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "jobs/messages.h"

namespace forge::jobs {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostNumber = 1'000'000'000;
constexpr io::JsonLimits kBeatLimits = {.max_bytes = 1000, .max_values = 10, .max_depth = 2};

bool IsWorkerLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

/// The n of "<stem><n>.json".
std::optional<std::int64_t> NumberOf(std::string_view name, std::string_view stem) {
  constexpr std::string_view kEnding = ".json";
  if (!name.starts_with(stem) || !name.ends_with(kEnding)) return std::nullopt;
  name.remove_prefix(stem.size());
  name.remove_suffix(kEnding.size());
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool whole = error == std::errc() && end == name.data() + name.size() && name[0] != '0';
  return whole && number >= 1 && number <= kMostNumber ? std::optional(number) : std::nullopt;
}

[[noreturn]] void FailToRead(const fs::path& file, std::string why) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot read the message " + file.string(),
               .why = std::move(why),
               .fix = "remove it; only forge may write into that folder"});
}

}  // namespace

bool IsWorkerName(std::string_view name) {
  return !name.empty() && name.size() <= 100 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), IsWorkerLetter);
}

std::string NewWorkerName() {
  char host[64] = {};
  gethostname(host, sizeof host - 1);
  std::string name = host[0] == '\0' || host[0] == '.' ? "host" : host;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !IsWorkerLetter(c); }, '_');
  return fmt::format("{}-{}-{:08x}", name, getpid(), std::random_device()());
}

bool IsGone(const fs::path& path) {
  std::error_code unknown;
  return !fs::exists(path, unknown) && !unknown;
}

std::string JobFile(std::int64_t number) { return fmt::format("job-{}.json", number); }
std::string ResultFile(std::int64_t number) { return fmt::format("result-{}.json", number); }

NumberedFiles ListMessages(const fs::path& folder) {
  NumberedFiles files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (const auto job = NumberOf(name, "job-")) files.jobs[*job] = name;
    if (const auto result = NumberOf(name, "result-")) files.results[*result] = name;
  }
  return files;
}

std::optional<std::string> ReadMessageFile(const fs::path& file) {
  // Without O_NONBLOCK, opening a pipe would wait for its writer.
  const int descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ESTALE) return std::nullopt;
    FailToRead(file, errno == ELOOP ? "it is a link" : std::strerror(errno));
  }
  const struct Closer {
    int descriptor;
    ~Closer() { close(descriptor); }
  } closer{descriptor};
  struct stat found {};
  if (fstat(descriptor, &found) != 0) FailToRead(file, std::strerror(errno));
  if (!S_ISREG(found.st_mode)) FailToRead(file, "it is no regular file");
  if (static_cast<std::uint64_t>(found.st_size) > kMostMessageBytes)
    FailToRead(file, fmt::format("it has {} bytes; at most {} make sense", found.st_size, kMostMessageBytes));
  std::string text(static_cast<std::size_t>(found.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count = read(descriptor, text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) FailToRead(file, std::strerror(errno));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  text.resize(filled);
  return text;
}

void WriteMessageFile(const fs::path& file, std::string_view text) {
  io::AtomicFile message(file);
  message.Write(text);
  message.CommitUnsynced();
}

std::optional<Beat> ReadBeat(const fs::path& file) {
  try {
    const std::optional<std::string> text = ReadMessageFile(file);
    io::Json json;
    if (!text || io::JsonProblem(*text, kBeatLimits, json) || !json.is_object()) return std::nullopt;
    const io::Json beat = json.value("beat", io::Json()), next = json.value("next", io::Json(1));
    if (!beat.is_number_integer() || !next.is_number_integer()) return std::nullopt;
    const Beat found{beat.get<std::int64_t>(), next.get<std::int64_t>()};
    return found.next >= 1 && found.next <= kMostNumber ? std::optional(found) : std::nullopt;
  } catch (const Error&) {  // not a regular file: as good as none
    return std::nullopt;
  }
}

void WriteBeat(const fs::path& file, const Beat& beat) {
  WriteMessageFile(file, io::Json{{"beat", beat.beat}, {"next", beat.next}}.dump() + "\n");
}

}  // namespace forge::jobs
