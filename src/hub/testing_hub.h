// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/metric_sink.h"
#include "hub/hub_settings.h"
#include "hub/repo.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "io/sha256.h"
#include "io/testing_http_server.h"

namespace forge::hub::testing {

inline const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";

/// For tests only: a hub in this process. Small files come from it, large ones from a second server that it
/// redirects to, as on huggingface.co. `change` and `change_large` see each answer before it is sent, and may
/// spoil it; they are called from several threads.
class Hub {
 public:
  using Change = std::function<void(const io::testing::ServedRequest&, io::testing::ServedAnswer&)>;

  explicit Hub(std::filesystem::path folder, Repo repo = {RepoKind::kModel, "owner/name"})
      : folder_(std::move(folder)),
        repo_(std::move(repo)),
        large_server_([this](const auto& request) { return ServeLarge(request); }),
        server_([this](const auto& request) { return ServeHub(request); }) {
    io::CreateFolders(folder_);
  }

  /// Before the first request. Large: kept elsewhere, under its sha256.
  void Add(const std::string& name, const std::string& content, bool is_large = false) {
    io::WriteFileAtomically(folder_ / "content", content);
    const std::string etag =
        is_large ? io::Sha256OfFile(folder_ / "content") : io::GitBlobIdOfFile(folder_ / "content");
    files_[name] = {content, etag, is_large};
  }
  const std::string& content(const std::string& name) const { return files_.at(name).content; }
  const std::string& etag(const std::string& name) const { return files_.at(name).etag; }

  HubSettings Settings() {
    HubSettings settings{.endpoint = server_.url(), .cache = folder_ / "hub"};
    settings.retry.wait = [this](double seconds, const StopToken&) {
      const std::lock_guard lock(mutex_);
      waits_.push_back(seconds);
    };
    return settings;
  }
  std::vector<double> waits() const {
    const std::lock_guard lock(mutex_);
    return waits_;
  }
  std::vector<io::testing::ServedRequest> log() const { return server_.log(); }
  std::vector<io::testing::ServedRequest> large_log() const { return large_server_.log(); }
  /// The Range headers that the second server was sent.
  std::vector<std::string> ranges() const {
    std::vector<std::string> ranges;
    for (const auto& request : large_log())
      ranges.push_back(request.headers.contains("range") ? request.headers.at("range") : "none");
    return ranges;
  }
  std::string url() const { return server_.url(); }

  Change change, change_large;

 private:
  struct File {
    std::string content, etag;
    bool is_large;
  };

  io::testing::ServedAnswer ServeHub(const io::testing::ServedRequest& request) {
    io::testing::ServedAnswer answer = AnswerOfHub(request);
    if (change) change(request, answer);
    return answer;
  }

  io::testing::ServedAnswer AnswerOfHub(const io::testing::ServedRequest& request) const {
    if (request.target.starts_with(repo_.ApiPath() + "/revision/")) {
      io::Json siblings = io::Json::array();
      for (const auto& [name, file] : files_) siblings.push_back({{"rfilename", name}});
      return {.body = io::Json{{"id", repo_.id}, {"sha", kCommit}, {"siblings", siblings}}.dump()};
    }
    const std::string prefix = repo_.PagePath() + "/resolve/" + kCommit + "/";
    if (request.target.starts_with("/api/"))
      return {.status = 404,
              .headers = {{"X-Error-Code", "RepoNotFound"}, {"X-Error-Message", "Repository not found"}},
              .body = "{}"};
    const auto found =
        request.target.starts_with(prefix) ? files_.find(request.target.substr(prefix.size())) : files_.end();
    if (found == files_.end())
      return {.status = 404, .headers = {{"X-Error-Code", "EntryNotFound"}}, .body = "Entry not found"};
    const File& file = found->second;
    io::testing::ServedAnswer answer;
    if (file.is_large) {
      answer = {.status = 302, .body = "Found. Redirecting"};
      answer.headers = {{"Location", large_server_.url() + "/" + file.etag + "?signature=x"},
                        {"X-Linked-Etag", "\"" + file.etag + "\""},
                        {"X-Linked-Size", std::to_string(file.content.size())}};
    } else {
      answer = io::testing::ServeBytes(request, file.content);
      answer.headers.emplace_back("ETag", "\"" + file.etag + "\"");
    }
    answer.headers.emplace_back("X-Repo-Commit", kCommit);
    return answer;
  }

  io::testing::ServedAnswer ServeLarge(const io::testing::ServedRequest& request) {
    io::testing::ServedAnswer answer{.status = 403, .body = "AccessDenied"};
    for (const auto& [name, file] : files_)
      if (request.target == "/" + file.etag + "?signature=x")
        answer = io::testing::ServeBytes(request, file.content);
    answer.headers.emplace_back("ETag", "\"not-a-checksum-8\"");  // as S3 gives for files of several parts
    if (change_large) change_large(request, answer);
    return answer;
  }

  std::filesystem::path folder_;
  Repo repo_;
  std::map<std::string, File> files_;
  mutable std::mutex mutex_;
  std::vector<double> waits_;
  io::testing::HttpServer large_server_, server_;
};

/// Keeps what was logged.
class LinesSink : public NullMetricSink {
 public:
  void Log(std::string_view line) override { text += std::string(line) + "\n"; }
  void Progress(std::string_view stage, std::int64_t done, std::int64_t total, std::string_view) override {
    if (stage == "pull") last_done = done, last_total = total;
  }
  std::string text;
  std::int64_t last_done = -1, last_total = -1;
};

/// Bytes in which any shift or swap of a part shows.
inline std::string Pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>((i * 2654435761u) >> 13);
  return text;
}

}  // namespace forge::hub::testing
