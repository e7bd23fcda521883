// SPDX-License-Identifier: Apache-2.0
#include "jobs/rank_ports.h"

#include <fmt/format.h>

#include "jobs/polling_pause.h"

namespace forge::jobs {
RankWorkerPort::RankWorkerPort(RankMessages& ranks, std::function<void(double)> wait)
    : ranks_(ranks), wait_(wait ? std::move(wait) : Sleep) {}

void RankWorkerPort::Send(const FromWorker& message) { ranks_.Send(0, Encode(message)); }

std::optional<ToWorker> RankWorkerPort::Receive(double seconds) {
  PollingPause pause;
  for (double waited = 0;;) {
    if (const std::optional<RankMessages::Message> message = ranks_.Receive())
      return ParseToWorker(message->text, fmt::format("what rank {} sent", message->rank));
    if (waited >= seconds) return std::nullopt;
    const double next = pause.NextSeconds();
    wait_(next);
    waited += next;
  }
}

RankRelay::RankRelay(RankMessages& ranks, std::function<std::unique_ptr<WorkerPort>(int)> open)
    : ranks_(ranks), open_(std::move(open)) {}

bool RankRelay::Pass() {
  bool any = false;
  while (const std::optional<RankMessages::Message> received = ranks_.Receive()) {
    any = true;
    const FromWorker message =
        ParseFromWorker(received->text, fmt::format("what rank {} sent", received->rank));
    if (std::holds_alternative<Hello>(message) && !ports_.contains(received->rank))
      ports_[received->rank] = open_(received->rank);
    const auto port = ports_.find(received->rank);
    if (port == ports_.end()) continue;
    port->second->Send(message);
    if (!std::holds_alternative<Goodbye>(message)) continue;
    ports_.erase(port);
    ++left_;
  }
  for (const auto& [rank, port] : ports_) {
    while (const std::optional<ToWorker> message = port->Receive(0)) {
      any = true;
      ranks_.Send(rank, Encode(*message));
      // It stays to be read in the port, and the rank will only say goodbye.
      if (std::holds_alternative<Refusal>(*message) || std::holds_alternative<Stop>(*message)) break;
    }
  }
  return any;
}

void RankRelay::StopAll(const std::string& reason) {
  for (const auto& [rank, port] : ports_) ranks_.Send(rank, Encode(ToWorker{Stop{reason}}));
}

void RunRelay(RankRelay& relay, const StopToken* stop, const std::function<void(double)>& wait) {
  bool told = false;
  PollingPause pause;
  while (!relay.done()) {
    if (!told && stop != nullptr && stop->stop_requested()) {
      relay.StopAll("stopped on request");
      told = true;
    }
    if (relay.Pass())
      pause.Reset();
    else if (wait)
      wait(pause.NextSeconds());
    else
      Sleep(pause.NextSeconds());
  }
}

}  // namespace forge::jobs
