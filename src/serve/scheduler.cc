// SPDX-License-Identifier: Apache-2.0
#include "serve/scheduler.h"

#include <algorithm>

namespace forge::serve {

using runtime::ServingBatch;
using runtime::ServingRequest;

Scheduler::Scheduler(const runtime::Transformer& transformer, const SchedulerLimits& limits, Started)
    : transformer_(transformer),
      limits_(limits),
      batch_(std::make_unique<ServingBatch>(transformer, limits.batch)),
      thread_([this] { Run(); }) {}

// The other constructor has ended when this one goes on, so that the destructor joins the thread if it
// throws.
Scheduler::Scheduler(const runtime::Transformer& transformer, const SchedulerLimits& limits)
    : Scheduler(transformer, limits, Started{}) {
  if (limits.pin_threads)
    pinned_ = std::make_unique<PinnedThreads>(ThreadPool::Global(), thread_.native_handle());
}

Scheduler::~Scheduler() {
  pinned_.reset();  // while its thread is there
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::size_t Scheduler::BytesFor(const ServingRequest& request) const {
  return ServingBatch(transformer_, limits_.batch).BytesFor(request);
}

bool Scheduler::CouldRun(const ServingRequest& request) const {
  return ServingBatch(transformer_, limits_.batch).HasRoomFor(request);
}

Scheduler::Admission Scheduler::Submit(const std::string& client, std::vector<ServingRequest> sequences,
                                       std::shared_ptr<Reply> reply, Ticket& ticket) {
  const std::lock_guard lock(mutex_);
  if (closed_) return Admission::kClosed;
  if (waiting_requests_ >= limits_.max_waiting) return Admission::kFull;
  ticket = next_ticket_++;
  ++waiting_requests_;
  work_[ticket] = {.reply = std::move(reply), .waiting = sequences.size(), .ids = {}};
  for (ServingRequest& sequence : sequences) {
    // What the scheduler counts is done before the reply hears of it: a reply that ended has left the books.
    sequence.on_token = [this, on_token = std::move(sequence.on_token)](const runtime::ScoredToken& token) {
      ++completion_tokens_;
      return on_token(token);
    };
    sequence.on_end = [this, of = ticket, on_end = std::move(sequence.on_end)](runtime::SequenceEnd end) {
      ended_in_step_.push_back(of);
      on_end(end);
    };
    queue_.Push(client, {ticket, std::move(sequence)});
  }
  state_.waiting = queue_.size();
  changed_.notify_all();
  return Admission::kTaken;
}

void Scheduler::Cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (!work_.contains(ticket)) return;
  cancelled_.push_back(ticket);
  changed_.notify_all();
}

void Scheduler::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void Scheduler::FailAll(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  for (const auto& [ticket, work] : work_) {
    work.reply->Fail(error);
    cancelled_.push_back(ticket);
  }
  changed_.notify_all();
}

Scheduler::State Scheduler::state() const {
  const std::lock_guard lock(mutex_);
  State state = state_;
  state.completion_tokens = completion_tokens_;
  return state;
}

void Scheduler::Forget(Ticket ticket) {
  const auto found = work_.find(ticket);
  if (found == work_.end() || found->second.waiting > 0 || found->second.running > 0) return;
  work_.erase(found);
}

void Scheduler::TakeOut(Ticket ticket) {
  const auto found = work_.find(ticket);
  if (found == work_.end()) return;
  Work& work = found->second;
  state_.cancelled += work.waiting + work.running;
  for (const ServingBatch::Id id : work.ids) batch_->Leave(id);
  if (work.waiting > 0) {
    queue_.Remove([&](const Waiting& waiting) { return waiting.ticket == ticket; });
    --waiting_requests_;
  }
  work_.erase(found);
}

void Scheduler::Admit() {
  while (!queue_.empty() && batch_->HasRoomFor(queue_.Front().request)) {
    Waiting next = queue_.Pop();
    Work& work = work_.at(next.ticket);
    if (--work.waiting == 0) --waiting_requests_;
    ++work.running;
    work.ids.push_back(batch_->Join(std::move(next.request)));
  }
}

void Scheduler::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    std::exception_ptr failure;
    for (const Ticket ticket : cancelled_) TakeOut(ticket);
    cancelled_.clear();
    try {
      Admit();
      state_.running = batch_->size();
      state_.waiting = queue_.size();
      state_.key_value_bytes = batch_->key_value_bytes();
      if (batch_->empty()) {
        changed_.wait(lock);
        continue;
      }
      lock.unlock();
      batch_->Step();
    } catch (const std::exception&) {  // out of memory, most likely; the handlers of the requests tell why
      failure = std::current_exception();
    }
    if (!lock.owns_lock()) lock.lock();
    ++state_.steps;
    state_.prompt_tokens += batch_->prompt_tokens() - counted_prompt_tokens_;
    counted_prompt_tokens_ = batch_->prompt_tokens();
    for (const Ticket ticket : ended_in_step_) {
      --work_.at(ticket).running;
      Forget(ticket);
    }
    ended_in_step_.clear();
    if (!failure) continue;
    for (auto& [ticket, work] : work_) {
      if (work.running == 0) continue;
      work.reply->Fail(failure);
      cancelled_.push_back(ticket);
    }
  }
}

}  // namespace forge::serve
