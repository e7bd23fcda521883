// SPDX-License-Identifier: Apache-2.0
#include "hub/retry.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

namespace forge::hub {

void WaitOrStop(double seconds, const StopToken& stop) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end && !stop.stop_requested())
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

bool MayPass(const io::HttpResponse& answer) {
  if (answer.failure == io::HttpFailure::kUnreachable || answer.failure == io::HttpFailure::kCut) return true;
  return answer.failure == io::HttpFailure::kNone &&
         (answer.status == 408 || answer.status == 429 || (answer.status >= 500 && answer.status != 501));
}

std::string DescribeTrouble(const io::HttpResponse& answer) {
  return answer.failure == io::HttpFailure::kNone ? fmt::format("the answer was {}", answer.status)
                                                  : answer.problem;
}

bool Retries::Again(const io::HttpResponse& answer, const std::function<void(const std::string&)>& say) {
  ++failures_;
  const int attempts =
      answer.failure == io::HttpFailure::kUnreachable ? policy_.unreachable_attempts : policy_.attempts;
  if (!MayPass(answer) || failures_ >= attempts || stop_.stop_requested()) return false;
  const double seconds =
      answer.retry_after_seconds.value_or(policy_.first_wait_seconds * std::exp2(failures_ - 1));
  if (seconds > policy_.longest_wait_seconds) return false;
  say(fmt::format("{}; trying again in {:g} s ({} of {})", DescribeTrouble(answer), seconds, failures_ + 1,
                  attempts));
  (policy_.wait ? policy_.wait : WaitOrStop)(seconds, stop_);
  return !stop_.stop_requested();
}

}  // namespace forge::hub
