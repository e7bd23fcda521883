// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/metric_sink.h"
#include "base/stop_token.h"
#include "io/json_file.h"

namespace forge::cli {

/// Where a command prints. Results go to standard output: text, or one JSON object with --json. Everything
/// else goes to standard error: on a terminal one progress line with rate and time left that redraws itself,
/// otherwise plain lines, at most one for each 10 % or 30 s.
class Terminal : public MetricSink {
 public:
  explicit Terminal(bool json);

  bool json() const { return json_; }
  /// Text of a result; nothing with --json.
  void Print(std::string_view text);
  /// The JSON result; nothing without --json.
  void PrintJson(const io::Json& value);
  /// A piece of a stream (generated text), shown at once.
  void Stream(std::string_view piece);

  void Metric(std::string_view name, std::int64_t step, double value) override;
  void Progress(std::string_view stage, std::int64_t done, std::int64_t total,
                std::string_view unit) override;
  void Log(std::string_view line) override;
  /// Removes the progress line, so that other text can follow.
  void ClearProgress();

  /// Set by Ctrl-C and SIGTERM.
  const StopToken& stop() const;

 private:
  struct Series {
    double started = 0, shown = 0;
    std::int64_t first_done = 0, shown_done = 0;
    std::int64_t last_done = 0;
  };
  bool json_, interactive_, line_open_ = false;
  std::map<std::string, Series, std::less<>> series_;
  std::string last_value_;
};

/// "3 min 05 s", "2 h 10 min", "12 s".
std::string ShowDuration(double seconds);

/// Installs the handlers: the first Ctrl-C asks the job to stop after its unit of work, a second one ends at
/// once.
void InstallSignalHandlers();

}  // namespace forge::cli
