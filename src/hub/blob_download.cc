// SPDX-License-Identifier: Apache-2.0
#include "hub/blob_download.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "hub/hub_client.h"
#include "hub/hub_error.h"
#include "hub/partial_file.h"
#include "io/sha256.h"

namespace forge::hub {
namespace {

namespace fs = std::filesystem;

constexpr auto kReportEvery = std::chrono::milliseconds(100);
constexpr double kUseMegabytesFrom = 20e6;

/// A file on its way. All members but `partial` are guarded by the mutex of Downloads.
struct Transfer {
  BlobJob job;
  std::unique_ptr<PartialFile> partial;
  std::vector<bool> taken;        // by segment: somebody has it, or it is done
  std::size_t open_segments = 0;  // not complete
  bool needs_check_only = false;  // all bytes were there at the start, or there are none
  bool knows_ranges = false;      // a first answer has shown whether the server has them
  bool probing = false;           // that first request is under way
  bool was_resumed = false;
};

struct Segment {
  Transfer* transfer;
  std::size_t index = 0;
  bool is_probe = false;

  PartialFile& partial() const { return *transfer->partial; }
  /// The part of the file that is still to come: [first, end).
  std::uint64_t first() const { return partial().begin(index) + partial().done(index); }
  std::uint64_t end() const { return partial().begin(index) + partial().length(index); }
};

/// "bytes 10-19/100", as far as it is needed.
struct ContentRange {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> total;
};

std::optional<ContentRange> ParseContentRange(const std::string& text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  ContentRange range;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data() + kUnit.size(), end, range.first);
  const std::size_t slash = text.find('/');
  if (first.ec != std::errc() || slash == std::string::npos) return std::nullopt;
  std::uint64_t total = 0;
  if (std::from_chars(text.data() + slash + 1, end, total).ec == std::errc()) range.total = total;
  return range;
}

[[noreturn]] void ThrowWrongLength(const FileInfo& info, const std::string& seen) {
  throw Error({.kind = ErrorKind::kInput,
               .what = "cannot fetch " + info.name,
               .why = fmt::format("the hub says it has {} bytes, but {}", info.bytes, seen),
               .fix = "pull again; if it stays so, the copy that the server or a proxy gives is broken"});
}

class Downloads {
 public:
  Downloads(const HubSettings& settings, const RepoReference& reference,
            const std::function<void(const BlobJob&)>& finished)
      : settings_(settings), reference_(reference), finished_(finished) {}

  void Add(BlobJob job) {
    auto transfer = std::make_unique<Transfer>();
    total_bytes_ += job.info.bytes;
    transfer->partial =
        std::make_unique<PartialFile>(job.incomplete, job.info.bytes, settings_.segment_bytes);
    transfer->was_resumed = transfer->partial->done_bytes() > 0;
    transfer->job = std::move(job);
    done_bytes_ += transfer->partial->done_bytes();
    Open(*transfer);
    transfers_.push_back(std::move(transfer));
  }

  void Run(MetricSink& sink, const StopToken& stop) {
    std::size_t segments = 0;
    for (const auto& transfer : transfers_) segments += std::max<std::size_t>(1, transfer->open_segments);
    const int count =
        static_cast<int>(std::min<std::size_t>(segments, static_cast<std::size_t>(settings_.connections)));
    running_ = count;
    std::vector<std::thread> threads;
    for (int i = 0; i < count; ++i) threads.emplace_back([this] { Work(); });
    Watch(sink, stop);
    for (std::thread& thread : threads) thread.join();
    Report(sink);
    if (first_error_) std::rethrow_exception(first_error_);
    if (stop.stop_requested()) ThrowStopped("what has come");
  }

 private:
  /// Makes everything that is missing available; with the mutex held, or before the threads start.
  static void Open(Transfer& transfer) {
    const PartialFile& partial = *transfer.partial;
    transfer.taken.assign(partial.num_segments(), false);
    transfer.open_segments = 0;
    for (std::size_t i = 0; i < partial.num_segments(); ++i) {
      transfer.taken[i] = partial.done(i) == partial.length(i);
      if (!transfer.taken[i]) ++transfer.open_segments;
    }
    transfer.needs_check_only = transfer.open_segments == 0;
    transfer.knows_ranges = transfer.probing = false;
  }

  /// Shows progress and passes a stop on, until all threads have ended.
  void Watch(MetricSink& sink, const StopToken& stop) {
    std::unique_lock lock(mutex_);
    while (running_ > 0) {
      changed_.wait_for(lock, kReportEvery, [this] { return running_ == 0; });
      lock.unlock();
      if (stop.stop_requested()) Stop();
      Report(sink);
      lock.lock();
    }
  }

