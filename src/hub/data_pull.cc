// SPDX-License-Identifier: Apache-2.0
#include "hub/data_pull.h"

#include <fmt/format.h>

#include <fstream>
#include <functional>
#include <optional>

#include "base/error.h"
#include "hub/hub_error.h"
#include "hub/pull.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "io/parquet.h"
#include "io/sha256.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

constexpr char kReceipt[] = "receipt.json";
constexpr std::size_t kBufferBytes = 1 << 20;

/// JSON objects, one a line.
class JsonLinesFile {
 public:
  explicit JsonLinesFile(const fs::path& path) : file_(path) {}
  void Add(std::string_view json) {
    buffer_ += json;
    buffer_ += '\n';
    ++rows_;
    if (buffer_.size() >= kBufferBytes) Flush();
  }
  void Commit() {
    Flush();
    file_.Commit();
  }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t bytes() const { return file_.size(); }

 private:
  void Flush() {
    file_.Write(buffer_);
    buffer_.clear();
  }
  io::AtomicFile file_;
  std::string buffer_;
  std::uint64_t rows_ = 0;
};

void ReadLines(const fs::path& path,
               const std::function<void(const std::string& line, std::uint64_t number)>& use) {
  std::ifstream file(path, std::ios::binary);
  std::uint64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    use(line, ++number);
  }
  if (!file.eof() || number == 0)
    throw Error({.what = "cannot read " + path.string(),
                 .why = number == 0 ? "it has no lines" : "reading it failed",
                 .fix = "pull the data set again"});
}

/// Appends the rows of one source file. `name` is what the hub calls it.
void Convert(const std::string& name, const fs::path& path, JsonLinesFile& out, const StopToken& stop) {
  const auto add = [&](std::string_view json) {
    if (stop.stop_requested()) ThrowStopped("what was fetched");
    out.Add(json);
  };
  if (name.ends_with(".parquet")) {
    io::ReadParquetRows(path, add);
  } else if (name.ends_with(".txt")) {
    ReadLines(path, [&](const std::string& line, std::uint64_t) {
      add(io::Json{{"text", line}}.dump(-1, ' ', false, io::Json::error_handler_t::replace));
    });
  } else {
    ReadLines(path, [&](const std::string& line, std::uint64_t number) {
      if (line.empty()) return;
      const std::string place = fmt::format("{}:{}", name, number);
      if (!io::ParseJson(line, place).is_object())
        throw Error(
            {.what = "cannot use " + place, .why = "the line is no JSON object", .fix = "pull it again"});
      add(line);
    });
  }
}

/// What the receipt of an earlier pull says, if its files are still there; nothing for another commit.
std::optional<DataPullResult> ReadReceipt(const fs::path& folder, const DataSet& data_set,
                                          const std::string& commit) {
  if (!fs::exists(folder / kReceipt)) return std::nullopt;
  DataPullResult result{.folder = folder, .commit = commit, .splits = {}, .was_there = true};
  try {
    const io::Json receipt = io::ReadJsonFile(folder / kReceipt);
    if (receipt.at("commit") != commit || receipt.at("repository") != data_set.repository)
      return std::nullopt;
    for (const std::string& name : data_set.splits) {
      const io::Json& split = receipt.at("splits").at(name);
      const fs::path file = folder / (name + ".jsonl");
      result.splits.push_back({name, split.at("sha256"), split.at("rows"), split.at("bytes")});
      if (!fs::exists(file) || fs::file_size(file) != result.splits.back().bytes) return std::nullopt;
    }
  } catch (const io::Json::exception&) {  // not written by us, or edited: written anew
    return std::nullopt;
  }
  return result;
}

struct Fetched {
  std::string revision;
  PullResult pulled;
  std::map<std::string, std::vector<std::string>> files;  // by split
};

/// From the first of the two revisions that has the splits.
Fetched Fetch(const HubSettings& settings, const DataSet& data_set, MetricSink& sink, const StopToken& stop) {
  for (const std::string revision : {"main", kConvertedRevision}) {
    Fetched fetched{.revision = revision, .pulled = {}, .files = {}};
    RepoReference reference;
    reference.repo = {RepoKind::kDataset, data_set.repository};
    reference.revision = revision;
    const auto choose = [&](const std::vector<std::string>& files) {
      fetched.files = ChooseDataFiles(data_set, files);
      std::vector<std::string> all;
      for (const auto& [split, names] : fetched.files) all.insert(all.end(), names.begin(), names.end());
      return all;
    };
    if (settings.offline && revision == "main" && !IsInCache(settings, reference)) continue;
    fetched.pulled = Pull(settings, reference, choose, sink, stop);
    if (!fetched.files.empty()) return fetched;
  }
  throw Error({.what = fmt::format("cannot find the splits of {} in {}", data_set.name, data_set.repository),
               .why = settings.offline ? "not all of its files are in the cache"
                                       : "its files are named otherwise than forge expects, on main and on " +
                                             std::string(kConvertedRevision),
               .fix = fmt::format("look at {}/datasets/{}/tree/main, and report it", settings.endpoint,
                                  data_set.repository)});
}

io::Json ReceiptOf(const DataSet& data_set, const Fetched& fetched, const std::vector<PulledSplit>& splits) {
  io::Json receipt = {{"data_set", data_set.name},
                      {"repository", data_set.repository},
                      {"revision", fetched.revision},
                      {"commit", fetched.pulled.commit}};
  for (const PulledFile& file : fetched.pulled.files)
    receipt["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"etag", file.etag}});
  for (const PulledSplit& split : splits)
    receipt["splits"][split.name] = {{"file", split.name + ".jsonl"},
                                     {"rows", split.rows},
                                     {"bytes", split.bytes},
                                     {"sha256", split.sha256}};
  return receipt;
}

}  // namespace

DataPullResult PullDataSet(const HubSettings& settings, const DataSet& data_set, const fs::path& data_dir,
                           MetricSink& sink, const StopToken& stop) {
  const fs::path folder = data_dir / data_set.name;
  const Fetched fetched = Fetch(settings, data_set, sink, stop);
  if (auto there = ReadReceipt(folder, data_set, fetched.pulled.commit)) return *there;
  DataPullResult result{.folder = folder, .commit = fetched.pulled.commit, .splits = {}};
  io::CreateFolders(data_dir);
  io::AtomicFolder work(folder, /*replace=*/fs::exists(folder / kReceipt));
  std::int64_t done = 0;
  for (const std::string& split : data_set.splits) {
    const fs::path path = work.path() / (split + ".jsonl");
    JsonLinesFile out(path);
    for (const std::string& name : fetched.files.at(split)) {
      if (name.find("/partial-") != std::string::npos)
        sink.Log(fmt::format("{}: {} is of the first 5 GB only, which is what the hub converts",
                             data_set.name, name));
      Convert(name, fetched.pulled.snapshot / name, out, stop);
      sink.Progress("write " + data_set.name, ++done, static_cast<std::int64_t>(fetched.pulled.files.size()),
                    "files");
    }
    out.Commit();
    result.splits.push_back({split, io::Sha256OfFile(path), out.rows(), out.bytes()});
  }
  io::WriteJsonFile(work.path() / kReceipt, ReceiptOf(data_set, fetched, result.splits));
  work.Commit();
  return result;
}

}  // namespace forge::hub
