// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace forge::cli {
namespace {

StopToken stop_token;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

extern "C" void HandleStopSignal(int signal) {
  if (stop_token.stop_requested()) _exit(128 + signal);
  stop_token.RequestStop();
  constexpr char kText[] = "\nstopping after the current unit of work; press Ctrl-C again to stop at once\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kText, sizeof kText - 1);
}

std::size_t Columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}

}  // namespace

std::string ShowDuration(double seconds) {
  const auto whole = static_cast<long>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

void InstallSignalHandlers() {
  struct sigaction action {};
  action.sa_handler = HandleStopSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Terminal::Terminal(bool json) : json_(json), interactive_(isatty(STDERR_FILENO) != 0) {}

const StopToken& Terminal::stop() const { return stop_token; }

void Terminal::Print(std::string_view text) {
  if (json_) return;
  ClearProgress();
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Terminal::PrintJson(const io::Json& value) {
  if (!json_) return;
  ClearProgress();
  const std::string text = value.dump(2, ' ', false, io::Json::error_handler_t::replace) +
                           "\n";  // a model may write what is no UTF-8
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void Terminal::Stream(std::string_view piece) { Print(piece); }

void Terminal::ClearProgress() {
  if (!line_open_) return;
  std::fputs("\r\033[K", stderr);
  line_open_ = false;
}

void Terminal::Log(std::string_view line) {
  ClearProgress();
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fputc('\n', stderr);
}

void Terminal::Metric(std::string_view name, std::int64_t, double value) {
  const std::size_t slash = name.rfind('/');
  last_value_ = fmt::format("{} {:.4g}", name.substr(slash == std::string_view::npos ? 0 : slash + 1), value);
}

void Terminal::Progress(std::string_view stage, std::int64_t done, std::int64_t total,
                        std::string_view unit) {
  const double now = Seconds();
  auto found = series_.find(stage);
  if (found == series_.end() || done < found->second.last_done)
    found = series_
                .insert_or_assign(std::string(stage),
                                  Series{.started = now, .first_done = done, .shown_done = done})
                .first;
  Series& series = found->second;
  series.last_done = done;
  const double elapsed = now - series.started;
  const double rate = elapsed > 0.5 ? static_cast<double>(done - series.first_done) / elapsed : 0;
  std::string text = fmt::format("{} {}/{} {}", stage, done, total, unit);
  if (rate > 0 && done < total)
    text += fmt::format(", {:.3g}/s, {} left", rate, ShowDuration(static_cast<double>(total - done) / rate));
  if (!last_value_.empty()) text += ", " + last_value_;
  if (interactive_) {
    if (now - series.shown < 0.1 && done < total) return;
    series.shown = now;
    if (text.size() >= Columns()) text.resize(Columns() - 1);
    fmt::print(stderr, "\r\033[K{}", text);
    std::fflush(stderr);
    line_open_ = true;
    return;
  }
  const bool tenth = total > 0 && (done - series.shown_done) * 10 >= total;
  if (done < total && !tenth && now - std::max(series.shown, series.started) < 30) return;
  series.shown = now;
  series.shown_done = done;
  fmt::print(stderr, "{}\n", text);
}

}  // namespace forge::cli
