// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "dashboard/api.h"

namespace forge::dashboard {

/// One server-sent event stream (https://html.spec.whatwg.org/multipage/server-sent-events.html), without a
/// socket: the server calls Poll every kPollMs and sends what it returns.
///
///   retry: 2000                                first
///   id: 12.3400\nevent: update\ndata: {...}    what is new: {now, run?, log [], candidates [], metrics
///   [[stage,
///                                              name, step, value]], changed}; `changed` is true when a
///                                              stage, the run or an artifact changed and the page should ask
///                                              for the run again
///   event: runs\ndata: [{id, state}]           when the list of runs or a state changed
///   : still here                               every 15 s without another message
///
/// A reader that comes back sends the last id as Last-Event-ID and gets what it missed, at most 1000 rows at
/// a time.
class EventStream {
 public:
  static constexpr int kPollMs = 250;

  /// `run` may be empty: then only the list of runs is sent. A folder without a store is looked at again each
  /// time.
  EventStream(std::filesystem::path folder, std::string run, Cursor cursor, track::Clock clock);

  /// What is new since the last call; empty when nothing is.
  std::string Poll();

 private:
  std::string RunsMessage();
  std::string UpdateMessage();

  std::filesystem::path folder_;
  std::string run_;
  Cursor cursor_;
  track::Clock clock_;
  std::optional<track::Store> store_;
  std::int64_t data_version_ = -1;
  double last_look_ = 0, last_message_;
  bool first_ = true;
  std::string sent_runs_, sent_status_;
};

}  // namespace forge::dashboard
