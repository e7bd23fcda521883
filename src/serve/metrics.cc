// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace forge::serve {
namespace {

std::string Head(const std::string& name, const char* type, const std::string& help) {
  return fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

template <class Value>
std::string Single(const std::string& name, const char* type, const std::string& help, Value value) {
  return Head(name, type, help) + fmt::format("{} {}\n", name, value);
}

/// Bytes of this process in memory; 0 where /proc does not say.
std::uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1, std::uint64_t{0}) {}

void Histogram::Observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<std::size_t>(bucket)];
  sum_ += value;
}

std::string Histogram::Text(const std::string& name, const std::string& help) const {
  std::string text = Head(name, "histogram", help);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i)
    text += fmt::format("{}_bucket{{le=\"{:g}\"}} {}\n", name, bounds_[i], total += counts_[i]);
  total += counts_.back();
  return text + fmt::format("{}_bucket{{le=\"+Inf\"}} {}\n{}_sum {:.6f}\n{}_count {}\n", name, total, name,
                            sum_, name, total);
}

Metrics::Metrics()
    : first_token_({0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100}),
      answer_({0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300}) {}

void Metrics::CountRequest(const std::string& path, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{path, status}];
}

void Metrics::ObserveFirstToken(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.Observe(seconds);
}

void Metrics::ObserveAnswer(double seconds) {
  const std::lock_guard lock(mutex_);
  answer_.Observe(seconds);
  answer_seconds_ += seconds;
  ++answers_;
}

double Metrics::MeanAnswerSeconds() const {
  const std::lock_guard lock(mutex_);
  return answers_ == 0 ? 1 : answer_seconds_ / static_cast<double>(answers_);
}

std::string Metrics::Text(const Scheduler::State& state, std::size_t key_value_limit,
                          std::size_t weight_bytes) const {
  const std::lock_guard lock(mutex_);
  std::string text = Head("forge_requests_total", "counter", "Answered requests by path and HTTP status.");
  for (const auto& [key, count] : requests_)
    text +=
        fmt::format("forge_requests_total{{path=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
  text += Single("forge_prompt_tokens_total", "counter", "Prompt tokens run; shared prompts once.",
                 state.prompt_tokens);
  text += Single("forge_completion_tokens_total", "counter", "Tokens written.", state.completion_tokens);
  text += Single("forge_steps_total", "counter", "Forward passes.", state.steps);
  text += Single("forge_sequences_cancelled_total", "counter", "Sequences whose client went away.",
                 state.cancelled);
  text += Single("forge_sequences_running", "gauge", "Sequences in the batch.", state.running);
  text += Single("forge_sequences_waiting", "gauge", "Sequences in the queue.", state.waiting);
  text += Single("forge_key_value_bytes", "gauge", "Keys and values held.", state.key_value_bytes);
  text +=
      Single("forge_key_value_limit_bytes", "gauge", "Keys and values that may be held.", key_value_limit);
  text += Single("forge_weight_bytes", "gauge", "Weights in memory.", weight_bytes);
  text += Single("process_resident_memory_bytes", "gauge", "Resident memory.", ResidentBytes());
  text += first_token_.Text("forge_time_to_first_token_seconds", "From the request to its first new token.");
  text += answer_.Text("forge_answer_seconds", "From the request to the end of its answer.");
  return text;
}

}  // namespace forge::serve