  void Stop() {
    abort_.RequestStop();
    changed_.notify_all();
  }

  void Report(MetricSink& sink) {
    std::vector<std::string> lines;
    {
      const std::lock_guard lock(mutex_);
      lines.swap(lines_);
    }
    for (const std::string& line : lines) sink.Log(line);
    const bool large = static_cast<double>(total_bytes_) >= kUseMegabytesFrom;
    const std::uint64_t unit = large ? 1'000'000 : 1000;
    const auto units = [&](std::uint64_t bytes) {
      return static_cast<std::int64_t>((bytes + unit - 1) / unit);
    };
    if (total_bytes_ > 0)
      sink.Progress("pull", units(done_bytes_.load()), units(total_bytes_), large ? "MB" : "kB");
  }

  void Say(const std::string& line) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(line);
  }

  /// One thread: one connection, one segment after the other.
  void Work() {
    try {
      io::HttpClient client(ClientOptions(settings_, abort_));
      while (std::optional<Segment> segment = Next()) {
        if (segment->transfer->open_segments > 0) Fetch(client, *segment);
        if (abort_.stop_requested()) break;
        Finish(*segment->transfer);
      }
    } catch (...) {  // handed to the calling thread
      const std::lock_guard lock(mutex_);
      if (!first_error_) first_error_ = std::current_exception();
      abort_.RequestStop();
    }
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
  }

