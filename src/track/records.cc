// SPDX-License-Identifier: Apache-2.0
#include "track/records.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

#include "base/error.h"

namespace forge::track {
namespace {

constexpr std::string_view kStateNames[] = {"running", "done", "failed", "interrupted", "skipped"};
constexpr std::string_view kJobStateNames[] = {"open", "leased", "done"};

/// Which of the names it is; Error(kInput) if none.
template <std::size_t n>
int IndexOf(const std::string_view (&names)[n], std::string_view name) {
  const auto* found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "the run store is damaged",
                 .why = fmt::format("\"{}\" is not a state", name),
                 .fix = "move forge.db away; the model folders of its runs stay usable"});
  return static_cast<int>(found - names);
}

}  // namespace

Clock SystemClock() {
  return [] {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  };
}

Clock SteadyClock() {
  return [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
}

std::string_view Name(State state) { return kStateNames[static_cast<int>(state)]; }

State ParseState(std::string_view name) { return static_cast<State>(IndexOf(kStateNames, name)); }

std::string_view Name(JobState state) { return kJobStateNames[static_cast<int>(state)]; }

JobState ParseJobState(std::string_view name) { return static_cast<JobState>(IndexOf(kJobStateNames, name)); }

std::string DumpJson(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json ParseColumn(const std::string& text) { return io::ParseJson(text, "a row of the run store forge.db"); }

std::optional<double> Stage::SecondsLeft() const {
  if (state != State::kRunning || !rate || !(*rate > 0) || total <= done) return std::nullopt;
  return static_cast<double>(total - done) / *rate;
}

bool IsReference(std::string_view kind) { return kind == "parent" || kind == "base" || kind == "uniform"; }

std::optional<double> Candidate::Fitness() const {
  const auto found = scores.find("fitness");
  if (found == scores.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

std::vector<std::byte> PackItems(std::span<const float> items) {
  const bool bits =
      std::all_of(items.begin(), items.end(), [](float item) { return item == 0 || item == 1; });
  std::vector<std::byte> bytes{std::byte(bits ? 'b' : 'f')};
  const auto put32 = [&](std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(std::byte((value >> shift) & 0xff));
  };
  put32(static_cast<std::uint32_t>(items.size()));
  if (bits) {
    const std::size_t start = bytes.size();
    bytes.resize(start + (items.size() + 7) / 8);
    for (std::size_t i = 0; i < items.size(); ++i)
      if (items[i] == 1) bytes[start + i / 8] |= std::byte(1 << (i % 8));
  } else {
    for (const float item : items) put32(std::bit_cast<std::uint32_t>(item));
  }
  return bytes;
}

std::vector<float> UnpackItems(std::span<const std::byte> bytes) {
  const auto get32 = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
    return value;
  };
  constexpr std::size_t kHeader = 5;
  const std::size_t count = bytes.size() < kHeader ? 0 : get32(1);
  const bool bits = !bytes.empty() && bytes[0] == std::byte('b');
  if (bytes.size() != kHeader + (bits ? (count + 7) / 8 : count * 4))
    throw Error({.kind = ErrorKind::kInput,
                 .what = "the run store is damaged",
                 .why = fmt::format("an evaluation of {} items takes {} bytes", count, bytes.size()),
                 .fix = "move forge.db away; the model folders of its runs stay usable"});
  std::vector<float> items(count);
  for (std::size_t i = 0; i < count; ++i)
    items[i] = bits ? static_cast<float>(std::to_integer<int>(bytes[kHeader + i / 8] >> (i % 8)) & 1)
                    : std::bit_cast<float>(get32(kHeader + 4 * i));
  return items;
}

std::string NewRunId(double time, const std::function<bool(const std::string&)>& taken) {
  const auto seconds = static_cast<std::time_t>(time);
  const std::string base = fmt::format("run-{:%Y%m%d-%H%M%S}", fmt::gmtime(seconds));
  std::string id = base;
  for (int suffix = 2; taken(id); ++suffix) id = fmt::format("{}-{}", base, suffix);
  return id;
}

}  // namespace forge::track
