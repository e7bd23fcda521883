// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/stop_token.h"
#include "io/http_client.h"

namespace forge::hub {

/// How often and how long apart a request is tried again.
struct RetryPolicy {
  int attempts = 5;                   // in a row without a byte of progress
  int unreachable_attempts = 3;       // of them, where there is no connection at all
  double first_wait_seconds = 1;      // doubles each time
  double longest_wait_seconds = 300;  // the hub counts requests in windows of five minutes
  /// Waits; returns early when stopped. Tests put a function here that only notes the time.
  std::function<void(double seconds, const StopToken& stop)> wait;
};

/// Really waits.
void WaitOrStop(double seconds, const StopToken& stop);

/// Whether the same request may succeed a little later: connections that failed or were cut, 408, 429, 5xx.
bool MayPass(const io::HttpResponse& answer);

/// "answered 429", "cut the connection: ..."
std::string DescribeTrouble(const io::HttpResponse& answer);

/// Counts the failures of one request.
class Retries {
 public:
  Retries(const RetryPolicy& policy, const StopToken& stop) : policy_(policy), stop_(stop) {}
  void Progressed() { failures_ = 0; }
  /// Whether to try again, after having waited: what Retry-After says, else twice as long as before.
  /// `say` is told what happened and how long the wait is.
  bool Again(const io::HttpResponse& answer, const std::function<void(const std::string&)>& say);

 private:
  const RetryPolicy& policy_;
  const StopToken& stop_;
  int failures_ = 0;
};

}  // namespace forge::hub