  /// A segment that nobody has. Of a file of which it is not known whether the server gives ranges, only one
  /// is handed out. Nothing when all is done or being done.
  std::optional<Segment> Next() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (abort_.stop_requested()) return std::nullopt;
      bool may_come = false;  // more segments, after a probe
      for (const auto& transfer : transfers_) {
        if (std::exchange(transfer->needs_check_only, false)) return Segment{transfer.get()};
        const auto free = std::find(transfer->taken.begin(), transfer->taken.end(), false);
        if (free == transfer->taken.end()) continue;
        if (transfer->probing) {
          may_come = true;
          continue;
        }
        *free = true;
        transfer->probing = !transfer->knows_ranges;
        const auto index = static_cast<std::size_t>(free - transfer->taken.begin());
        return Segment{transfer.get(), index, transfer->probing};
      }
      if (!may_come) return std::nullopt;
      changed_.wait(lock);
    }
  }

  /// The rest of one segment, over as many tries as it takes. A server without ranges turns it into the
  /// whole.
  void Fetch(io::HttpClient& client, Segment& segment) {
    const Transfer& transfer = *segment.transfer;
    Retries retries(settings_.retry, abort_);
    std::uint64_t furthest = segment.first();
    for (;;) {
      io::HttpResponse answer = client.Send(Request(segment));
      if (segment.first() == segment.end() || abort_.stop_requested()) return;
      if (segment.first() > furthest) retries.Progressed();
      furthest = std::max(furthest, segment.first());
      const bool ended_early = IsWhole(answer);
      if (ended_early) {  // without a Content-Length, this is how a cut looks
        answer.failure = io::HttpFailure::kCut;
        answer.problem = "the answer ended early";
      }
      if (retries.Again(answer, [&](const std::string& line) { Say(transfer.job.info.name + ": " + line); }))
        continue;
      if (abort_.stop_requested()) return;
      if (ended_early)
        ThrowWrongLength(transfer.job.info, fmt::format("the answers end at byte {}", furthest));
      ThrowHubError(settings_, reference_,
                    fmt::format("cannot fetch {} of {}", transfer.job.info.name, reference_.repo.id), answer);
    }
  }

  static bool IsWhole(const io::HttpResponse& answer) {
    return answer.failure == io::HttpFailure::kNone && answer.status / 100 == 2;
  }

  io::HttpRequest Request(Segment& segment) {
    io::HttpRequest request{.url = segment.transfer->job.url, .bearer_token = settings_.token};
    request.headers.emplace_back("Range", fmt::format("bytes={}-{}", segment.first(), segment.end() - 1));
    request.on_head = [this, &segment](const io::HttpResponse& head) {
      TakeHead(segment, head);
      return true;
    };
    request.on_body = [this, &segment](std::span<const std::byte> bytes) {
      if (bytes.size() > segment.end() - segment.first())
        ThrowWrongLength(segment.transfer->job.info, "the server gives more than it was asked for");
      segment.partial().Write(segment.index, bytes);
      done_bytes_ += bytes.size();
      return true;
    };
    return request;
  }

  /// Checks that the body will be what was asked for, and learns from a first answer whether there are
  /// ranges.
  void TakeHead(Segment& segment, const io::HttpResponse& head) {
    Transfer& transfer = *segment.transfer;
    const FileInfo& info = transfer.job.info;
    if (head.status == 416) ThrowWrongLength(info, "the server has less");
    if (head.status / 100 != 2) return;
    if (head.status == 206) {
      const auto range = ParseContentRange(head.Header("content-range").value_or(""));
      if (!range || range->first != segment.first())
        ThrowWrongLength(info,
                         fmt::format("the server gives another range than from byte {}", segment.first()));
      if (range->total && *range->total != info.bytes)
        ThrowWrongLength(info, fmt::format("the server gives {}", *range->total));
    } else {
      std::uint64_t length = info.bytes;
      const std::string text = head.Header("content-length").value_or("");
      std::from_chars(text.data(), text.data() + text.size(), length);
      if (length != info.bytes) ThrowWrongLength(info, fmt::format("the server gives {}", length));
      StartOver(segment);
    }
    if (segment.is_probe && head.status == 206) {
      const std::lock_guard lock(mutex_);
      transfer.knows_ranges = true;
      transfer.probing = false;
      changed_.notify_all();
    }
  }

  /// The whole file comes instead of a range: it becomes one segment, from its beginning.
  void StartOver(Segment& segment) {
    Transfer& transfer = *segment.transfer;
    const std::lock_guard lock(mutex_);
    if (transfer.knows_ranges)
      ThrowWrongLength(transfer.job.info, "the server gave ranges first, and now the whole file");
    done_bytes_ -= transfer.partial->done_bytes();
    transfer.partial->Restart(transfer.job.info.bytes);
    transfer.taken.assign(1, true);
    transfer.open_segments = 1;
    segment.index = 0;
  }

  /// After a segment: when it was the last, checks the file and gives it its name.
  void Finish(Transfer& transfer) {
    {
      const std::lock_guard lock(mutex_);
      if (transfer.open_segments > 0 && --transfer.open_segments > 0) return;
    }
    transfer.partial->Finish();
    const FileInfo& info = transfer.job.info;
    const std::string sum = info.has_sha256() ? io::Sha256OfFile(transfer.job.incomplete)
                                              : io::GitBlobIdOfFile(transfer.job.incomplete);
    if (sum != info.etag) return Reject(transfer, sum);
    std::error_code error;
    fs::rename(transfer.job.incomplete, transfer.job.blob, error);
    if (error)
      throw Error({.kind = ErrorKind::kEnvironment,
                   .what = "cannot write " + transfer.job.blob.string(),
                   .why = error.message(),
                   .fix = "check that the cache can be written, or set HF_HOME to a folder that can"});
    const std::lock_guard lock(mutex_);
    finished_(transfer.job);
  }

  void Reject(Transfer& transfer, const std::string& sum) {
    const FileInfo& info = transfer.job.info;
    const std::lock_guard lock(mutex_);
    transfer.partial.reset();
    fs::remove(transfer.job.incomplete);
    if (!transfer.was_resumed)
      throw Error({.kind = ErrorKind::kInput,
                   .what = "cannot use " + info.name + " as it came",
                   .why = fmt::format("its {} is {}; the hub says {}",
                                      info.has_sha256() ? "sha256" : "git id", sum, info.etag),
                   .fix = "pull again; if it stays so, the copy that the server or a proxy gives is broken"});
    lines_.push_back(info.name + ": what an earlier try left is broken; fetching it again");
    transfer.was_resumed = false;
    done_bytes_ -= info.bytes;
    transfer.partial =
        std::make_unique<PartialFile>(transfer.job.incomplete, info.bytes, settings_.segment_bytes);
    Open(transfer);
    changed_.notify_all();
  }

  const HubSettings& settings_;
  const RepoReference& reference_;
  const std::function<void(const BlobJob&)>& finished_;
  std::vector<std::unique_ptr<Transfer>> transfers_;
  std::uint64_t total_bytes_ = 0;
  std::atomic<std::uint64_t> done_bytes_{0};
  StopToken abort_;  // of the threads: a stop from outside, or the first error

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> lines_;
  std::exception_ptr first_error_;
  int running_ = 0;
};

}  // namespace

void DownloadBlobs(const HubSettings& settings, const RepoReference& reference, std::vector<BlobJob> jobs,
                   MetricSink& sink, const StopToken& stop,
                   const std::function<void(const BlobJob&)>& finished) {
  Downloads downloads(settings, reference, finished);
  for (BlobJob& job : jobs) downloads.Add(std::move(job));
  downloads.Run(sink, stop);
}

}  // namespace forge::hub
